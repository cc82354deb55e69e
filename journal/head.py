"""The journal's last word: a fold that keeps just what the law needs, so that every writer can hold it in memory.

``advance`` is total: it believes what stands in the journal. Whether something may stand there is ``journal.law``'s business.

A head that was handed out is never changed. ``move`` changes the one that it is given, so that a fold over many events makes one
copy and not one for each; whoever calls it owns that copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, NamedTuple

from journal import events as e
from journal.events import Phase, Process, Role, SettledAs, Side
from journal.record import Record

AT_REST: frozenset[Phase] = frozenset({"idle", "complete", "rolled_back", "failed"})
"""Phases in which no handoff is open."""

MAX_ATTEMPTS = 2
"""A message whose process died this often in its turn is abandoned and reported."""

TRANSITIONS: dict[str, tuple[frozenset[Phase], frozenset[Role], Phase]] = {
    "HANDOFF_REQUESTED": (AT_REST, frozenset({"operator", "blue", "green"}), "requested"),
    "HANDOFF_FAILED": (frozenset({"requested"}), frozenset({"blue", "operator", "keeper"}), "failed"),
    "HANDOFF_INIT": (frozenset({"requested"}), frozenset({"blue", "operator"}), "init"),
    "HANDOFF_ACK": (frozenset({"init"}), frozenset({"green"}), "ack"),
    "HANDOFF_ACTIVE": (frozenset({"ack"}), frozenset({"blue"}), "active"),
    "HANDOFF_SEIZED": (frozenset({"ack"}), frozenset({"green"}), "active"),
    "HANDOFF_CONFIRM": (frozenset({"active"}), frozenset({"green"}), "baking"),
    "HANDOFF_COMPLETE": (frozenset({"baking"}), frozenset({"blue", "green"}), "complete"),
    "HANDOFF_ROLLBACK": (
        frozenset({"init", "ack", "active", "baking"}),
        frozenset({"blue", "green", "operator", "keeper"}),
        "rolling_back",
    ),
    "BLUE_SERVING": (frozenset({"rolling_back"}), frozenset({"blue"}), "rolled_back"),
}
"""type: (phases that admit it, roles that may say it, the phase it leads to)."""


class Message(NamedTuple):
    """An accepted message that is not settled. ``turn`` holds it; ``due`` is what it must be settled as, once its process died.

    ``finisher`` has finished a turn over it, and settles it in the same append, whoever owns the adapters by now.
    """

    chat: str
    kind: str
    turn: int | None = None
    attempts: int = 0
    due: SettledAs | None = None
    finisher: Process | None = None


class Turn(NamedTuple):
    """An open turn: who holds it, over which messages, which reply parts were intended and which were sent."""

    holder: Process
    messages: tuple[int, ...]
    session: str
    intended: frozenset[int] = frozenset()
    sent: frozenset[int] = frozenset()
    of: int | None = None


@dataclass(slots=True)
class Head:
    """The journal's last word: everything that decides whether the next event is admitted.

    ``connected`` maps an adapter (``platform:account``) to the incarnation that may poll it. ``flushed`` is what the owner last
    flushed in this handoff, by part. ``blue`` and ``green`` are the incarnations believed alive. ``watchers`` are those handed over
    and not adopted.
    """

    seq: int = 0
    hash: bytes = b""
    handoff: str | None = None
    phase: Phase = "idle"
    phase_seq: int = 0
    owner: Side = "blue"
    epoch: int = 0
    blue: Process | None = None
    green: Process | None = None
    expected_green: Process | None = None
    connected: dict[str, Process] = field(default_factory=dict)
    flushed: dict[str, str] = field(default_factory=dict)
    flushed_seq: int = 0
    turns: dict[int, Turn] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    watchers: frozenset[int] = frozenset()

    def copy(self) -> Head:
        """One to go on with, that shares nothing that changes."""
        return Head(
            self.seq, self.hash, self.handoff, self.phase, self.phase_seq, self.owner, self.epoch, self.blue, self.green,
            self.expected_green, self.connected.copy(), self.flushed.copy(), self.flushed_seq, self.turns.copy(),
            self.messages.copy(), self.watchers,
        )  # fmt: skip

    def process(self, side: Side) -> Process | None:
        return self.blue if side == "blue" else self.green

    def side_of(self, process: Process) -> Side | None:
        """Which side this incarnation sits on, if any."""
        return "blue" if process == self.blue else "green" if process == self.green else None

    @property
    def owning(self) -> Process | None:
        """The incarnation that owns the adapters; None when it was lost."""
        return self.process(self.owner)

    @property
    def open(self) -> bool:
        return self.phase not in AT_REST


def adapter_key(platform: str, account: str) -> str:
    """How the head names an adapter; ``account`` is a pseudonym."""
    return f"{platform}:{account}"


@lru_cache(maxsize=256)
def incarnation(pid: int, started: int, boot: str) -> Process:
    """The process of a stored row. The same row twice gives the very same object, which makes comparing cheap."""
    return Process.model_construct(pid=pid, started=started, boot=boot)


def verdict(message: Message, turn: Turn) -> SettledAs | None:
    """What a message is due to be settled as when the process that held its turn died; None when it may be started again.

    A part that was intended and not recorded may have been taken by the platform: ambiguous. A reply of which some parts were
    sent and others never intended, as far as anybody knows, cannot be finished by anybody else: ambiguous too. A command is never
    fed twice.
    """
    if turn.intended - turn.sent:
        return "ambiguous"
    if turn.sent:
        return "answered" if turn.of is not None and len(turn.sent) >= turn.of else "ambiguous"
    if message.kind == "command" or message.attempts >= MAX_ATTEMPTS:
        return "abandoned"
    return None


def verdicts(head: Head, process: Process) -> dict[int, SettledAs]:
    """What the messages in the hands of ``process`` are due to be settled as when it is lost; those free again are left out."""
    due: dict[int, SettledAs] = {}
    for turn in head.turns.values():
        for seq in turn.messages if turn.holder == process else ():
            outcome = verdict(head.messages[seq], turn) if seq in head.messages else None
            if outcome:
                due[seq] = outcome
    return due


def advance(head: Head, record: Record, event: e.Event) -> Head:
    """The head after a record."""
    head = head.copy()
    move(head, event, record.seq, record.process)
    head.hash = record.hash
    return head


def effects(head: Head, event: e.Event, seq: int, process: Process) -> dict[str, Any]:
    """What an event that ``process`` says at ``seq`` changes in the head, by field; all but the hash."""
    after = head.copy()
    move(after, event, seq, process)
    return {name: getattr(after, name) for name in _FIELDS if getattr(after, name) != getattr(head, name)}


_FIELDS = tuple(f.name for f in fields(Head))


def erases(event: e.Event) -> int | None:
    """The seq whose words go with this event."""
    if isinstance(event, e.MessageSettled):
        return event.message
    return event.handed_over if isinstance(event, e.WatcherAdopted) else None


def move(head: Head, event: e.Event, seq: int, process: Process) -> None:
    """Bring a head that the caller owns past an event that ``process`` says at ``seq``; the hash is the caller's to set."""
    effect = EFFECTS.get(type(event))
    if effect:
        effect(head, event, seq, process)
    transition = TRANSITIONS.get(event.TYPE)
    if transition:
        head.phase, head.phase_seq = transition[2], seq
    head.seq = seq


