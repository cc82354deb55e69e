"""What a decision must rest on, computed again from the record before it.

A side decides on the state that it has folded, and appends a moment later. So its grounds need not hold on the very last state
before the event: any state since the side's loop last spoke may be the one that it decided on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from journal import events as e
from journal.events import Event, Process, Side
from journal.head import TRANSITIONS
from journal.record import Record, Stamp
from replay.decide import bake_over, confirming_samples, deadline_passed, fresh_sample, silent
from replay.fold import Moment, State

Value = str | int | float | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """At ``seq`` the record says ``actual`` in ``field``; from what stands before it, it had to be ``expected``."""

    seq: int
    field: str
    expected: Value
    actual: Value


@dataclass(slots=True)
class _Mark:
    """States that a side may have decided on since its loop last spoke, each with the moment of its last event; and at which seq it
    ``said`` something."""

    states: list[tuple[State, Moment]] = field(default_factory=list)
    said: int = 0


class Grounds:
    """Judges decisions along a record: ``judge`` each event on the state before it, then ``follow`` to the state after it."""

    def __init__(self) -> None:
        self._marks: dict[Process, _Mark] = {}
        self._heard: dict[Process, Moment] = {}
        self._gaps: dict[Process, tuple[_Gap, ...]] = {}
        self._bursts: dict[Process, _Gap] = {}
        self._now: Moment | None = None

    def judge(self, state: State, record: Record, event: Event) -> list[Difference]:
        """Where the event differs from what its decision had to rest on."""
        found = _points_forward(record, event)
        rule = _RULES.get(type(event))
        if rule is None:
            return found
        mark, now = self._marks.get(record.process, _Mark()), _moment(record)
        states = [(s, m) for s, m in mark.states if s.head.phase_seq == state.head.phase_seq]
        states.append((state, self._now or now))
        ends = [*(m for _, m in states[1:]), now]
        case = _Case(
            record,
            [_Ground(s, m, end) for (s, m), end in zip(states, ends, strict=True)],
            self._heard,
            self._gaps,
            self._bursts,
            mark,
        )
        return [*found, *(Difference(record.seq, *difference) for difference in rule(case, event))]

    def follow(self, before: State, after: State, record: Record) -> None:
        """Note what was said, by whom, and from where on each side may have decided."""
        earlier, now = self._now or _moment(record), _moment(record)
        process, type_ = record.process, record.type
        if type_ in ("PROCESS_LOST", "PROCESS_EXITED"):
            event = record.event
            self._marks.pop(event.process if isinstance(event, e.ProcessLost) else process, None)
        for other, mark in self._marks.items():
            if other != process and type_ in _CHANGES_GROUNDS:
                mark.states.append((after, now))
        if type_ in _LOOP and after.head.side_of(process):
            # a side samples between folding and deciding: it may decide on whatever stood since it spoke before its own sample
            old = self._marks.get(process, _Mark())
            kept = [*((s, earlier) for s, _ in old.states if s.head.seq >= old.said), (before, earlier)]
            kept = kept if type_ == "HEALTH_SAMPLED" else []
            self._marks[process] = _Mark([*kept, (after, now)], said=record.seq)
        self._note_gap(process, now, after)
        self._heard[process] = self._now = now
        if type_ == "GREEN_SPAWNED" and after.head.expected_green:
            self._heard.setdefault(after.head.expected_green, now)
        elif type_ == "PROCESS_LOST":
            self._heard = {p: m for p, m in self._heard.items() if _expected(after, p) or p == process}
            self._gaps = {p: gaps for p, gaps in self._gaps.items() if p in self._heard}
            self._bursts = {p: gap for p, gap in self._bursts.items() if p in self._heard}

    def _note_gap(self, process: Process, now: Moment, after: State) -> None:
        """Remember when a process said nothing for so long that it may have been stopped."""
        before = self._heard.get(process)
        if before is None:
            return
        if _between(before, now) >= BLINK_S:
            self._bursts[process] = _Gap(before, now)
        if _between(before, now) >= after.limits.frozen_s:
            self._gaps[process] = (*self._gaps.get(process, ()), _Gap(before, now))[-_GAPS:]


def _expected(state: State, process: Process) -> bool:
    return state.head.side_of(process) is not None or process == state.head.expected_green


_LOOP = frozenset({*TRANSITIONS, "HEALTH_SAMPLED", "PROCESS_LOST", "PROCESS_STARTED"})
_CHANGES_GROUNDS = frozenset(
    {*TRANSITIONS, "HEALTH_SAMPLED", "PROCESS_LOST", "PROCESS_STARTED", "PROCESS_EXITED", "ADAPTER_CONNECTED"}
    | {"ADAPTER_PAUSED", "SESSION_FLUSHED", "DIVERGENCE_DETECTED", "HANDOFF_COMPLETE_REQUESTED", "TURN_FINISHED"}
    | {"HANDOFF_TERMS", "BAKE_CONFIRMED"}
)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Two events of a process with nothing of it between them."""

    before: Moment
    after: Moment


