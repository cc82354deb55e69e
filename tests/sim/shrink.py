"""Make a failing run's list of faults as short as it can be."""

from __future__ import annotations

from collections.abc import Sequence

from tests.sim.faults import Fault
from tests.sim.simulation import Simulation


def shrunk(seed: int, faults: Sequence[Fault]) -> list[Fault]:
    """The faults without those that the failure does not need; one by one, until none can be spared."""
    kept = list(faults)
    changed = True
    while changed:
        changed = False
        for fault in list(kept):
            fewer = [f for f in kept if f is not fault]
            if Simulation(seed, fewer).run():
                kept, changed = fewer, True
    return kept
