"""The journal's last word: a fold that keeps just what the law needs, so that every writer can hold it in memory.

``advance`` is total: it believes what stands in the journal. Whether something may stand there is ``journal.law``'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
    "HANDOFF_INIT": (frozenset({"requested"}), frozenset({"blue"}), "init"),
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


@dataclass(frozen=True, slots=True)
class Message:
    """An accepted message that is not settled. ``turn`` holds it; ``due`` is what it must be settled as, once its process died.

    ``finisher`` has finished a turn over it, and settles it in the same append, whoever owns the adapters by now.
    """

    chat: str
    kind: str
    turn: int | None = None
    attempts: int = 0
    due: SettledAs | None = None
    finisher: Process | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """An open turn: who holds it, over which messages, which reply parts were intended and which were sent."""

    holder: Process
    messages: tuple[int, ...]
    session: str
    intended: frozenset[int] = frozenset()
    sent: frozenset[int] = frozenset()
    of: int | None = None


@dataclass(frozen=True, slots=True)
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
    connected: Mapping[str, Process] = field(default_factory=dict)
    flushed: Mapping[str, str] = field(default_factory=dict)
    flushed_seq: int = 0
    turns: Mapping[int, Turn] = field(default_factory=dict)
    messages: Mapping[int, Message] = field(default_factory=dict)
    watchers: frozenset[int] = frozenset()

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


def verdict(message: Message, turn: Turn) -> SettledAs | None:
    """What a message is due to be settled as when the process that held its turn died; None when it may be started again.

    A part that was intended and not recorded may have been taken by the platform: ambiguous. A reply of which some parts were
    sent and others never intended cannot be finished by anybody else: ambiguous too. A command is never fed twice.
    """
    if turn.intended - turn.sent:
        return "ambiguous"
    if turn.sent:
        return "answered" if turn.of is None or len(turn.sent) >= turn.of else "ambiguous"
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
    return replace(head, hash=record.hash, **effects(head, event, record.seq, record.process))


Changes = dict[str, Any]


def effects(head: Head, event: e.Event, seq: int, process: Process) -> Changes:
    """What an event that ``process`` says at ``seq`` changes in the head, all but the hash."""
    changes: Changes = {"seq": seq}
    transition = TRANSITIONS.get(event.TYPE)
    if transition:
        changes["phase"], changes["phase_seq"] = transition[2], seq
    effect = _EFFECTS.get(type(event))
    if effect:
        changes |= effect(head, event, seq, process)
    return changes


def _requested(head: Head, event: e.HandoffRequested, seq: int, process: Process) -> Changes:
    return {
        "handoff": event.handoff,
        "blue": head.owning,
        "green": None,
        "expected_green": None,
        "owner": "blue",
        "flushed": {},
        "flushed_seq": 0,
    }


def _spawned(head: Head, event: e.GreenSpawned, seq: int, process: Process) -> Changes:
    return {"expected_green": event.green}


def _to_green(head: Head, event: e.Event, seq: int, process: Process) -> Changes:
    return {"owner": "green", "epoch": head.epoch + 1}


def _rollback(head: Head, event: e.Event, seq: int, process: Process) -> Changes:
    return {"flushed": {}, "flushed_seq": 0}


def _blue_serving(head: Head, event: e.Event, seq: int, process: Process) -> Changes:
    return {} if head.owner == "blue" else {"owner": "blue", "epoch": head.epoch + 1}


def _started(head: Head, event: e.ProcessStarted, seq: int, process: Process) -> Changes:
    arrived = {"expected_green": None} if head.expected_green == process else {}
    return {event.side: process, **arrived, **({"epoch": head.epoch + 1} if event.serving else {})}


def _exited(head: Head, event: e.Event, seq: int, process: Process) -> Changes:
    side = head.side_of(process)
    return {side: None} if side else {}


def _lost(head: Head, event: e.ProcessLost, seq: int, process: Process) -> Changes:
    messages, turns = dict(head.messages), dict(head.turns)
    for number, turn in head.turns.items():
        if turn.holder == event.process:
            del turns[number]
            for m in turn.messages:
                if m in messages:
                    messages[m] = replace(messages[m], turn=None, due=verdict(messages[m], turn))
    return {
        **({event.side: None} if head.process(event.side) == event.process else {}),
        **({"expected_green": None} if head.expected_green == event.process else {}),
        "connected": {a: p for a, p in head.connected.items() if p != event.process},
        "messages": messages,
        "turns": turns,
    }


def _connected(head: Head, event: e.AdapterConnected, seq: int, process: Process) -> Changes:
    return {"connected": {**head.connected, adapter_key(event.platform, event.account): process}}


def _paused(head: Head, event: e.AdapterPaused, seq: int, process: Process) -> Changes:
    key = adapter_key(event.platform, event.account)
    if head.connected.get(key) != process:
        return {}
    return {"connected": {a: p for a, p in head.connected.items() if a != key}}


def _accepted(head: Head, event: e.MessageAccepted, seq: int, process: Process) -> Changes:
    return {"messages": {**head.messages, seq: Message(event.chat, event.kind)}}


def _turn_started(head: Head, event: e.TurnStarted, seq: int, process: Process) -> Changes:
    messages = dict(head.messages)
    for m in event.messages:
        if m in messages:
            messages[m] = replace(messages[m], turn=seq, attempts=messages[m].attempts + 1, finisher=None)
    turns = {**head.turns, seq: Turn(process, event.messages, event.session)}
    return {"messages": messages, "turns": turns}


def _joined(head: Head, event: e.TurnJoined, seq: int, process: Process) -> Changes:
    turn, message = head.turns.get(event.turn), head.messages.get(event.message)
    if turn is None or message is None:
        return {}
    return {
        "messages": {
            **head.messages,
            event.message: replace(message, turn=event.turn, attempts=message.attempts + 1, finisher=None),
        },
        "turns": {**head.turns, event.turn: replace(turn, messages=(*turn.messages, event.message))},
    }


def _intended(head: Head, event: e.ReplyIntended, seq: int, process: Process) -> Changes:
    turn = head.turns.get(event.turn)
    if turn is None:
        return {}
    turn = replace(turn, intended=turn.intended | {event.part}, of=event.of or turn.of)
    return {"turns": {**head.turns, event.turn: turn}}


def _sent(head: Head, event: e.ReplySent, seq: int, process: Process) -> Changes:
    turn = head.turns.get(event.turn)
    if turn is None:
        return {}
    return {"turns": {**head.turns, event.turn: replace(turn, sent=turn.sent | {event.part})}}


def _finished(head: Head, event: e.TurnFinished, seq: int, process: Process) -> Changes:
    """The hold ends. What it leaves unsettled is due as if its process had died: a turn that spoke is never started again."""
    turn = head.turns.get(event.turn)
    if turn is None:
        return {}
    messages = dict(head.messages)
    for m in turn.messages:
        if m in messages and messages[m].turn == event.turn:
            messages[m] = replace(messages[m], turn=None, due=verdict(messages[m], turn), finisher=turn.holder)
    return {"turns": {n: t for n, t in head.turns.items() if n != event.turn}, "messages": messages}


def _settled(head: Head, event: e.MessageSettled, seq: int, process: Process) -> Changes:
    return {"messages": {s: m for s, m in head.messages.items() if s != event.message}}


def _flushed(head: Head, event: e.SessionFlushed, seq: int, process: Process) -> Changes:
    if head.owning != process:
        return {}
    return {"flushed": {**head.flushed, event.part: event.digest}, "flushed_seq": seq}


def _handed_over(head: Head, event: e.WatcherHandedOver, seq: int, process: Process) -> Changes:
    return {"watchers": head.watchers | {seq}}


def _adopted(head: Head, event: e.WatcherAdopted, seq: int, process: Process) -> Changes:
    return {"watchers": head.watchers - {event.handed_over}}


_EFFECTS: dict[type[e.Event], Callable[[Head, Any, int, Process], Changes]] = {
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
