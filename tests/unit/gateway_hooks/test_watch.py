"""``watch``, ``status --metrics`` and ``replay --step``: a screen of 80 columns, a strict text format, and a walk both ways."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_hooks.commands.metrics import exposition
from gateway_hooks.commands.status import describe
from gateway_hooks.commands.stepping import Step, line, screen, steps_of, turned, walk
from gateway_hooks.commands.writing import replace
from journal import events as e
from journal.errors import DiskTrouble
from journal.record import Stamp
from replay.timeline import read
from tests.builders import ACCOUNT
from tests.unit.gateway_hooks.homes import Home, a_home, parsed
from tests.unit.replay.histories import History


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with a_home(tmp_path) as made:
        yield made


# ------------------------------------------------------------------------------------------- watch


def test_the_screen_says_who_serves_how_both_feel_and_what_came_last(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.bake()
    assert home.run("watch", "--once") == 0
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 80
    assert len(shown) <= 30
    text = "\n".join(shown)
    for words in (
        "phase     baking",
        "owner     green, epoch 2",
        "ago: loop",
        "0 in the last minute",
        "last events",
        "HANDOFF_CONFIRM",
    ):
        assert words in text
    assert "\x1b" not in text


def test_the_screen_of_a_home_in_which_nobody_serves_is_no_trouble(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.run("watch", "--once") == 0
    assert "blue      nobody" in capsys.readouterr().out


def test_watch_in_json_is_the_status_with_rate_and_last_events(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    assert home.run("watch", "--json") == 0
    found = parsed(capsys.readouterr().out)
    assert found["phase"] == "baking"
    assert found["answered_in_the_last_minute"] == 0
    assert found["last"][-1]["type"] == "HANDOFF_CONFIRM"


# ------------------------------------------------------------------------------------------- metrics

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{([^}}]*)\}})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def strictly(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the text format as its description demands: HELP and TYPE once and first, no sample twice, groups together."""
    assert text.endswith("\n")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    kinds: dict[str, str] = {}
    last = ""
    for each in text.splitlines():
        if each.startswith("# HELP "):
            last = each.split(" ")[2]
            assert last not in found, f"{last} twice"
            found[last] = {}
        elif each.startswith("# TYPE "):
            _, _, name, kind = each.split(" ")
            assert name == last
            assert kind in ("gauge", "counter")
            assert (kind == "counter") == name.endswith("_total")
            kinds[name] = kind
        else:
            read_ = SAMPLE.fullmatch(each)
            assert read_, each
            name, inner, value = read_.groups()
            assert name == last
            assert name in kinds
            labels = LABEL.findall(inner or "")
            assert ",".join(f'{k}="{v}"' for k, v in labels) == (inner or "")
            assert len({k for k, _ in labels}) == len(labels)
            assert tuple(labels) not in found[name], each
            found[name][tuple(labels)] = float(value)
    return found


def test_the_metrics_are_read_by_a_strict_reader_and_say_what_status_says(home: Home, tmp_path: Path) -> None:
    home.bake()
    file = tmp_path / "handoff.prom"
    assert home.run("status", "--metrics", str(file)) == 0
    found = strictly(file.read_text())
    assert found["handoff_journal_phase"][(("phase", "baking"),)] == 1
    assert sum(found["handoff_journal_phase"].values()) == 1
    assert found["handoff_journal_owner"][(("side", "green"),)] == 1
    assert found["handoff_journal_epoch"][()] == 2
    assert found["handoff_journal_adapters_connected"] == {(("platform", "telegram"), ("side", "green")): 1.0}
    assert file.stat().st_mode & 0o777 == 0o644


def test_no_name_of_an_account_chat_or_process_becomes_a_label(home: Home, tmp_path: Path) -> None:
    home.bake()
    file = tmp_path / "handoff.prom"
    home.run("status", "--metrics", str(file))
    text = file.read_text()
    assert ACCOUNT not in text
    assert str(home.blue.pid) not in re.sub(r" \S+$", "", text, flags=re.MULTILINE)
    labels = {label for series in strictly(text).values() for key in series for label, _ in key}
    assert labels == {"phase", "side", "platform", "outcome"}


