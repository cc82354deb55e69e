"""What green has said since it owns the adapters: a fold of its own, bounded, that the rules of divergence look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from journal import events as e
from journal.events import Process
from journal.record import Record
from replay.baseline import Turns

KEPT = 64
"""Health samples that are kept, the last ones."""
FIRST = 5
"""Samples at the beginning that growth is measured from."""
MOST_ACCEPTED = 10_000
"""Messages whose arrival is remembered; of older ones that still wait, only that they came before."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A health sample of green."""

    seq: int
    mono_ns: int
    health: e.HealthSampled


@dataclass(slots=True)
class Count:
    """An adapter's clean polls: the highest count, at which seq and when it last grew, and when it was last there at all."""

    top: int
    grown: int
    grown_ns: int
    up_ns: int


@dataclass(slots=True)
class Observed:
    """``since`` and ``since_ns``: from which seq and when green is watched. ``moved_ns``: when it last started or ended something.
    ``first_rss_mb``: the most memory of its ``first`` samples; ``count`` of all."""

    green: Process
    since: int
    since_ns: int
    samples: list[Seen] = field(default_factory=list)
    polls: dict[str, Count] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    accepted: dict[int, int] = field(default_factory=dict)
    moved_ns: int = 0
    first: tuple[int, ...] = ()
    first_rss_mb: float = 0.0
    count: int = 0

    def move(self, record: Record) -> None:
        """Past the next record."""
        if record.process != self.green:
            return
        self.turns.move(record)
        match record.event:
            case e.HealthSampled() as health:
                self._sampled(record, health)
            case e.MessageAccepted():
                self.accepted[record.seq] = record.mono_ns
                if len(self.accepted) > MOST_ACCEPTED:
                    del self.accepted[next(iter(self.accepted))]
            case e.TurnStarted() | e.TurnFinished() | e.TurnJoined():
                self.moved_ns = record.mono_ns
            case e.MessageSettled() as settled:
                self.accepted.pop(settled.message, None)
                self.moved_ns = record.mono_ns

    def _sampled(self, record: Record, health: e.HealthSampled) -> None:
        self.count += 1
        self.samples = [*self.samples[-(KEPT - 1) :], Seen(record.seq, record.mono_ns, health)]
        if self.count <= FIRST:
            self.first = (*self.first, record.seq)
            self.first_rss_mb = max(self.first_rss_mb, health.rss_mb)
        for adapter, polls in health.polls.items():
            count = self.polls.setdefault(adapter, Count(0, record.seq, self.since_ns, self.since_ns))
            if polls > 0:
                count.up_ns = record.mono_ns
            if polls != count.top:  # it connects anew and counts from nothing
                count.top, count.grown, count.grown_ns = polls, record.seq, record.mono_ns
