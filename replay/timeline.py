"""What happened when: the handoffs of a journal, the phases of each, who owned the adapters, and who polled each of them.

Order and place are seqs; times are for people, and comparable to the nanosecond within one boot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from journal.errors import NothingHere
from journal.events import HandoffRequested, Phase, Process, Role, Side
from journal.head import AT_REST, TRANSITIONS
from journal.record import Record
from replay.fold import Moment, State, apply

Ended = Literal["paused", "lost"]
_Entry = TypeVar("_Entry", "Owned", "Polled")


@dataclass(frozen=True, slots=True)
class Stay:
    """A phase of a handoff: which event led to it, who said that, since when. ``elapsed_s`` runs to the next step; while the
    handoff is open the last one runs to the end of the record; None for a phase at rest, which has no end."""

    phase: Phase
    type: str
    role: Role
    process: Process
    since: Moment
    elapsed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Handoff:
    """One handoff: everything from its HANDOFF_REQUESTED at ``first`` to ``last``, the seq before the next one's request."""

    id: str
    runtime: str
    bake_s: float
    first: int
    last: int
    stays: tuple[Stay, ...]

    @property
    def phase(self) -> Phase:
        return self.stays[-1].phase

    @property
    def open(self) -> bool:
        return self.phase not in AT_REST

    @property
    def elapsed_s(self) -> float:
        """From the request to the end, or to the end of the record."""
        return sum(stay.elapsed_s or 0.0 for stay in self.stays)

    def called(self, entry: _Entry) -> _Entry:
        """The entry with the side that it has in this handoff: who owned the adapters when it was asked for is blue in it."""
        return replace(entry, side="blue") if entry.since.seq < self.first else entry


@dataclass(frozen=True, slots=True)
class Owned:
    """Who owned the adapters, under which epoch; ``process`` is None while the owner was lost. ``until`` is None when it goes on.

    ``side`` is the one that it had when this began: a green that stays is the blue of the next handoff (`Handoff.called`).
    """

    side: Side
    process: Process | None
    epoch: int
    since: Moment
    type: str
    until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """Who might poll an adapter, from ADAPTER_CONNECTED until it was paused or its process was lost.

    ``heard`` is the last thing that the process said before ``until``: a process that was lost died between the two.
    """

    adapter: str
    side: Side
    process: Process
    epoch: int
    since: Moment
    until: Moment | None = None
    ended: Ended | None = None
    heard: Moment | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody might poll an adapter. ``connected`` is None while it lasts: it is measured to the record's end.

    ``ms`` runs from ADAPTER_PAUSED or PROCESS_LOST to the next ADAPTER_CONNECTED. Whoever was lost died before it was recorded:
    ``at_most_ms`` runs from the last thing that it said.
    """

    adapter: str
    ended: Ended
    since: int
    connected: int | None
    ms: float
    at_most_ms: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole record in time. ``last`` is its last moment, None when it is empty; ``hash`` is the head's."""

    handoffs: tuple[Handoff, ...]
    owned: tuple[Owned, ...]
    polled: tuple[Polled, ...]
    last: Moment | None
    hash: bytes

    def gaps(self) -> tuple[Gap, ...]:
        """Every time in which an adapter had nobody, in the order in which they began."""
        found = []
        for polled in self.polled:
            if polled.until is None or polled.ended is None:
                continue
            after = next(
                (p for p in self.polled if p.adapter == polled.adapter and p.since.seq > polled.until.seq), None
            )
            end = after.since if after else self.last or polled.until
            ms, at_most_ms = (round(_between(m, end) * 1e3, 3) for m in (polled.until, polled.heard or polled.until))
            gap = Gap(
                polled.adapter, polled.ended, polled.until.seq, after.since.seq if after else None, ms, at_most_ms
            )
            found.append(gap)
        return tuple(sorted(found, key=lambda gap: gap.since))

    def polls_in(self, handoff: Handoff) -> tuple[Polled, ...]:
        """Who might poll at some time between a handoff's request and the next."""
        return tuple(
            handoff.called(p)
            for p in self.polled
            if p.since.seq <= handoff.last and (p.until is None or p.until.seq >= handoff.first)
        )

    def select(self, name: str | None = None) -> Handoff:
        """A handoff by its id or an unambiguous beginning of it; the last one without a name. Raises ``NothingHere``."""
        if not self.handoffs:
            raise NothingHere("no handoff stands in the journal", hint="'handoff-journal promote' begins one")
        if name is None:
            return self.handoffs[-1]
        fits = [h for h in self.handoffs if h.id == name] or [h for h in self.handoffs if h.id.startswith(name)]
        if len(fits) == 1:
            return fits[0]
        known = ", ".join(h.id for h in (fits or self.handoffs)[-5:])
        what = f"{len(fits)} handoffs begin with {name}" if fits else f"no handoff is called {name}"
        raise NothingHere(what, hint=f"there is {known}")


