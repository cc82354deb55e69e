"""One case on a stage of its own: real gateways, traffic, a handoff, wounds, and who starts a gateway when none is left."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import mark
from gateway_hooks.demo.rig import MARK, Rig
from gateway_hooks.demo.wire import Call
from gateway_hooks.orders import Operator
from journal.errors import HandoffError
from journal.events import Limits, Process
from journal.head import AT_REST
from replay.fold import State
from tests.builders import ROOT
from tests.crash.wounds import SEND, Wound, deal, environment

Play = Literal["complete", "early", "rollback", "failed"]
"""What the operator does: nothing after the request; ends the bake; undoes it in the bake; names a runtime that does not exist."""
LIMITS = Limits(requested_s=6, init_s=10, ack_s=5, active_s=6, rolling_back_s=3, silent_s=4, frozen_s=0.5, sample_s=0.3)
HERMES_LIMITS = Limits(
    requested_s=30, init_s=90, ack_s=15, active_s=30, rolling_back_s=10, silent_s=10, frozen_s=1, sample_s=0.5
)
BAKE_S = {"complete": 0.8, "early": 60.0, "rollback": 60.0, "failed": 0.8}
BOOT_S, HANDOFF_S, SETTLE_S = 60.0, 60.0, 60.0
HERMES_S, HERMES_CHATS = 3.0, 15
"""How much longer everything may take with Hermes, and how many chats: from a busy one's queue it drops what floods it."""
CHATS, TALK_S, MOST = 5, 0.1, 150
AGAIN_S = 0.7
"""How long nobody may own before a gateway is started again; a real supervisor waits longer."""
ALONE_S = 5.0
"""And how long when there is a process that may yet take over."""
THAW_S = (0.2, 0.45, 0.6, 1.5)


@dataclass(frozen=True, slots=True)
class Case:
    """A play of the operator, and the wounds that are dealt in it."""

    play: Play
    wounds: tuple[Wound, ...] = ()

    @property
    def name(self) -> str:
        return "+".join((self.play, *(wound.name for wound in self.wounds)))


