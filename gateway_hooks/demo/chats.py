"""What the Bot API answers to everything but getUpdates: messages get ids, edits change them, the rest is polite."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_hooks.demo.shapes import BOT, Json, failure, message, photo

MAX_TEXT = 4096
_MUTE = {"sendchataction", "sendmessagedraft", "sendrichmessagedraft"}
_ESCAPED = re.compile(r"\\([_*\[\]()~`>#+\-=|{}.!\\])")
_MEDIA = {"photo", "document", "video", "audio", "voice", "animation", "sticker", "video_note"}


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status, body, and the message that was made or edited, if any."""

    status: int
    body: Json
    message_id: int | None = None


@dataclass(slots=True)
class Chats:
    """The chats of one bot, as far as a gateway can tell.

    Attributes:
        rich: Whether ``sendRichMessage`` exists; without it the answer is 404, as from an older server.
    """

    rich: bool = False
    _last_message_id: int = 0
    _known: dict[int, Json] = field(default_factory=dict)
    _messages: dict[tuple[int, int], Json] = field(default_factory=dict)

    def enter(self, chat: Json) -> None:
        """Remember a chat in which somebody wrote."""
        self._known[chat["id"]] = chat

    def next_message_id(self) -> int:
        """Return the next message id; ids grow over all chats, as in the private chats of one account."""
        self._last_message_id += 1
        return self._last_message_id

    def answer(self, method: str, params: Mapping[str, Any], *, date_s: int) -> Answer:
        """Answer a call.

        Args:
            method: In lower case.
            params: Strings as they came, or JSON values.
            date_s: Seconds since 1970, the date of a message made now.
        """
        if method in _FIXED:
            return _ok(_FIXED[method])
        if method == "getchat":
            return _ok({**self._chat(chat_id_of(params)), "accent_color_id": 0, "max_reaction_count": 1})
        if method == "getfile":
            file_id = str(params.get("file_id", "file"))
            return _ok({"file_id": file_id, "file_unique_id": f"u{file_id}", "file_path": f"photos/{file_id}.png"})
        if method in {"editmessagetext", "editmessagecaption", "editmessagereplymarkup"}:
            return self._edit(params, date_s)
        if method.endswith("richmessage") and not self.rich:
            return Answer(404, failure(404, "Not Found"))
        if method == "sendmediagroup":
            return self._send_album(params, date_s)
        if method == "copymessage" or (method.startswith("send") and method not in _MUTE):
            return self._send(method, params, date_s)
        return _ok(True)

    def _send(self, method: str, params: Mapping[str, Any], date_s: int) -> Answer:
        text = text_of(params)
        if method == "sendmessage" and not (text or "").strip():
            return Answer(400, failure(400, "Bad Request: message text is empty"))
        if method == "sendmessage" and len(text or "") > MAX_TEXT:
            return Answer(400, failure(400, "Bad Request: message is too long"))
        made = self._make(params, date_s, text if method in {"sendmessage", "sendrichmessage"} else None)
        kind = method.removeprefix("send")
        if kind in _MEDIA:
            made[kind] = (
                photo(f"sent{made['message_id']}") if kind == "photo" else photo(f"sent{made['message_id']}")[0]
            )
            made["caption"] = text or ""
        return Answer(200, {"ok": True, "result": made}, made["message_id"])

    def _send_album(self, params: Mapping[str, Any], date_s: int) -> Answer:
        made = []
        for item in loaded(params.get("media")) or []:
            part = self._make(params, date_s, None)
            part.update(photo=photo(f"sent{part['message_id']}"), caption=item.get("caption", ""))
            made.append(part)
        return Answer(200, {"ok": True, "result": made}, made[0]["message_id"] if made else None)

    def _make(self, params: Mapping[str, Any], date_s: int, text: str | None) -> Json:
        chat_id = chat_id_of(params)
        reply_to = reply_to_of(params)
        made = message(self.next_message_id(), chat=self._chat(chat_id), sender=BOT, date_s=date_s, text=text)
        if reply_to is not None and (chat_id, reply_to) in self._messages:
            made["reply_to_message"] = self._messages[(chat_id, reply_to)]
        self._messages[(chat_id, made["message_id"])] = {k: v for k, v in made.items() if k != "reply_to_message"}
        return made

    def _edit(self, params: Mapping[str, Any], date_s: int) -> Answer:
        key = (chat_id_of(params), int(params.get("message_id") or 0))
        known, text = self._messages.get(key), text_of(params)
        if known is None or known["from"] != BOT:
            return Answer(400, failure(400, "Bad Request: message to edit not found"))
        if text is not None and text == known.get("text"):
            return Answer(400, failure(400, "Bad Request: message is not modified"))
        self._messages[key] = {**known, "edit_date": date_s, **({"text": text} if text is not None else {})}
        return Answer(200, {"ok": True, "result": self._messages[key]}, key[1])

    def _chat(self, chat_id: int) -> Json:
        return self._known.get(chat_id, {"id": chat_id, "type": "private" if chat_id > 0 else "group"})


def text_of(params: Mapping[str, Any]) -> str | None:
    """Return what a person would read of a send: text, rich text or caption, without MarkdownV2's escapes."""
    rich = loaded(params.get("rich_message"))
    if isinstance(rich, dict):
        return str(rich.get("markdown") or rich.get("html") or "")
    text = params.get("text", params.get("caption"))
    if text is None:
        return None
    return _ESCAPED.sub(r"\1", str(text)) if params.get("parse_mode") == "MarkdownV2" else str(text)


def chat_id_of(params: Mapping[str, Any]) -> int:
    """Return the chat that a call names, 0 when it names none or one by its @name."""
    return integer(params.get("chat_id")) or 0


def reply_to_of(params: Mapping[str, Any]) -> int | None:
    """Return the message that a send replies to."""
    parameters = loaded(params.get("reply_parameters"))
    if isinstance(parameters, dict):
        return integer(parameters.get("message_id"))
    return integer(params.get("reply_to_message_id"))


def loaded(value: Any) -> Any:
    """Return a parameter that may have come as JSON in a form field."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def integer(value: Any) -> int | None:
    """Return a parameter as a number, None when it is absent or is not one."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _ok(result: Any) -> Answer:
    return Answer(200, {"ok": True, "result": result})


_FIXED: dict[str, Any] = {
    "getme": BOT,
    "getmycommands": [],
    "getwebhookinfo": {"url": "", "has_custom_certificate": False, "pending_update_count": 0},
    "getmyname": {"name": BOT["first_name"]},
    "getchatmember": {"status": "member", "user": BOT},
    "getchatadministrators": [],
    "getforumtopiciconstickers": [],
}
