"""Green against blue's own record: rules as data, pure.

Each rule compares one figure of green with a limit: ``factor`` times what blue had in its hour before the handoff, and never less
than ``floor``. It needs ``least`` observations of green and names them by seq. A missing sample is never a pass: it is a figure of its
own (``samples``), and a count that does not grow is an adapter that is down. Exit and silence are ``replay.decide``'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from statistics import median

from journal.events import DivergenceDetected, RuleLimits
from journal.record import Stamp
from replay.baseline import Baseline, percentile
from replay.fold import State
from replay.observe import Observed

WINDOW = 50
"""Turns of green that are looked at, the last ones."""
CHANCE = 1e-4
"""How likely a green that is as good as the limit may look this bad by chance: rules that count turns fire below it."""
NAMED = 20
"""Most seqs that an event names as its evidence."""
SPREAD = 0.05
"""Share of the turns that may be slower than their 95th percentile."""
UNKNOWN_S = 600.0
"""How long turns may take where blue ran hardly any."""
SHORT = 5
"""Samples that a figure is taken over, so that one of them alone means nothing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One figure and its limit. ``unit`` is that of ``floor``; the limit is ``max(floor, factor * blue's own)``."""

    name: str
    unit: str
    factor: float
    floor: float
    least: int
    sense: str


RULES: tuple[Rule, ...] = (
    Rule("samples", "share", 0.0, 0.67, 12, "Health samples missing of the last `least` that were due"),
    Rule(
        "adapter", "s", 4.0, 60.0, 1, "Time since an adapter's clean polls last grew; blue's own is its time per poll"
    ),
    Rule("errors", "share", 2.0, 0.1, 4, "Turns that failed, of the last 50"),
    Rule("slow", "s", 3.0, 30.0, 8, "95th percentile of the last 50 turns' times, those under way included"),
    Rule(
        "waiting", "s", 4.0, 60.0, 1, "Time that a free chat's message has waited while green started and ended nothing"
    ),
    Rule("memory", "MB", 4.0, 512.0, 10, "Growth of green's memory since its first samples"),
    Rule("loop", "ms", 10.0, 1000.0, 9, "Median lag of green's loop over its last `least` samples"),
)
"""The defaults; nothing has to be configured. That green reads what blue flushed is seen before it owns anything: see ``decide``."""


def told(rules: Sequence[Rule], otherwise: Mapping[str, RuleLimits]) -> tuple[Rule, ...]:
    """The rules, with what is told otherwise of them."""
    return tuple(_told(rule, otherwise.get(rule.name)) for rule in rules)


def _told(rule: Rule, by: RuleLimits | None) -> Rule:
    given = {name: value for name, value in (by.model_dump() if by else {}).items() if value is not None}
    return replace(rule, **given)


def judge(
    state: State, observed: Observed, baseline: Baseline, rules: Sequence[Rule], now: Stamp, awake_s: float
) -> DivergenceDetected | None:
    """The first rule that fires, or None.

    Args:
        state: Folded as far as ``observed``.
        observed: What green has said since it owns the adapters.
        baseline: Blue's own hour.
        rules: See ``RULES``.
        now: The present, in the boot in which green lives.
        awake_s: How long we have been watching without a break: what was not seen while we slept counts for nothing.
    """
    for rule in rules:
        found = _FIGURES[rule.name](rule, _Case(state, observed, baseline, now, awake_s))
        if found is not None and found.measured > found.limit and found.sure:
            return DivergenceDetected(
                rule=rule.name,
                measured=round(found.measured, 3),
                limit=round(found.limit, 3),
                evidence=tuple(sorted(found.evidence)[-NAMED:]),
            )
    return None


@dataclass(frozen=True, slots=True)
class _Case:
    state: State
    observed: Observed
    baseline: Baseline
    now: Stamp
    awake_s: float

    def ago(self, mono_ns: int) -> float:
        return (self.now.mono_ns - mono_ns) / 1e9


@dataclass(frozen=True, slots=True)
class _Figure:
    """``sure`` is False where what was measured may be chance."""

    measured: float
    limit: float
    evidence: Sequence[int]
    sure: bool = True


def _samples(rule: Rule, case: _Case) -> _Figure | None:
    every = case.state.limits.sample_s
    window_s = rule.least * every
    if case.ago(case.observed.since_ns) < window_s or case.awake_s < window_s:
        return None
    taken = [s for s in case.observed.samples if case.ago(s.mono_ns) <= window_s]
    last = [s.seq for s in case.observed.samples[-1:]] or [case.observed.since]
    missing = 1.0 - min(1.0, len(taken) / rule.least)
    return _Figure(missing, rule.floor, [s.seq for s in taken] or last)


def _adapter(rule: Rule, case: _Case) -> _Figure | None:
    """The adapter that has been still for longest. One whose polls nobody sees counts 1 while it is connected."""
    worst: _Figure | None = None
    if not case.observed.samples:
        return None
    seen_s = case.ago(case.observed.samples[-1].mono_ns)  # what was not sampled since is for other rules to say
    for adapter in case.baseline.polls.keys() | case.observed.polls.keys():
        count = case.observed.polls.get(adapter)
        every = case.baseline.polls.get(adapter, 0.0)
        counted = every > 0 or (count is not None and count.top > 1)
        still_ns = max(count.grown_ns if count and counted else count.up_ns if count else 0, case.observed.since_ns)
        still_s = min(case.ago(still_ns), case.awake_s) - seen_s
        evidence = [count.grown, *(s.seq for s in case.observed.samples[-SHORT:])] if count else [case.observed.since]
        figure = _Figure(still_s, max(rule.floor, rule.factor * every), evidence)
        if worst is None or figure.measured - figure.limit > worst.measured - worst.limit:
            worst = figure
    return worst


def _errors(rule: Rule, case: _Case) -> _Figure | None:
    turns = list(case.observed.turns.finished)[-WINDOW:]
    failed = [turn.seq for turn in turns if turn.failed]
    if len(failed) < rule.least:
        return None
    before = case.baseline.turns
    limit = min(1.0, max(rule.floor, rule.factor * before.failed / before.count if before.count else 0.0))
    return _Figure(len(failed) / len(turns), limit, failed, _unlikely(len(failed), len(turns), limit))


def _slow(rule: Rule, case: _Case) -> _Figure | None:
    known = case.baseline.turns.count >= rule.least
    limit = max(rule.floor, rule.factor * case.baseline.turns.p95_s if known else UNKNOWN_S)
    open_ = [(seq, case.ago(mono_ns)) for seq, mono_ns in case.observed.turns.open.items()]
    turns = [(t.seq, t.took_s) for t in case.observed.turns.finished][-WINDOW:] + [t for t in open_ if t[1] > limit]
    slow = [seq for seq, took_s in turns if took_s > limit]
    if len(slow) < rule.least:
        return None
    p95 = percentile([took_s for _, took_s in turns], 1 - SPREAD)
    return _Figure(p95, limit, slow, _unlikely(len(slow), len(turns), SPREAD))


def _waiting(rule: Rule, case: _Case) -> _Figure | None:
    head, observed = case.state.head, case.observed
    busy = {head.messages[m].chat for turn in head.turns.values() for m in turn.messages if m in head.messages}
    free = [
        (observed.accepted.get(seq, observed.since_ns), seq)
        for seq, message in head.messages.items()
        if message.turn is None and message.due is None and message.chat not in busy
    ]
    if len(free) < rule.least:
        return None
    oldest_ns, seq = min(free)
    waited_s = min(case.ago(max(oldest_ns, observed.moved_ns, observed.since_ns)), case.awake_s)
    return _Figure(waited_s, max(rule.floor, rule.factor * case.baseline.waited_s), [seq])


def _memory(rule: Rule, case: _Case) -> _Figure | None:
    samples = case.observed.samples
    if case.observed.count < rule.least or len(samples) < SHORT:
        return None
    last = samples[-SHORT:]
    grown = min(s.health.rss_mb for s in last) - case.observed.first_rss_mb
    limit = max(rule.floor, rule.factor * case.baseline.grown_mb)
    return _Figure(grown, limit, [*case.observed.first, *(s.seq for s in last)])


def _loop(rule: Rule, case: _Case) -> _Figure | None:
    last = case.observed.samples[-rule.least :]
    if len(last) < rule.least:
        return None
    limit = max(rule.floor, rule.factor * case.baseline.lag_ms)
    return _Figure(median(s.health.loop_lag_ms for s in last), limit, [s.seq for s in last])


_FIGURES = {
    "samples": _samples,
    "adapter": _adapter,
    "errors": _errors,
    "slow": _slow,
    "waiting": _waiting,
    "memory": _memory,
    "loop": _loop,
}


def _unlikely(bad: int, of: int, share: float) -> bool:
    """Whether so many of so many would hardly come about, if each were bad with that probability."""
    tail = sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(bad, of + 1))
    return tail < CHANCE