def read(records: Iterable[Record]) -> Timeline:
    """The timeline of a record, in one pass."""
    reading = _Reading()
    for record in records:
        reading.step(record)
    return reading.timeline()


class _Reading:
    def __init__(self) -> None:
        self._state = State()
        self._handoffs: list[Handoff] = []
        self._owned: list[Owned] = []
        self._polled: list[Polled] = []
        self._polling: dict[str, int] = {}
        self._heard: dict[Process, Moment] = {}
        self._now: Moment | None = None

    def step(self, record: Record) -> None:
        before, self._state = self._state, apply(self._state, record)
        self._now = now = Moment(record.seq, record.at_ns, record.mono_ns, record.process.boot)
        if record.type in TRANSITIONS:
            self._enter(record, now)
        self._own(record, now)
        if before.head.connected != self._state.head.connected:
            self._poll(before, record, now)
        self._heard[record.process] = now

    def _enter(self, record: Record, now: Moment) -> None:
        stay = Stay(TRANSITIONS[record.type][2], record.type, record.role, record.process, now)
        event = record.event
        if isinstance(event, HandoffRequested):
            self._close(record.seq - 1)
            self._handoffs.append(Handoff(event.handoff, event.runtime, event.bake_s, record.seq, record.seq, (stay,)))
        elif self._handoffs:
            handoff = self._handoffs[-1]
            left = replace(handoff.stays[-1], elapsed_s=_between(handoff.stays[-1].since, now))
            self._handoffs[-1] = replace(handoff, stays=(*handoff.stays[:-1], left, stay))

    def _close(self, last: int) -> None:
        if self._handoffs:
            self._handoffs[-1] = replace(self._handoffs[-1], last=last)

    def _own(self, record: Record, now: Moment) -> None:
        head = self._state.head
        last = self._owned[-1] if self._owned else None
        if (last.process, last.epoch) == (head.owning, head.epoch) if last else head.owning is None:
            return
        if last:
            self._owned[-1] = replace(last, until=now)
        self._owned.append(Owned(head.owner, head.owning, head.epoch, now, record.type))

    def _poll(self, before: State, record: Record, now: Moment) -> None:
        old, new = before.head.connected, self._state.head.connected
        for adapter in old.keys() - {a for a, p in new.items() if old.get(a) == p}:
            at = self._polling.pop(adapter, None)
            if at is not None:
                ended: Ended = "lost" if record.type == "PROCESS_LOST" else "paused"
                heard = self._heard.get(self._polled[at].process) if ended == "lost" else None
                self._polled[at] = replace(self._polled[at], until=now, ended=ended, heard=heard)
        for adapter in sorted(a for a, p in new.items() if old.get(a) != p):
            self._polling[adapter] = len(self._polled)
            side = self._state.head.side_of(new[adapter]) or self._state.head.owner
            self._polled.append(Polled(adapter, side, new[adapter], self._state.head.epoch, now))

    def timeline(self) -> Timeline:
        if self._now is not None:
            self._close(self._now.seq)
        if self._handoffs and self._handoffs[-1].open and self._now is not None:
            handoff = self._handoffs[-1]
            left = replace(handoff.stays[-1], elapsed_s=_between(handoff.stays[-1].since, self._now))
            self._handoffs[-1] = replace(handoff, stays=(*handoff.stays[:-1], left))
        return Timeline(
            tuple(self._handoffs), tuple(self._owned), tuple(self._polled), self._now, self._state.head.hash
        )  # fmt: skip


def _between(earlier: Moment, later: Moment) -> float:
    return earlier.elapsed_s(later.at_ns, later.mono_ns, later.boot)
