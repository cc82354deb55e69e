"""A whole world on loopback: the stand-ins, a home with a journal, a real gateway process in it, and hands to kill it with."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from gateway_hooks.demo.botapi import BotApi
from gateway_hooks.demo.hermes_home import write_home
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.model import Model
from gateway_hooks.demo.whopolls import WhoHolds
from gateway_hooks.process import System
from journal.errors import HandoffError
from journal.events import Phase, Process, Side
from journal.record import Record
from journal.store import Reader, create
from journal.tail import Doorbell
from replay.fold import State, fold, state_of

GatewayName = Literal["reference", "hermes"]
MARK = "HANDOFF_JOURNAL_RIG"
"""Environment variable by which we know our processes and theirs, also one that no event names yet."""
ROUNDS = 5
USERS = range(FIRST_CHAT - 10, FIRST_CHAT + 400)


@dataclass(frozen=True, slots=True)
class Kill:
    """Whom to end with SIGKILL, or to freeze with SIGSTOP, as soon as the journal shows that phase. Both need a keeper."""

    side: Side | Literal["both"]
    phase: Phase
    freeze: bool = False

    def victims(self, state: State) -> list[Process]:
        """Who sits there now."""
        head = state.head
        green = head.green or head.expected_green
        wanted = {"blue": (head.blue,), "green": (green,), "both": (head.blue, green)}[self.side]
        return [process for process in wanted if process is not None]


class Rig:
    """``async with Rig(...)`` starts everything; leaving ends every process that it or its gateways started."""

    def __init__(
        self, folder: Path, gateway: GatewayName, *, python: str = sys.executable, installed: bool = True
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.journal = self.home / "handoff"
        self.gateway: GatewayName = gateway
        self.system = System()
        self.bot = BotApi(log_path=folder / "botapi.jsonl", who_is=WhoHolds())
        self.model = Model()
        self.state = State()
        self.hurt: dict[int, int] = {}  # whom `kill_at` has hurt, by pid, and when: monotonic nanoseconds
        self._python = python
        self._installed = installed
        self._processes: list[Process] = []
        self._reader: Reader | None = None
        self._killer: threading.Thread | None = None
        self._over = threading.Event()

    async def __aenter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        await self.bot.start()
        await self.model.start()
        if self._installed:
            create(self.journal, at_ns=time.time_ns())
            self._reader = Reader(self.journal / "journal.db")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._over.set()
        await asyncio.to_thread(self._end_all)
        await self.bot.stop()
        await self.model.stop()

    def start(self, *, keeper: Sequence[str] | None = None, under: Sequence[str] = ()) -> Process:
        """Start a gateway process in the home, or its keeper with these options, perhaps by another program; returns at once."""
        command, env = self.command()
        if keeper is not None:
            front = [self._python, "-m", "gateway_hooks.cli", "--home", str(self.home)]
            command = [*front, "run", *keeper, "--", *command]
        command = [*under, *command]
        process = self.system.spawn(command, env, self.folder / f"gateway-{len(self._processes)}.log")
        self._processes.append(process)
        return process

    def command(self) -> tuple[list[str], dict[str, str]]:
        """How the gateway is started: (command line, environment)."""
        base = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        base[MARK] = str(self.folder)
        if self.gateway == "reference":
            api = self.bot.base_url.rsplit("/bot", 1)[0]
            module = [self._python, "-m", "gateway_hooks.reference"]
            return [*module, "--home", str(self.home), "--api", api, "--token", self.bot.token], base
        plugins = ("handoff-journal",) if self._installed else ()
        env = write_home(
            self.home, bot_url=self.bot.base_url, bot_file_url=self.bot.base_file_url, model_url=self.model.base_url,
            token=self.bot.token, users=USERS, plugins=plugins, base=base,
        )  # fmt: skip
        return [self._python, "-m", "hermes_cli.main", "gateway", "run", "-v"], env

    def read(self) -> State:
        """What the journal says now."""
        if self._reader is not None:
            self.state = state_of(self._reader, self.state)
        return self.state

    def records(self) -> list[Record]:
        """Everything in the journal."""
        assert self._reader is not None
        return list(self._reader.all())

    async def until(self, holds: Callable[[State], bool], what: str, *, timeout_s: float) -> State:
        """Wait until the journal's state satisfies ``holds``. Raises ``HandoffError`` naming ``what`` when it did not in time."""
        end = time.monotonic() + timeout_s
        while not holds(state := self.read()):
            if time.monotonic() > end:
                raise HandoffError(
                    f"{what}: not within {timeout_s:g} s (phase {state.head.phase})", hint=f"look at {self.folder}"
                )
            await asyncio.sleep(0.02)
        return state

    def kill_at(self, kill: Kill) -> None:
        """SIGKILL that side as soon as the journal shows the phase, from a thread that waits on the doorbell."""
        self._killer = threading.Thread(target=self._kill, args=(kill,), daemon=True)
        self._killer.start()

    def _kill(self, kill: Kill) -> None:
        reader, bell, state = Reader(self.journal / "journal.db"), Doorbell(self.journal / "bell"), State()
        while not self._over.is_set():
            for record in reader.all(after=state.head.seq):
                state = fold([record], state)
                if state.head.phase == kill.phase and state.step("HANDOFF_REQUESTED"):
                    victims = kill.victims(state)
                    for process in victims if kill.freeze or len(victims) > 1 else ():
                        self.system.freeze(process)  # of two, neither sees the other die
                        self.hurt[process.pid] = time.monotonic_ns()
                    for process in victims if not kill.freeze else ():
                        self.system.end(process)
                        self.hurt.setdefault(process.pid, time.monotonic_ns())
                    if victims:
                        bell.close()
                        return
            bell.wait(0.5)
        bell.close()

    def _end_all(self) -> None:
        """End every process that carries our mark; again, since one of them may have been about to start another."""
        for _ in range(ROUNDS):
            left = self.system.carrying(MARK, str(self.folder))
            for process in left:
                if self.system.probe(process) == "stopped" or not self.system.ask_to_end(process, wait_s=5.0):
                    self.system.end(process)
            if not left:
                break
        for process in self._processes:
            self.system.exit_code(process, wait_s=5.0)  # no zombie stays