BLINK_S = 0.25
"""A side looks at the other this often: one that goes on and is stopped again within that has not been seen to run."""
_GAPS = 20
"""So many are remembered of each process: a side at rest speaks once a minute, and each pause is one."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """A state that a decision may rest on: it was the latest from ``since`` to ``until``."""

    state: State
    since: Moment
    until: Moment


@dataclass(frozen=True, slots=True)
class _Case:
    """A record under judgement; ``grounds`` are what it may rest on, oldest first, the last one right before it."""

    record: Record
    grounds: Sequence[_Ground]
    heard: dict[Process, Moment]
    gaps: dict[Process, tuple[_Gap, ...]]
    bursts: dict[Process, _Gap]
    mark: _Mark

    @property
    def last(self) -> State:
        return self.grounds[-1].state

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.record.at_ns, self.record.mono_ns)

    @property
    def boot(self) -> str:
        return self.record.process.boot

    def since(self, moment: Moment | None) -> float:
        """Seconds from a moment to the record; endless without one."""
        return moment.elapsed_s(self.record.at_ns, self.record.mono_ns, self.boot) if moment else float("inf")


Found = list[tuple[str, Value, Value]]


def _confirm(case: _Case, event: e.HandoffConfirm) -> Found:
    samples = [confirming_samples(ground.state) for ground in case.grounds]
    return [] if event.samples in samples else [("samples", samples[-1], event.samples)]


def _complete(case: _Case, event: e.HandoffComplete) -> Found:
    found: Found = []
    state = case.last
    if not bake_over(state, case.stamp, case.boot):
        confirm = state.step("HANDOFF_CONFIRM")
        lasted = round(case.since(confirm.moment), 3) if confirm else None
        found.append(("bake_s", state.request.bake_s if state.request else None, lasted))
    fresh = [fresh_sample(g.state, Stamp(g.since.at_ns, g.since.mono_ns), g.since.boot) for g in case.grounds]
    if event.sample not in fresh:
        found.append(("sample", fresh[-1], event.sample))
    return found


def _rollback(case: _Case, event: e.HandoffRollback) -> Found:
    state, evidence = case.last, event.evidence
    match event.reason:
        case "green_lost" | "blue_lost":
            side: Side = "green" if event.reason == "green_lost" else "blue"
            losses = [loss.moment.seq for loss in state.losses if loss.side == side]
            if not losses or not set(losses) & set(evidence):
                return [("evidence", f"the PROCESS_LOST of {side}{_at(losses[-1:])}", evidence)]
        case "green_silent":
            return _silent(case, "green") or _named(case, evidence, lambda s: _seq(s.seen.get("green")))
        case "divergence":
            return _named(case, evidence, lambda s: s.divergence[0] if s.divergence else None, "a DIVERGENCE_DETECTED")
        case "deadline":
            return _late(case) or _named(case, evidence, lambda s: _seq(s.entered))
        case "fault" if not event.detail:
            return [("detail", "what failed", event.detail)]
    return []


def _seized(case: _Case, event: e.HandoffSeized) -> Found:
    if event.reason == "silent" and not any(ground.state.head.blue is None for ground in case.grounds):
        return _silent(case, "blue")
    return []


def _failed(case: _Case, event: e.HandoffFailed) -> Found:
    if event.reason == "deadline":
        return _late(case)
    if event.reason == "blue_lost" and case.last.head.blue == case.record.process:
        return [("reason", "another reason: blue itself says so", event.reason)]
    return []


def _blue_serving(case: _Case, event: e.BlueServing) -> Found:
    flushed = [ground.state.head.flushed_seq for ground in case.grounds]
    return [] if event.flushed_seq in flushed else [("flushed_seq", flushed[-1], event.flushed_seq)]


def _lost(case: _Case, event: e.ProcessLost) -> Found:
    state = case.last
    if event.how in ("ended_silent", "ended_stopped"):
        return _silent(case, event.side)
    if event.how == "ended_late":
        alone = state.head.phase in ("ack", "active") and state.head.blue is None  # nobody beside green could roll back
        if state.head.phase == "rolling_back" or alone:
            return _late(case)
        return [("phase", "rolling_back", state.head.phase)]
    if event.how == "ended_old":
        if state.head.phase not in ("rolled_back", "failed"):
            return [("phase", "rolled_back or failed", state.head.phase)]
        if case.since(state.entered) <= state.limits.rolling_back_s:
            return [
                ("how", f"more than {state.limits.rolling_back_s:g} s at rest", round(case.since(state.entered), 3))
            ]
        held = [n for n, turn in state.head.turns.items() if turn.holder == event.process]
        if held and all(any(t.holder == event.process for t in g.state.head.turns.values()) for g in case.grounds):
            return [("how", "no turn under way", tuple(held))]
    return []


def _late(case: _Case) -> Found:
    state = case.last
    if deadline_passed(state, case.stamp, case.boot):
        return []
    return [("deadline", f"past the deadline of {state.head.phase}", round(case.since(state.entered), 3))]


def _silent(case: _Case, side: Side) -> Found:
    """No sign of life for longer than ``silent_s``; or stopped, which no event says, but then nothing at all for ``frozen_s``.

    Who is stopped may go on between being seen and that being said, and speak. So a pause counts that ended since the one who says
    so had last spoken: it looks at the other side again before each word. Who has no seat (a keeper, an operator) speaks rarely: for
    those a pause in this phase counts. And who goes on for less than a look, and is stopped again, was stopped all the time to others.
    """
    head, limits = case.last.head, case.last.limits
    process = head.process(side) or (head.expected_green if side == "green" else None)
    if process is None:
        return [("silence", f"a process that sits as {side}", None)]
    if any(silent(g.state, side, Stamp(g.until.at_ns, g.until.mono_ns), g.until.boot) for g in case.grounds):
        return []
    heard = case.heard.get(process) or case.last.entered
    since = case.mark.said or head.phase_seq
    pauses = [_between(gap.before, gap.after) for gap in case.gaps.get(process, ()) if gap.after.seq > since]
    burst = case.bursts.get(process)
    blinked = 0.0
    if burst and heard and _between(burst.after, heard) < BLINK_S:
        silent_again = case.since(heard) >= BLINK_S
        within_a_look = case.since(burst.after) < BLINK_S and heard.seq < since
        blinked = case.since(burst.before) if silent_again or within_a_look else 0.0
    if max(case.since(heard), blinked, *pauses, 0.0) >= limits.frozen_s:
        return []
    return [("silence", f"{side} silent or stopped", round(case.since(heard), 3))]


def _named(case: _Case, evidence: tuple[int, ...], of: Callable[[State], int | None], what: str = "") -> Found:
    """The evidence must name what ``of`` finds in a state that the decision may rest on; nothing where nothing is found."""
    wanted = [of(ground.state) for ground in case.grounds]
    if any(seq in evidence for seq in wanted) or (wanted[-1] is None and not what):
        return []
    return [("evidence", what if wanted[-1] is None else (wanted[-1],), evidence)]


def _points_forward(record: Record, event: Event) -> list[Difference]:
    """A seq in a body must stand before the event itself."""
    found = []
    for name in _SEQS.get(event.TYPE, ()):
        value = getattr(event, name)
        seqs = value if isinstance(value, tuple) else () if value is None else (value,)
        if any(seq >= record.seq for seq in seqs):
            found.append(Difference(record.seq, name, f"seqs before {record.seq}", value))
    return found


def _seq(moment: Moment | None) -> int | None:
    return moment.seq if moment else None


def _between(earlier: Moment, later: Moment) -> float:
    return earlier.elapsed_s(later.at_ns, later.mono_ns, later.boot)


def _at(seqs: Sequence[int]) -> str:
    return f" at seq {seqs[0]}" if seqs else ""


def _moment(record: Record) -> Moment:
    return Moment(record.seq, record.at_ns, record.mono_ns, record.process.boot)


_SEQS: dict[str, tuple[str, ...]] = {
    "HANDOFF_ACK": ("flushed_seq",),
    "HANDOFF_CONFIRM": ("samples",),
    "HANDOFF_COMPLETE": ("sample",),
    "HANDOFF_ROLLBACK": ("evidence",),
    "BLUE_SERVING": ("flushed_seq",),
    "TURN_STARTED": ("messages",),
    "TURN_JOINED": ("turn", "message"),
    "REPLY_INTENDED": ("turn",),
    "REPLY_SENT": ("turn",),
    "TURN_FINISHED": ("turn",),
    "MESSAGE_SETTLED": ("message", "turn"),
    "WATCHER_ADOPTED": ("handed_over",),
    "DIVERGENCE_DETECTED": ("evidence",),
}
"""Fields that name other events, by type."""

_RULES: dict[type[Event], Callable[[_Case, Any], Found]] = {
    e.HandoffConfirm: _confirm,
    e.HandoffComplete: _complete,
    e.HandoffRollback: _rollback,
    e.HandoffSeized: _seized,
    e.HandoffFailed: _failed,
    e.BlueServing: _blue_serving,
    e.ProcessLost: _lost,
}
