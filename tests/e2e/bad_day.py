"""A whole gateway on a bad day: people write, something is done to its journal, and it is judged by what they got back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from gateway_hooks.demo.markers import answered, mark
from gateway_hooks.demo.rig import Rig
from gateway_hooks.process import System
from journal.bell import read_head
from journal.events import Process
from journal.store import Reader
from journal.verify import Verdict, verify
from replay.fold import State
from tests.builders import ROOT

PATIENCE_S = 60.0
CHAT = 501


class _Rig(Rig):
    """One that gives its gateways more of an environment."""

    more: dict[str, str]

    def command(self) -> tuple[list[str], dict[str, str]]:
        words, env = super().command()
        return words, {**env, **self.more}


class Day:
    """A running reference gateway, the people who write to it, and an operator."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.handoff, self.path = rig, rig.journal, rig.journal / "journal.db"
        self.system: System = rig.system
        self.gateway: Process
        self._asked = 0

    async def start(self) -> Process:
        """Start a gateway and wait until it serves."""
        self.gateway = gateway = self.rig.start()
        serving: Callable[[State], bool] = lambda s: s.head.owning == gateway and bool(s.head.connected)  # noqa: E731
        await self.rig.until(serving, "serving", timeout_s=PATIENCE_S)
        return gateway

    def ask(self, text: str = "hello", chat: int = CHAT) -> str:
        """Somebody writes; returns the mark that the answer will bear."""
        self._asked += 1
        marker = f"m{self._asked}"
        self.rig.bot.say(chat, f"{text} {mark(marker)}")
        return marker

    async def answer(self, *markers: str) -> None:
        """Wait until all of them were answered."""
        await self.rig.bot.until(lambda calls: set(markers) <= self.answers().keys(), timeout_s=PATIENCE_S)

    async def chat(self, times: int = 1, text: str = "hello") -> None:
        """Somebody writes and is answered, several times."""
        for _ in range(times):
            await self.answer(self.ask(text))

    async def settled(self) -> State:
        """Wait until nothing is open in the journal."""
        return await self.rig.until(
            lambda s: not s.head.messages and not s.head.turns, "everything settled", timeout_s=PATIENCE_S
        )

    def answers(self) -> Counter[str]:
        """How often each mark was answered."""
        sends = [c for c in self.rig.bot.log.calls if c.method == "sendMessage" and c.status == 200]
        return Counter(marker for call in sends for marker in answered(call.text or ""))

    def everybody_was_answered_once(self) -> None:
        assert dict(self.answers()) == {f"m{n}": 1 for n in range(1, self._asked + 1)}

    def log(self, n: int = 0) -> str:
        """What the gateway that was started as the n-th has printed."""
        return (self.rig.folder / f"gateway-{n}.log").read_text()

    def complaints(self, n: int = 0) -> list[str]:
        """Of that, the lines that are errors or worse; none of them may be a traceback."""
        text = self.log(n)
        assert "Traceback" not in text, text
        return [line for line in text.splitlines() if " ERROR " in line or " CRITICAL " in line]

    async def complains(self, what: str) -> None:
        """Wait until it has said so."""
        async with asyncio.timeout(PATIENCE_S):
            while what not in self.log():
                await asyncio.sleep(0.02)

    async def type(self, *words: str) -> tuple[int, str, str]:
        """A command of the front door: exit code, stdout, stderr."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway_hooks.cli", *words, "--home", str(self.rig.home),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        async with asyncio.timeout(2 * PATIENCE_S):
            out, err = await child.communicate()
        assert child.returncode is not None
        return child.returncode, out.decode(), err.decode()

    def verdict(self) -> Verdict:
        with closing(Reader(self.path)) as reader:
            return verify(reader, head=read_head(self.handoff / "bell"))

    def last_seq(self) -> int:
        with closing(Reader(self.path)) as reader:
            return reader.last_seq()

    async def end(self) -> int | None:
        """Tell the gateway to end; its exit code."""
        await asyncio.to_thread(self.system.ask_to_end, self.gateway, wait_s=PATIENCE_S)
        return self.system.exit_code(self.gateway, wait_s=PATIENCE_S)


@asynccontextmanager
async def a_day(folder: Path, *, more: dict[str, str] | None = None) -> AsyncIterator[Day]:
    """Everything runs and the gateway serves."""
    rig = _Rig(folder, "reference")
    rig.more = more or {}
    async with rig:
        day = Day(rig)
        await day.start()
        yield day


def refused_start(home: Path) -> tuple[int, str]:
    """Start a gateway in that home that cannot serve: its exit code and what it printed. Its platform is nowhere."""
    words = ["--home", str(home), "--api", "http://127.0.0.1:1", "--token", "1:x"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway_hooks.reference", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr
