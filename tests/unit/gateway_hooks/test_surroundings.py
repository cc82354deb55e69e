"""Who watches a gateway, and what ``doctor`` says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway_hooks import surroundings
from gateway_hooks.process import System
from gateway_hooks.surroundings import finding, keeper_of, unit_of, watcher
from tests.builders import Child
from tests.unit.gateway_hooks.homes import Home, freeze, parsed

UNIT = {"INVOCATION_ID": "0" * 32}
NOBODY = 2**22 + 1
"""No process has such a pid."""


@pytest.mark.parametrize(
    ("pid", "env", "who"),
    [
        (1, {}, "container"),
        (7, {**UNIT, "SYSTEMD_EXEC_PID": "7"}, "systemd"),
        (7, {**UNIT, "SYSTEMD_EXEC_PID": "8"}, None),
        (7, UNIT, None),
        (7, {}, None),
    ],
)
def test_the_watcher_is_told_by_pid_and_environment(pid: int, env: Mapping[str, str], who: str | None) -> None:
    assert watcher(pid, os.getpid(), env) == who


def test_a_supervisor_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(surroundings, "SUPERVISORS", {own})
    assert watcher(7, os.getpid(), {}) == "supervisor"
    assert watcher(7, NOBODY, {}) is None


def test_a_parent_or_a_gateway_whose_name_is_no_text_is_looked_at_all_the_same(tmp_path: Path) -> None:
    with Child("open('/proc/self/comm', 'wb').write(b'gateway-f\\xc3'); print('up', flush=True); input()") as child:
        assert child.line() == "up"
        assert watcher(7, child.pid, {}) is None
        assert finding(tmp_path, child.pid, {}).severity == "ok"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/hermes-gateway.service\n",
            "hermes-gateway.service",
        ),
        ("1:name=systemd:/system.slice/h.service\n0::/\n", "h.service"),
        ("9:memory:/system.slice/h.service\n0::/init.scope\n", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service\n", None),
    ],
)
def test_the_unit_is_told_by_the_cgroup(cgroup: str, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("pid", "env", "words"),
    [
        ("own", {}, "nobody watches process"),
        ("main", UNIT, "install --systemd"),
        ("first", {}, "put 'handoff-journal run --' before its command"),
    ],
)
def test_a_gateway_without_a_keeper_that_somebody_watches_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: str, env: dict[str, str], words: str
) -> None:
    if pid == "first":
        monkeypatch.setattr(surroundings, "watcher", lambda *_: "container")
    monkeypatch.setattr(surroundings, "unit_of", lambda _: None)
    with Child("input()") as child:
        said = finding(tmp_path, child.pid, {**env, "SYSTEMD_EXEC_PID": str(child.pid)} if env else {})
    assert said.severity == ("ok" if pid == "own" else "warning")
    assert words in said.text
    assert said.code == "service"


def test_one_that_is_not_the_main_process_of_its_unit_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "unit_of", lambda _: "h.service")
    with Child("input()") as child:
        said = finding(tmp_path, child.pid, {**UNIT, "SYSTEMD_EXEC_PID": "1"})
        assert finding(tmp_path, child.pid, {}).severity == "ok"
    assert (said.severity, "h.service" in said.text) == ("warning", True)
    assert finding(tmp_path, NOBODY, {}).severity == "warning"


def test_under_a_keeper_all_is_well(tmp_path: Path) -> None:
    assert keeper_of(tmp_path) is None
    with Child("print('up', flush=True); input()", "-m", "gateway_hooks.cli", "run") as keeper:
        assert keeper.line() == "up"
        (tmp_path / "keeper").write_text(f"{keeper.pid:<20}")
        assert keeper_of(tmp_path) == keeper.pid
        said = finding(tmp_path, os.getpid(), {**UNIT, "SYSTEMD_EXEC_PID": str(os.getpid())})
        assert (said.severity, f"process {keeper.pid} keeps this home" in said.text) == ("ok", True)
    assert keeper_of(tmp_path) is None


def test_a_keeper_that_is_stopped_is_a_warning(tmp_path: Path) -> None:
    with Child("print('up', flush=True); input()", "-m", "gateway_hooks.cli", "run") as child:
        assert child.line() == "up"
        (tmp_path / "keeper").write_text(f"{child.pid:<20}")
        system = System()
        keeper = system.identify(child.pid)
        assert keeper is not None
        freeze(system, keeper)
        said = finding(tmp_path, os.getpid(), {})
        assert (said.severity, f"kill -CONT {child.pid}" in said.text) == ("warning", True)


def test_another_program_with_the_keepers_former_pid_keeps_nothing(tmp_path: Path) -> None:
    with Child("input()") as child:
        (tmp_path / "keeper").write_text(f"{child.pid:<20}")
        assert keeper_of(tmp_path) is None


def test_doctor_and_a_dry_run_say_who_watches_and_an_open_handoff_is_no_error_of_the_home(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.bake()
    home.run("doctor", "--json")
    found = {f["code"]: f["severity"] for f in parsed(capsys.readouterr().out)["findings"]}
    assert "service" in found
    assert found["handoff.open"] == "warning"
    home.run("promote", "--dry-run", "--json")
    found = {f["code"]: f["severity"] for f in parsed(capsys.readouterr().out)["findings"]}
    assert "service" in found
    assert found["handoff.open"] == "error"
