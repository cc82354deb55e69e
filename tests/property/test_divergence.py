"""The rules over made-up days: none fires over a green that is like blue, however uneven the load; each fires over its own fault.

``make healthy`` runs thousands of them; a failure prints the seed.
"""

from __future__ import annotations

import os

import pytest

from tests.property.days import FAULTS, Day

DAYS = int(os.environ.get("HEALTHY_DAYS", "120"))
FAULTY = max(3, DAYS // 60)


def test_no_rule_fires_over_a_green_that_is_like_blue() -> None:
    fired = {seed: day.fired for seed in range(DAYS) if (day := Day(seed)).fired}
    assert not fired, f"of {DAYS} days, by seed: {fired}"


@pytest.mark.parametrize("fault", FAULTS)
def test_each_rule_fires_over_its_own_fault(fault: str) -> None:
    missed = {}
    for seed in range(1000, 1000 + FAULTY):
        day = Day(seed, fault=fault, green_s=3600.0)
        if day.fired is None or day.fired[1].rule != fault:
            missed[seed] = day.fired
    assert not missed, f"of {FAULTY} days, by seed: {missed}"
