"""What blue was like in its own hour before the handoff, from the journal alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from journal import events as e
from journal.events import Process
from journal.record import Record

HOUR_S = 3600.0
MOST = 10_000
"""Events that are read back at most: a busy gateway is known after fewer than an hour holds."""
KEPT_TURNS = 200
"""Finished turns that are kept, the last ones."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn; ``seq`` is that of its TURN_FINISHED."""

    seq: int
    took_s: float
    failed: bool


class Turns:
    """The turns of one process, as far as they have ended, and when those under way began."""

    def __init__(self, kept: int = KEPT_TURNS) -> None:
        self.open: dict[int, int] = {}
        self.finished: deque[Turn] = deque(maxlen=kept)

    def move(self, record: Record) -> None:
        """Past a record of that process."""
        event = record.event
        if isinstance(event, e.TurnStarted):
            self.open[record.seq] = record.mono_ns
        elif isinstance(event, e.TurnFinished) and event.turn in self.open:
            took_s = (record.mono_ns - self.open.pop(event.turn)) / 1e9
            self.finished.append(Turn(record.seq, took_s, event.outcome == "failed"))


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """``p95_s``: the 95th percentile of the times, of fewer than 100 the longest."""

    count: int = 0
    failed: int = 0
    p95_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """Blue's figures. Zero or absent where it has none: the rules' floors hold then.

    ``polls``: seconds per clean poll by adapter that was up, 0 where polls are not counted. ``waited_s``: 95th percentile of the times
    from accepted to started; ``lag_ms``: the median of the loop's lag. ``grown_mb``: between its smallest and its largest sample.
    """

    turns: TurnFigures = TurnFigures()
    polls: Mapping[str, float] = field(default_factory=dict)
    waited_s: float = 0.0
    lag_ms: float = 0.0
    grown_mb: float = 0.0


def baseline(records: Iterable[Record]) -> Baseline:
    """Blue's figures from the records before a request; only what the owner of that time said counts."""
    kept = list(records)
    blue = owner(kept)
    mine = [r for r in kept if r.process == blue]
    turns, waits, samples = Turns(MOST), _Waits(), []
    for record in mine:
        event = record.event
        turns.move(record)
        waits.move(record)
        if isinstance(event, e.HealthSampled):
            samples.append((record, event))
    took = [turn.took_s for turn in turns.finished]
    took += [(mine[-1].mono_ns - began_ns) / 1e9 for began_ns in turns.open.values()]  # so long already
    rss = [event.rss_mb for _, event in samples]
    return Baseline(
        TurnFigures(
            len(took),
            sum(turn.failed for turn in turns.finished),
            percentile(took, 0.95) if len(took) >= 100 else max(took, default=0.0),
        ),
        _polls(samples),
        percentile(waits.waited_s, 0.95),
        percentile([event.loop_lag_ms for _, event in samples], 0.5),
        max(rss) - min(rss) if rss else 0.0,
    )


def owner(records: Sequence[Record]) -> Process | None:
    """Who owned the adapters at the end of these records: whoever last said what only an owner may say."""
    for record in reversed(records):
        if e.MODELS[record.type, record.v].ADMISSION == "owner":
            return record.process
    return next((r.process for r in reversed(records) if r.type == "HEALTH_SAMPLED"), None)


class _Waits:
    """From accepted to started."""

    def __init__(self) -> None:
        self._accepted: dict[int, int] = {}
        self.waited_s: list[float] = []

    def move(self, record: Record) -> None:
        event = record.event
        if isinstance(event, e.MessageAccepted):
            self._accepted[record.seq] = record.mono_ns
        elif isinstance(event, e.TurnStarted):
            for seq in event.messages:
                if seq in self._accepted:
                    self.waited_s.append((record.mono_ns - self._accepted.pop(seq)) / 1e9)


def _polls(samples: Sequence[tuple[Record, e.HealthSampled]]) -> dict[str, float]:
    """Seconds per clean poll of each adapter that was up in the last sample; 0 where the count never grew."""
    spent: dict[str, tuple[float, int]] = {}
    for (before, first), (after, second) in pairwise(samples):
        for adapter, count in second.polls.items():
            grown = count - first.polls.get(adapter, count)
            seconds, polls = spent.get(adapter, (0.0, 0))
            more_s = (after.mono_ns - before.mono_ns) / 1e9 if grown >= 0 else 0.0
            spent[adapter] = (seconds + more_s, polls + max(0, grown))
    up = [adapter for adapter, count in samples[-1][1].polls.items() if count > 0] if samples else []
    return {adapter: spent[adapter][0] / spent[adapter][1] if spent.get(adapter, (0, 0))[1] else 0.0 for adapter in up}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies, itself one of them; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
