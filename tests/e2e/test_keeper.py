"""The keeper as the parent of real gateways: it starts them, loses them, passes signals on, and ends as they do."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import mark
from gateway_hooks.demo.rig import Kill, Rig
from gateway_hooks.demo.run import Options, run
from gateway_hooks.orders import Operator
from journal.events import Limits, Phase, Process, ProcessLost
from replay.check import check
from replay.fold import State
from tests.builders import ROOT, WAIT_S

LIMITS = Limits(sample_s=0.5, silent_s=15.0, frozen_s=1.0, requested_s=20.0)
LOOKS = 4


class Kept:
    """A rig whose gateways have a keeper."""

    def __init__(self, rig: Rig, keeper: Process) -> None:
        self.rig, self.keeper = rig, keeper

    async def served(self, holds: Callable[[State], bool] = lambda _: True) -> Process:
        """Wait until somebody serves and is up (it samples), and the record satisfies ``holds`` besides; returns who."""
        system = self.rig.system
        state = await self.rig.until(
            lambda s: (
                s.head.owning is not None
                and system.probe(s.head.owning) == "running"
                and s.head.owning in s.head.connected.values()
                and s.head.owning in [sample.process for samples in s.samples.values() for sample in samples]
                and holds(s)
            ),
            "somebody serves",
            timeout_s=WAIT_S * 2,
        )
        assert state.head.owning is not None
        return state.head.owning

    async def ended(self) -> int | None:
        return await asyncio.to_thread(self.rig.system.exit_code, self.keeper, wait_s=WAIT_S)

    def send(self, process: Process, number: int) -> None:
        self.rig.system.send(process, number)


async def promote(rig: Rig, *, bake_s: float) -> None:
    """Ask for a handoff to the same runtime."""

    def ask() -> None:
        operator = Operator(rig.journal)
        try:
            operator.promote("same", bake_s, LIMITS)
        finally:
            operator.close()

    await asyncio.to_thread(ask)


def looks(rig: Rig, who: Process, *, after: int) -> int:
    """How often that process has sampled since, and so had the occasion to decide something."""
    return sum(r.type == "HEALTH_SAMPLED" and r.process == who and r.seq > after for r in rig.records())


async def begin(rig: Rig, who: Process) -> None:
    """Say something that a gateway of `_Held` answers when it is let go, and wait until that one is at it."""
    rig.bot.say(FIRST_CHAT, mark("m1", slow_s=0.1))
    await rig.until(lambda s: who in [turn.holder for turn in s.head.turns.values()], "it begins", timeout_s=WAIT_S)


@asynccontextmanager
async def kept(folder: Path, *, options: tuple[str, ...] = ()) -> AsyncIterator[Kept]:
    async with Rig(folder, "reference") as rig:
        yield Kept(rig, rig.start(keeper=("--steady", "0s", *options)))


def test_a_killed_gateway_is_started_again_and_term_ends_both_with_its_exit_code(tmp_path: Path) -> None:
    async def life() -> None:
        async with kept(tmp_path) as home:
            first = await home.served()
            home.rig.system.end(first)
            second = await home.served(lambda s: s.head.owning != first)
            home.send(home.keeper, signal.SIGTERM)
            assert await home.ended() == 0
            assert home.rig.system.probe(second) == "dead"
            assert check(home.rig.records()).differences == ()

    asyncio.run(life())


@pytest.mark.parametrize("slow", ["blue", "green"])
def test_term_in_the_bake_leaves_the_handoff_as_it_is_however_long_one_side_takes(tmp_path: Path, slow: str) -> None:
    """The other side is gone long before it, and the next start is the new runtime's."""

    async def life() -> None:
        async with _Held(tmp_path, "reference") as rig:
            home = Kept(rig, rig.start(keeper=("--steady", "0s")))
            blue = await home.served()
            if slow == "blue":
                await begin(rig, blue)
            await promote(rig, bake_s=3600.0)
            green = await home.served(lambda s: s.head.phase == "baking")
            if slow == "green":
                await begin(rig, green)
            said, (left, other) = rig.read().head.seq, (blue, green) if slow == "blue" else (green, blue)
            home.send(home.keeper, signal.SIGTERM)
            await rig.until(lambda _: rig.system.probe(other) == "dead", "the other side is gone", timeout_s=WAIT_S)
            gone = rig.read().head.seq
            await rig.until(lambda _: looks(rig, left, after=gone) >= LOOKS, "it has looked around", timeout_s=WAIT_S)
            rig.let_go()
            assert await home.ended() == 0
            after = {record.type for record in rig.records() if record.seq > said}
            assert "TURN_FINISHED" in after
            assert not after & {"PROCESS_LOST", "HANDOFF_ROLLBACK", "BLUE_SERVING", "ADAPTER_CONNECTED"}
            again = Kept(rig, rig.start(keeper=("--steady", "0s")))
            assert await again.served() not in (blue, green)
            state = rig.read()
            assert (state.head.phase, state.head.owner) == ("baking", "green")
            assert check(rig.records()).differences == ()

    asyncio.run(life())


def test_a_gateway_that_ends_by_itself_takes_its_keeper_with_it(tmp_path: Path) -> None:
    async def life() -> None:
        async with kept(tmp_path) as home:
            gateway = await home.served()
            home.send(gateway, signal.SIGTERM)
            assert await home.ended() == 0

    asyncio.run(life())


