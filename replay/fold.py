"""Events to state: the same events give the same state, on any machine, with no gateway installed.

The state is what a side needs to decide and what a person wants to know. It is frozen; ``apply`` gives the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from journal import events as e
from journal.chain import GENESIS
from journal.events import Phase, Process, Role, Side
from journal.head import TRANSITIONS, Head, adapter_key, advance
from journal.record import Record

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


@dataclass(frozen=True, slots=True)
class State:
    """What the record says. ``steps``, ``losses`` and ``request`` are those of the current or last handoff.

    ``samples`` are the last of each side, ``seen`` the last sign of life of each, ``settled`` counts messages by outcome over
    the whole record, ``offsets`` is by adapter, ``watchers`` those handed over and not adopted.
    """

    head: Head = field(default_factory=lambda: Head(hash=GENESIS))
    request: e.HandoffRequested | None = None
    complete_requested: bool = False
    rollback: e.HandoffRollback | None = None
    failure: e.HandoffFailed | None = None
    steps: tuple[Step, ...] = ()
    losses: tuple[Loss, ...] = ()
    samples: Mapping[Side, tuple[Sample, ...]] = field(default_factory=dict)
    seen: Mapping[Side, Moment] = field(default_factory=dict)
    started: Mapping[Side, e.ProcessStarted] = field(default_factory=dict)
    connected_at: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    settled: Mapping[str, int] = field(default_factory=dict)
    watchers: Mapping[int, e.WatcherHandedOver] = field(default_factory=dict)
    divergence: tuple[int, e.DivergenceDetected] | None = None

    @property
    def limits(self) -> e.Limits:
        return self.request.limits if self.request else e.Limits()

    @property
    def entered(self) -> Moment | None:
        """When the current phase was entered."""
        return self.steps[-1].moment if self.steps else None

    def step(self, type_: str) -> Step | None:
        """The last step of that type in this handoff."""
        return next((s for s in reversed(self.steps) if s.type == type_), None)


def fold(records: Iterable[Record], state: State | None = None) -> State:
    """The state after the records, from an empty record or from ``state``."""
    state = state or State()
    for record in records:
        state = apply(state, record)
    return state


def apply(state: State, record: Record) -> State:
    """The state after one more record."""
    event = record.event
    changes: dict[str, Any] = {"head": advance(state.head, record, event)}
    moment = Moment(record.seq, record.at_ns, record.mono_ns, record.process.boot)
    if event.TYPE in TRANSITIONS:
        step = Step(moment, event.TYPE, TRANSITIONS[event.TYPE][2], record.role)
        changes["steps"] = (step,) if event.TYPE == "HANDOFF_REQUESTED" else (*state.steps, step)
    if (event.TYPE in TRANSITIONS or event.TYPE in _SIGNS_OF_LIFE) and record.role in ("blue", "green"):
        changes["seen"] = {**state.seen, record.role: moment}
    effect = _EFFECTS.get(type(event))
    if effect:
        changes |= effect(state, event, record, moment)
    return replace(state, **changes)


_SIGNS_OF_LIFE = frozenset({"HEALTH_SAMPLED", "PROCESS_STARTED"})
Changes = dict[str, Any]


def _requested(state: State, event: e.HandoffRequested, record: Record, moment: Moment) -> Changes:
    """Sides turn: whoever owns the adapters is blue of this handoff."""
    owner = state.head.owner
    samples, seen, started = state.samples, state.seen, state.started
    return {
        "request": event,
        "complete_requested": False,
        "rollback": None,
        "failure": None,
        "losses": (),
        "divergence": None,
        "samples": {"blue": samples[owner]} if owner in samples else {},
        "seen": {"blue": seen[owner]} if owner in seen else {},
        "started": {"blue": started[owner]} if owner in started else {},
    }


def _rollback(state: State, event: e.HandoffRollback, record: Record, moment: Moment) -> Changes:
    return {"rollback": event}


def _failed(state: State, event: e.HandoffFailed, record: Record, moment: Moment) -> Changes:
    return {"failure": event}


def _complete_requested(state: State, event: e.Event, record: Record, moment: Moment) -> Changes:
    return {"complete_requested": True}


def _started(state: State, event: e.ProcessStarted, record: Record, moment: Moment) -> Changes:
    return {"started": {**state.started, event.side: event}, "samples": {**state.samples, event.side: ()}}


def _lost(state: State, event: e.ProcessLost, record: Record, moment: Moment) -> Changes:
    held = sum(1 for turn in state.head.turns.values() if turn.holder == event.process)
    loss = Loss(moment, event.side, event.process, state.head.phase, event.how, held)
    return {"losses": (*state.losses, loss)}


def _sampled(state: State, event: e.HealthSampled, record: Record, moment: Moment) -> Changes:
    side = state.head.side_of(record.process)
    if side is None:
        return {}
    kept = (*state.samples.get(side, ()), Sample(moment, record.process, event))[-KEPT_SAMPLES:]
    return {"samples": {**state.samples, side: kept}}


def _connected(state: State, event: e.AdapterConnected, record: Record, moment: Moment) -> Changes:
    return {"connected_at": {**state.connected_at, adapter_key(event.platform, event.account): record.seq}}


def _offset(state: State, event: e.AdapterOffset, record: Record, moment: Moment) -> Changes:
    return {"offsets": {**state.offsets, adapter_key(event.platform, event.account): event.next_offset}}


def _accepted(state: State, event: e.Event, record: Record, moment: Moment) -> Changes:
    return {"accepted": state.accepted + 1}


def _settled(state: State, event: e.MessageSettled, record: Record, moment: Moment) -> Changes:
    return {"settled": {**state.settled, event.outcome: state.settled.get(event.outcome, 0) + 1}}


def _watcher(state: State, event: e.WatcherHandedOver, record: Record, moment: Moment) -> Changes:
    return {"watchers": {**state.watchers, record.seq: event}}


def _adopted(state: State, event: e.WatcherAdopted, record: Record, moment: Moment) -> Changes:
    return {"watchers": {s: w for s, w in state.watchers.items() if s != event.handed_over}}


def _diverged(state: State, event: e.DivergenceDetected, record: Record, moment: Moment) -> Changes:
    return {"divergence": (record.seq, event)}


_EFFECTS: dict[type[e.Event], Callable[[State, Any, Record, Moment], Changes]] = {
    e.HandoffRequested: _requested,
    e.HandoffRollback: _rollback,
    e.HandoffFailed: _failed,
    e.HandoffCompleteRequested: _complete_requested,
    e.ProcessStarted: _started,
    e.ProcessLost: _lost,
    e.HealthSampled: _sampled,
    e.AdapterConnected: _connected,
    e.AdapterOffset: _offset,
    e.MessageAccepted: _accepted,
    e.MessageSettled: _settled,
    e.WatcherHandedOver: _watcher,
    e.WatcherAdopted: _adopted,
    e.DivergenceDetected: _diverged,
}
