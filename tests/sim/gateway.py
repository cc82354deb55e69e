"""A gateway after the reference gateway, its loop cut into steps: a poller for each bot, queues of chats, turns.

The manager's calls come from the manager's thread and pass points; each step of the loop is one thing that a scheduler may do next.
It shares the hazards of a real one: it confirms with the next poll, a pause throws away what waits, an accept may still be on its way
to disk when the poller is cancelled, and it answers from a memory that must be loaded again when somebody else has spoken.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

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
    Watcher,
)
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import LOADS
from journal.errors import AlreadyTaken, DiskTrouble, HandoffError, LostHold, Refused, StaleEpoch
from tests.sim.platform import Conflict, Request, Unreachable, Wish

if TYPE_CHECKING:
    from tests.sim.machine import Proc

POLL_S = 10.0
RETRY_S = 0.2
CALL_S = 5.0
DRAIN_S = 30.0
Step = tuple[str, Callable[[], None]]
T = TypeVar("T")


@dataclass(slots=True)
class Poller:
    """One bot's poller. ``at``: idle, fetched, accepted."""

    account: str
    at: str = "idle"
    offset: int | None = None
    polls: int = 0
    due_ns: int = 0
    batch: list[Wish] = field(default_factory=list)
    tickets: tuple[Ticket, ...] = ()


@dataclass(slots=True)
class Turn:
    """A turn of one chat, and how far it has come."""

    chat: str
    tickets: list[Ticket]
    at: str = "start"
    number: int = 0
    part: int = 0
    due_ns: int = 0
    request: Request | None = None
    unknown: bool = False

    @property
    def wishes(self) -> tuple[tuple[str, int], ...]:
        return tuple((t.account, int(t.update.update_id)) for t in self.tickets)


