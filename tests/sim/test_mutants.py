"""What is broken on purpose is noticed: the quick ones here, all of them with ``python -m tests.sim.mutants``."""

from __future__ import annotations

import pytest

from tests.sim.mutants import caught

QUICK = (
    "the epoch is not checked",
    "the silent are settled and not ended",
    "blue hands over without pausing",
    "what was left waiting is never taken up",
    "whatever comes in is dispatched",
    "what the other side wrote is not read",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_product_that_is_broken_does_not_hold(name: str) -> None:
    assert caught(name, first=0, most=60)