def test_the_keeper_inherits_green_and_starts_it_again_when_it_dies(tmp_path: Path) -> None:
    async def life() -> None:
        async with kept(tmp_path) as home:
            blue = await home.served()
            await promote(home.rig, bake_s=0.5)
            green = await home.served(lambda s: s.head.phase == "complete" and s.head.blue is None)
            assert green != blue
            home.rig.system.end(green)
            again = await home.served(lambda s: s.head.owning not in (blue, green))
            state = home.rig.read()
            assert (state.head.owner, state.head.phase) == ("green", "complete")
            home.send(home.keeper, signal.SIGINT)
            assert await home.ended() == 0
            assert home.rig.system.probe(again) == "dead"
            assert check(home.rig.records()).differences == ()

    asyncio.run(life())


NOHUP = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


def test_a_hangup_ends_nobody_who_was_started_to_outlive_it(tmp_path: Path) -> None:
    """As ``nohup`` starts them; sent to all three, as if they were one job."""

    async def life() -> None:
        async with Rig(tmp_path, "reference") as rig:
            home = Kept(rig, rig.start(keeper=("--steady", "0s"), under=(sys.executable, "-c", NOHUP)))
            blue = await home.served()
            for process in (home.keeper, blue):
                home.send(process, signal.SIGHUP)
            await promote(rig, bake_s=0.5)
            green = await home.served(lambda s: s.head.phase == "complete" and s.head.blue is None)
            home.send(green, signal.SIGHUP)
            home.send(home.keeper, signal.SIGTERM)
            assert await home.ended() == 0
            assert [r.process for r in rig.records() if r.type in ("PROCESS_EXITED", "HANDOFF_COMPLETE")] == [blue] * 2
            assert "PROCESS_LOST" not in [r.type for r in rig.records()]

    asyncio.run(life())


def test_a_second_keeper_of_the_same_home_stands_aside(tmp_path: Path) -> None:
    async def life() -> None:
        async with kept(tmp_path) as home:
            await home.served()
            second = home.rig.start(keeper=())
            assert await asyncio.to_thread(home.rig.system.exit_code, second, wait_s=WAIT_S) == 75

    asyncio.run(life())


def test_a_command_that_cannot_be_started_is_said_so_at_once(tmp_path: Path) -> None:
    async def life() -> None:
        async with Rig(tmp_path, "reference") as rig:
            command = [
                sys.executable,
                "-m",
                "gateway_hooks.cli",
                "--home",
                str(rig.home),
                "run",
                "--",
                "no-such-program",
            ]
            process = rig.system.spawn(command, rig.command()[1], tmp_path / "keeper.log")
            assert await asyncio.to_thread(rig.system.exit_code, process, wait_s=WAIT_S) == 1
            assert "cannot start no-such-program" in (tmp_path / "keeper.log").read_text()

    asyncio.run(life())


def test_a_gateway_at_rest_whose_loop_hangs_is_ended_and_its_successor_serves(tmp_path: Path) -> None:
    async def life() -> None:
        async with _HungOnce(tmp_path, "reference") as rig:
            home = Kept(rig, rig.start(keeper=("--steady", "0s", "--hung", "5s")))
            hung = await home.served()
            again = await home.served(lambda s: s.head.owning != hung)
            assert rig.system.probe(hung) == "dead"
            rig.bot.say(501, "are you there?")
            await rig.until(lambda s: bool(s.settled), "an answer", timeout_s=WAIT_S)
            lost = [r for r in rig.records() if r.type == "PROCESS_LOST"]
            assert [(r.role, r.event.how) for r in lost if isinstance(r.event, ProcessLost)] == [
                ("keeper", "ended_silent")
            ]
            assert rig.system.probe(again) == "running"
            assert check(rig.records()).differences == ()

    asyncio.run(life())


class _Misbehaving(Rig):
    """Its gateways have a fault of `misbehaving`."""

    fault: str

    def command(self) -> tuple[list[str], dict[str, str]]:
        words, env = super().command()
        return [words[0], str(ROOT / "tests" / "e2e" / "misbehaving.py"), self.fault, *words[3:]], env


class _HungOnce(_Misbehaving):
    """Its first gateway hangs once it has given two samples."""

    fault = "hung once"


class _Held(_Misbehaving):
    """Its gateways answer what is slow when they are let go."""

    fault = "held"

    def let_go(self) -> None:
        """Now, and from now on."""
        (self.home / "go").touch()


BOTH: list[tuple[Phase, str]] = [("init", "rolled_back"), ("baking", "complete")]


@pytest.mark.parametrize(("phase", "outcome"), BOTH)
def test_both_sides_killed_at_once_leave_a_runtime_serving_and_nothing_lost(
    tmp_path: Path, phase: Phase, outcome: str
) -> None:
    options = Options(messages=16, rate=8.0, slow_s=1.0, bake_s=1.0, kill=Kill("both", phase))
    report, verdict, state, records = asyncio.run(run(tmp_path, options))
    assert report.messages.lost == 0, verdict.lost
    assert report.messages.answered_twice == 0, verdict.answered_twice
    assert report.outcome == outcome
    assert state.head.owning is not None
    assert state.head.connected
    assert check(records).differences == ()
