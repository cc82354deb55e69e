"""What is broken on purpose is noticed: the quick ones here, all of them with ``make mutants``."""

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
    "who owns connects whoever polls",
    "who has lost the adapters goes on polling",
    "a decision counts though the phase has moved",
    "no digest is compared",
    "a second attempt is never the last",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_product_that_is_broken_does_not_hold(name: str) -> None:
    assert caught(name, first=0, most=60)