class SimGateway:
    """``gateway_hooks.gateway.Gateway``, driven by a scheduler."""

    def __init__(self, proc: Proc) -> None:
        self.proc, self.sim = proc, proc.sim
        self.ledger: Ledger | None = None
        self.starting = True
        self.queue: list[Ticket] = []
        self.soon: list[Ticket] = []
        self.turning: list[Turn] = []
        self.pollers: dict[str, Poller] = {}
        self.orphans: list[Poller] = []
        self.memory: dict[str, int] = dict(self.sim.said)
        self.answered = self.errors = 0
        self.ending = False
        self.ended_ns = 0
        self.hung_until_ns = 0
        self.watched: list[Watcher] = [Watcher(f"w{n}", b"{}") for n in range(self.sim.watchers)]
        self.faults: list[tuple[str, bool]] = []
        self.blind = False

    # ------------------------------------------------------------------------ the port, from the manager's thread

    def identity(self) -> Identity:
        return Identity("sim", "1", tuple(AdapterInfo("telegram", a, "warm") for a in self.sim.accounts))

    def preflight(self) -> tuple[Finding, ...]:
        return self._call("preflight", tuple)

    def load(self) -> tuple[Flushed, ...]:
        def work() -> tuple[Flushed, ...]:
            self.memory = dict(self.sim.said)
            return self._parts()

        return self._call("load", work)

    def flush(self) -> tuple[Flushed, ...]:
        return self._call("flush", self._parts)

    def _parts(self) -> tuple[Flushed, ...]:
        said = self.sim.said
        return (Flushed("transcripts", len(said), f"{sum(said.values()):016x}"),)

    def pause(self) -> Mapping[str, int | None]:
        offsets = {f"telegram:{a}": p.offset for a, p in self.pollers.items()}

        def work() -> None:
            self.let_go()
            for poller in list(self.orphans):
                self._orphan(poller)

        self._call("pause", work)
        return offsets

    def let_go(self) -> None:
        """Stop starting and polling. What is on its way to the journal's disk still arrives there."""
        self.starting, self.queue, self.soon = False, [], []
        self.orphans += [p for p in self.pollers.values() if p.at == "fetched"]
        self.pollers = {}

    def connect(self) -> Mapping[str, int | None]:
        self._call("connect", self.take_hold)
        return {}

    def take_hold(self) -> None:
        """Poll, if nobody here does."""
        self.starting = True
        for account in self.sim.accounts:
            self.pollers.setdefault(account, Poller(account))

    def turns(self) -> int:
        return sum(t.at != "start" for t in self.turning)

    def take_up(self, ticket: Ticket) -> None:
        self.soon.append(ticket)

    def watchers(self) -> tuple[Watcher, ...]:
        return tuple(self.watched)

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        def work() -> None:
            self.watched += watchers

        self._call("adopt", work)

    def sample(self) -> Health:
        def work() -> Health:
            polls = {f"telegram:{a}": self.pollers[a].polls if a in self.pollers else 0 for a in self.sim.accounts}
            return Health(0.0, self.turns(), len(self.queue), self.answered, self.errors, 1.0, polls)

        return self._call("sample", work)

    def end(self) -> None:
        self.proc.point("gateway", "end")
        self.ending = True
        self.ended_ns = self.sim.mono_ns
        self.let_go()

    def _call(self, name: str, work: Callable[[], T]) -> T:
        """A call onto the loop: it may hang, or fail before or after it took effect."""
        self.proc.point("gateway", name)
        for n, (which, done) in enumerate(self.faults):
            if which == name:
                del self.faults[n]
                if done:
                    work()
                    self.proc.point("half", name)
                self.sim.fired(f"gateway fault: {name}")
                self.blind = self.blind or (name == "load" and self.faults.count((name, done)) > LOADS)
                raise GatewayFault(f"{name} did not work")
        if self.hung:
            end_ns = self.sim.mono_ns + int(CALL_S * 1e9)
            while self.hung and self.sim.mono_ns < end_ns:  # a bell wakes nobody here
                self.proc.sleep((end_ns - self.sim.mono_ns) / 1e9)
            if self.hung:
                raise GatewayFault(f"the gateway's loop did not answer for {CALL_S:g} s")
        done_ = work()
        self.proc.point("done", name)
        return done_

    @property
    def hung(self) -> bool:
        return self.sim.mono_ns < self.hung_until_ns

    # ------------------------------------------------------------------------ the loop, step by step

    def steps(self) -> Iterator[Step]:
        """What the loop can do now: nothing while it hangs, or while the manager is in the ledger, for which it would wait."""
        if self.hung or (isinstance(self.ledger, Inbox) and not free(self.ledger._lock)):
            return
        now = self.sim.mono_ns
        for poller in self.orphans:
            yield "orphan", lambda p=poller: self._orphan(p)  # type: ignore[misc]
        for poller in self.pollers.values():
            if poller.at == "idle" and self._may_poll(poller):
                yield "fetch", lambda p=poller: self._fetch(p)  # type: ignore[misc]
            elif poller.at == "fetched":
                yield "accept", lambda p=poller: self._accept(p)  # type: ignore[misc]
            elif poller.at == "accepted":
                yield "dispatch", lambda p=poller: self._dispatch(p)  # type: ignore[misc]
        if self.soon:
            yield "put", self._put
        for ticket in self.queue if self.starting else ():
            if not any(t.chat == ticket.update.chat for t in self.turning):
                yield "gather", lambda c=ticket.update.chat: self._gather(c)  # type: ignore[misc]
                break
        for turn in self.turning:
            if now >= turn.due_ns and (turn.at != "sending" or (turn.request and turn.request.over)):
                yield turn.at, lambda t=turn: self._turn(t)  # type: ignore[misc]
        if self.ending and (not self.turning or now - self.ended_ns > DRAIN_S * 1e9):
            yield "exit", self.proc.leave

    def wakes_ns(self) -> Iterator[int]:
        """When something of this loop becomes possible by time alone."""
        if self.hung:
            yield self.hung_until_ns
            return
        for poller in self.pollers.values():
            if poller.at == "idle":
                yield poller.due_ns
        for turn in self.turning:
            if turn.at != "sending":
                yield turn.due_ns
        if self.ending:
            yield self.ended_ns + int(DRAIN_S * 1e9) + 1

    def _may_poll(self, poller: Poller) -> bool:
        now, platform = self.sim.mono_ns, self.sim.platform
        if now >= poller.due_ns:
            return True
        return poller.polls > 0 and not poller.batch and bool(platform.waiting(poller.account, poller.offset))

    def _fetch(self, poller: Poller) -> None:
        poller.due_ns = self.sim.mono_ns + int(RETRY_S * 1e9)
        poller.batch = []
        try:
            batch = self.sim.platform.poll(poller.account, poller.offset)
        except (Conflict, Unreachable):
            poller.batch = [_NOTHING]  # wait out the pause
            return
        self.sim.judge.polled(self.proc, poller.account, poller.offset)
        poller.polls += 1
        poller.due_ns = self.sim.mono_ns + int(POLL_S * 1e9)
        if batch:
            poller.batch, poller.at = batch, "fetched"

    def _accept(self, poller: Poller) -> None:
        assert self.ledger is not None
        try:
            poller.tickets = self._accepted(poller)
        except StaleEpoch:
            self.starting, self.queue, self.soon = False, [], []
            self.pollers.pop(poller.account, None)
            return
        except HandoffError:
            poller.at, poller.due_ns, poller.batch = "idle", self.sim.mono_ns + int(RETRY_S * 1e9), [_NOTHING]
            return
        poller.at = "accepted"

    def _accepted(self, poller: Poller) -> tuple[Ticket, ...]:
        assert self.ledger is not None
        updates = [_update(wish) for wish in poller.batch]
        tickets = self.ledger.accept("telegram", poller.account, updates, poller.batch[-1].n + 1)
        self.sim.judge.unjournaled += [(t.account, int(t.update.update_id)) for t in tickets if not t.message]
        return tickets

    def _orphan(self, poller: Poller) -> None:
        self.orphans.remove(poller)
        try:
            self._accepted(poller)
        except HandoffError:
            return

    def _dispatch(self, poller: Poller) -> None:
        self._put()  # what was fed before comes before, as on any loop
        poller.offset = poller.batch[-1].n + 1
        if self.starting:
            self.queue += [t for t in poller.tickets if t.dispatch]
        poller.at, poller.batch, poller.due_ns = "idle", [], self.sim.mono_ns

    def _put(self) -> None:
        if self.starting:
            self.queue += self.soon
        self.soon = []

    def _gather(self, chat: str) -> None:
        batch = [t for t in self.queue if t.update.chat == chat]
        self.queue = [t for t in self.queue if t.update.chat != chat]
        if _wish(batch[0]).kind == "command":  # never merged
            self.queue = batch[1:] + self.queue
            batch = batch[:1]
        else:
            cut = next((n for n, t in enumerate(batch) if _wish(t).kind == "command"), len(batch))
            self.queue = batch[cut:] + self.queue
            batch = batch[:cut]
        self.turning.append(Turn(chat, batch))

    def _turn(self, turn: Turn) -> None:
        """One step of a turn, as ``reference.lanes`` makes them; what a ledger refuses ends it."""
        try:
            getattr(self, f"_{turn.at}")(turn)
        except LostHold:
            self.turning.remove(turn)
        except Refused as error:
            if turn.at == "start":
                self.turning.remove(turn)
                if not isinstance(error, StaleEpoch):
                    self._keep_unknown(turn)
            else:
                self._broke(turn)
        except HandoffError:
            self._broke(turn)

    def _keep_unknown(self, turn: Turn) -> None:
        """The journal feeds again what it has; what it never knew would be lost."""
        self.queue = [t for t in turn.tickets if not t.message and self.starting] + self.queue

    def _broke(self, turn: Turn) -> None:
        """The ledger could not be written: the turn is given up, however often that takes. One that was not begun comes back."""
        self.errors += 1
        if turn.at == "start":
            self.turning.remove(turn)
            self._keep_unknown(turn)
            return
        self.sim.judge.broken |= set(turn.wishes)
        if not turn.number:
            self.turning.remove(turn)
        else:
            turn.at, turn.due_ns = "give_up", self.sim.mono_ns + int(RETRY_S * 1e9)

    def _start(self, turn: Turn) -> None:
        assert self.ledger is not None
        turn.number = self.ledger.start([t.message for t in turn.tickets], f"s-{turn.chat}")
        self.sim.judge.started(self.proc, turn.chat, turn.wishes, self.memory.get(turn.chat, 0))
        turn.at, turn.due_ns = "think", self.sim.mono_ns + int(_wish(turn.tickets[0]).think_s * 1e9)

    def _think(self, turn: Turn) -> None:
        assert self.ledger is not None
        late = [t for t in self.queue if t.update.chat == turn.chat and _wish(t).kind == "text"]
        if late and self.starting and _wish(turn.tickets[0]).kind == "text" and self.sim.random.random() < 0.5:
            self.queue.remove(late[0])
            if not turn.number:  # merged into a turn that is in no record: what becomes of that one, nobody can say
                self.sim.judge.broken |= {(late[0].account, int(late[0].update.update_id))}
            try:
                self.ledger.join(turn.number, late[0].message)
            except AlreadyTaken:
                return
            except DiskTrouble:
                self.sim.judge.broken |= {(late[0].account, int(late[0].update.update_id))}
                raise
            turn.tickets.append(late[0])
            return
        if all(_wish(t).silent for t in turn.tickets):
            turn.at = "finish_silent"
            return
        turn.at = "intend"

    def _finish_silent(self, turn: Turn) -> None:
        assert self.ledger is not None
        self.ledger.finish(turn.number, "no_reply")
        self.turning.remove(turn)

    def _intend(self, turn: Turn) -> None:
        assert self.ledger is not None
        self.ledger.intend(turn.number, turn.part, _wish(turn.tickets[0]).parts)
        turn.at = "send"

    def _send(self, turn: Turn) -> None:
        turn.request = self.sim.platform.send(
            turn.wishes, turn.part, _wish(turn.tickets[0]).parts, self.proc.name, turn.number
        )
        turn.at = "sending"

    def _sending(self, turn: Turn) -> None:
        request = turn.request
        assert request is not None
        if request.fate == "unreachable":
            turn.at, turn.due_ns = "send", self.sim.mono_ns + int(RETRY_S * 1e9)
        elif request.fate == "fine":
            turn.at = "record"
        else:
            turn.unknown = True
            turn.at = "say"

    def _record(self, turn: Turn) -> None:
        assert self.ledger is not None
        self.ledger.sent(turn.number, turn.part, "r")
        turn.part += 1
        turn.at = "intend" if turn.part < _wish(turn.tickets[0]).parts else "say"

    def _say(self, turn: Turn) -> None:
        said = self.sim.said
        said[turn.chat] = self.memory[turn.chat] = said.get(turn.chat, 0) + len(turn.tickets)
        turn.at = "finish"

    def _finish(self, turn: Turn) -> None:
        assert self.ledger is not None
        self.answered += 1
        self.ledger.finish(turn.number, "answered")
        self.turning.remove(turn)

    def _give_up(self, turn: Turn) -> None:
        assert self.ledger is not None
        try:
            self.ledger.finish(turn.number, "failed")
        except Refused:
            pass
        except HandoffError:
            turn.due_ns = self.sim.mono_ns + int(RETRY_S * 1e9)
            return
        self.turning.remove(turn)


def free(lock: threading.RLock) -> bool:
    """Whether nobody else holds a lock."""
    if not lock.acquire(blocking=False):
        return False
    lock.release()
    return True


_NOTHING = Wish(-1, "", "", "text", 1, 0.0)


def _update(wish: Wish) -> Update:
    raw = json.dumps([wish.n, wish.account, wish.chat, wish.kind, wish.parts, wish.think_s, wish.silent]).encode()
    return Update(str(wish.n), wish.kind, wish.chat, raw, "d")  # type: ignore[arg-type]


def _wish(ticket: Ticket) -> Wish:
    return Wish(*json.loads(ticket.update.payload))
