"""``promote --force`` against real gateways: one that is stopped, one that is dead, and one that is well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.check import check
from tests.e2e.test_front_door import Town, a_town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path) as found:
        yield found


def test_a_stopped_gateway_is_ended_and_taken_over(town: Town) -> None:
    code, _, err = town.type("promote", "--force", "--bake", "0s")
    assert code == 4, "it is well"
    assert "sign of life" in err
    town.freeze_blue()
    code, out, err = town.type("promote", "--force", "--bake", "0s")
    assert code == 0, (out, err)
    state = town.until(lambda s: s.head.phase == "complete")
    assert state.head.owning not in (None, town.blue)
    assert town.rig.system.probe(town.blue) == "dead"
    assert [r.body for r in town.records() if r.type == "HANDOFF_SEIZED"] == ['{"reason":"lost"}']
    assert check(town.records()).differences == ()


def test_a_dead_gateway_is_taken_over_by_a_command_that_is_named(town: Town) -> None:
    town.rig.system.end(town.blue)
    code, _, err = town.type("promote", "--force", "--bake", "0s")
    assert code == 3
    assert "promote --force -- COMMAND" in err
    code, out, err = town.type("promote", "--force", "--bake", "0s", "--", *town.rig.command()[0])
    assert code == 0, (out, err)
    assert town.until(lambda s: s.head.phase == "complete").head.owning not in (None, town.blue)
    assert check(town.records()).differences == ()
