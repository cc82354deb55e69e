"""Fresh seeds, every time: whatever dies, freezes, fills up or comes late, everything in DESIGN's promises holds."""

from __future__ import annotations

import os
from collections import Counter

from tests.sim.faults import Fault
from tests.sim.shrink import shrunk
from tests.sim.simulation import Simulation

SEEDS = 200


def test_fresh_seeds_hold_whatever_goes_wrong() -> None:
    first = int.from_bytes(os.urandom(4), "big")
    print(f"seeds {first} to {first + SEEDS - 1}")
    injected: Counter[str] = Counter()
    for seed in range(first, first + SEEDS):
        sim = Simulation(seed)
        bad = sim.run()
        injected += sim.injected
        if bad:
            needed = "\n  ".join(fault.told() for fault in shrunk(seed, sim.plan))
            raise AssertionError(f"seed {seed}: {bad[0]}\nmake simulate SEED={seed}; it needs\n  {needed}")
    print(dict(injected))
    assert injected["kill"] > SEEDS / 10
    assert injected["promote"] >= SEEDS / 2


def test_a_seed_gives_the_same_run_every_time() -> None:
    first, second = Simulation(11), Simulation(11)
    assert first.run() == second.run() == []
    assert first.lines == second.lines
    assert [r.hash for r in first.disk.records] == [r.hash for r in second.disk.records]


def test_without_faults_every_handoff_completes() -> None:
    for seed in range(20):
        sim = Simulation(seed, [Fault("promote", at_s=1.0)])
        assert sim.run() == []
        assert [r.type for r in sim.disk.records].count("HANDOFF_COMPLETE") == 1, seed