def test_every_metric_is_documented_and_nothing_else_is(home: Home, tmp_path: Path) -> None:
    home.bake()
    file = tmp_path / "handoff.prom"
    home.run("status", "--metrics", str(file))
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    assert set(re.findall(r"`(handoff_journal_\w+)", page)) == set(strictly(file.read_text()))


def test_the_metrics_of_an_empty_journal_are_read_too(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "handoff.prom"
    assert home.run("status", "--metrics", str(file)) == 0
    assert strictly(file.read_text())["handoff_journal_events"][()] == 0


def test_the_age_of_a_sample_from_another_boot_is_told_by_the_wall_clock(home: Home) -> None:
    state = home.bake().state()
    seen = state.samples["green"][-1].moment
    now = Stamp(seen.at_ns + 90_000_000_000, 5)
    found = strictly(exposition(state, describe(state, home.system), now, "another boot"))
    assert found["handoff_journal_sample_age_seconds"][(("side", "green"),)] == 90.0


def test_the_metrics_do_not_take_the_place_of_the_document_that_was_asked_for(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.bake()
    assert home.run("status", "--metrics", str(tmp_path / "x"), "--json") == 0
    assert parsed(capsys.readouterr().out)["phase"] == "baking"
    assert (tmp_path / "x").read_text()


def test_a_file_is_replaced_in_one_step_or_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "x"
    replace(file, "old")
    held = file.open()
    replace(file, "new \u00e4")
    assert (held.read(), file.read_text()) == ("old", "new \u00e4")
    held.close()
    with pytest.raises(UnicodeEncodeError):
        replace(file, "\ud800")
    assert file.read_text() == "new \u00e4"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(DiskTrouble):
        replace(tmp_path / "no" / "x", "")


def test_something_that_is_no_file_is_not_replaced(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.run("status", "--metrics", "/dev/null") == 2
    assert "/dev/null is no file" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- replay --step


def steps() -> list[Step]:
    history = History().rolled_back()
    return steps_of(history.records, read(history.records).select())


def test_a_walk_has_every_step_with_the_state_after_it() -> None:
    walked = steps()
    assert [step.record.type for step in walked][:3] == ["HANDOFF_REQUESTED", "GREEN_SPAWNED", "HANDOFF_INIT"]
    assert walked[-1].record.type == "ADAPTER_CONNECTED"
    assert [step.state.head.seq for step in walked] == [step.record.seq for step in walked]
    assert all(len(line(step)) <= 80 for step in walked)
    for at in range(len(walked)):
        shown = screen(walked, at).splitlines()
        assert max(map(len, shown)) <= 80
        assert len(shown) <= 24


def test_keys_lead_forwards_and_back_and_stop_at_the_ends() -> None:
    assert [turned(key, 3, 5) for key in ("n", " ", "\x1b[C", "b", "\x1b[D", "g", "G", "?", "q")] == [
        4,
        4,
        4,
        2,
        2,
        0,
        4,
        3,
        None,
    ]
    assert (turned("n", 4, 5), turned("b", 0, 5)) == (4, 0)


def test_a_person_walks_there_and_back_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.clear", lambda: None)
    keys = iter("nnbq")
    walk(steps(), lambda: next(keys))
    shown = re.findall(r"step (\d+) of", capsys.readouterr().out)
    assert shown == ["1", "2", "3", "2"]


def test_without_a_terminal_each_step_is_a_line(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    assert home.run("replay", "--step") == 0
    told = capsys.readouterr().out.splitlines()
    assert "HANDOFF_REQUESTED" in told[0]
    assert "baking       green" in told[-1]
    assert home.run("replay", "--step", "--check") == 2


def test_a_step_that_the_rules_want_is_never_left_out() -> None:
    history = History().baking()
    history.say(
        history.state.head.blue or e.Process(pid=1, started=1, boot="b"),
        e.HandoffRollback(phase="baking", reason="operator"),
    )
    walked = steps_of(history.records, read(history.records).select())
    assert walked[-1].record.type == "HANDOFF_ROLLBACK"
