"""A small herd; ``make soak-journal`` lets loose the whole one."""

from __future__ import annotations

from pathlib import Path

from tests.soak.herd import WOUNDS, run


def test_nothing_acknowledged_is_lost_or_doubled_whoever_is_killed_or_stopped(tmp_path: Path) -> None:
    outcome = run(tmp_path / "handoff", events=1500, wounds=3, seed=7)
    assert outcome.wrong == []
    assert outcome.killed >= 12
    assert {how for how, times in outcome.wounds.items() if times} >= set(WOUNDS), outcome.wounds
    assert outcome.acknowledged >= 6000 - outcome.killed