class Stage(Rig):
    """The rig of the demo, with gateways that can be wounded."""

    def __init__(self, folder: Path, case: Case, *, seed: int, keeper: bool = True, hermes: str | None = None) -> None:
        """``keeper``: whether the project's own keeper minds the home; otherwise somebody who knows nothing of handoffs does.

        ``hermes`` is the interpreter of an environment with a real Hermes, whose gateways are hurt then.
        """
        self.notes = folder / "notes"
        self.notes.mkdir(parents=True)
        super().__init__(folder, "hermes" if hermes else "reference", python=hermes or sys.executable)
        self._limits, self._slower, self._chats = (
            (HERMES_LIMITS, HERMES_S, HERMES_CHATS) if hermes else (LIMITS, 1.0, CHATS)
        )
        self.case = case
        self.dice = random.Random(seed)
        self._keeper = keeper
        self._starts = 0
        self.markers: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The gateway behind the wounds."""
        command, env = super().command()
        site = str(Path(__file__).with_name("site"))
        path = str(ROOT) if self.gateway == "reference" else f"{site}{os.pathsep}{ROOT}"
        env |= {"PYTHONPATH": path, **environment(self.case.wounds, self.notes)}
        return [part.replace("gateway_hooks.reference", "tests.crash.gateway") for part in command], env

    def dealt(self) -> list[dict[str, Any]]:
        """The notes of the wounds dealt so far."""
        found = []
        for path in sorted(self.notes.iterdir()):
            with suppress(ValueError):  # just being written
                found.append(json.loads(path.read_text()))
        return found

    @property
    def starts(self) -> int:
        """How often a gateway was started by who keeps the home."""
        if not self._keeper:
            return self._starts
        return (self.folder / "gateway-0.log").read_text().count("handoff_journal.keeper: starting ")

    def serving(self, state: State) -> bool:
        """Whether the owner lives and has its adapters."""
        owner = state.head.owning
        return owner is not None and owner in state.head.connected.values() and self._is(owner) == "running"

    def _is(self, process: Process | None) -> str:
        return self.system.probe(process) if process else "dead"

    # ------------------------------------------------------------------------------------------ who does something

    async def play(self) -> str:
        """Play the case to its end. Returns what did not come to its end in time, or nothing."""
        self._starts += 1
        self.start(keeper=("--steady", "0s") if self._keeper else None)
        self._tasks = [asyncio.create_task(work) for work in (self._thaw(), self._reach())]
        self._tasks += [] if self._keeper else [asyncio.create_task(self._keep())]
        try:
            await self.until(self.serving, "the gateway serves", timeout_s=BOOT_S * self._slower)
            if self.gateway == "hermes":  # its first turn imports for seconds, in which it would be flooded
                self._say()
                await self.until(lambda s: bool(s.settled), "the first answer", timeout_s=BOOT_S * self._slower)
            talk = asyncio.create_task(self._talk())
            self._tasks.append(talk)
            await asyncio.sleep(0.3)
            if any(wound.phase == "idle" for wound in self.case.wounds):
                await self._or_later(lambda _: len(self.dealt()) >= len(self.case.wounds), 3.0 * self._slower)
                await self.until(self.serving, "a gateway serves again", timeout_s=HANDOFF_S * self._slower)
            await self._order("promote")
            if self.case.play in ("early", "rollback"):
                await self._or_later(lambda s: s.head.phase in ("baking", *AT_REST), HANDOFF_S / 2 * self._slower)
                await self._order("complete" if self.case.play == "early" else "rollback")
            await self.until(lambda s: s.head.phase in AT_REST, "the handoff ends", timeout_s=HANDOFF_S * self._slower)
            await self._or_later(lambda _: len(self.dealt()) >= len(self.case.wounds), 3.0 * self._slower)
            await self.until(self.serving, "a runtime serves", timeout_s=HANDOFF_S * self._slower)
            talk.cancel()
            self._say()  # and it does serve: it answers what is asked last
            await self.until(self._settled, "all is settled", timeout_s=SETTLE_S * self._slower)
        except HandoffError as error:
            return error.message
        finally:
            for task in self._tasks:
                task.cancel()
        return ""

    async def _or_later(self, holds: Any, wait_s: float) -> bool:
        with suppress(HandoffError):
            await self.until(holds, "", timeout_s=wait_s)
            return True
        return False

    def _settled(self, state: State) -> bool:
        at_rest = state.head.phase in AT_REST and not state.head.messages and not state.head.turns
        return at_rest and self.serving(state) and not self.bot.queue.pending

    async def _order(self, order: str) -> None:
        """What an operator asks for; where a case wounds operators, by a process of its own."""
        if any(wound.side == "operator" for wound in self.case.wounds):
            _, env = self.command()
            words = [
                str(self.journal),
                order,
                self._runtime,
                str(BAKE_S[self.case.play]),
                self._limits.model_dump_json(),
            ]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.crash.operator", *words, env=env
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 15.0)
            if process.returncode is None:
                process.kill()
                await process.wait()
            return
        with suppress(HandoffError):  # refused: the wound was faster
            await asyncio.to_thread(self._ask, order)

    def _ask(self, order: str) -> None:
        operator = Operator(self.journal)
        try:
            if order == "promote":
                operator.promote(self._runtime, BAKE_S[self.case.play], self._limits)
            else:
                getattr(operator, order)()
        finally:
            operator.close()

    @property
    def _runtime(self) -> str:
        return "missing" if self.case.play == "failed" else "same"

    async def _talk(self) -> None:
        while len(self.markers) < MOST:
            self._say()
            await asyncio.sleep(self.dice.uniform(0.02, 2 * TALK_S * self._slower))

    def _say(self) -> None:
        marker = f"m{len(self.markers) + 1}"
        slow_s = self.dice.choice((None, None, None, None, 0.4, 1.2))
        self.bot.say(FIRST_CHAT + self.dice.randrange(self._chats), f"what about {mark(marker, slow_s=slow_s)}")
        self.markers.append(marker)

    # ------------------------------------------------------------------------------------------ who keeps and who hurts

    async def _keep(self) -> None:
        """A supervisor that knows little of handoffs: where nobody owns for long, it starts a gateway; where all are frozen, it ends
        them."""
        since = started = time.monotonic()
        while True:
            await asyncio.sleep(0.05)
            now, head = time.monotonic(), self.read().head
            blue_is_missed = head.phase == "rolling_back" and self._is(head.blue) == "dead"
            if self._is(head.owning) == "running" and not blue_is_missed:
                since = now
            if now - since < AGAIN_S or now - started < AGAIN_S:
                continue
            living = [p for p in self.system.carrying(MARK, str(self.folder)) if self._is(p) != "dead"]
            if not any(self._is(p) == "running" for p in living):
                for process in living:
                    self.system.end(process)
            elif now - started < 2.0 or (now - since < ALONE_S and not blue_is_missed):
                continue
            self._starts += 1
            self.start()
            started = time.monotonic()

    async def _thaw(self) -> None:
        thawed = 0
        while True:
            await asyncio.sleep(0.02)
            for note in self.dealt()[thawed:]:
                if note["how"] == "thaw":
                    await asyncio.sleep(self.dice.choice(THAW_S))
                    for pid in note["victims"]:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGCONT)
                thawed += 1

    async def _reach(self) -> None:
        """Deal the wounds of which only the platform knows when their time has come: while it has a request in its hands."""
        waiting = {n: w for n, w in enumerate(self.case.wounds) if w.type == SEND and w.point in ("inside", "held")}
        while waiting:
            n, wound = next(iter(waiting.items()))
            head = self.read().head
            mine = head.process("green" if wound.side == "green" else "blue")
            if head.phase != wound.phase or mine is None:
                await asyncio.sleep(0.002)
                continue
            self.bot.faults.hold("sendMessage", "before" if wound.point == "inside" else "after")
            try:
                async with asyncio.timeout(2.0):
                    while not any(_held(call, wound, mine) for call in self.bot.log.calls[-50:]):
                        await asyncio.sleep(0.002)
                if self.read().head.phase == wound.phase:
                    deal(n, wound, self.notes, mine, head, itself=False)
                    del waiting[n]
                    await asyncio.sleep(0.1)  # the platform sees that the connection is gone
            except TimeoutError:
                pass
            finally:
                self.bot.faults.release("sendMessage")
            await asyncio.sleep(0.01)

    def end_all(self) -> None:
        """End everything that was started here, at once."""
        for _ in range(3):
            for process in self.system.carrying(MARK, str(self.folder)):
                self.system.end(process)

    def pids_of(self, notes: Iterable[dict[str, Any]]) -> set[int]:
        """Whom the wounds hurt."""
        return {pid for note in notes for pid in note["victims"]}


def _held(call: Call, wound: Wound, mine: Process) -> bool:
    mine_is_it = call.method == "sendMessage" and call.end_ns is None and call.pid == mine.pid
    return mine_is_it and (call.message_id is not None) == (wound.point == "held")
