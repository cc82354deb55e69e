"""Which program green runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway_hooks.runtimes import SAME, UnknownRuntime, find
from journal.events import Limits

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


def test_a_handoff_to_a_runtime_may_take_longer(tmp_path: Path) -> None:
    limits = find(entry(tmp_path, "[next.limits]\ninit_s = 240\nsilent_s = 30.5\n"), "next").limits
    assert limits == Limits(init_s=240, silent_s=30.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no runtime named next"),
        ('[next]\npython = "/nowhere/python"\n', "no interpreter at /nowhere/python"),
        ('[next]\nvnev = "/opt"\n', "unknown settings: vnev"),
        ("[next\n", "cannot be read"),
        ("a = " + "[" * 5000, "cannot be read"),
        ("next = 3\n", "next is no runtime"),
        ("[[next]]\n", "next is no runtime"),
        ("[next]\nvenv = 3\n", "venv"),
        ('[next]\nvenv = ""\n', "venv"),
        ("[next]\npython = 3\n", "python"),
        ('[next]\npython = "/a\\u0000b"\n', "python"),
        ('[next]\ncommand = "-m hermes_cli.main gateway run"\n', "command"),
        ("[next]\ncommand = 3\n", "command"),
        ('[next]\ncommand = ["-m", 3]\n', "command.1"),
        ('[next]\ncommand = ["a\\u0000b"]\n', "command.0"),
        ("[next]\nenv = 3\n", "env"),
        ("[next]\nenv = { A = 1 }\n", "env.A"),
        ('[next]\nenv = { A = "a\\u0000b" }\n', "env.A"),
        ('[next]\nenv = { "A=B" = "c" }\n', "env.A=B"),
        ("[next]\nhealth = 3\n", "health"),
        ("[next.health]\nsmell = { floor = 1 }\n", "health.smell"),
        ("[next.health]\nmemory = { floor = -1 }\n", "health.memory.floor"),
        ("[next.health]\nmemory = { floor = nan }\n", "health.memory.floor"),
        ("[next.health]\nmemory = { floor = 2026-01-01 }\n", "health.memory.floor"),
        ("[next.health]\nmemory = { flor = 1 }\n", "health.memory.flor"),
        ("[next.health]\nmemory = 7\n", "health.memory"),
        ("[next.limits]\ninit_s = -1\n", "limits.init_s"),
        ("[next.limits]\nconfirm_samples = 0\n", "limits.confirm_samples"),
        ("[next.limits]\nboot_s = 1\n", "limits.boot_s"),
        ("[next.health]\nsamples = { least = 51 }\n", "health.samples"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_file_the_runtime_the_key_and_what_to_do(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(UnknownRuntime) as raised:
        find(entry(tmp_path, text), "next")
    line = raised.value.line()
    assert reason in raised.value.message
    assert str(tmp_path / "runtimes.toml") in line
    assert "next" in line or "cannot be read" in line
    assert raised.value.hint
    assert "\n" not in line
    assert "{" not in line.replace("{ HERMES_LOG_LEVEL", "")
    assert raised.value.exit_code == 2


def test_a_command_in_one_piece_is_refused_with_the_list_that_it_should_be(tmp_path: Path) -> None:
    """Taken as it stood it became a word for each of its letters."""
    with pytest.raises(UnknownRuntime) as raised:
        find(entry(tmp_path, '[next]\ncommand = "-m other"\n'), "next")
    assert 'a list of words, such as ["-m", "hermes_cli.main", "gateway", "run"]' in raised.value.hint


def test_what_an_environment_holds_is_never_quoted(tmp_path: Path) -> None:
    with pytest.raises(UnknownRuntime) as raised:
        find(entry(tmp_path, "[next]\nenv = { TOKEN = 123456789 }\n"), "next")
    assert "123456789" not in raised.value.line()


def test_an_entry_called_same_is_refused_and_never_listed_twice(tmp_path: Path) -> None:
    entry(tmp_path, f'[same]\nvenv = "/opt"\n[next]\npython = "{sys.executable}"\n')
    with pytest.raises(UnknownRuntime, match=r"runtimes\.toml: \[same\]") as raised:
        find(tmp_path, SAME)
    assert (raised.value.exit_code, raised.value.hint) == (2, "give that entry another name")
    with pytest.raises(UnknownRuntime) as unknown:
        find(tmp_path, "nxet")
    assert "there are: same, next;" in unknown.value.hint
    assert find(tmp_path, "next").python == sys.executable


@pytest.mark.parametrize("other", ["other = 3", "[other]\ncommand = 3", "[other.health]\nsmell = 1", "[same]"])
def test_a_broken_entry_keeps_no_other_from_being_used(tmp_path: Path, other: str) -> None:
    found = find(entry(tmp_path, f'{other}\n[next]\npython = "{sys.executable}"\n'), "next")
    assert found.python == sys.executable


def test_a_file_that_cannot_be_read_keeps_nobody_from_the_same_runtime(tmp_path: Path) -> None:
    assert find(entry(tmp_path, "[next\n"), SAME).name == SAME
