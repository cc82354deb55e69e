"""A gateway in a home of its own, under traffic, and everything that is needed to break it from outside.

Nothing here knows how an audit thinks: the journal's file is read as rows, processes are signalled by pid, and what was done is
written down by whoever did it. What the product is asked for, it is asked on its command line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway_hooks.demo.botapi import BotApi

MARK = "HANDOFF_JOURNAL_INCIDENT"
PHASES = {
    "HANDOFF_REQUESTED": "requested", "HANDOFF_INIT": "init", "HANDOFF_ACK": "ack", "HANDOFF_ACTIVE": "active",
    "HANDOFF_SEIZED": "active", "HANDOFF_CONFIRM": "baking", "HANDOFF_COMPLETE": "complete", "HANDOFF_ROLLBACK": "rolling_back",
    "BLUE_SERVING": "rolled_back", "HANDOFF_FAILED": "failed",
}  # fmt: skip
OVER = ("complete", "rolled_back", "failed")
LIMITS = {
    "requested_s": 8.0, "init_s": 20.0, "ack_s": 8.0, "active_s": 6.0, "rolling_back_s": 6.0, "silent_s": 4.0, "frozen_s": 1.0,
    "sample_s": 0.3, "confirm_samples": 2,
}  # fmt: skip
ASK = """
import sys, json
from pathlib import Path
from gateway_hooks.orders import Operator
from journal.events import Limits
operator = Operator(Path(sys.argv[1]))
order = sys.argv[2]
if order == "promote":
    operator.promote(sys.argv[3], float(sys.argv[4]), Limits(**json.loads(sys.argv[5])))
else:
    getattr(operator, order)()
operator.close()
"""
"""An operator in a process of his own, who sets limits that no one would wait for otherwise."""
PATCH = """
import asyncio, os, time
_run = asyncio.run
def run(main, **more):
{body}
    return _run(main, **more)
