"""Turns as the ledger sees them: opened before anything runs, closed when the last reply is out.

Hermes has one door for everything that a person says, ``GatewayRunner._handle_message``, and two that lead to it: the
background task of a chat, and ``handle_message`` itself for commands in a busy chat. Each of the two carries a *frame*; the
door opens a turn in it, and the end of the frame closes it. A follow-up that Hermes runs inside the same task (it drains
its queue there) closes the first turn and opens the next in the same frame.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from gateway_hooks.gateway import AlreadyTaken, NotOwner, SettledAs, TurnOutcome
from gateway_hooks.hermes.hold import Hold, join_all, log, outlast, settle_all
from gateway_hooks.hermes.inbox import Inbox, Item
from gateway_hooks.hermes.queues import Queues

Stage = Literal["handling", "replying", "done"]


@dataclass(eq=False, slots=True)
class Frame:
    """One task of Hermes that carries turns, one after the other.

    ``intended`` and ``sent`` count reply parts of the current turn. ``muted``: what the turn still wants to say is not sent,
    because somebody else will run its message again or has run its successor. ``cut`` says that it was so before the turn had said
    all, ``whole`` that Hermes has sent all that it had to say. ``asides`` are remarks beside a tool call, which are no answer.
    """

    session: str
    inbox: Inbox | None = None
    update_id: str = ""
    item: Item | None = None
    turn: int | None = None
    stage: Stage = "handling"
    intended: int = 0
    sent: int = 0
    tried: int = 0
    joined: int = 0
    asides: int = 0
    failed: bool = False
    cancelled: bool = False
    muted: bool = False
    cut: bool = False
    whole: bool = False


FRAME: contextvars.ContextVar[Frame | None] = contextvars.ContextVar("handoff_frame", default=None)
STREAM: contextvars.ContextVar[bool] = contextvars.ContextVar("handoff_stream", default=False)


class Turns:
    """The turns of this process. Its methods wrap Hermes' own and run on the gateway's loop."""

    def __init__(self, hold: Hold, queues: Queues, runner: Any, forget_attempt: Callable[[str, str], None]) -> None:
        self._hold = hold
        self._queues = queues
        self._runner = runner
        self._forget_attempt = forget_attempt
        self._frames: set[Frame] = set()
        self._kept: set[asyncio.Task[Any]] = set()
        self.answered = 0
        self.errors = 0

    def count(self) -> int:
        """Turns in flight, those that nobody asked for (a finished background job) included."""
        return len(self._frames)

    def carrying(self, session: str) -> Frame | None:
        """The frame whose turn runs in a session."""
        return next((frame for frame in self._frames if frame.session == session and frame.turn is not None), None)

    def doom(self) -> None:
        """The process was told to stop and interrupts what runs: whoever comes next starts those messages again."""
        for frame in self._frames:
            frame.muted = True

    def background(self, original: Callable[[Any, str], Awaitable[Any]]) -> Callable[[Any, str], Awaitable[Any]]:
        """Around ``_process_message_background``: the task that answers one event of a chat."""

        async def carried(event: Any, session: str, arrived: Callable[[], object]) -> Any:
            frame = Frame(session)
            self._frames.add(frame)
            token = FRAME.set(frame)
            arrived()
            try:
                with self._queues.inside(event):
                    return await original(event, session)
            except asyncio.CancelledError:
                frame.cancelled = True
                raise
            finally:
                FRAME.reset(token)
                try:
                    await self._close(frame)
                finally:  # cancelled while that is written, too
                    self._queues.forget_followup(session)
                    self._frames.discard(frame)

        def process(event: Any, session: str) -> Awaitable[Any]:
            arrived = self._queues.coming(event)
            work = carried(event, session, arrived)
            weakref.finalize(work, arrived).atexit = False  # cancelled before it begins, a task runs nothing of it
            return work

        return process

    def inline(self, original: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """Around the adapter's ``handle_message``, which queues an event, starts a task for it, or runs a command at once."""

        async def handle(event: Any, inbox: Inbox, update_id: str) -> Any:
            frame, item = Frame(""), inbox.item(update_id)
            self._frames.add(frame)
            token = FRAME.set(frame)
            try:
                with self._queues.inside(event):
                    result = await original(event)
            except asyncio.CancelledError:
                frame.cancelled = True
                raise
            finally:
                FRAME.reset(token)
                try:
                    await self._close(frame)
                finally:
                    self._frames.discard(frame)
            if inbox.item(update_id) is item:  # and has not come back since, to be begun again
                await self.settle_unless_queued(inbox, update_id, "no_reply")
            return result

        async def handle_message(event: Any) -> Any:
            inbox, update_id = self._queues.whose(event)
            if inbox is None:
                return None if self._queues.stale(event) else await original(event)
            if not self._hold.starting:
                inbox.drop(update_id)
                return None
            inbox.carry(update_id)
            # The next text of a chat ends the task that hands the one before over, wherever that is: Hermes would lose it.
            return await asyncio.shield(self.keep(handle(event, inbox, update_id)))

        return handle_message

    def keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside the rest, on the loop; nobody cancels it."""
        task = asyncio.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def door(self, original: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """Around ``_handle_message``: the turn is opened here, before anything of it runs."""

        async def handle(event: Any) -> Any:
            inbox, update_id = self._queues.whose(event)
            frame = FRAME.get()
            if self._queues.stale(event):
                return None
            if inbox is None or frame is None or inbox.place(update_id) == "started":
                return await original(event)
            if not self._hold.starting:
                inbox.drop(update_id)
                return None
            session = str(self._runner._session_key_for_source(event.source))
            if self._queues.will_queue(event, session):
                response = await original(event)
                await self._settle_busy(event, inbox, update_id, session)
                return response
            again = inbox.again(update_id)
            if not await self._open(frame, inbox, update_id, session):
                return None
            if again:
                await self._begin_again(session, str(getattr(event, "text", None) or ""))
            response = await original(event)
            frame.stage, frame.cut = "replying", frame.muted
            return None if frame.muted else response

        return handle

    def busy(self, original: Callable[[Any, str], Awaitable[bool]]) -> Callable[[Any, str], Awaitable[bool]]:
        """Around the runner's handler for a message in a busy chat: queued, steered into the turn, or answered at once."""

        async def handle_busy(event: Any, session: str) -> bool:
            inbox, update_id = self._queues.whose(event)
            if inbox is not None and not self._hold.starting:
                inbox.drop(update_id)  # no word to the person: the message is in the journal
                return True
            handled = await original(event, session)
            if handled and inbox is not None:
                await self._settle_busy(event, inbox, update_id, session)
            return handled

        return handle_busy

    def promote(self, original: Callable[[str, Any, Any], Any]) -> Callable[[str, Any, Any], Any]:
        """Around ``_promote_queued_event``: says which event will run next inside the running task."""

        def promote_queued_event(session: str, adapter: Any, pending: Any) -> Any:
            event = original(session, adapter, pending)
            frame = FRAME.get()
            if event is not None:
                self._queues.note_followup(session, event)
                if frame is not None:
                    frame.stage = "replying"  # what is sent until the follow-up begins is the first turn's answer
            return event

        return promote_queued_event

    def run_agent(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Around ``_run_agent``: a follow-up that runs inside the task of the turn before it is a turn of its own."""

        async def run(*arguments: Any, **options: Any) -> Any:
            frame = FRAME.get()
            if not options.get("_interrupt_depth") or frame is None:
                return await original(*arguments, **options)
            session = frame.session or str(options.get("session_key") or "")
            inbox, update_id = self._queues.forget_followup(session) or (None, None)
            if inbox is not None and update_id and self._hold.starting:
                frame.cancelled = not frame.sent  # the follow-up interrupted it
                await self._close(frame)
                if await self._open(frame, inbox, update_id, session):
                    return await original(*arguments, **options)
            elif update_id == "" or (update_id is None and (self._hold.held or frame.joined)):
                frame.stage = "handling"  # Hermes' own, or a leftover of steering: it belongs to the turn that runs
                return await original(*arguments, **options)
            frame.muted = True
            return {
                "final_response": "",
                "messages": options.get("history") or [],
                "api_calls": 0,
                "already_sent": True,
            }

        return run

    def clearing(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Around ``_interrupt_and_clear_session``: a person stopped or reset the chat, and what waited there is thrown away."""

        async def clear(session: str, *arguments: Any, **options: Any) -> Any:
            before = self._queues.of(session)
            result = await original(session, *arguments, **options)
            for update_id in before:
                for inbox in self._queues.inboxes:
                    await self.settle_unless_queued(inbox, update_id, "no_reply")
            return result

        return clear

    def hook(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Around ``_run_processing_hook``: its last call says that the reply is out, before the next event is started."""

        async def run_processing_hook(name: str, *arguments: Any, **options: Any) -> Any:
            result = await original(name, *arguments, **options)
            frame = FRAME.get()
            if name == "on_processing_complete" and frame is not None:
                outcome = str(getattr(arguments[1] if len(arguments) > 1 else None, "value", ""))
                frame.failed = outcome == "failure"
                frame.cancelled = outcome == "cancelled"
                frame.whole = outcome == "success" and not frame.cut
                if not frame.failed:  # after a failure Hermes still sends an apology
                    await self._close(frame)
                if not frame.cancelled:
                    self._queues.move_up(frame.session)
            return result

        return run_processing_hook

    async def settle_unless_queued(self, inbox: Inbox, update_id: str, outcome: SettledAs) -> None:
        """Settle an event that went nowhere: Hermes ignored it, or answered it without a turn."""
        if inbox.place(update_id) not in {"seen", "carried"} or self._queues.holds(update_id):
            return
        messages = inbox.drop(update_id)
        if self._hold.starting:
            await self._hold.write(settle_all, self._hold.ledger, messages, outcome)

    async def write(self, what: str, *arguments: Any) -> Any:
        """Make a ledger call whose refusal changes nothing here: it is logged, never raised."""
        try:
            return await self._hold.write(getattr(self._hold.ledger, what), *arguments)
        except Exception as error:
            log.warning("the ledger refused %s: %s", what, error)
            return None

    async def _begin_again(self, session: str, text: str) -> None:
        try:
            await asyncio.to_thread(self._forget_attempt, session, text)
        except Exception as error:
            log.warning("what an earlier attempt has left in a transcript stays there: %s", type(error).__name__)

    async def _settle_busy(self, event: Any, inbox: Inbox, update_id: str, session: str) -> None:
        frame = self.carrying(session)
        steered = getattr(self._runner, "_busy_input_mode", "") == "steer" and getattr(event, "text", None)
        if steered and frame is not None and inbox.place(update_id) in {"seen", "carried"}:
            if not self._queues.holds(update_id):
                frame.joined += 1
                await self._hold.write(join_all, self._hold.ledger, frame.turn or 0, inbox.drop(update_id))
            return
        await self.settle_unless_queued(inbox, update_id, "no_reply")

    async def _open(self, frame: Frame, inbox: Inbox, update_id: str, session: str) -> bool:
        messages = inbox.messages(update_id)
        if not messages or not self._hold.starting:
            inbox.drop(update_id)
            return False
        item = inbox.start(update_id)
        frame.inbox, frame.update_id, frame.item, frame.stage = inbox, update_id, item, "handling"
        frame.intended = frame.sent = frame.tried = frame.joined = frame.asides = 0
        frame.failed = frame.cancelled = frame.cut = frame.whole = False
        frame.session = frame.session or session
        opening = asyncio.ensure_future(self._hold.write(self._hold.ledger.start, messages, session))
        try:
            frame.turn = await asyncio.shield(opening)
        except asyncio.CancelledError:
            if await outlast(opening):
                frame.turn = opening.result()
            else:
                inbox.give_back(update_id, item, now_s=time.monotonic())
            raise
        except NotOwner as error:
            log.info("not started: %s", error)
            inbox.drop(update_id, item)
            return False
        except Exception as error:
            log.log(logging.INFO if isinstance(error, AlreadyTaken) else logging.ERROR, "not started: %s", error)
            inbox.give_back(update_id, item, now_s=time.monotonic())
            return False
        return True

    async def _close(self, frame: Frame) -> None:
        if frame.inbox is not None:
            frame.inbox.drop(frame.update_id, frame.item)
            frame.inbox = frame.item = None
        turn, frame.turn = frame.turn, None
        if turn is None:
            return
        if self._hold.stopping and (frame.muted or frame.cancelled) and not (frame.sent and frame.whole):
            return  # stays open in the journal: whoever starts next takes it up again, or reports it when a part of it is out
        outcome = _outcome(frame)
        self.answered += outcome == "answered"
        self.errors += outcome == "failed"
        await self.write("finish", turn, outcome)


def streaming(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Around the consumer of a streamed reply, which sends while its turn still runs."""

    async def run(self: Any) -> Any:
        token = STREAM.set(True)
        try:
            return await original(self)
        finally:
            STREAM.reset(token)

    return run


def aside(original: Callable[[Any, str], Awaitable[bool]]) -> Callable[[Any, str], Awaitable[bool]]:
    """Around a remark that the model makes beside a tool call: it goes out while its turn works on, and is no part of the answer.

    Now and then Hermes takes the last one for the answer and sends nothing more; the end of the turn then says that it was answered.
    """

    async def send(self: Any, text: str) -> bool:
        token = STREAM.set(False)
        try:
            delivered = await original(self, text)
        finally:
            STREAM.reset(token)
        frame = FRAME.get()
        if frame is not None and delivered:
            frame.asides += 1
        return delivered

    return send


def _outcome(frame: Frame) -> TurnOutcome:
    if frame.sent:
        return "answered"
    if frame.cancelled or frame.muted:
        return "cancelled"
    if frame.failed:
        return "failed"
    return "answered" if frame.asides else "no_reply"
