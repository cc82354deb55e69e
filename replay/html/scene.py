"""What is drawn of a handoff, gathered in one walk: who lived, owned and polled, what was in flight, and how both sides felt.

Times are seconds since HANDOFF_REQUESTED, negative before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from journal import events as e
from journal.events import Process, Side
from journal.record import Record
from replay.fold import State, apply
from replay.timeline import Handoff, Timeline, read

LEAD_S, LEAST_TAIL_S, MOST_TAIL_S = 0.5, 0.5, 30.0
HEALTH_BEFORE_S = 300.0


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted; ``until_s`` is None when it had not ended. ``good`` is False when it ended badly."""

    side: Side
    since_s: float
    until_s: float | None
    seq: int
    label: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at once."""

    lane: str
    at_s: float
    seq: int
    label: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A health sample of a side."""

    side: Side
    at_s: float
    seq: int
    health: e.HealthSampled


@dataclass(frozen=True, slots=True)
class PollGap:
    """A time in which nobody polled an adapter."""

    adapter: str
    since_s: float
    until_s: float | None
    ms: float
    seq: int


@dataclass(slots=True)
class Scene:
    """Everything that is drawn. ``end_s`` is where the story ends; ``accepted`` are the times at which messages came in."""

    handoff: Handoff
    end_s: float = 0.0
    lives: list[Bar] = field(default_factory=list)
    owned: list[Bar] = field(default_factory=list)
    polled: list[Bar] = field(default_factory=list)
    gaps: list[PollGap] = field(default_factory=list)
    turns: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    fired: list[tuple[float, e.DivergenceDetected]] = field(default_factory=list)

    def at(self, record: Record) -> float:
        """A record's time in the scene."""
        return self.handoff.stays[0].since.elapsed_s(record.at_ns, record.mono_ns, record.process.boot)


def scene(records: Iterable[Record], timeline: Timeline, handoff: Handoff) -> Scene:
    """Gather what is drawn of a handoff. ``records`` begin where the record begins."""
    look = _Look(Scene(handoff))
    for record in records:
        if record.seq > handoff.last:
            break
        look.step(record)
    return look.done(timeline)


