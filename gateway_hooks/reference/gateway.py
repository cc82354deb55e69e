"""The reference gateway behind the port: a poller, the lanes, the sessions."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway_hooks.gateway import (
    AdapterInfo,
    Finding,
    Flushed,
    GatewayFault,
    Health,
    Identity,
    Ledger,
    Ticket,
    Update,
    UpdateKind,
    Watcher,
)
from gateway_hooks.reference.botclient import BotClient, Conflict, Unsent
from gateway_hooks.reference.lanes import Agent, Lanes
from gateway_hooks.reference.sessions import Sessions
from journal.errors import HandoffError, StaleEpoch

log = logging.getLogger("handoff_journal.reference")
CALL_S = 5.0
RETRY_S = 0.2
DRAIN_S = 30.0
"""How long a gateway that was told to end waits for its turns; one whose platform is gone would wait for ever."""
VERSION = "1"
T = TypeVar("T")


class ReferenceGateway:
    """``gateway_hooks.gateway.Gateway`` for one bot. ``start`` it on a loop before the manager drives it from its thread."""

    def __init__(self, home: Path, api: str, token: str, agent: Agent) -> None:
        self._home, self._api, self._token, self._agent = home, api, token, agent
        self._sessions = Sessions(home / "reference.db")
        self._watchers: list[Watcher] = []
        self._polls = 0
        self._next_offset: int | None = None
        self._poller: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._ledger: Ledger
        self._bot: BotClient
        self._lanes: Lanes

    # ------------------------------------------------------------------------ the process's own side, on the loop

    def start(self, ledger: Ledger) -> None:
        """Build everything but the poller. Call it on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._ledger = ledger
        self._bot = BotClient(self._api, self._token)
        self._lanes = Lanes(ledger, self._bot, self._sessions, self._agent, self._executor)

    async def until_ended(self) -> None:
        """Wait for ``end``, let turns in flight finish for up to ``DRAIN_S``, and close."""
        await self._ended.wait()
        await self._stop_polling()
        self._lanes.let_go()
        with suppress(TimeoutError):  # what is left open then is settled by who comes after us
            await asyncio.wait_for(self._lanes.drained(), DRAIN_S)
        await self._bot.close()
        self._executor.shutdown()

    # ------------------------------------------------------------------------ the port, from the manager's thread

    def identity(self) -> Identity:
        return Identity("reference", VERSION, (AdapterInfo("telegram", self._token.split(":", 1)[0], "warm"),))

    def preflight(self) -> tuple[Finding, ...]:
        writable = (self._home / "reference.db").exists()
        return () if writable else (Finding("state-missing", "error", "the sessions' file is gone: restore it"),)

    def load(self) -> tuple[Flushed, ...]:
        return self._sessions.load()

    def flush(self) -> tuple[Flushed, ...]:
        return self._sessions.flush()

    def pause(self) -> Mapping[str, int | None]:
        self._call(self._pause())
        return {self._adapter: self._next_offset}

    def connect(self) -> Mapping[str, int | None]:
        self._call(self._connect())
        return {self._adapter: self._next_offset}

    def turns(self) -> int:
        return self._lanes.turns

    def take_up(self, ticket: Ticket) -> None:
        self._loop.call_soon_threadsafe(self._lanes.put, ticket)

    def watchers(self) -> tuple[Watcher, ...]:
        return tuple(self._watchers)

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        self._watchers += watchers

    def sample(self) -> Health:
        asked = time.monotonic()
        return self._call(self._sample(asked))

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    # ------------------------------------------------------------------------ behind it, on the loop

    @property
    def _adapter(self) -> str:
        return f"telegram:{self._bot.account}"

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(CALL_S)
        except FutureTimeout as error:
            future.cancel()
            raise GatewayFault(f"the gateway's loop did not answer for {CALL_S:g} s") from error

    async def _pause(self) -> None:
        self._lanes.let_go()
        await self._stop_polling()

    async def _stop_polling(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
            self._poller = None
            await self._loop.run_in_executor(self._executor, lambda: None)  # what was fetched is in the journal by now

    async def _connect(self) -> None:
        self._lanes.take_hold()
        if self._poller is None or self._poller.done():
            self._polls, self._next_offset = 0, None
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        """Poll, journal, dispatch; the next poll confirms. The platform keeps the offset, so the first one names none."""
        first, refused = True, ""
        while True:
            try:
                batch = await self._bot.updates(self._next_offset, 0 if first else 10)
            except Conflict:
                log.warning("another process polls with this token")
                await asyncio.sleep(RETRY_S)
                continue
            except Unsent as error:
                log.warning("cannot poll: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            first = False
            self._polls += 1
            if not batch:
                continue
            following = batch[-1]["update_id"] + 1
            try:
                tickets = await self._loop.run_in_executor(self._executor, self._accept(batch, following))
            except StaleEpoch as error:
                log.warning("lets go: %s", error)
                self._lanes.let_go()
                return
            except HandoffError as error:  # not journaled: not confirmed either, the platform gives it again
                if error.line() != refused:
                    log.error("%s", refused := error.line())
                await asyncio.sleep(RETRY_S)
                continue
            refused = ""
            self._next_offset = following
            for ticket in tickets:
                if ticket.dispatch:
                    self._lanes.put(ticket)

    def _accept(self, batch: list[dict[str, Any]], following: int) -> Callable[[], tuple[Ticket, ...]]:
        updates = [_update(raw) for raw in batch]
        return lambda: self._ledger.accept("telegram", self._bot.account, updates, following)

    async def _sample(self, asked: float) -> Health:
        lag = time.monotonic() - asked
        lanes = self._lanes
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Health(
            lag * 1000, lanes.turns, lanes.waiting, lanes.answered, lanes.errors, rss, {self._adapter: self._polls}
        )


def _update(raw: dict[str, Any]) -> Update:
    message = raw.get("message") or raw.get("edited_message") or raw.get("callback_query", {}).get("message") or {}
    text = str(message.get("text") or "")
    kind: UpdateKind = "text"
    if "edited_message" in raw:
        kind = "edit"
    elif "callback_query" in raw:
        kind = "callback"
    elif "message" not in raw:
        kind = "other"
    elif text.startswith("/"):
        kind = "command"
    chat = str(message.get("chat", {}).get("id", ""))
    return Update(str(raw["update_id"]), kind, chat, json.dumps(raw).encode(), stamp=str(message.get("date", "")))
