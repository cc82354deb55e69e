"""The JSON objects of the Bot API that the stand-in hands out: users, chats, messages (core.telegram.org/bots/api)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ChatKind = Literal["private", "group", "supergroup", "channel"]
Json = dict[str, Any]

BOT_ID = 7000000001
BOT: Json = {
    "id": BOT_ID,
    "is_bot": True,
    "first_name": "Stand-in",
    "username": "stand_in_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": True,
    "supports_inline_queries": False,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who writes, and in which kind of chat."""

    user_id: int
    first_name: str = "Ada"
    kind: ChatKind = "private"

    def user(self) -> Json:
        """Return the Bot API's User."""
        return {
            "id": self.user_id,
            "is_bot": False,
            "first_name": self.first_name,
            "username": f"user{self.user_id}",
            "language_code": "en",
        }

    def chat(self, chat_id: int) -> Json:
        """Return the Bot API's Chat."""
        if self.kind == "private":
            return {"id": chat_id, "type": "private", "first_name": self.first_name}
        return {"id": chat_id, "type": self.kind, "title": f"Room {chat_id}"}


def message(message_id: int, *, chat: Json, sender: Json, date_s: int, text: str | None = None, **more: Any) -> Json:
    """Return a Message; a text that starts with ``/`` gets the entity by which libraries know a command."""
    body: Json = {"message_id": message_id, "date": date_s, "chat": chat, "from": sender, **more}
    if text is not None:
        body["text"] = text
        if text.startswith("/"):
            command = text.split(maxsplit=1)[0]
            length = len(command.encode("utf-16-le")) // 2
            body["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
    return body


def photo(file_id: str) -> list[Json]:
    """Return the sizes of one photo."""
    return [{"file_id": file_id, "file_unique_id": f"u{file_id}", "width": 1, "height": 1, "file_size": len(PNG)}]


def failure(status: int, description: str, *, retry_after_s: int | None = None) -> Json:
    """Return the body of an answer that is not ok."""
    body: Json = {"ok": False, "error_code": status, "description": description}
    if retry_after_s is not None:
        body["parameters"] = {"retry_after": retry_after_s}
    return body


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
