"""Events to state: the same events give the same state, on any machine, with no gateway installed.

The state is what a side needs to decide and what a person wants to know. One that was handed out is never changed: a fold works on
a copy of its own. ``state_of`` folds a journal without making a record of each row; a million events cost what reading them costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from journal import events as e
from journal.chain import GENESIS
from journal.events import Phase, Process, Role, Side
from journal.head import EFFECTS, TRANSITIONS, Head, adapter_key, incarnation, move
from journal.record import Record, Stamp

if TYPE_CHECKING:
    from journal.reader import Reader

KEPT_SAMPLES = 32
"""Health samples kept a side."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by whom an event was said; comparable with another of the same boot to the nanosecond."""

    seq: int
    at_ns: int
    mono_ns: int
    boot: str

    def elapsed_s(self, at_ns: int, mono_ns: int, boot: str) -> float:
        """Seconds from here to a later time: by the monotonic clock within one boot, by the wall clock across boots."""
        if boot == self.boot:
            return (mono_ns - self.mono_ns) / 1e9
        return max(0.0, (at_ns - self.at_ns) / 1e9)


@dataclass(frozen=True, slots=True)
class Step:
    """A protocol step of the current handoff: the phase that it led to, and who said it."""

    moment: Moment
    type: str
    phase: Phase
    role: Role


@dataclass(frozen=True, slots=True)
class Sample:
    """A health sample and when it was taken; ``process`` took it."""

    moment: Moment
    process: Process
    health: e.HealthSampled


@dataclass(frozen=True, slots=True)
class Loss:
    """A process that died, on which side and in which phase; ``turns`` it held then."""

    moment: Moment
    side: Side
    process: Process
    phase: Phase
    how: str
    turns: int


@dataclass(slots=True)
class State:
    """What the record says. ``steps``, ``losses`` and ``request`` are those of the current or last handoff.

    ``samples`` are the last of each side, ``seen`` the last sign of life of each, ``settled`` counts messages by outcome over
    the whole record, ``offsets`` is by adapter, ``watchers`` those handed over and not adopted. ``booted`` is the first start of a
    process since the machine's own.
    """

    head: Head = field(default_factory=lambda: Head(hash=GENESIS))
    request: e.HandoffRequested | None = None
    complete_requested: bool = False
    rollback: e.HandoffRollback | None = None
    failure: e.HandoffFailed | None = None
    steps: tuple[Step, ...] = ()
    losses: tuple[Loss, ...] = ()
    samples: dict[Side, tuple[Sample, ...]] = field(default_factory=dict)
    seen: dict[Side, Moment] = field(default_factory=dict)
    started: dict[Side, e.ProcessStarted] = field(default_factory=dict)
    connected_at: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    settled: dict[str, int] = field(default_factory=dict)
    watchers: dict[int, e.WatcherHandedOver] = field(default_factory=dict)
    divergence: tuple[int, e.DivergenceDetected] | None = None
    terms: e.HandoffTerms | None = None
    confirmed: bool = False
    booted: Moment | None = None

    def copy(self) -> State:
        """One to go on with, that shares nothing that changes."""
        return State(
            self.head.copy(), self.request, self.complete_requested, self.rollback, self.failure, self.steps, self.losses,
            self.samples.copy(), self.seen.copy(), self.started.copy(), self.connected_at.copy(), self.offsets.copy(),
            self.accepted, self.settled.copy(), self.watchers.copy(), self.divergence, self.terms, self.confirmed,
            self.booted,
        )  # fmt: skip

    @property
    def limits(self) -> e.Limits:
        return self.request.limits if self.request else e.Limits()

    @property
    def word_within_s(self) -> float | None:
        """How long after CONFIRM somebody must say that green is good; None when nobody must, or somebody has."""
        said = self.terms is None or self.confirmed or self.complete_requested
        return None if said else self.terms.confirm_within_s  # type: ignore[union-attr]

    @property
    def entered(self) -> Moment | None:
        """When the current phase was entered."""
        return self.steps[-1].moment if self.steps else None

    def lasted_s(self, moment: Moment, now: Stamp, boot: str) -> float:
        """Seconds since a moment. Across a start of the machine the wall clock tells, which may have been set back: so it is for as
        long at least as processes have been running since."""
        lasted_s, booted = moment.elapsed_s(now.at_ns, now.mono_ns, boot), self.booted
        if moment.boot != boot and booted is not None and booted.boot == boot:
            lasted_s = max(lasted_s, booted.elapsed_s(now.at_ns, now.mono_ns, boot))
        return lasted_s

    def step(self, type_: str) -> Step | None:
        """The last step of that type in this handoff."""
        return next((s for s in reversed(self.steps) if s.type == type_), None)


