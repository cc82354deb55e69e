"""``demo``: what it needs, what it says, and when it counts as good. The demo itself runs in ``tests/e2e``."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks.cli import main
from gateway_hooks.commands.demo import KILL_PHASES, figures, interruptible
from gateway_hooks.demo import run as played
from gateway_hooks.demo.judge import judge
from gateway_hooks.demo.run import Messages, Options, Report
from replay.fold import State
from tests.unit.gateway_hooks.homes import parsed

GOOD = Report("complete", Messages(10, 10, 0, 0, 0), 4.7, 440.1, 152, "/somewhere/journal.db", 0)
Seen = list[tuple[Path, Options]]
Play = Callable[[Report], Seen]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Have the demo end with that report; what it was asked for is returned."""

    def ends_with(report: Report) -> Seen:
        seen: Seen = []

        async def run(folder: Path, options: Options, say: Any) -> Any:
            assert folder.is_dir()
            seen.append((folder, options))
            return report, judge([], []), State(), []

        monkeypatch.setattr(played, "run", run)
        return seen

    return ends_with


def test_its_object_holds_what_is_promised_and_no_more(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play(GOOD)
    assert main(["demo", "--json"]) == 0
    answer = parsed(capsys.readouterr().out)
    assert set(answer) == {"outcome", "messages", "gap_ms", "handoff_ms", "events", "journal"}
    assert set(answer["messages"]) == {"sent", "answered", "lost", "answered_twice", "ambiguous"}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (Messages(10, 9, 1, 0, 0), 1),
        (Messages(10, 10, 0, 1, 0), 1),
        (Messages(10, 9, 0, 0, 1), 0),
    ],
)
def test_it_is_good_only_when_nothing_was_lost_or_answered_twice(play: Play, messages: Messages, code: int) -> None:
    play(replace(GOOD, messages=messages))
    assert main(["demo"]) == code


def test_its_options_reach_the_run(play: Play, tmp_path: Path) -> None:
    seen = play(GOOD)
    words = ["--gateway", "reference", "--messages", "7", "--rate", "2.5", "--kill", "green@active", "--rollback"]
    assert main(["demo", *words, "--keep", str(tmp_path / "kept")]) == 0
    folder, options = seen[0]
    assert folder == tmp_path / "kept"
    assert (options.messages, options.rate, options.rollback_in_bake) == (7, 2.5, True)
    assert options.kill is not None
    assert (options.kill.side, options.kill.phase) == ("green", "active")


def test_its_folder_is_removed_unless_it_is_kept(play: Play, tmp_path: Path) -> None:
    seen = play(GOOD)
    main(["demo"])
    main(["demo", "--keep", str(tmp_path / "kept")])
    assert not seen[0][0].exists()
    assert seen[1][0].is_dir()


def test_a_folder_that_is_not_empty_is_left_alone(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = play(GOOD)
    (tmp_path / "precious").touch()
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert seen == []


def test_a_missing_aiohttp_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demo"]) == 3
    assert capsys.readouterr().err == (
        "handoff-journal: the demo needs aiohttp; pip install 'handoff-journal[reference]'\n"
    )


@pytest.mark.parametrize("lacking", ["hermes-agent", "python-telegram-bot"])
def test_a_missing_hermes_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    def version(distribution: str) -> str:
        if distribution == lacking:
            raise importlib.metadata.PackageNotFoundError
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["demo", "--gateway", "hermes"]) == 3
    assert capsys.readouterr().err == (
        f"handoff-journal: {lacking} is not installed here; pip install 'handoff-journal[reference]' "
        "hermes-agent==0.19.0 'python-telegram-bot[webhooks]'\n"
    )


def test_a_kill_names_a_side_and_a_phase_in_which_somebody_is_left() -> None:
    assert KILL_PHASES == ("init", "ack", "active", "baking")
    for word in ("green", "green@", "red@ack", "green@complete", "@ack"):
        assert main(["demo", "--kill", word]) == 2


def test_the_figures_name_what_must_not_be_and_leave_out_what_was_not() -> None:
    shown = "\n".join(figures(GOOD, {"unasked": 0, "out of order": 2}, kept=True))
    assert "10 sent, 10 answered" in shown
    assert "2 out of order" in shown
    assert "unasked" not in shown
    assert "4.7 ms in which nobody polled" in shown
    assert "/somewhere/journal.db" in shown


def test_a_plan_fits_any_number_of_messages() -> None:
    for messages in range(1, 30):
        assert len(played._plan(Options(messages=messages))) == messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_asked_to_end_ends_it_like_ctrl_c_with_its_clean_up(number: int) -> None:
    done = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        finally:
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interruptible(work()))
    assert done == ["cleaned up"]
