"""The two taps on the Bot API's HTTP requests: what a poll fetched, and what a turn sends.

Both sit on the request objects of the Telegram library, below everything that could lose, merge or retry: a batch is in the
journal before the library can confirm it with its next poll, and a reply part is announced right before its request goes
out. The objects have ``__slots__`` from Python 3.13 on, so they are given a subclass instead of an attribute.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from gateway_hooks.gateway import Update, UpdateKind
from gateway_hooks.hermes.hold import Hold, log, outlast
from gateway_hooks.hermes.internals import module
from gateway_hooks.hermes.turns import FRAME, STREAM, Frame
from journal.errors import Refused

Fetched = Callable[[tuple[Update, ...], int], Awaitable[bool]]
T = TypeVar("T")
_NOTHING = b'{"ok":true,"result":[]}'
_NO_REPLY = frozenset({"sendchataction", "sendmessagedraft", "sendrichmessagedraft", "sendinvoice", "sendgift"})
_EDITS = ("edited_message", "edited_channel_post", "edited_business_message")
_MESSAGES = ("message", "channel_post", "business_message", *_EDITS)
_COMMAND = re.compile(r"\s*(@\w+\s+)*/")
"""As Hermes reads one: in an edit or under a picture too, and behind the name of a bot that is spoken to."""


def tap_polls(request: Any, hold: Hold, fetched: Fetched, polled: Callable[[], None]) -> None:
    """Let ``fetched`` journal every batch before the library sees it; False makes the batch vanish, unconfirmed.

    Who does not hold the adapters does not poll: the request waits until it is thrown away, or until we hold them again.
    """

    async def do_request(proceed: Callable[[], Awaitable[Any]], url: str) -> Any:
        if _method(url) == "getupdates" and not hold.held:
            await hold.taken.wait()
            return 200, _NOTHING
        answer = await proceed()
        status, payload = answer
        if _method(url) != "getupdates" or status != 200:
            return answer
        polled()
        updates = parse(payload)
        if updates and not await fetched(updates, max(int(update.update_id) for update in updates) + 1):
            return status, _NOTHING
        return answer

    _reclass(request, do_request)


def tap_sends(request: Any, hold: Hold) -> None:
    """Announce each part of a turn's reply before its request goes out, and record what the platform took."""

    async def do_request(proceed: Callable[[], Awaitable[Any]], url: str) -> Any:
        frame = FRAME.get()
        if frame is None or frame.turn is None or not is_reply(_method(url)):
            return await proceed()
        if frame.stage != "replying" and not STREAM.get():
            return await proceed()
        return await _send_part(frame, proceed, hold)

    _reclass(request, do_request)


async def _send_part(frame: Frame, proceed: Callable[[], Awaitable[Any]], hold: Hold) -> Any:
    turn, part = frame.turn, frame.tried + 1
    if frame.intended < part:
        announcing = asyncio.ensure_future(_announce(hold, turn, part))
        try:
            await asyncio.shield(announcing)
        except asyncio.CancelledError:
            if await outlast(announcing) and frame.turn == turn:
                frame.intended = part  # Hermes may send the same another way, and it must not be announced twice
            raise
        frame.intended = part
    try:
        status, payload = answer = await proceed()
    except Exception as error:
        if never_left(error):
            raise
        frame.tried = part  # nobody knows whether it was taken: never announce the same part again
        raise _timed_out() from error
    except BaseException:
        frame.tried = part
        raise
    if not spoken(status, payload):
        frame.tried = part
        raise _timed_out()
    if 200 <= status < 300:
        frame.tried = part
        frame.sent += 1
        try:
            await hold.write(hold.ledger.sent, turn, part, _reference(payload))
        except Exception as error:
            log.error("a reply was sent and could not be recorded: %s", error)
    return answer


async def _announce(hold: Hold, turn: int | None, part: int) -> None:
    """Have the journal know of a part before it goes out. Raises what Hermes does not try again when it must not go out.

    What the law refuses is never sent. When the journal cannot be written, who serves goes on as if it were not there; who
    has let go sends nothing of which the other side knows nothing, for that one would say it again.
    """
    try:
        await hold.write(hold.ledger.intend, turn, part)
    except Refused as error:
        raise _forbidden(error) from error
    except Exception as error:
        if not hold.held:
            raise _forbidden(error) from error
        log.error("the journal could not announce a reply; it is sent all the same: %s", error)