def fold(records: Iterable[Record], state: State | None = None) -> State:
    """The state after the records, from an empty record or from ``state``."""
    state = state.copy() if state else State()
    for record in records:
        _move(state, record)
    return state


def apply(state: State, record: Record) -> State:
    """The state after one more record."""
    return fold((record,), state)


def state_of(reader: Reader, state: State | None = None) -> State:
    """The state after all that stands in a journal, or after what was appended since ``state``: what ``fold`` gives, sooner.

    Most rows change a thing or two and need no envelope for it: those are taken as they are read. The others are read as records.
    """
    state = state.copy() if state else State()
    head, before = state.head, state.head.seq
    samples: dict[tuple[int, int, str], deque[int]] = {}
    while page := reader.lines(after=head.seq):
        for seq, type_, v, pid, started, boot, body in page:
            try:
                validate, of_head, of_state = _PLAIN[type_, v]
                event = validate(body)
            except (KeyError, ValidationError):  # more is needed of it; or the record says what is wrong
                if (type_, v) == _SAMPLE:
                    samples.setdefault((pid, started, boot), deque(maxlen=KEPT_SAMPLES)).append(seq)
                    head.seq = seq
                else:
                    _look_at(state, samples, reader)
                    _move(state, _record(reader, seq))
                continue
            if of_state:
                of_state(state, event, seq)
            if of_head:
                of_head(head, event, seq, incarnation(pid, started, boot))
            head.seq = seq
    _look_at(state, samples, reader)
    if head.seq != before:
        head.hash = _record(reader, head.seq).hash
    return state


_SAMPLE = (e.HealthSampled.TYPE, e.HealthSampled.V)


def _look_at(state: State, samples: dict[tuple[int, int, str], deque[int]], reader: Reader) -> None:
    """Take up the samples that a state keeps; nobody has changed seats since the first of them. The others leave no trace."""
    last = state.head.seq
    for seq in sorted(chain.from_iterable(samples.values())):
        _move(state, _record(reader, seq))
    samples.clear()
    state.head.seq = last


def _record(reader: Reader, seq: int) -> Record:
    return reader.records(after=seq - 1, limit=1)[0]


def _move(state: State, record: Record) -> None:
    """Bring a state that the caller owns past a record."""
    event = record.event
    moment = Moment(record.seq, record.at_ns, record.mono_ns, record.process.boot)
    effect, timed = _EFFECTS.get(type(event)), _TIMED.get(type(event))
    if effect:
        effect(state, event, record.seq)
    if timed:
        timed(state, event, record, moment)
    if event.TYPE in TRANSITIONS:
        state.steps = (*state.steps, Step(moment, event.TYPE, TRANSITIONS[event.TYPE][2], record.role))
    if record.role in ("blue", "green") and event.TYPE in _SIGNS_OF_LIFE:
        state.seen[record.role] = moment
    move(state.head, event, record.seq, record.process)
    state.head.hash = record.hash


_SIGNS_OF_LIFE = {"HEALTH_SAMPLED", "PROCESS_STARTED", *TRANSITIONS} - {"HANDOFF_REQUESTED"}
"""With a request the sides turn: its role is still that of the last handoff."""


def _requested(state: State, event: e.HandoffRequested, seq: int) -> None:
    """Sides turn: whoever owns the adapters is blue of this handoff."""
    owner = state.head.owner
    state.request, state.complete_requested = event, False
    state.rollback, state.failure, state.divergence = None, None, None
    state.terms, state.confirmed = None, False
    state.steps, state.losses = (), ()
    state.samples = {"blue": state.samples[owner]} if owner in state.samples else {}
    state.seen = {"blue": state.seen[owner]} if owner in state.seen else {}
    state.started = {"blue": state.started[owner]} if owner in state.started else {}


