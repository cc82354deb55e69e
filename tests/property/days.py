"""Hours of a made-up gateway from a seed: blue's hour, then green's time, with uneven load and with what a fault would make of it.

No law and no store: only what the rules of divergence read. Times are seconds; 0 is the handoff.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from pydantic_core import to_json

from journal import events as e
from journal.events import Process
from journal.record import Record, Stamp
from replay.baseline import Baseline, baseline
from replay.diverge import RULES, judge, told
from replay.fold import State, fold
from replay.observe import Observed
from tests.builders import ACCOUNT, BLUE, DIGEST, GREEN, SESSION

HOUR_S = 3600.0
ADAPTER = f"telegram:{ACCOUNT}"
FAULTS = ("samples", "adapter", "errors", "slow", "waiting", "memory", "loop")


@dataclass(frozen=True, slots=True)
class Habits:
    """What a gateway is like, drawn once: messages a minute at its quietest and at its busiest, how long turns take (the middle and
    the spread of a lognormal), how many fail, its memory and how it wanders, its loop's lag."""

    quiet: float
    busy: float
    middle_s: float
    spread: float
    fails: float
    rss_mb: float
    wander_mb: float
    lag_ms: float

    @classmethod
    def drawn(cls, dice: random.Random) -> Habits:
        return cls(
            dice.choice([0.0, 0.1, 1.0]), dice.choice([0.5, 5.0, 20.0]), dice.uniform(0.5, 8.0), dice.uniform(0.2, 1.0),
            dice.choice([0.0, 0.0, 0.01, 0.05]), dice.uniform(80, 900), dice.uniform(0, 60), dice.uniform(0.2, 20.0),
        )  # fmt: skip


