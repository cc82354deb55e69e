"""Each event in a few plain words: the steps of a handoff, and what happened between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from journal import events as e
from journal.record import Record
from replay.times import brief_span as span


def step_words(record: Record) -> str | None:
    """A step of a handoff in words; None for what is no step."""
    teller = _STEPS.get(type(record.event))
    return teller(record.event, record) if teller else None


def words(record: Record) -> str:
    """Any event in words; no words for a type that nobody has taught us."""
    event = record.event
    teller = _STEPS.get(type(event)) or _BETWEEN.get(type(event))
    return teller(event, record) if teller else ""


def _started(event: e.ProcessStarted, record: Record) -> str:
    doing = "serves" if event.serving else "waits warm"
    return f"{event.side}, process {record.process.pid}, {doing} ({event.gateway} {event.version})"


def _rollback(event: e.HandoffRollback, record: Record) -> str:
    detail = f" ({event.detail})" if event.detail else ""
    evidence = f", see seq {', '.join(map(str, event.evidence))}" if event.evidence else ""
    return f"in {event.phase}, by {record.role}: {event.reason}{detail}{evidence}"


def _failed(event: e.HandoffFailed, record: Record) -> str:
    return f"{event.reason}: {event.detail}" if event.detail else event.reason


def _confirm(event: e.HandoffConfirm, record: Record) -> str:
    return f"green polls and is healthy (seq {', '.join(map(str, event.samples))}); the bake begins"


def _terms(event: e.HandoffTerms, record: Record) -> str:
    said = [f"rolls back unless confirmed within {span(event.confirm_within_s)}"] if event.confirm_within_s else []
    return "; ".join([*said, *(f"other limits of {rule}" for rule in event.rules)])


def _in_flight(turns: int) -> str:
    return "1 turn stays in flight" if turns == 1 else f"{turns} turns stay in flight"


_HOW = {
    "died": "died",
    "ended_silent": "was silent and was ended",
    "ended_stopped": "was frozen and was ended",
    "ended_late": "was late and was ended",
}

_STEPS: dict[type[e.Event], Callable[[Any, Record], str]] = {
    e.HandoffRequested: lambda event, _: f"runtime {event.runtime}, bake {span(event.bake_s)}",
    e.GreenSpawned: lambda event, _: f"green is process {event.green.pid}",
    e.ProcessStarted: _started,
    e.HandoffInit: lambda event, _: "green boots beside blue",
    e.HandoffAck: lambda event, _: f"green has loaded what was flushed up to seq {event.flushed_seq}",
    e.HandoffActive: lambda event, _: f"blue has let go, green owns the adapters; {_in_flight(event.turns)}",
    e.HandoffSeized: lambda event, _: f"green takes the adapters: blue is {event.reason}",
    e.HandoffConfirm: _confirm,
    e.HandoffTerms: _terms,
    e.BakeConfirmed: lambda event, record: f"{record.role} says that green is good",
    e.HandoffCompleteRequested: lambda event, _: "the operator ends the bake",
    e.HandoffComplete: lambda event, record: f"{record.role} says so, on the sample at seq {event.sample}: green stays",
    e.HandoffRollback: _rollback,
    e.HandoffFailed: _failed,
    e.HandoffResumed: lambda event, record: f"process {record.process.pid} found the handoff open in {event.phase}",
    e.BlueServing: lambda event, _: "blue has loaded what green flushed and serves",
    e.ProcessLost: lambda event, _: f"{event.side}, process {event.process.pid}, {_HOW.get(event.how, 'was ended')}",
    e.ProcessExited: lambda event, record: f"{record.role}, process {record.process.pid}, has left",
    e.AdapterConnected: lambda event, record: f"{event.platform}: {record.role} polls",
    e.AdapterPaused: lambda event, record: f"{event.platform}: {record.role} has let go",
    e.AdapterLost: lambda event, record: f"{event.platform}: {event.reason}",
    e.DivergenceDetected: lambda event, _: f"{event.rule}: {event.measured:g}, at most {event.limit:g}",
}

_OUTCOMES = {
    "answered": "answered",
    "no_reply": "over, nothing to say",
    "failed": "broke",
    "cancelled": "was cancelled",
}

_BETWEEN: dict[type[e.Event], Callable[[Any, Record], str]] = {
    e.PreflightChecked: lambda event, _: (
        "; ".join(f"{f.severity} {f.code}: {f.text}" for f in event.findings) or "nothing found"
    ),
    e.AdapterOffset: lambda event, _: f"{event.platform}: read up to {event.next_offset}",
    e.MessageAccepted: lambda event, _: f"{event.kind} from {event.platform}, chat {event.chat}",
    e.TurnStarted: lambda event, _: f"a turn over {_messages(event.messages)}",
    e.TurnJoined: lambda event, _: f"message {event.message} joins turn {event.turn}",
    e.ReplyIntended: lambda event, _: (
        f"turn {event.turn}: part {event.part + 1}{f' of {event.of}' if event.of else ''} is about to be sent"
    ),
    e.ReplySent: lambda event, _: f"turn {event.turn}: the platform took part {event.part + 1}",
    e.TurnFinished: lambda event, _: f"turn {event.turn} {_OUTCOMES[event.outcome]}",
    e.MessageSettled: lambda event, _: f"message {event.message}: {event.outcome.replace('_', ' ')}",
    e.SessionFlushed: lambda event, _: f"{event.part}: {event.count} on disk",
    e.WatcherHandedOver: lambda event, _: "a process watcher for the successor",
    e.WatcherAdopted: lambda event, _: f"watches what was handed over at seq {event.handed_over}",
    e.HealthSampled: lambda event, _: (
        f"loop {event.loop_lag_ms:.1f} ms, {event.turns} turns, {event.waiting} waiting, {event.errors} errors, {event.rss_mb:.0f} MB"
    ),
}


def _messages(seqs: tuple[int, ...]) -> str:
    return f"message{'s' if len(seqs) > 1 else ''} {', '.join(map(str, seqs))}"