def _rollback(state: State, event: e.HandoffRollback, seq: int) -> None:
    state.rollback = event


def _failed(state: State, event: e.HandoffFailed, seq: int) -> None:
    state.failure = event


def _complete_requested(state: State, event: e.Event, seq: int) -> None:
    state.complete_requested = True


def _terms(state: State, event: e.HandoffTerms, seq: int) -> None:
    state.terms = event


def _bake_confirmed(state: State, event: e.Event, seq: int) -> None:
    state.confirmed = True


def _started(state: State, event: e.ProcessStarted, seq: int) -> None:
    state.started[event.side] = event
    state.samples[event.side] = ()


def _connected(state: State, event: e.AdapterConnected, seq: int) -> None:
    state.connected_at[adapter_key(event.platform, event.account)] = seq


def _offset(state: State, event: e.AdapterOffset, seq: int) -> None:
    state.offsets[adapter_key(event.platform, event.account)] = event.next_offset


def _accepted(state: State, event: e.Event, seq: int) -> None:
    state.accepted += 1


def _settled(state: State, event: e.MessageSettled, seq: int) -> None:
    state.settled[event.outcome] = state.settled.get(event.outcome, 0) + 1


def _watcher(state: State, event: e.WatcherHandedOver, seq: int) -> None:
    state.watchers[seq] = event


def _adopted(state: State, event: e.WatcherAdopted, seq: int) -> None:
    state.watchers.pop(event.handed_over, None)


def _diverged(state: State, event: e.DivergenceDetected, seq: int) -> None:
    state.divergence = (seq, event)


_EFFECTS: dict[type[e.Event], Callable[[State, Any, int], None]] = {
    e.HandoffRequested: _requested,
    e.HandoffRollback: _rollback,
    e.HandoffFailed: _failed,
    e.HandoffCompleteRequested: _complete_requested,
    e.HandoffTerms: _terms,
    e.BakeConfirmed: _bake_confirmed,
    e.ProcessStarted: _started,
    e.AdapterConnected: _connected,
    e.AdapterOffset: _offset,
    e.MessageAccepted: _accepted,
    e.MessageSettled: _settled,
    e.WatcherHandedOver: _watcher,
    e.WatcherAdopted: _adopted,
    e.DivergenceDetected: _diverged,
}
"""What a type changes in a state, before the head moves on, from its seq and body alone."""


def _lost(state: State, event: e.ProcessLost, record: Record, moment: Moment) -> None:
    held = sum(1 for turn in state.head.turns.values() if turn.holder == event.process)
    state.losses = (*state.losses, Loss(moment, event.side, event.process, state.head.phase, event.how, held))


def _sampled(state: State, event: e.HealthSampled, record: Record, moment: Moment) -> None:
    side = state.head.side_of(record.process)
    if side is not None:
        kept = (*state.samples.get(side, ()), Sample(moment, record.process, event))
        state.samples[side] = kept[-KEPT_SAMPLES:]


def _booted(state: State, event: e.ProcessStarted, record: Record, moment: Moment) -> None:
    if state.booted is None or state.booted.boot != moment.boot:
        state.booted = moment


_TIMED: dict[type[e.Event], Callable[[State, Any, Record, Moment], None]] = {
    e.ProcessLost: _lost,
    e.ProcessStarted: _booted,
    e.HealthSampled: _sampled,
}
"""The same, where it counts who said it and when."""

_PLAIN = {
    key: (model.__pydantic_validator__.validate_json, EFFECTS.get(model), _EFFECTS.get(model))
    for key, model in e.MODELS.items()
    if model.TYPE not in {*TRANSITIONS, *_SIGNS_OF_LIFE, e.ProcessLost.TYPE, e.ProcessExited.TYPE}
}
"""(type, version): how its body is read, what it does to the head and to the state; of all that need no envelope and leave
everybody in their seats."""