def _requested(head: Head, event: e.HandoffRequested, seq: int, process: Process) -> None:
    head.handoff = event.handoff
    head.blue, head.green, head.expected_green = head.owning, None, None
    head.owner = "blue"
    head.flushed, head.flushed_seq = {}, 0


def _spawned(head: Head, event: e.GreenSpawned, seq: int, process: Process) -> None:
    head.expected_green = event.green


def _to_green(head: Head, event: e.Event, seq: int, process: Process) -> None:
    head.owner = "green"
    head.epoch += 1


def _rollback(head: Head, event: e.Event, seq: int, process: Process) -> None:
    head.flushed, head.flushed_seq = {}, 0


def _blue_serving(head: Head, event: e.Event, seq: int, process: Process) -> None:
    if head.owner != "blue":
        head.owner = "blue"
        head.epoch += 1


def _started(head: Head, event: e.ProcessStarted, seq: int, process: Process) -> None:
    if head.expected_green == process:
        head.expected_green = None
    _seat(head, event.side, process)
    if event.serving:
        head.epoch += 1


def _seat(head: Head, side: Side, process: Process | None) -> None:
    if side == "blue":
        head.blue = process
    else:
        head.green = process


def _exited(head: Head, event: e.Event, seq: int, process: Process) -> None:
    side = head.side_of(process)
    if side:
        _seat(head, side, None)


