"""The front door itself: options before and after, errors as one line, commands imported when asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway_hooks import cli
from gateway_hooks.cli import COMMANDS, group, main
from gateway_hooks.commands.shared import Given, Place
from tests.builders import ROOT, WAIT_S
from tests.unit.gateway_hooks.homes import Home, parsed

HEAVY = {"watchdog", "sqlite_utils", "aiohttp", "rich", "ruamel", "asyncio"}

ODD = (
    ["status", "--home", ""],
    ["--home", "", "status"],
    ["install", "--home", ""],
    ["verify", "--journal", ""],
    ["log", "--since", "99999999999999999999"],
    ["log", "--since", "9" * 5000],
    ["log", "--since", str(2**63)],
    ["promote", "--force", "--dry-run"],
)


def typed(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        check=False,
    )


def test_the_common_options_count_before_and_after_the_command(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    assert main(["--home", str(home.path), "--json", "status"]) == 0
    before = parsed(capsys.readouterr().out)
    assert main(["status", "--home", str(home.path), "--json"]) == 0
    after = parsed(capsys.readouterr().out)
    assert before["owner"] == after["owner"] == "blue"


def test_an_option_counts_for_more_than_the_variable_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_HOME", "/elsewhere")
    assert Given().place().home == Path("/elsewhere")
    assert Given().over(Given(home=tmp_path)).place().home == tmp_path
    assert Given(home=tmp_path).over(Given(home=Path("/other"))).place().home == tmp_path


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_is_one_that_is_not_set_as_for_hermes(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("HERMES_HOME", empty)
    assert Given().place().home == Path("~/.hermes").expanduser()


def test_a_journal_named_by_its_file_lies_in_the_home_above_it(tmp_path: Path) -> None:
    place = Given(journal=tmp_path / "handoff" / "journal.db").place()
    assert (place.home, place.folder) == (tmp_path, tmp_path / "handoff")
    assert Given(journal=tmp_path / "copy.db").place() == Place(tmp_path, tmp_path, tmp_path / "copy.db")


def test_an_error_is_one_line_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--home", str(tmp_path / "nowhere")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("handoff-journal: there is no folder")
    assert err.count("\n") == 1


def test_an_error_with_json_is_one_object_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "status", "--home", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    error = json.loads(err)
    assert (error["error"], error["exit_code"]) == ("NoJournal", 3)
    assert "no journal at" in error["message"]
    assert "install" in error["hint"]


def test_wrong_usage_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["status", "--colour"],
        ["dance"],
        ["promote", "--bake", "soon"],
        ["demo", "--kill", "red@ack"],
        *ODD,
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("handoff-journal: ")
        assert err.count("\n") == 1
        assert "--help" in err


def test_the_unexpected_is_one_line_and_says_how_to_see_more(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command("status")
    @click.option("--home")
    def broken(home: str) -> None:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    assert home.run("status") == 1
    _, err = capsys.readouterr()
    assert err == (
        "handoff-journal: unexpected ZeroDivisionError: by nought; set HANDOFF_JOURNAL_DEBUG=1 to see where\n"
    )
    monkeypatch.setenv("HANDOFF_JOURNAL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        home.run("status")


def test_a_reader_that_has_seen_enough_is_met_with_silence(home: Home) -> None:
    home.serve()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "gateway_hooks.cli", "status", "--home", str(home.path)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status",), 74, "handoff-journal: there is no stdout to answer on; "),
        (("status", "--json"), 74, '{"error": "DiskTrouble"'),
        (("--help",), 74, "handoff-journal: there is no stdout to answer on; "),
        (("run", "--", sys.executable, "-c", ""), 0, ""),
    ],
)
def test_without_a_stdout_whoever_answers_says_so_and_whoever_says_nothing_goes_on(
    home: Home, words: tuple[str, ...], code: int, said: str
) -> None:
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            'exec "$@" >&-',
            "sh",
            sys.executable,
            "-m",
            "gateway_hooks.cli",
            "--home",
            str(home.path),
            *words,
        ],
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "WARNING" not in line]
    assert (done.returncode, len(told)) == (code, 1 if said else 0), done.stderr
    assert "".join(told).startswith(said)


def test_status_imports_nothing_heavy(home: Home) -> None:
    home.serve()
    code = (
        "import sys; from gateway_hooks.cli import main; "
        f"code = main(['status', '--home', {str(home.path)!r}]); "
        "print(code, *sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    words = typed("-c", code).stderr.split()
    assert words[0] == "0"
    assert HEAVY.isdisjoint(words)


def test_a_command_is_imported_only_when_it_is_asked_for() -> None:
    code = "import sys, gateway_hooks.cli; print(*[m for m in sys.modules if m.startswith('gateway_hooks.commands.')])"
    assert typed("-c", code).stdout.split() == ["gateway_hooks.commands.shared"]


def test_every_command_is_there_and_takes_the_common_options() -> None:
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
        assert {"home", "journal", "as_json"} <= {p.name for p in command.params}


def test_without_a_command_the_help_is_shown_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err
