"""``promote --force`` against real gateways: one that is stopped, one that is dead, and one that is well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.hanging import unheard_s
from gateway_hooks.orders import Operator
from journal.events import HandoffFailed, HandoffRequested, Limits
from replay.check import check
from tests.e2e.test_front_door import Town, a_town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path) as found:
        yield found


def test_a_gateway_that_is_well_is_left_alone_though_its_last_sample_is_old(town: Town) -> None:
    limits = Limits(silent_s=0.5, init_s=0.5)  # of a handoff that came to nothing: what counts from now on
    with closing(Operator(town.rig.journal)) as operator:
        asked = HandoffRequested(handoff="h-0", runtime="same", bake_s=1.0, limits=limits)
        operator._say(asked, HandoffFailed(reason="fault"))
    system = town.rig.system
    town.until(
        lambda s: bool(s.samples.get("blue")) and unheard_s(s, system.now(), town.blue.boot) > 4 * limits.silent_s
    )
    code, _, err = town.type("promote", "--force", "--bake", "0s")
    assert code == 4, err
    assert "sign of life within 60.5 s" in err
    assert town.rig.system.probe(town.blue) == "running"
    assert [f["severity"] for f in town.ask("doctor")["findings"] if f["code"].startswith("gateway")] == ["ok"]


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
