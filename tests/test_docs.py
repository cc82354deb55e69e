"""The reference pages say what the code does: every command, option and default, every exit code, every key of every answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gateway_hooks.cli import COMMANDS, group, main
from gateway_hooks.demo.run import Options, run
from journal import errors
from journal.errors import HandoffError
from tests.builders import ROOT
from tests.unit.gateway_hooks.homes import Home, a_home

CLI = ROOT / "docs" / "cli.md"
ANSWERS = ROOT / "docs" / "json-output.md"
COMMON = {"home", "journal", "as_json", "help"}


def sections(page: Path) -> dict[str, str]:
    """The text below each ``##`` heading."""
    parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)[1:]
    return {heading.strip(): text for heading, text in zip(parts[::2], parts[1::2], strict=True)}


# ------------------------------------------------------------------------------------------- docs/cli.md


def option_rows(command: click.Command) -> list[str]:
    """A row for each of a command's own options."""
    return [_row(p) for p in command.params if isinstance(p, click.Option) and p.name not in COMMON]


def _row(option: click.Option) -> str:
    context = click.Context(click.Command("any"))
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else f" `{_metavar(option, context)}`".replace("|", "\\|")
    default = option.get_default(context, call=False)
    plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    if option.secondary_opts:
        default, plain = (option.opts if default else option.secondary_opts)[0], True
    said = f" Default: `{default}`." if plain and (option.secondary_opts or not option.is_flag) else ""
    return f"| {names}{takes} | {(option.help or '').replace('|', chr(92) + '|')}{said} |"


def _metavar(option: click.Option, context: click.Context) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return {"integer range": "N", "float range": "N"}.get(option.type.name, option.type.name.upper())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_cli_reference_lists_every_option_of_a_command_as_it_is(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    text = sections(CLI)[name]
    listed = [line for line in text.splitlines() if line.startswith("| `-")]
    assert listed == option_rows(command)
    assert (command.help or "").splitlines()[0] in text


def test_the_cli_reference_has_a_section_for_each_command_and_for_nothing_else() -> None:
    assert [s for s in sections(CLI) if s[0].islower()] == list(COMMANDS)


def test_the_common_options_are_listed() -> None:
    common = [p for p in group.params if p.name in COMMON and isinstance(p, click.Option) and p.name != "help"]
    listed = [line for line in sections(CLI)["Every command"].splitlines() if line.startswith("| `-")]
    assert listed == [_row(p) for p in common]


def test_the_exit_codes_are_those_of_the_error_tree() -> None:
    rows = re.findall(r"^\| (\d+) \|", sections(CLI)["Exit codes"], flags=re.MULTILINE)
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, HandoffError)]
    assert {int(code) for code in rows} == {0, 2, 130, 141} | {k.exit_code for k in kinds}


# ------------------------------------------------------------------------------------------- docs/json-output.md


def documented(name: str) -> list[str]:
    """The keys that a section lists, such as ``steps[].seq``; ``*`` stands for any name, a final ``…`` for anything inside."""
    return re.findall(r"^\| `([^`]+)` \|", sections(ANSWERS)[name], flags=re.MULTILINE)


def keys(value: Any, at: str = "") -> Iterator[str]:
    """Every key of an answer, by its way from the top."""
    if isinstance(value, dict):
        for key, inner in value.items():
            way = f"{at}.{key}" if at else key
            yield way
            yield from keys(inner, way)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{at}[]")


def _pattern(key: str) -> re.Pattern[str]:
    whole = re.escape(key.removesuffix("…")).replace(r"\*", r"[^.\[\]]+")
    return re.compile(whole + (".+" if key.endswith("…") else ""))


def agree(name: str, *answers: Any) -> None:
    """Every key is documented, and every documented key was seen in one of the answers."""
    patterns = {key: _pattern(key) for key in documented(name)}
    seen = {key for answer in answers for key in keys(answer)}
    assert [key for key in sorted(seen) if not any(p.fullmatch(key) for p in patterns.values())] == [], "undocumented"
    assert [key for key, p in patterns.items() if not any(p.fullmatch(s) for s in seen)] == [], "not in any answer"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a demo in which green was killed in the bake."""
    from gateway_hooks.demo.rig import Kill

    folder = tmp_path_factory.mktemp("kept")
    options = Options(messages=12, rate=8.0, slow_s=1.0, bake_s=1.0, kill=Kill("green", "baking"))
    report, _, _, _ = asyncio.run(run(folder, options))
    (folder / "report.json").write_text(report.as_json())
    return folder


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Home]:
    with a_home(tmp_path) as home:
        yield home


def ask(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> Any:
    capsys.readouterr()
    main([*words, "--home", str(home), "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_answer_of_the_demo_is_documented(kept: Path) -> None:
    agree("demo", json.loads((kept / "report.json").read_text()))


def test_the_answer_of_status_is_documented(town: Home, capsys: pytest.CaptureFixture[str]) -> None:
    agree("status", ask(capsys, town.bake().path, "status"))


def test_the_answer_of_watch_is_documented(town: Home, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, town.bake().path, "watch")
    agree(
        "status", {key: answer.pop(key) for key in list(answer) if key not in ("answered_in_the_last_minute", "last")}
    )
    agree("watch", answer)


def test_the_answers_of_promote_rollback_and_complete_are_documented(
    town: Home, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway_hooks.commands.following import answer
    from gateway_hooks.commands.shared import Given
    from journal.store import Reader
    from replay.fold import fold

    reader = Reader(kept / "home" / "handoff" / "journal.db")
    ended = fold(reader.all())
    reader.close()
    rolled_back = answer(Given(home=kept / "home").place(), ended)
    agree("promote, confirm, rollback, complete", rolled_back, ask(capsys, town.bake().path, "rollback", "--no-wait"))


def test_the_answers_of_doctor_and_a_dry_run_are_documented(town: Home, capsys: pytest.CaptureFixture[str]) -> None:
    town.serve()
    agree("doctor, promote --dry-run", ask(capsys, town.path, "doctor"), ask(capsys, town.path, "promote", "--dry-run"))


def test_the_answer_of_resume_is_documented(town: Home, capsys: pytest.CaptureFixture[str]) -> None:
    town.bake().system.end(town.blue)
    town.system.end(town.green)
    agree("resume", ask(capsys, town.path, "resume"))


def test_the_answers_of_install_and_uninstall_are_documented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("model: {}\n")
    unit = tmp_path / ".config" / "systemd" / "user" / "hermes-gateway.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nExecStart=/bin/true\nEnvironment=HERMES_HOME={tmp_path}\n")
    shown = ask(capsys, tmp_path, "install", "--systemd", "--print")
    agree("install", ask(capsys, tmp_path, "install", "--systemd"), shown)
    agree("uninstall", ask(capsys, tmp_path, "uninstall"))


def test_the_answers_of_the_readers_are_documented(kept: Path, town: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home = kept / "home"
    agree("replay", ask(capsys, home, "replay", "--check"), ask(capsys, home, "replay", "--at", "20"))
    town.serve().request().suffer("telegram:101")
    suffered = ask(capsys, town.path, "audit", "--reveal")
    agree("audit", ask(capsys, home, "audit", "--html", str(home / "audit.html")), suffered)
    agree("verify", ask(capsys, home, "verify"))
    agree("export", ask(capsys, home, "export", str(home / "copy.db")))
    main(["log", "--home", str(home), "--json"])
    agree("log", *map(json.loads, capsys.readouterr().out.splitlines()))


def test_the_object_of_an_error_is_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--home", str(tmp_path), "--json"])
    agree("Errors", json.loads(capsys.readouterr().err))
