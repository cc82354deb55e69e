"""Healthy greens under uneven load: real processes, many seeds, and limits that show a fault within seconds. No rule may fire.

``python -m tests.e2e.healthy --runs 200``; every run that is not as it should be is printed with its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gateway_hooks.demo.load import FIRST_CHAT, Item, Player, item
from gateway_hooks.demo.rig import Rig
from gateway_hooks.demo.run import LIMITS, _settled, _warm_up
from gateway_hooks.orders import Operator
from journal import events as e

BAKE_S = 6.0
BEFORE_S = 5.0
RULES = {
    "slow": e.RuleLimits(floor=1.0, least=4),
    "waiting": e.RuleLimits(floor=3.0),
    "adapter": e.RuleLimits(floor=3.0, factor=1.0),
    "memory": e.RuleLimits(floor=40.0),
    "loop": e.RuleLimits(floor=100.0, least=5),
    "samples": e.RuleLimits(least=8),
}
"""Limits that show within seconds what the defaults show within minutes."""
HEALTHY = {
    **RULES,
    "adapter": e.RuleLimits(floor=15.0),
    "slow": e.RuleLimits(floor=4.0, least=4),
    "waiting": e.RuleLimits(floor=10.0),
    "loop": e.RuleLimits(floor=300.0, least=5),
    "samples": e.RuleLimits(floor=0.85, least=8),
}
"""The same, but that a poll of a quiet bot lasts 10 s, a turn as long as its text asks for, and that a machine which is busy otherwise
is nobody's fault."""
PATIENT = LIMITS.model_copy(update={"silent_s": 15.0})


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a run."""

    seed: int
    outcome: str
    fired: str
    lost: int
    twice: int
    messages: int

    @property
    def good(self) -> bool:
        return self.outcome == "complete" and not (self.fired or self.lost or self.twice)


def uneven(seed: int, length_s: float) -> list[Item]:
    """Silences, trickles and bursts over a dozen chats, and turns that take up to a second."""
    dice, at_s = random.Random(seed), 0.5
    items: list[Item] = []
    while at_s < length_s:
        kind = dice.choice(["silence", "trickle", "trickle", "burst"])
        if kind == "silence":
            at_s += dice.uniform(1.0, 4.0)
        for _ in range({"silence": 0, "trickle": 4, "burst": 20}[kind]):
            at_s += dice.uniform(0.2, 0.8) if kind == "trickle" else dice.uniform(0.0, 0.05)
            chat, slow_s = FIRST_CHAT + dice.randrange(12), dice.choice([None, None, None, 0.3, 1.0])
            items.append(
                item(at_s, chat, f"m{len(items) + 1}", "slow" if slow_s else "plain", slow_s=slow_s, dice=dice)
            )
    return items


async def run_one(folder: Path, seed: int) -> Told:
    """One handoff to the same program, through its bake."""
    rig = Rig(folder, "reference")
    async with rig:
        blue = rig.start()
        await rig.until(lambda s: s.head.owning == blue and bool(s.head.connected), "blue serves", timeout_s=60)
        await _warm_up(rig)
        player = Player(rig.bot.say)
        playing = asyncio.create_task(player.play(uneven(seed, BEFORE_S + BAKE_S + 2.0)))
        await asyncio.sleep(BEFORE_S)
        operator = Operator(rig.journal)
        try:
            operator.promote("same", BAKE_S, PATIENT, e.HandoffTerms(rules=HEALTHY))
        finally:
            operator.close()
        state = await rig.until(lambda s: not s.head.open, "the handoff ends", timeout_s=120)
        await playing
        verdict = await _settled(rig, 0, timeout_s=60)
        fired = state.divergence[1].model_dump_json() if state.divergence else ""
        reason = f" ({state.rollback.reason})" if state.rollback else ""
        lost, twice = len(verdict.lost), len(verdict.answered_twice)
        return Told(seed, state.head.phase + reason, fired, lost, twice, len(player.said))


async def _all(runs: int, first: int, at_once: int) -> list[Told]:
    free = asyncio.Semaphore(at_once)
    told: list[Told] = []

    async def one(seed: int) -> None:
        async with free:
            with tempfile.TemporaryDirectory() as folder:
                told.append(await run_one(Path(folder), seed))
            if not told[-1].good:
                print(told[-1], flush=True)
            if len(told) % 20 == 0:
                print(f"{len(told)} runs", flush=True)

    await asyncio.gather(*(one(seed) for seed in range(first, first + runs)))
    return told


def main() -> int:
    """Run them; 1 when one was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--at-once", type=int, default=3)
    given = parser.parse_args()
    told = asyncio.run(_all(given.runs, given.first, given.at_once))
    bad = [t for t in told if not t.good]
    print(f"{len(told)} runs, {sum(t.messages for t in told)} messages: {dict(Counter(t.outcome for t in told))},")
    print(
        f"{sum(bool(t.fired) for t in told)} rules fired, {sum(t.lost for t in told)} lost, {len(bad)} not as they should be"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