asyncio.run = run
"""
WAIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Note:
    """What was really done, in the words of whoever did it: ``what``, to which side, in which phase, to which process."""

    what: str
    side: str | None
    phase: str
    pid: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


class Scene:
    """``async with Scene(folder)`` starts the platform and the gateway; leaving ends every process that came of it."""

    def __init__(self, folder: Path, *, blue_env: Mapping[str, str] | None = None) -> None:
        self.folder, self.home = folder, folder / "home"
        folder.mkdir(parents=True, exist_ok=True)
        self.bot = BotApi(log_path=folder / "botapi.jsonl")
        self.notes: list[Note] = []
        self._blue_env = blue_env or {}
        self._blue: subprocess.Popen[bytes] | None = None
        self._talk: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.home.mkdir(parents=True)
        await self.bot.start()
        (self.home / "config.yaml").write_text("plugins:\n  enabled: []\n")
        done = await self.run([sys.executable, "-m", "gateway_hooks.cli", "install", "--home", str(self.home)])
        assert done.returncode == 0, done.stderr.decode()
        api = self.bot.base_url.rsplit("/bot", 1)[0]
        command = [
            sys.executable,
            "-m",
            "gateway_hooks.reference",
            "--home",
            str(self.home),
            "--api",
            api,
            "--token",
            self.bot.token,
        ]
        with (self.folder / "blue.log").open("wb") as log:
            self._blue = subprocess.Popen(
                command, env=self._env(self._blue_env), stdout=log, stderr=log, start_new_session=True
            )
        await self.until(lambda: any(t == "ADAPTER_CONNECTED" for t, _ in self.rows()), "the gateway serves")
        self._talk = asyncio.create_task(self._people())
        await self.until(lambda: any(t == "REPLY_SENT" for t, _ in self.rows()), "the first answer")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._talk is not None:
            self._talk.cancel()
        for _ in range(3):
            for pid in self._ours():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        if self._blue is not None:
            self._blue.wait(5)
        await self.bot.stop()

    # --------------------------------------------------------------------------------------- the world around it

    async def _people(self) -> None:
        number = 0
        while True:
            number += 1
            self.bot.say(7000 + number % 5, f"hello [[m{number}]]")
            await asyncio.sleep(0.4)

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", MARK: str(self.folder), **more}

    def _ours(self) -> list[int]:
        wanted, found = os.fsencode(f"{MARK}={self.folder}"), []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    async def run(self, command: list[str], timeout_s: float = 60.0) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the product and wait for it."""
        return await asyncio.to_thread(
            subprocess.run,
            command,
            env=self._env({}),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    # --------------------------------------------------------------------------------------- the journal as rows

    def rows(self) -> list[tuple[str, str]]:
        """(type, body) of every event."""
        try:
            with closing(
                sqlite3.connect(f"{(self.home / 'handoff' / 'journal.db').as_uri()}?mode=ro", uri=True, timeout=5)
            ) as db:
                return list(db.execute("SELECT type, body FROM events ORDER BY seq"))
        except sqlite3.OperationalError:
            return []

    def phase(self) -> str:
        """The phase that the rows show."""
        return next((PHASES[t] for t, _ in reversed(self.rows()) if t in PHASES), "idle")

    def pid(self, side: str) -> int:
        """The process of a side, as it was started: blue by us, green by blue."""
        if side == "blue":
            assert self._blue is not None
            return self._blue.pid
        spawned = [json.loads(body)["green"]["pid"] for t, body in self.rows() if t == "GREEN_SPAWNED"]
        return int(spawned[-1]) if spawned else 0

    async def until(
        self, holds: Callable[[], bool], what: str, *, timeout_s: float = WAIT_S, every_s: float = 0.002
    ) -> None:
        """Wait until something holds."""
        end = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {timeout_s:g} s, phase {self.phase()}, see {self.folder}")
            await asyncio.sleep(every_s)

    async def reached(self, *phases: str) -> None:
        """Wait until the rows show one of these phases."""
        await self.until(lambda: self.phase() in phases, f"phase {' or '.join(phases)}")

    # --------------------------------------------------------------------------------------- orders and deeds

    async def order(self, *words: str) -> None:
        """An operator says something."""
        done = await self.run([sys.executable, "-c", ASK, str(self.home / "handoff"), *words])
        assert done.returncode == 0, done.stderr.decode()

    async def promote(self, runtime: str = "same", bake_s: float = 1.5, **limits: float) -> None:
        """An operator asks for a handoff."""
        await self.order("promote", runtime, str(bake_s), json.dumps({**LIMITS, **limits}))

    def runtime(self, text: str) -> None:
        """Write runtimes.toml."""
        (self.home / "handoff" / "runtimes.toml").write_text(text)

    def signal(self, side: str, number: signal.Signals, what: str) -> None:
        """Send a signal to a side, and note in which phase it hit: it goes no further before that is written down."""
        pid = self.pid(side)
        os.kill(pid, signal.SIGSTOP)
        self.note(what, side, pid=pid)
        if number != signal.SIGSTOP:
            os.kill(pid, number)
            with suppress(ProcessLookupError):  # killed, and reaped already
                os.kill(pid, signal.SIGCONT)

    def note(self, what: str, side: str | None, *, pid: int | None = None, **more: Any) -> None:
        """Write down what was done."""
        note = Note(what, side, self.phase(), pid, more)
        self.notes.append(note)
        with (self.folder / "notes.jsonl").open("a") as out:
            out.write(json.dumps(asdict(note)) + "\n")

    async def over(self) -> str:
        """Wait until the handoff is over; returns its last phase."""
        await self.reached(*OVER)
        return self.phase()


def patch(folder: Path, source: str) -> str:
    """A folder that changes any Python which has it in PYTHONPATH: ``source`` runs when the program starts its loop."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PATCH.format(body=textwrap.indent(source.strip(), "    ")))
    return str(folder)
