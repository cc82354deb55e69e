"""``resume``: what it finds, what it does about it, and that a second time there is nothing left to do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks import resuming
from gateway_hooks.kept import lock
from journal import events as e
from journal.errors import Busy
from journal.store import Reader
from replay.check import check
from tests.builders import Child, health
from tests.unit.gateway_hooks.homes import Home, a_home, settled_first, stopped_with_the_gate


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with a_home(tmp_path) as found:
        yield found


def resumed(home: Home, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Exit code and answer."""
    capsys.readouterr()
    code = home.run("resume", "--json")
    return code, json.loads(capsys.readouterr().out)


def deeds(home: Home, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What it does, in the order in which it does it; the second time nothing, and the record stays as it is."""
    before = home.state().head.seq
    _, first = resumed(home, capsys)
    seq = home.state().head.seq
    _, second = resumed(home, capsys)
    assert second["did"] == []
    assert home.state().head.seq == seq
    assert second["start"] == first["start"]
    reader = Reader(home.folder / "journal.db")
    assert check(reader.all()).within(before + 1, seq).differences == ()
    reader.close()
    return [deed["what"] for deed in first["did"]]


def test_a_gateway_that_serves_is_left_alone(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert deeds(home.serve(), capsys) == []
    assert resumed(home, capsys)[0] == 0


def test_a_handoff_whose_sides_live_is_left_alone(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert deeds(home.bake(), capsys) == []
    assert home.state().head.phase == "baking"


def test_a_request_whose_gateway_died_is_withdrawn(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().request().system.end(home.blue)
    assert deeds(home, capsys) == [f"settled blue, process {home.blue.pid}", "HANDOFF_FAILED"]
    code, answer = resumed(home, capsys)
    assert (code, answer["start"]) == (1, {"side": "blue", "runtime": "same"})


def test_a_stopped_gateway_is_ended_once_it_was_stopped_for_long(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve().request(frozen_s=0.2).freeze(home.blue)
    assert deeds(home, capsys) == [f"ended blue, process {home.blue.pid}", "HANDOFF_FAILED"]
    assert home.system.probe(home.blue) == "dead"


def test_one_that_was_stopped_with_the_gate_in_its_hands_is_ended_before_anything_else(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "WORD_S", 0.5)
    with stopped_with_the_gate(home, phase="requested") as blue:
        assert deeds(home, capsys) == [f"ended blue, process {blue.pid}", "HANDOFF_FAILED"]
    assert [loss.how for loss in home.state().losses] == ["ended_stopped"]


def test_a_holder_of_the_gate_that_is_merely_slow_is_left_alone_and_named(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "WORD_S", 0.1)
    with stopped_with_the_gate(home) as blue:
        home.system.send(blue, signal.SIGCONT)
        os.waitid(os.P_PID, blue.pid, os.WCONTINUED | os.WNOWAIT)
        assert home.run("resume") == 75
        assert f"held by process {blue.pid}" in capsys.readouterr().err
        assert home.system.probe(blue) == "running"


@pytest.mark.parametrize("late", [True, False])
def test_a_request_that_its_gateway_has_not_taken_up_in_time_is_withdrawn(
    home: Home, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    home.serve().request(requested_s=0.0 if late else 600.0)
    assert deeds(home, capsys) == (["HANDOFF_FAILED"] if late else [])
    assert home.state().head.phase == ("failed" if late else "requested")
    assert resumed(home, capsys)[0] == 0


def test_a_stopped_owner_is_ended_though_the_other_side_still_finishes_its_turns(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has handed over judges nobody."""
    seq = home.serve().request(silent_s=0.2).come_to_bake().say(home.green, health())
    home.say(home.blue, e.HandoffComplete(sample=seq))
    home.freeze(home.green)
    assert deeds(home, capsys) == [f"ended green, process {home.green.pid}"]
    code, answer = resumed(home, capsys)
    assert (code, answer["start"]["side"]) == (1, "green")


def test_both_dead_before_the_bake_is_undone(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().request()
    home.say(home.blue, e.GreenSpawned(green=home.green), e.HandoffInit(green=home.green))
    home.system.end(home.blue)
    home.system.end(home.green)
    assert deeds(home, capsys)[-1] == "HANDOFF_ROLLBACK"
    assert home.state().head.phase == "rolling_back"
    assert resumed(home, capsys)[1]["start"]["side"] == "blue"


def test_both_dead_in_the_bake_is_left_to_greens_runtime(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake().system.end(home.blue)
    home.system.end(home.green)
    assert len(deeds(home, capsys)) == 2
    assert home.state().head.phase == "baking"
    assert resumed(home, capsys)[1]["start"]["side"] == "green"


@pytest.mark.parametrize("how", ["died", "ended_silent"])
def test_somebody_who_settles_the_dead_in_that_very_moment_does_not_disturb_it(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    home.serve().hold("1")
    home.system.end(home.blue)
    settled_first(home, monkeypatch, how)
    code, answer = resumed(home, capsys)
    assert (code, answer["start"]["side"]) == (1, "blue")
    assert home.state().settled == {"ambiguous": 1}


def test_with_a_keeper_somebody_is_about_to_start(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().system.end(home.blue)
    held = lock(home.folder)
    assert held is not None
    try:
        code, answer = resumed(home, capsys)
        assert (code, answer["keeper"]) == (0, os.getpid())
        with pytest.raises(Busy):
            lock(home.folder)
    finally:
        os.close(held)


_KEEPS = """
import sys; from pathlib import Path; from gateway_hooks.kept import lock
fd = lock(Path(sys.argv[1])); print("up", flush=True); input()
"""


def test_a_keeper_that_is_stopped_starts_nobody(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().system.end(home.blue)
    with Child(_KEEPS, str(home.folder)) as child:
        assert child.line() == "up"
        keeper = home.system.identify(child.pid)
        assert keeper is not None
        assert resumed(home, capsys)[0] == 0
        home.freeze(keeper)
        code, answer = resumed(home, capsys)
        assert (code, answer["keeper"], answer["start"]["side"]) == (1, None, "blue")
        home.run("resume")
        assert f"its keeper, process {child.pid}, is stopped: kill -CONT {child.pid}" in capsys.readouterr().out
        home.system.end(keeper)


def test_a_green_that_serves_on_until_blue_is_there_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake().say(home.system.me(), e.HandoffRollback(phase="baking", reason="operator"))
    home.system.end(home.blue)
    assert home.run("resume") == 1
    out = capsys.readouterr().out
    assert "nobody serves" not in out
    assert "green serves on until blue was started (runtime same): handoff-journal run -- COMMAND" in out


def test_it_is_said_in_words_too(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake().system.end(home.blue)
    home.run("resume")
    out = capsys.readouterr().out
    assert "phase baking; blue: is dead, green: runs" in out
    assert "goes on by itself" in out
