"""The keeper under a real systemd: ``make systemd``, as root. A user manager of its own is started for it; see `manager`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway_hooks.demo.rig import MARK, Rig
from gateway_hooks.process import System
from journal.events import Process
from tests.builders import ROOT
from tests.e2e.test_keeper_watched import LONG_S, handed_over, up

UNIT = "hermes-gateway"
MANAGER = Path(__file__).with_name("manager.py")


def manager_module() -> object:
    """The program that becomes the manager, for what it can undo."""
    spec = importlib.util.spec_from_file_location("systemd_manager", MANAGER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Systemd:
    """A user manager and the person whose it is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.group = folder, f"handoff-journal-{folder.name}"
        self.system = System()
        self.env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}
        self.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        (folder / "run").mkdir(mode=0o700)
        self.units = folder / ".config" / "systemd" / "user"
        self.units.mkdir(parents=True)
        command = [sys.executable, str(MANAGER), str(folder / "run"), self.group]
        self.process = self.system.spawn(command, self.env, folder / "systemd.log")

    async def until(self, holds: object, what: str, *, timeout_s: float = LONG_S) -> None:
        """Wait until something holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        assert callable(holds)
        while not holds():
            assert loop.time() < end, f"{what}: not in time\n{(self.folder / 'systemd.log').read_text()}"
            assert self.system.probe(self.process) == "running", (self.folder / "systemd.log").read_text()
            await asyncio.sleep(0.1)

    async def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Say something to it."""
        command = ["systemctl", "--user", "--no-pager", *words]
        return await asyncio.to_thread(
            subprocess.run, command, env=self.env, capture_output=True, text=True, timeout=LONG_S, check=False
        )

    async def shows(self, *names: str) -> dict[str, str]:
        """Properties of the unit."""
        done = await self.ctl("show", UNIT, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    async def becomes(self, **wanted: str) -> dict[str, str]:
        """Wait until properties of the unit are these."""
        end = asyncio.get_running_loop().time() + LONG_S
        while True:
            found = await self.shows(*wanted, "MainPID", "StatusText", "ExecMainStatus")
            if wanted.items() <= found.items():
                return found
            assert asyncio.get_running_loop().time() < end, f"{wanted} did not come: {found}"
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End it, and take its control groups away."""
        await self.ctl("stop", UNIT)
        self.system.send(self.process, signal.SIGTERM)
        await asyncio.to_thread(self.system.exit_code, self.process, wait_s=LONG_S)
        manager_module().leave(self.group)  # type: ignore[attr-defined]


@asynccontextmanager
async def under_systemd(folder: Path) -> AsyncIterator[tuple[Rig, Systemd]]:
    """A reference gateway with a unit as Hermes writes one, and the drop-in that `install --systemd` makes of it."""
    scratch = Path(tempfile.mkdtemp(prefix="hj-"))  # the path of a socket is short
    async with Rig(folder, "reference") as rig:
        systemd = Systemd(scratch)
        try:
            (rig.home / "config.yaml").write_text("model: {}\n")
            command, env = rig.command()
            told = {"PYTHONPATH": str(ROOT), MARK: env[MARK], "HERMES_HOME": str(rig.home)}
            settings = [f'Environment="{name}={value}"' for name, value in told.items()]
            lines = [
                "[Service]", f"ExecStart={' '.join(command)}", *settings, "Restart=always", "RestartSec=1", "TimeoutStopSec=60",
                f"StandardError=append:{scratch}/keeper.log",
            ]  # fmt: skip
            (systemd.units / f"{UNIT}.service").write_text("\n".join(lines) + "\n")
            await install(rig, systemd)
            await systemd.until((scratch / "run" / "systemd" / "private").exists, "systemd runs")
            yield rig, systemd
        finally:
            await systemd.stop()
            shutil.rmtree(scratch)


async def install(rig: Rig, systemd: Systemd) -> None:
    command = [sys.executable, "-m", "gateway_hooks.cli", "install", "--systemd", "--home", str(rig.home)]
    env = {**systemd.env, "PYTHONPATH": str(ROOT)}
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def promote(rig: Rig) -> Process:
    """Promote without a bake; who serves alone afterwards."""
    command = [sys.executable, "-m", "gateway_hooks.cli", "--home", str(rig.home), "promote", "--bake", "0s"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    owner = (await rig.until(handed_over, "green serves alone", timeout_s=LONG_S)).head.owning
    assert owner is not None
    return owner


def test_systemd_finds_no_fault_with_the_unit_and_sees_one_process_through_a_promote(tmp_path: Path) -> None:
    async def life() -> None:
        async with under_systemd(tmp_path) as (rig, systemd):
            analysed = await asyncio.to_thread(
                subprocess.run, ["systemd-analyze", "--user", "verify", str(systemd.units / f"{UNIT}.service")],
                env=systemd.env, capture_output=True, text=True, timeout=LONG_S, check=False,
            )  # fmt: skip
            assert (analysed.returncode, analysed.stderr) == (0, "")
            started = await systemd.ctl("start", UNIT)
            assert started.returncode == 0, started.stderr
            before = await systemd.becomes(ActiveState="active")
            state = await rig.until(up, "blue serves", timeout_s=LONG_S)
            assert state.head.owning is not None
            assert before["StatusText"] == f"blue serves, process {state.head.owning.pid}, runtime same"
            assert int(before["MainPID"]) != state.head.owning.pid
            green = await promote(rig)
            after = await systemd.becomes(ActiveState="active", NRestarts="0")
            assert after["MainPID"] == before["MainPID"]
            assert (await systemd.ctl("stop", UNIT)).returncode == 0
            assert rig.system.probe(green) == "dead"
            await systemd.becomes(ActiveState="inactive", Result="success")

    asyncio.run(life())


def test_a_gateway_that_gives_no_sign_of_life_and_that_its_keeper_leaves_alone_is_ended_by_systemd(
    tmp_path: Path,
) -> None:
    async def life() -> None:
        async with under_systemd(tmp_path) as (rig, systemd):
            sooner = systemd.units / f"{UNIT}.service.d" / "20-sooner.conf"  # than a keeper ends one that is stopped
            sooner.write_text("[Service]\nWatchdogSec=4\n")
            assert (await systemd.ctl("start", UNIT)).returncode == 0
            before = await systemd.becomes(ActiveState="active")
            blue = (await rig.until(up, "blue serves", timeout_s=LONG_S)).head.owning
            assert blue is not None
            rig.system.freeze(blue)
            await systemd.becomes(NRestarts="1", ActiveState="active")
            state = await rig.until(lambda s: up(s) and s.head.owning != blue, "another serves", timeout_s=LONG_S)
            after = await systemd.becomes(ActiveState="active")
            assert after["MainPID"] != before["MainPID"]
            assert state.head.owning is not None
            assert rig.system.probe(blue) == "dead"

    asyncio.run(life())


@pytest.mark.parametrize(("code", "restarts"), [(78, False), (3, True)], ids=["configuration", "a crash"])
def test_a_gateway_whose_configuration_is_wrong_is_not_started_again(tmp_path: Path, code: int, restarts: bool) -> None:
    async def life() -> None:
        async with under_systemd(tmp_path) as (rig, systemd):
            (systemd.units / f"{UNIT}.service.d" / "10-handoff-journal.conf").unlink()
            unit = systemd.units / f"{UNIT}.service"
            lines = [line for line in unit.read_text().splitlines() if not line.startswith("ExecStart=")]
            unit.write_text("\n".join([*lines, f"ExecStart=/bin/sh -c 'exit {code}'"]) + "\n")
            await install(rig, systemd)
            await systemd.ctl("daemon-reload")
            await systemd.ctl("start", "--no-block", UNIT)
            if restarts:
                await systemd.until(lambda: tries(systemd) > 2, "the keeper tries again, under the same pid")
                await systemd.becomes(ActiveState="activating", NRestarts="0")
            else:
                found = await systemd.becomes(ActiveState="failed", NRestarts="0")
                assert found["ExecMainStatus"] == "78"
            await systemd.ctl("stop", UNIT)

    asyncio.run(life())


def tries(systemd: Systemd) -> int:
    """How often the keeper has started a gateway."""
    log = systemd.folder / "keeper.log"
    return log.read_text().count("starting blue") if log.exists() else 0