class Day:
    """``fired`` is what the rules said of green and when, in seconds after the handoff; None when they said nothing."""

    def __init__(self, seed: int, *, green_s: float = 1200.0, fault: str = "") -> None:
        self._dice = random.Random(seed)
        self._habits = Habits.drawn(self._dice)
        if fault:  # a fault of turns shows only where there are turns
            self._habits = replace(self._habits, quiet=2.0, busy=10.0)
        self._fault = fault
        self._seqs = count(1)
        before = list(self._said(BLUE, -HOUR_S, 0.0, sample_s=60.0))
        self.baseline: Baseline = baseline(before)
        self.fired: tuple[float, e.DivergenceDetected] | None = None
        self._watch(green_s)

    def _watch(self, green_s: float) -> None:
        request = self._record(0.0, GREEN, e.HandoffRequested(handoff="h", runtime="next", bake_s=3600.0))
        state, observed, asked_s = fold([request], State()), Observed(GREEN, request.seq, request.mono_ns), 0.0
        fresh: list[Record] = []
        for record in self._said(GREEN, 0.0, green_s, sample_s=5.0):
            fresh.append(record)
            observed.move(record)
            now_s = (record.mono_ns - _mono_ns(0.0)) / 1e9
            if now_s - asked_s >= 10.0:
                state, fresh, asked_s = fold(fresh, state), [], now_s
                now = Stamp(record.at_ns, record.mono_ns)
                found = judge(state, observed, self.baseline, told(RULES, {}), now, awake_s=float("inf"))
                if found is not None:
                    self.fired = (now_s, found)
                    return

    def _said(self, who: Process, from_s: float, to_s: float, *, sample_s: float) -> Iterator[Record]:
        """Everything that this process says, in order."""
        faulty = self._fault if who == GREEN else ""
        dice, habits = self._dice, self._habits
        queue: list[tuple[float, int, str, int]] = []
        order = count()

        def later(at_s: float, what: str, about: int = 0) -> None:
            heapq.heappush(queue, (at_s, next(order), what, about))

        later(from_s, "load")
        later(from_s + dice.uniform(0, 1), "sample")
        rate, polls, answered, errors, rss = 0.0, 0, 0, 0, habits.rss_mb
        chats: dict[int, int] = {}
        busy: set[int] = set()
        waiting: dict[int, list[int]] = {}
        held_by: dict[int, list[int]] = {}
        while queue and (at_s := queue[0][0]) < to_s:
            at_s, _, what, about = heapq.heappop(queue)
            if what == "load":  # every few minutes another rate, and sometimes a burst
                rate = dice.choice([habits.quiet, habits.quiet, dice.uniform(habits.quiet, habits.busy), habits.busy])
                later(at_s + dice.uniform(60, 600), "load")
                for n in range(dice.choice([0, 0, 0, 15])):
                    later(at_s + n * dice.uniform(0.02, 1.0), "message")
                if rate and not any(w == "next" for _, _, w, _ in queue):
                    later(at_s + dice.expovariate(rate / 60), "next")
            elif what == "next":
                later(at_s, "message")
                if rate:
                    later(at_s + dice.expovariate(rate / 60), "next")
            elif what == "message":
                chat = dice.randrange(8)
                record = self._record(at_s, who, _accepted(chat))
                yield record
                chats[record.seq] = chat
                waiting.setdefault(chat, []).append(record.seq)
                polls += 0 if faulty == "adapter" else 1
                if chat not in busy and faulty != "waiting":
                    busy.add(chat)
                    later(at_s + 0.2, "start", chat)
            elif what == "start":
                held = waiting.pop(about, [])
                record = self._record(at_s, who, e.TurnStarted(messages=tuple(held), session=SESSION))
                yield record
                took_s = min(900.0, dice.lognormvariate(0, habits.spread) * habits.middle_s)
                took_s += 200.0 + self.baseline.turns.p95_s * 4 if faulty == "slow" else 0.0
                later(at_s + took_s, "finish", record.seq)
                chats[record.seq], held_by[record.seq] = about, held
            elif what == "finish":
                failed = dice.random() < (0.9 if faulty == "errors" else habits.fails)
                answered, errors = answered + (not failed), errors + failed
                yield self._record(
                    at_s, who, e.TurnFinished(turn=about, outcome="failed" if failed else "answered")
                )  # fmt: skip
                for message in held_by.pop(about):
                    yield self._record(at_s, who, e.MessageSettled(message=message, outcome="answered", turn=about))
                busy.discard(chats[about])
                if waiting.get(chats[about]):
                    busy.add(chats[about])
                    later(at_s + 0.2, "start", chats[about])
            else:
                later(at_s + sample_s + dice.uniform(0.0, 0.3), "sample")
                polls += 0 if faulty == "adapter" else int(at_s // 10) - int((at_s - sample_s) // 10)
                rss = max(50.0, rss + dice.uniform(-1, 1) * habits.wander_mb / 10)
                rss += 60.0 if faulty == "memory" else 0.0
                lag = dice.expovariate(1 / habits.lag_ms) if dice.random() < 0.97 else dice.uniform(0, 3000)
                lag += 3000.0 if faulty == "loop" else 0.0
                missed = dice.random() < (0.9 if faulty == "samples" else 0.05)
                if not missed:
                    yield self._record(
                        at_s, who,
                        e.HealthSampled(
                            loop_lag_ms=lag, turns=len(busy), waiting=0, answered=answered, errors=errors, rss_mb=rss,
                            polls={ADAPTER: polls},
                        ),
                    )  # fmt: skip

    def _record(self, at_s: float, who: Process, event: e.Event) -> Record:
        seq, role = next(self._seqs), "blue" if who == BLUE else "green"
        return Record(
            seq, "h", event.TYPE, event.V, role, who, 1, _mono_ns(at_s), _mono_ns(at_s), None, None,  # type: ignore[arg-type]
            to_json(event).decode(), b"", b"",
        )  # fmt: skip


def _mono_ns(at_s: float) -> int:
    return round((at_s + 100_000.0) * 1e9)


def _accepted(chat: int) -> e.MessageAccepted:
    return e.MessageAccepted(
        platform="telegram", account=ACCOUNT, chat=f"c_{chat:016x}", kind="text", update_id="1", digest=DIGEST
    )
