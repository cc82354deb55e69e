"""Where somebody watches one pid: as the first process of a container, and as the main process of the stock unit."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gateway_hooks.demo.rig import MARK, Rig
from journal.errors import HandoffError
from journal.events import Process
from replay.check import check
from replay.fold import State
from tests.builders import ROOT, WAIT_S
from tests.e2e.test_keeper import promote

HERE = ROOT / "tests" / "e2e"
LONG_S = 3 * WAIT_S


def up(state: State) -> bool:
    """Somebody owns, holds the adapter and has sampled."""
    owner = state.head.owning
    sampled = [sample.process for samples in state.samples.values() for sample in samples]
    return owner is not None and owner in state.head.connected.values() and owner in sampled


def handed_over(state: State) -> bool:
    return up(state) and state.head.phase == "complete" and state.head.blue is None


# ---------------------------------------------------------------------------------------------- pid 1


class Container:
    """Processes in a pid namespace of their own. They are known here by other pids than there."""

    def __init__(self, rig: Rig, outside: Process) -> None:
        self.rig, self.outside = rig, outside

    def pids(self) -> dict[int, tuple[int, str]]:
        """Those inside: pid there to (pid here, state)."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "ns" / "pid").readlink() == self._namespace():
                    status = dict(
                        line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line
                    )
                    found[int(status["NSpid"].split()[-1])] = int(entry.name), status["State"].split()[0]
        return found

    def _namespace(self) -> Path:
        """That of the child of the process that made it."""
        return Path(f"/proc/{self.outside.pid}/ns/pid_for_children").readlink()

    def first(self) -> Process:
        process = self.rig.system.identify(self.pids()[1][0])
        assert process is not None
        return process

    def zombies(self) -> list[int]:
        return [pid for pid, (_, state) in self.pids().items() if state == "Z"]

    async def run(self, *command: str) -> int | None:
        """Run a command in there; its exit code."""
        into = [sys.executable, str(HERE / "namespace.py"), "enter", str(self.first().pid), *command]
        process = self.rig.system.spawn(into, {**self.rig.command()[1]}, self.rig.folder / "inside.log")
        return await asyncio.to_thread(self.rig.system.exit_code, process, wait_s=LONG_S)


@pytest.mark.parametrize("keeper", [True, False], ids=["keeper", "gateway"])
def test_as_pid_1_the_service_lives_on_after_a_promote_and_nothing_is_left_unreaped(
    tmp_path: Path, keeper: bool
) -> None:
    async def life() -> None:
        async with Rig(tmp_path, "reference") as rig:
            under = (sys.executable, str(HERE / "namespace.py"), "new")
            inside = Container(rig, rig.start(keeper=("--steady", "0s") if keeper else None, under=under))
            state = await rig.until(up, "blue serves", timeout_s=LONG_S)
            blue, first = state.head.owning, inside.first()
            assert blue is not None
            assert (blue.pid == 1) is not keeper
            front = (sys.executable, "-m", "gateway_hooks.cli", "--home", str(rig.home))
            assert await inside.run(*front, "promote", "--bake", "0s") == 0
            green = (await rig.until(handed_over, "green serves alone", timeout_s=LONG_S)).head.owning
            assert green is not None
            assert inside.first() == first
            # somebody whose parent is gone, and who ends: nobody but pid 1 can reap it
            orphan = "import os; os.fork() or (os.fork() and os._exit(0)) or os._exit(0)"
            assert await inside.run(sys.executable, "-c", orphan) == 0
            assert await inside.run("/bin/sh", "-c", f"kill -9 {green.pid}") == 0
            state = await rig.until(lambda s: up(s) and s.head.owning != green, "again", timeout_s=LONG_S)
            assert inside.first() == first
            await rig.until(lambda _: not inside.zombies(), "no zombie is left", timeout_s=LONG_S)
            rig.system.send(first, signal.SIGTERM)
            assert await asyncio.to_thread(rig.system.exit_code, inside.outside, wait_s=LONG_S) == 0
            assert check(rig.records()).differences == ()

    asyncio.run(life())


# ---------------------------------------------------------------------------------------------- the stock unit


class Unit:
    """KillMode=mixed and Restart=always: TERM goes to the main process, its end is the end of the group, and starts a new one."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.starts = rig, 0
        self.main = self._start()
        self._stopped = asyncio.Event()
        self._minding = asyncio.create_task(self._mind())

    def _start(self) -> Process:
        self.starts += 1
        return self.rig.start(under=(sys.executable, str(HERE / "service.py")))

    async def _mind(self) -> None:
        while True:
            code = await asyncio.to_thread(self.rig.system.exit_code, self.main, wait_s=0.2)
            if code is not None:
                await asyncio.to_thread(self._end_group)
                if self._stopped.is_set():
                    return
                self.main = self._start()

    def _end_group(self) -> None:
        for process in self.rig.system.carrying(MARK, str(self.rig.folder)):
            with suppress(HandoffError):
                self.rig.system.end(process)

    async def stop(self) -> int | None:
        """As ``systemctl stop``; the main process' exit code."""
        self._stopped.set()
        self.rig.system.send(self.main, signal.SIGTERM)
        await asyncio.wait_for(self._minding, LONG_S)
        return self.rig.system.exit_code(self.main)


def test_under_the_stock_unit_a_promote_leaves_the_main_pid_and_the_service_as_they_are(tmp_path: Path) -> None:
    async def life() -> None:
        async with Rig(tmp_path, "reference") as rig:
            unit = Unit(rig)
            blue = (await rig.until(up, "blue serves", timeout_s=LONG_S)).head.owning
            assert blue == unit.main
            await promote(rig, bake_s=0.0)
            green = (await rig.until(handed_over, "green serves alone", timeout_s=LONG_S)).head.owning
            assert green not in (None, blue)
            keeper = await rig.until(lambda _: kept_by(rig) == unit.main.pid, "blue is the keeper", timeout_s=LONG_S)
            assert keeper.head.owning == green
            assert rig.system.probe(unit.main) == "running"
            assert green is not None
            rig.system.end(green)
            again = (await rig.until(lambda s: up(s) and s.head.owning != green, "again", timeout_s=LONG_S)).head.owning
            assert again is not None
            assert (unit.main, unit.starts) == (blue, 1)
            assert await unit.stop() == 0
            assert rig.system.probe(again) == "dead"
            assert unit.starts == 1
            assert check(rig.records()).differences == ()

    asyncio.run(life())


def kept_by(rig: Rig) -> int | None:
    """The pid of the home's keeper, None before there is one."""
    path = rig.journal / "keeper"
    return int(path.read_text()) if path.exists() and path.read_text().strip() else None
