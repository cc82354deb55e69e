"""A green reads as the same gateway, and never ends the blue one."""

from __future__ import annotations

from pathlib import Path

from gateway_hooks.hermes.command import ROLE, argv, green_argv, green_env


def test_green_repeats_the_words_of_blue() -> None:
    assert green_argv(["/venv/bin/python", "/venv/bin/hermes", "gateway", "run", "-v"]) == (
        "/venv/bin/python",
        "/venv/bin/hermes",
        "gateway",
        "run",
        "-v",
    )


def test_replacing_is_not_repeated() -> None:
    assert "--replace" not in green_argv(["hermes", "gateway", "run", "--replace"])


def test_the_command_line_is_read_as_the_kernel_has_it(tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_bytes(b"/usr/bin/python\0-m\0gateway.run\0--replace\0\0")
    assert argv(tmp_path) == ("/usr/bin/python", "-m", "gateway.run", "")


def test_green_is_told_so_by_its_environment() -> None:
    before = {"PATH": "/bin"}
    assert green_env(before) == {"PATH": "/bin", ROLE: "green"}
    assert before == {"PATH": "/bin"}
