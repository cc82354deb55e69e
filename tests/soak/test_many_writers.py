"""A small herd; ``make soak-journal`` lets loose the whole one."""

from __future__ import annotations

from pathlib import Path

from tests.soak.herd import run


def test_nothing_acknowledged_is_lost_or_doubled_whoever_is_killed_or_stopped(tmp_path: Path) -> None:
    outcome = run(tmp_path / "handoff", events=1500, wounds=3, seed=7)
    assert outcome.wrong == []
    assert outcome.killed >= 12
    assert outcome.stopped >= 1
    assert outcome.acknowledged >= 6000 - outcome.killed
    assert all(outcome.checkpoints.values()), outcome.checkpoints
