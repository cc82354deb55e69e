"""Chats as lanes: quick texts gathered into one turn, turns of a chat one after the other, every step told to the ledger."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

from gateway_hooks.gateway import Ledger, NotOwner, Ticket
from gateway_hooks.reference.botclient import BotClient, Unknown, Unsent
from gateway_hooks.reference.sessions import Sessions, Words
from journal.errors import HandoffError, LostHold, Refused

log = logging.getLogger("handoff_journal.reference")
GATHER_S = 0.15
RETRY_S = 0.2
T = TypeVar("T")
Agent = Callable[[Sequence[Words], str], Awaitable[str]]
"""From what was said before, and what is said now, to the answer."""


class Lanes:
    """Every chat's queue and its turn in flight. Lives on the gateway's loop."""

    def __init__(self, ledger: Ledger, bot: BotClient, sessions: Sessions, agent: Agent, executor: Executor) -> None:
        self._ledger, self._bot, self._sessions, self._agent, self._executor = ledger, bot, sessions, agent, executor
        self._queues: dict[str, list[Ticket]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._starting = True
        self.turns = 0
        self.answered = 0
        self.errors = 0

    @property
    def waiting(self) -> int:
        """Messages that were dispatched here and not started."""
        return sum(len(queue) for queue in self._queues.values())

    def put(self, ticket: Ticket) -> None:
        """Queue a message in its chat. After ``let_go`` it is not taken: the journal has it."""
        if not self._starting:
            return
        chat = ticket.update.chat
        self._queues.setdefault(chat, []).append(ticket)
        if chat not in self._workers:
            self._workers[chat] = asyncio.create_task(self._work(chat))

    def let_go(self) -> None:
        """Start nothing more, and throw away what waits; turns in flight go on."""
        self._starting = False
        self._queues.clear()

    def take_hold(self) -> None:
        """Start turns again."""
        self._starting = True

    async def drained(self) -> None:
        """Wait until no turn is in flight."""
        try:
            while self._workers:
                await asyncio.wait(list(self._workers.values()))
        except asyncio.CancelledError:
            for worker in self._workers.values():
                worker.cancel()
            raise

    async def _work(self, chat: str) -> None:
        try:
            while self._queues.get(chat):
                await asyncio.sleep(GATHER_S)
                batch = self._queues.pop(chat, [])
                if batch and self._starting:
                    await self._turn(chat, batch)
        except Exception:
            self.errors += 1
            log.exception("a turn broke")
        finally:
            del self._workers[chat]
            if self._queues.get(chat):
                self._workers[chat] = asyncio.create_task(self._work(chat))

    async def _turn(self, chat: str, batch: list[Ticket]) -> None:
        session = self._sessions.session_of(chat)
        try:
            turn = await self._tell(lambda: self._ledger.start([t.message for t in batch], session))
        except HandoffError as error:  # the journal feeds again what it has, and knows nothing of the others
            log.log(logging.INFO if isinstance(error, Refused) else logging.ERROR, "not started: %s", error.line())
            if not isinstance(error, NotOwner):
                self._queues[chat] = [t for t in batch if not t.message] + self._queues.get(chat, [])
            return
        self.turns += 1
        try:
            await self._answer(chat, session, turn, batch)
        except LostHold as error:
            log.warning("the turn is not ours any more: %s", error)
        except Exception:
            self.errors += 1
            log.exception("a turn broke; its messages are settled as it stands")
            await self._give_up(turn)
        finally:
            self.turns -= 1

    async def _give_up(self, turn: int) -> None:
        """Close a turn that broke, however often it takes: one that stays open would hold its chat for ever."""
        while True:
            try:
                return await self._tell(lambda: self._ledger.finish(turn, "failed"))
            except Refused:
                return None
            except HandoffError as error:
                log.error("%s", error.line())
                await asyncio.sleep(RETRY_S)

    async def _answer(self, chat: str, session: str, turn: int, batch: list[Ticket]) -> None:
        texts = [_text(t) for t in batch]
        said = "\n".join(text for text in texts if text)
        if not said:
            await self._tell(lambda: self._ledger.finish(turn, "no_reply"))
            return
        reply = await self._agent(self._sessions.said(session), said)
        await self._tell(lambda: self._ledger.intend(turn, 0, 1))
        try:
            reference = await self._send(int(chat), reply)
            await self._tell(lambda: self._ledger.sent(turn, 0, reference))
        except Unknown:
            log.warning("nobody knows whether the answer of turn %d arrived; it is not sent again", turn)
        for text in texts:
            self._sessions.say(session, "user", text)
        self._sessions.say(session, "assistant", reply)
        self.answered += len(batch)
        with suppress(LostHold):
            await self._tell(lambda: self._ledger.finish(turn, "answered"))

    async def _send(self, chat: int, reply: str) -> str:
        while True:
            try:
                return await self._bot.send(chat, reply)
            except Unsent:
                await asyncio.sleep(RETRY_S)

    async def _tell(self, call: Callable[[], T]) -> T:
        """The ledger blocks for a durable append: never on the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _text(ticket: Ticket) -> str:
    body = json.loads(ticket.update.payload)
    message = body.get("message") or {}
    return str(message.get("text") or "")