def spoken(status: int, payload: bytes) -> bool:
    """Whether the Bot API itself has said what it did with a request, and not a proxy before it, or half of an answer."""
    if 300 <= status < 500:
        return True
    try:
        said = json.loads(payload)
    except ValueError:
        return False
    return isinstance(said, dict) and isinstance(said.get("ok"), bool)


def _timed_out() -> Exception:
    """What Hermes does not send again, since it may have arrived."""
    error: Exception = module("telegram.error").TimedOut()
    return error


def _forbidden(why: Exception) -> Exception:
    error: Exception = module("telegram.error").Forbidden(f"handoff: {why}")
    return error


def never_left(error: BaseException) -> bool:
    """Whether a request failed before it went out: no connection was made, or none was free."""
    causes: list[BaseException | None] = [error, error.__cause__, error.__cause__ and error.__cause__.__cause__]
    return any(type(cause).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout") for cause in causes)


def is_reply(method: str) -> bool:
    """Whether a method puts something new into a chat that a person reads as an answer."""
    return (method.startswith("send") or method == "copymessage") and method not in _NO_REPLY


def parse(payload: bytes) -> tuple[Update, ...]:
    """Return the updates in an answer to getUpdates, in their order; none when it is not an answer of that kind."""
    try:
        envelope = json.loads(payload)
    except ValueError:
        return ()
    result = envelope.get("result") if isinstance(envelope, dict) and envelope.get("ok") is True else None
    return tuple(_update(body) for body in result if isinstance(body, dict)) if isinstance(result, list) else ()


def _update(body: Mapping[str, Any]) -> Update:
    return Update(
        update_id=str(body["update_id"]),
        kind=kind_of(body),
        chat=chat_of(body),
        payload=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        stamp=str(_message(body).get("date", "")),
    )


def kind_of(body: Mapping[str, Any]) -> UpdateKind:
    """Return what an update is, as far as its treatment differs."""
    if "callback_query" in body:
        return "callback"
    message = _message(body)
    album = bool(message.get("media_group_id"))
    words = str(message.get("text") or message.get("caption") or "")
    if _COMMAND.match(words) and not album:
        return "command"
    if any(name in body for name in _EDITS):
        return "edit"
    if album:
        return "album"
    return "text" if isinstance(message.get("text"), str) else "other"


def chat_of(body: Mapping[str, Any]) -> str:
    """Return the lane of an update: its chat, and the thread within a forum. ``""`` for one without a chat."""
    query = body.get("callback_query")
    message = query.get("message") or {} if isinstance(query, dict) else _message(body)
    chat = message.get("chat") if isinstance(message, dict) else None
    if not isinstance(chat, dict):
        return ""
    thread = message.get("message_thread_id") if message.get("is_topic_message") else None
    return str(chat.get("id", "")) + (f":{thread}" if thread is not None else "")


def _message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((body[name] for name in _MESSAGES if isinstance(body.get(name), dict)), {})


def _reference(payload: bytes) -> str | None:
    try:
        result = json.loads(payload).get("result")
    except (ValueError, AttributeError):
        return None
    first = result[0] if isinstance(result, list) and result else result
    return str(first["message_id"]) if isinstance(first, dict) and "message_id" in first else None


def _method(url: Any) -> str:
    return str(url).rsplit("/", 1)[-1].lower()


def _reclass(request: Any, around: Callable[[Callable[[], Awaitable[Any]], str], Awaitable[Any]]) -> None:
    base: Any = type(request)

    class Tapped(base):  # type: ignore[misc,unused-ignore]
        __slots__ = ()

        async def do_request(self, url: str, *arguments: Any, **options: Any) -> Any:
            proceed = super().do_request
            return await around(lambda: proceed(url, *arguments, **options), url)

    Tapped.__name__ = base.__name__
    request.__class__ = Tapped


async def within(call: Awaitable[T], seconds: float) -> T:
    """Await with a bound."""
    return await asyncio.wait_for(call, seconds)
