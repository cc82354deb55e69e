"""``status``: the screen and the object, for each place in which a handoff can be."""

from __future__ import annotations

import pytest

from gateway_hooks.commands.status import SIDES, describe, lines
from journal import events as e
from replay.fold import State
from replay.times import brief_span as span
from tests.unit.gateway_hooks.homes import Home, parsed


def screen(home: Home, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert home.run("status") == 0
    return {line[:10].strip(): line[10:] for line in capsys.readouterr().out.splitlines()}


def test_an_empty_journal_says_that_nobody_serves(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    shown = screen(home, capsys)
    assert shown["phase"] == "idle"
    assert (shown["blue"], shown["green"], shown["adapters"]) == ("nobody", "nobody", "none connected")
    assert shown["handoff"] == "none yet"


def test_a_serving_gateway_is_named_with_its_runtime(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    shown = screen(home, capsys)
    assert shown["owner"] == "blue, epoch 1"
    assert shown["blue"] == f"process {home.blue.pid}, running, reference 1, runtime same"
    assert shown["adapters"] == "telegram:a_0000000000000000 with blue"
    assert shown["journal"] == f"{home.folder / 'journal.db'}, 3 events"


def test_the_bake_shows_both_sides_and_its_length(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    shown = screen(home, capsys)
    assert shown["phase"].startswith("baking, for 0.")
    assert shown["phase"].endswith("of 60 min")
    assert shown["owner"] == "green, epoch 2"
    assert shown["green"].startswith(f"process {home.green.pid}, running")
    assert shown["handoff"] == "h-1 open"


def test_a_bake_that_waits_for_somebodys_word_says_how_long_it_will(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve().request()
    home.say(home.system.me(), e.HandoffTerms(confirm_within_s=600.0))
    home.come_to_bake()
    assert screen(home, capsys)["phase"].endswith(" of 60 min; rolls back in 10 min unless confirmed")
    home.say(home.system.me(), e.BakeConfirmed())
    assert screen(home, capsys)["phase"].endswith(" of 60 min")


def test_a_side_that_is_stopped_or_dead_is_shown_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    home.freeze(home.blue)
    home.system.end(home.green)
    shown = screen(home, capsys)
    assert shown["blue"].startswith(f"process {home.blue.pid}, stopped")
    assert shown["green"].startswith(f"process {home.green.pid}, dead")


def test_the_last_outcome_is_told_with_its_reason_and_evidence(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    seq = home.state().head.seq
    home.say(home.blue, e.HandoffRollback(phase="baking", reason="green_silent", detail="5 s", evidence=(seq,)))
    assert screen(home, capsys)["handoff"] == f"h-1 open: green_silent (5 s), see seq {seq}"
    home.say(home.green, e.ProcessLost(side="blue", process=home.blue, how="died"))
    assert home.state().head.phase == "rolling_back"


def test_a_request_that_came_to_nothing_is_told_as_failed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().request()
    home.say(home.blue, e.HandoffFailed(reason="preflight", detail="no room"))
    assert screen(home, capsys)["handoff"] == "h-1 failed: preflight (no room)"


def test_the_object_holds_what_the_screen_shows(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    assert home.run("status", "--json") == 0
    found = parsed(capsys.readouterr().out)
    expected = describe(home.state(), home.system)
    assert {**found, "phase_s": 0} == {**expected, "phase_s": 0, "journal": str(home.folder / "journal.db")}
    assert found["turns"] == dict.fromkeys(SIDES, 0)


def test_every_phase_has_a_screen(home: Home) -> None:
    states = [State()]
    home.serve()
    states.append(home.state())
    home.request()
    states.append(home.state())
    for state in states:
        assert len(lines({**describe(state, home.system), "journal": "j"})) == 9


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.4, "12 s"), (600, "10 min"), (86400, "24 h"), (5400, "90 min")]
)
def test_a_time_is_written_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text
