"""Which program green runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway_hooks.runtimes import SAME, UnknownRuntime, find

BLUE = ["/opt/a/bin/python", "-m", "hermes_cli.main", "gateway", "run", "--replace", "-v"]


def entry(folder: Path, text: str) -> Path:
    (folder / "runtimes.toml").write_text(text)
    return folder


def test_everybody_has_the_same_runtime_and_it_never_replaces(tmp_path: Path) -> None:
    assert find(tmp_path, SAME).argv(BLUE) == ["/opt/a/bin/python", "-m", "hermes_cli.main", "gateway", "run", "-v"]


def test_another_interpreter_gets_blues_arguments(tmp_path: Path) -> None:
    runtime = find(entry(tmp_path, f'[next]\npython = "{sys.executable}"\n'), "next")
    assert runtime.argv(BLUE) == [sys.executable, *BLUE[1:5], "-v"]


def test_a_venv_names_its_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert find(entry(tmp_path, f'[next]\nvenv = "{tmp_path / "venv"}"\n'), "next").python == str(python)


def test_a_console_script_of_blue_is_looked_for_beside_greens_interpreter(tmp_path: Path) -> None:
    for name in ("python", "hermes"):
        (tmp_path / name).touch()
    runtime = find(entry(tmp_path, f'[next]\npython = "{tmp_path / "python"}"\n'), "next")
    blue = ["/opt/a/bin/python", "/opt/a/bin/hermes", "gateway", "run"]
    assert runtime.argv(blue) == [str(tmp_path / "python"), str(tmp_path / "hermes"), "gateway", "run"]
    (tmp_path / "hermes").unlink()
    with pytest.raises(UnknownRuntime, match=r"has no .*hermes"):
        runtime.argv(blue)


def test_its_own_command_and_environment_stand_instead_of_blues(tmp_path: Path) -> None:
    runtime = find(entry(tmp_path, '[next]\ncommand = ["-m", "other"]\nenv = { LEVEL = "info" }\n'), "next")
    assert runtime.argv(BLUE) == ["/opt/a/bin/python", "-m", "other"]
    assert runtime.env == {"LEVEL": "info"}


def test_a_runtime_may_be_allowed_more_of_something(tmp_path: Path) -> None:
    text = "[next.health]\nmemory = { floor = 1024 }\nslow = { factor = 5.5 }\n"
    health = find(entry(tmp_path, text), "next").health
    assert {name: (told.floor, told.factor) for name, told in health.items()} == {
        "memory": (1024, None),
        "slow": (None, 5.5),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no runtime named next"),
        ('[next]\npython = "/nowhere/python"\n', "no interpreter at /nowhere/python"),
        ('[next]\nvnev = "/opt"\n', "unknown settings: vnev"),
        ("[next\n", "cannot be read"),
        ("[next.health]\nsmell = { floor = 1 }\n", "unknown rules: smell"),
        ("[next.health]\nmemory = { floor = -1 }\n", "limits that cannot be"),
        ("[next.health]\nmemory = 7\n", "limits that cannot be"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UnknownRuntime, match=reason) as raised:
        find(entry(tmp_path, text), "next")
    assert raised.value.hint
    assert raised.value.exit_code == 2