def _lost(head: Head, event: e.ProcessLost, seq: int, process: Process) -> None:
    for number, turn in list(head.turns.items()):
        if turn.holder == event.process:
            del head.turns[number]
            for m in turn.messages:
                if m in head.messages:
                    message = head.messages[m]
                    head.messages[m] = message._replace(turn=None, due=verdict(message, turn))
    if head.process(event.side) == event.process:
        _seat(head, event.side, None)
    if head.expected_green == event.process:
        head.expected_green = None
    head.connected = {a: p for a, p in head.connected.items() if p != event.process}


def _connected(head: Head, event: e.AdapterConnected, seq: int, process: Process) -> None:
    head.connected[adapter_key(event.platform, event.account)] = process


def _paused(head: Head, event: e.AdapterPaused, seq: int, process: Process) -> None:
    key = adapter_key(event.platform, event.account)
    if head.connected.get(key) == process:
        del head.connected[key]


def _accepted(head: Head, event: e.MessageAccepted, seq: int, process: Process) -> None:
    head.messages[seq] = Message(event.chat, event.kind)


def _turn_started(head: Head, event: e.TurnStarted, seq: int, process: Process) -> None:
    for m in event.messages:
        _take(head, m, seq)
    head.turns[seq] = Turn(process, event.messages, event.session)


def _take(head: Head, seq: int, turn: int) -> None:
    message = head.messages.get(seq)
    if message is not None:
        head.messages[seq] = Message(message.chat, message.kind, turn, message.attempts + 1, message.due)


def _joined(head: Head, event: e.TurnJoined, seq: int, process: Process) -> None:
    turn = head.turns.get(event.turn)
    if turn is not None and event.message in head.messages:
        _take(head, event.message, event.turn)
        head.turns[event.turn] = turn._replace(messages=(*turn.messages, event.message))


def _intended(head: Head, event: e.ReplyIntended, seq: int, process: Process) -> None:
    turn = head.turns.get(event.turn)
    if turn is not None:
        holder, messages, session, intended, sent, of = turn
        head.turns[event.turn] = Turn(holder, messages, session, intended | {event.part}, sent, event.of or of)


def _sent(head: Head, event: e.ReplySent, seq: int, process: Process) -> None:
    turn = head.turns.get(event.turn)
    if turn is not None:
        holder, messages, session, intended, sent, of = turn
        head.turns[event.turn] = Turn(holder, messages, session, intended, sent | {event.part}, of)


def _finished(head: Head, event: e.TurnFinished, seq: int, process: Process) -> None:
    """The hold ends. What it leaves unsettled is due as if its process had died: a turn that spoke is never started again."""
    turn = head.turns.pop(event.turn, None)
    for m in turn.messages if turn else ():
        message = head.messages.get(m)
        if turn and message and message.turn == event.turn:
            due = verdict(message, turn)
            head.messages[m] = Message(message.chat, message.kind, None, message.attempts, due, turn.holder)


def _settled(head: Head, event: e.MessageSettled, seq: int, process: Process) -> None:
    head.messages.pop(event.message, None)


def _flushed(head: Head, event: e.SessionFlushed, seq: int, process: Process) -> None:
    if head.owning == process:
        head.flushed[event.part] = event.digest
        head.flushed_seq = seq


def _handed_over(head: Head, event: e.WatcherHandedOver, seq: int, process: Process) -> None:
    head.watchers |= {seq}


def _adopted(head: Head, event: e.WatcherAdopted, seq: int, process: Process) -> None:
    head.watchers -= {event.handed_over}


EFFECTS: dict[type[e.Event], Callable[[Head, Any, int, Process], None]] = {
    e.HandoffRequested: _requested,
    e.GreenSpawned: _spawned,
    e.HandoffActive: _to_green,
    e.HandoffSeized: _to_green,
    e.HandoffRollback: _rollback,
    e.BlueServing: _blue_serving,
    e.ProcessStarted: _started,
    e.ProcessExited: _exited,
    e.ProcessLost: _lost,
    e.AdapterConnected: _connected,
    e.AdapterPaused: _paused,
    e.MessageAccepted: _accepted,
    e.TurnStarted: _turn_started,
    e.TurnJoined: _joined,
    e.ReplyIntended: _intended,
    e.ReplySent: _sent,
    e.TurnFinished: _finished,
    e.MessageSettled: _settled,
    e.SessionFlushed: _flushed,
    e.WatcherHandedOver: _handed_over,
    e.WatcherAdopted: _adopted,
}
"""What each type does to a head that it is given, all but the step to another phase. Other types do nothing."""
