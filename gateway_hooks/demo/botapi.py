"""A Telegram Bot API on loopback that behaves like the original where it hurts.

One bot, one process, one event loop. It keeps the original's rules of confirming and of two who poll
(`gateway_hooks.demo.polling`), can be told to fail (`gateway_hooks.demo.faults`) and records every request and answer
(`gateway_hooks.demo.wire`). Tests and the demo speak for the people: `BotApi.say` and its like.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from gateway_hooks.demo.asked import drops_pending, params_of, record_of
from gateway_hooks.demo.chats import Chats, integer
from gateway_hooks.demo.faults import Faults
from gateway_hooks.demo.polling import Polling
from gateway_hooks.demo.shapes import BOT_ID, PNG, ChatKind, Json, Person, failure, message, photo
from gateway_hooks.demo.updates import MAX_LIMIT, UpdateQueue
from gateway_hooks.demo.whopolls import Connections, WhoIs
from gateway_hooks.demo.wire import Call, Outcome, Said, WireLog

DEMO_TOKEN = f"{BOT_ID}:stand-in-token-for-loopback-only00"


class BotApi:
    """The Bot API of one bot.

    Args:
        token: The only token that is let in; others get 401.
        log_path: Where the wire log goes too, line by line.
        first_update_id: Where the numbering of updates starts.
        port: 0 lets the system choose.
        who_is: Says which process holds a local port (`whopolls.WhoHolds`); asked once per connection, in a thread.
        short_poll_floor_s: See `Polling`.
        conflict_spacing_s: See `Polling`.
        rich: Whether ``sendRichMessage`` exists.
    """

    def __init__(
        self,
        *,
        token: str = DEMO_TOKEN,
        log_path: Path | None = None,
        first_update_id: int = 1000,
        port: int = 0,
        who_is: WhoIs | None = None,
        short_poll_floor_s: float = 3.0,
        conflict_spacing_s: float = 3.0,
        rich: bool = False,
    ) -> None:
        self.token = token
        self.faults = Faults()
        self.log = WireLog(log_path)
        self.queue = UpdateQueue(first_update_id)
        self.chats = Chats(rich=rich)
        self.polling = Polling(
            self.queue,
            short_poll_floor_s=short_poll_floor_s,
            conflict_spacing_s=conflict_spacing_s,
            clock_s=time.monotonic,
        )
        self.port = port
        self.connections = Connections(who_is, self.log.owner)
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What a gateway puts before token and method."""
        return f"http://127.0.0.1:{self.port}/bot"

    @property
    def base_file_url(self) -> str:
        """What a gateway puts before token and file path."""
        return f"http://127.0.0.1:{self.port}/file/bot"

    async def start(self) -> Self:
        """Listen on loopback; `port` is set afterwards."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path:.*}", self._serve_file)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """End everything at once; open calls are recorded as aborted."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.connections.close()
        self.log.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # ---- speaking for the people

    def say(
        self,
        chat_id: int,
        text: str,
        *,
        user_id: int | None = None,
        first_name: str = "Ada",
        kind: ChatKind = "private",
        reply_to: int | None = None,
    ) -> int:
        """Write a text in a chat as a person; in a private chat the person has the chat's id. Returns the update id."""
        more: Json = {"reply_to_message": {"message_id": reply_to}} if reply_to is not None else {}
        return self._person_writes("message", chat_id, text, Person(user_id or abs(chat_id), first_name, kind), **more)

    def edit(self, chat_id: int, message_id: int, text: str, *, user_id: int | None = None) -> int:
        """Change an earlier text as a person (``edited_message``). Returns the update id."""
        now_s = int(time.time())
        return self._person_writes(
            "edited_message", chat_id, text, Person(user_id or abs(chat_id)), message_id=message_id, edit_date=now_s
        )

    def press(self, chat_id: int, message_id: int, data: str, *, user_id: int | None = None) -> int:
        """Press a button under a message of the bot (``callback_query``). Returns the update id."""
        person = Person(user_id or abs(chat_id))
        below = message(message_id, chat=person.chat(chat_id), sender=person.user(), date_s=int(time.time()), text="?")
        body = {
            "id": str(self.queue.next_update_id),
            "from": person.user(),
            "data": data,
            "chat_instance": str(chat_id),
        }
        return self._put("callback_query", {**body, "message": below}, chat_id, message_id, data)

    def say_album(self, chat_id: int, captions: Sequence[str], *, user_id: int | None = None) -> list[int]:
        """Send an album, one photo a caption; an empty caption is none. Returns the update ids."""
        group, person = str(self.queue.next_update_id), Person(user_id or abs(chat_id))
        ids = []
        for place, caption in enumerate(captions):
            more = {"media_group_id": group, "photo": photo(f"album{group}-{place}")}
            if caption:
                more["caption"] = caption
            ids.append(self._person_writes("message", chat_id, None, person, **more))
        return ids

    def _person_writes(self, kind: str, chat_id: int, text: str | None, person: Person, **more: Any) -> int:
        chat = person.chat(chat_id)
        self.chats.enter(chat)
        message_id = int(more.pop("message_id", 0)) or self.chats.next_message_id()
        body = message(message_id, chat=chat, sender=person.user(), date_s=int(time.time()), text=text, **more)
        return self._put(kind, body, chat_id, message_id, text if text is not None else str(more.get("caption", "")))

    def _put(self, kind: str, body: Json, chat_id: int, message_id: int, text: str) -> int:
        update_id = self.queue.put(kind, body)
        self.log.heard(Said(update_id, time.monotonic_ns(), chat_id, message_id, kind, text))
        self.polling.wake()
        return update_id

    # ---- waiting, for tests and the demo

    async def until(self, holds: Callable[[tuple[Call, ...]], bool], *, timeout_s: float) -> tuple[Call, ...]:
        """Wait until the calls so far satisfy a condition, which is asked after every change, and return them.

        Raises:
            TimeoutError: It did not come to hold in time.
        """
        async with asyncio.timeout(timeout_s):
            while not holds(calls := self.log.calls):
                self._changed.clear()
                await self._changed.wait()
        return calls

    # ---- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        call = self._begin(request, method)
        response = web.Response()
        try:
            params = await params_of(request)
            call = self._note(call, **record_of(method.lower(), params))
            await self.faults.wait(method, "before")
            status, body, call = await self._answer(request, method.lower(), params, call)
            await self.faults.wait(method, "after")
            await self.connections.known(call.connection)
            if self._cuts(call, request):
                return response
            call = self._end(call, "answered", status)
            response = web.json_response(body, status=status)
            await response.prepare(request)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self._end(call, "aborted")
            raise
        return response

    async def _answer(
        self, request: web.Request, method: str, params: Mapping[str, Any], call: Call
    ) -> tuple[int, Json, Call]:
        if request.match_info["token"] != self.token:
            return 401, failure(401, "Unauthorized"), call
        refusal = self.faults.refusal(method)
        if refusal is not None:
            return refusal.status, refusal.body(), call
        if method == "getupdates":
            limit = integer(params.get("limit")) or MAX_LIMIT
            poll = await self.polling.poll(call.offset, limit=limit, timeout_s=call.timeout_s or 0.0)
            return poll.status, poll.body, self._note(call, update_ids=poll.update_ids)
        if drops_pending(method, params):
            call = self._note(call, update_ids=self.queue.pending)
            self.queue.clear()
        answer = self.chats.answer(method, params, date_s=int(time.time()))
        return answer.status, answer.body, self._note(call, message_id=answer.message_id)

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        self._end(self._begin(request, "file"), "answered", 200)
        return web.Response(body=PNG, content_type="image/png")

    def _cuts(self, call: Call, request: web.Request) -> bool:
        """Cut the connection of a send that was taken, when a test ordered it."""
        if call.message_id is None or not call.method.lower().startswith("send") or not self.faults.drops_send():
            return False
        self._end(call, "dropped")
        if request.transport is not None:
            request.transport.abort()
        return True

    def _begin(self, request: web.Request, method: str) -> Call:
        connection, port = self.connections.of(request.transport)
        call = self.log.begin(method, connection=connection, port=port, at_ns=time.monotonic_ns())
        self._changed.set()
        return call

    def _note(self, call: Call, **changes: Any) -> Call:
        call = self.log.update(call, **changes)
        self._changed.set()
        return call

    def _end(self, call: Call, outcome: Outcome, status: int | None = None) -> Call:
        return self._note(call, end_ns=time.monotonic_ns(), outcome=outcome, status=status)