class _Look:
    def __init__(self, found: Scene) -> None:
        self._scene = found
        self._state = State()
        self._sides: dict[Process, Side] = {}
        self._turns: dict[int, Bar] = {}
        self._lives: dict[Process, Bar] = {}
        self._last_s = 0.0

    def step(self, record: Record) -> None:
        before, self._state = self._state, apply(self._state, record)
        at_s, event, handoff = self._scene.at(record), record.event, self._scene.handoff
        within = record.seq >= handoff.first
        side = self._side(record.process)
        if isinstance(event, e.HandoffRequested) and within:
            self._begin(before)
        self._turn(before, record, at_s, side)
        if isinstance(event, e.HealthSampled) and (within or at_s >= -HEALTH_BEFORE_S):
            owner_then: Side = side if within else "blue"
            self._scene.samples.append(Sample(owner_then, at_s, record.seq, event))
        if within:
            self._last_s = at_s
            self._mark(record, at_s, side)
            self._life(record, at_s)
            if isinstance(event, e.MessageAccepted):
                self._scene.accepted.append(at_s)
            if isinstance(event, e.DivergenceDetected):
                self._scene.fired.append((at_s, event))

    def _side(self, process: Process) -> Side:
        side = self._state.head.side_of(process)
        if side is not None:
            self._sides[process] = side
        return self._sides.get(process, self._state.head.owner)

    def _begin(self, before: State) -> None:
        """Sides turn with the request: whoever owns is blue; what is in its hands goes on."""
        self._turns = {n: replace(bar, side="blue") for n, bar in self._turns.items()}
        for process in (before.head.owning,):
            if process is not None:
                self._sides = {process: "blue"}
                self._lives = {process: Bar("blue", -LEAD_S, None, 0, f"process {process.pid}")}

    def _turn(self, before: State, record: Record, at_s: float, side: Side) -> None:
        event = record.event
        if isinstance(event, e.TurnStarted):
            self._turns[record.seq] = Bar(side, at_s, None, record.seq, f"turn {record.seq}")
        elif isinstance(event, e.TurnFinished):
            self._end_turn(event.turn, at_s, event.outcome in ("answered", "no_reply"), record.seq)
        elif isinstance(event, e.ProcessLost):
            for turn in [n for n, held in before.head.turns.items() if held.holder == event.process]:
                self._end_turn(turn, at_s, False, record.seq)

    def _end_turn(self, turn: int, at_s: float, good: bool, seq: int) -> None:
        bar = self._turns.pop(turn, None)
        if bar is not None and seq >= self._scene.handoff.first:
            self._scene.turns.append(replace(bar, until_s=at_s, good=good))

    def _life(self, record: Record, at_s: float) -> None:
        event = record.event
        if isinstance(event, e.GreenSpawned):
            self._lives[event.green] = Bar("green", at_s, None, record.seq, f"process {event.green.pid}")
        elif isinstance(event, e.ProcessStarted) and record.process not in self._lives:
            self._lives[record.process] = Bar(event.side, at_s, None, record.seq, f"process {record.process.pid}")
        elif isinstance(event, e.ProcessLost | e.ProcessExited):
            process = event.process if isinstance(event, e.ProcessLost) else record.process
            if bar := self._lives.pop(process, None):
                self._scene.lives.append(replace(bar, until_s=at_s, good=isinstance(event, e.ProcessExited)))

    def _mark(self, record: Record, at_s: float, side: Side) -> None:
        event = record.event
        lane, words, bad = _MARKS.get(type(event), ("", "", False))
        if isinstance(event, e.ProcessLost):
            lane, words, bad = event.side, "was lost", True
        elif isinstance(event, e.HandoffRollback | e.HandoffFailed):
            words = "rollback" if isinstance(event, e.HandoffRollback) else "failed"
            lane, bad = record.role, record.role != "operator"
        elif isinstance(event, e.DivergenceDetected):
            lane, words, bad = side, event.rule, True
        if words:
            self._scene.marks.append(Mark(lane, at_s, record.seq, words, bad))

    def done(self, timeline: Timeline) -> Scene:
        """Close what is open, and add what the timeline knows."""
        found, handoff = self._scene, self._scene.handoff
        first = handoff.stays[0].since
        found.turns += self._turns.values()
        found.lives += self._lives.values()
        rest_s = handoff.stays[-1].since
        ended = first.elapsed_s(rest_s.at_ns, rest_s.mono_ns, rest_s.boot)
        tail = min(max(LEAST_TAIL_S, 0.1 * ended), MOST_TAIL_S)
        found.end_s = self._last_s if handoff.open else min(max(self._last_s, 0.0), ended + tail)
        for each in map(handoff.called, timeline.owned):
            if (
                each.process is not None
                and each.since.seq <= handoff.last
                and (not each.until or each.until.seq >= handoff.first)
            ):
                owner = self._sides.get(each.process, each.side)
                since_s = first.elapsed_s(each.since.at_ns, each.since.mono_ns, each.since.boot)
                until_s = first.elapsed_s(each.until.at_ns, each.until.mono_ns, each.until.boot) if each.until else None
                found.owned.append(Bar(owner, since_s, until_s, each.since.seq, f"owns, epoch {each.epoch}"))
        for polled in timeline.polls_in(handoff):
            since_s = first.elapsed_s(polled.since.at_ns, polled.since.mono_ns, polled.since.boot)
            until = polled.until
            until_s = first.elapsed_s(until.at_ns, until.mono_ns, until.boot) if until else None
            side = self._sides.get(polled.process, polled.side)
            found.polled.append(Bar(side, since_s, until_s, polled.since.seq, polled.adapter))
            if until is None or polled.ended is None or not handoff.first <= until.seq <= handoff.last:
                continue
            gap = next((g for g in timeline.gaps() if g.since == until.seq and g.adapter == polled.adapter), None)
            if gap is not None and until_s is not None:
                over_s = until_s + gap.ms / 1e3 if gap.connected else None
                found.gaps.append(PollGap(gap.adapter, until_s, over_s, gap.ms, gap.since))
        return found


_MARKS: dict[type[e.Event], tuple[str, str, bool]] = {
    e.HandoffRequested: ("operator", "request", False),
    e.HandoffCompleteRequested: ("operator", "complete", False),
    e.ProcessExited: ("blue", "left", False),
}


def read_scene(records: list[Record], handoff: Handoff | None = None) -> Scene:
    """The scene of a record in memory, of its last handoff unless one is given."""
    timeline = read(records)
    return scene(records, timeline, handoff or timeline.select())
