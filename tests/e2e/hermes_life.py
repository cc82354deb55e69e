"""One home, the real Hermes gateways that live in it one after the other, and what a test may do to them and ask of them."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_hooks.demo.hermes_home import write_home
from gateway_hooks.demo.judge import Verdict, judge
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import answered, mark
from gateway_hooks.demo.model import Model
from gateway_hooks.demo.rig import MARK, Rig
from gateway_hooks.demo.run import LIMITS, ambiguous_markers
from gateway_hooks.orders import Operator
from journal.events import Process
from journal.record import Record

WAIT_S = 90.0
PATIENT = LIMITS.model_copy(update={"silent_s": 20.0, "ack_s": 30.0, "active_s": 45.0})
"""A gateway is not hung because the machine is busy otherwise."""
PEOPLE = range(FIRST_CHAT, FIRST_CHAT + 100)
PLUGIN = "handoff-journal"
JOBS = "jobs"
_JOBS_CODE = Path(__file__).with_name("jobs_plugin.py")


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a person did in a chat. ``marker`` is what its answer repeats."""

    chat: int
    marker: str
    update_id: int
    message_id: int


class Life(Rig):
    """``async with Life(...)`` has the stand-ins and the home; gateways are started by `serve`.

    Args:
        folder: For the home, the logs and what the stand-ins record.
        python: The interpreter of an environment that holds Hermes and this project.
        journal: Whether the home has a journal.
        plugins: What ``plugins.enabled`` names; ``jobs`` starts background processes (`jobs_plugin`).
        env: Laid over the gateway's environment.
        config: Laid over Hermes' config.
    """

    def __init__(
        self,
        folder: Path,
        python: str,
        *,
        journal: bool = True,
        plugins: Collection[str] = (PLUGIN,),
        env: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, "hermes", python=python, installed=journal)
        self.model = Model(sleep=self._slowly)
        self._quick = asyncio.Event()
        self._quick.set()
        self._plugins = tuple(plugins)
        self._env = dict(env or {})
        self._config = config
        self._markers = 0
        if JOBS in self._plugins:
            plugin = self.home / "plugins" / JOBS
            plugin.mkdir(parents=True)
            (plugin / "plugin.yaml").write_text(f"name: {JOBS}\nversion: 1.0.0\ndescription: background jobs\n")
            (plugin / "__init__.py").write_text(_JOBS_CODE.read_text())

    def command(self) -> tuple[list[str], dict[str, str]]:
        """How a gateway is started: as a person would, with Hermes' own guard against too many starts left on."""
        base = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        env = write_home(
            self.home, bot_url=self.bot.base_url, bot_file_url=self.bot.base_file_url, model_url=self.model.base_url,
            token=self.bot.token, users=PEOPLE, plugins=self._plugins, base={**base, MARK: str(self.folder)},
            extra_config=self._config,
        )  # fmt: skip
        del env["HERMES_GATEWAY_MAX_STARTS"]
        return [self._python, "-m", "hermes_cli.main", "gateway", "run", "-v"], env | self._env

    # ---- the gateways

    async def serve(self) -> Process:
        """Start a gateway and wait until it polls."""
        process = self.start()
        await self.polls(process)
        return process

    async def polls(self, process: Process) -> None:
        """Wait until a process has begun to poll."""
        await self.bot.until(
            lambda calls: any(c.method == "getUpdates" and c.pid == process.pid for c in calls), timeout_s=WAIT_S
        )

    async def ends(self, process: Process, *, timeout_s: float = WAIT_S) -> int | None:
        """Wait until a process has ended; its exit code when it is known."""
        code = await asyncio.to_thread(self.system.exit_code, process, wait_s=timeout_s)
        await self.holds(lambda: self.system.probe(process) == "dead", f"process {process.pid} has ended")
        return code

    async def promote(self, *, bake_s: float) -> Process:
        """Ask for a handoff and wait for the bake; returns green."""
        await asyncio.to_thread(self._order, lambda operator: operator.promote("same", bake_s, PATIENT))
        state = await self.until(
            lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=WAIT_S
        )
        assert state.head.green is not None, self.read().head
        return state.head.green

    async def roll_back(self) -> None:
        """Roll the open handoff back and wait until that is over."""
        await asyncio.to_thread(self._order, lambda operator: operator.rollback())
        await self.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=WAIT_S)

    async def complete(self) -> None:
        """End the bake and wait until the handoff is complete."""
        await asyncio.to_thread(self._order, lambda operator: operator.complete())
        await self.until(lambda s: s.head.phase == "complete", "the completion", timeout_s=WAIT_S)

    def _order(self, give: Callable[[Operator], object]) -> None:
        operator = Operator(self.journal)
        try:
            give(operator)
        finally:
            operator.close()

    # ---- the model

    def hold_slow(self) -> None:
        """From now on what is slow takes the model until `let_slow_go`, and then its time."""
        self._quick.clear()

    def let_slow_go(self) -> None:
        """Let the model answer what is slow."""
        self._quick.set()

    async def _slowly(self, seconds: float) -> None:
        await self._quick.wait()
        await asyncio.sleep(seconds)

    # ---- the people

    def say(
        self, chat: int, words: str = "what about", *, slow_s: float | None = None, user: int | None = None
    ) -> Line:
        """Write a text; one that is slow takes the model that many seconds."""
        marker = self._marker()
        return self._line(chat, marker, self.bot.say(chat, f"{words} {mark(marker, slow_s=slow_s)}", user_id=user))

    def order(self, chat: int, command: str) -> Line:
        """Write a command."""
        return self._line(chat, "", self.bot.say(chat, command))

    def edit(self, line: Line) -> Line:
        """Change a text."""
        marker = self._marker()
        return self._line(line.chat, marker, self.bot.edit(line.chat, line.message_id, f"rather {mark(marker)}"))

    def press(self, chat: int) -> Line:
        """Press a button under a message that no gateway remembers."""
        return self._line(chat, "", self.bot.press(chat, 1, "unknown:1"))

    def album(self, chat: int) -> list[Line]:
        """Send an album of two photos, of which the first has words."""
        marker = self._marker()
        first, second = self.bot.say_album(chat, [f"look {mark(marker)}", ""])
        return [Line(chat, marker, first, 0), Line(chat, "", second, 0)]

    def _line(self, chat: int, marker: str, update_id: int) -> Line:
        return Line(chat, marker, update_id, self.bot.log.said[-1].message_id)

    def _marker(self) -> str:
        self._markers += 1
        return f"m{self._markers}"

    # ---- what became of it

    async def holds(self, what: Callable[[], object], name: str, *, timeout_s: float = WAIT_S) -> None:
        """Wait until something holds."""
        end = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < end, f"{name}: not within {timeout_s:g} s; look at {self.folder}"
            await asyncio.sleep(0.02)

    async def answers(self, *lines: Line, timeout_s: float = WAIT_S) -> None:
        """Wait until lines are answered."""
        wanted = {line.marker for line in lines}
        await self.holds(
            lambda: wanted <= {m for call in self.bot.log.calls if call.message_id for m in answered(call.text or "")},
            f"answers to {wanted}",
            timeout_s=timeout_s,
        )

    async def asked(self, line: Line) -> None:
        """Wait until the model is asked about a line."""
        await self.model.until(lambda all_: any(line.marker in asked.found for asked in all_), timeout_s=WAIT_S)

    async def confirmed(self, *lines: Line) -> None:
        """Wait until the platform will not hand a line over again."""
        last = max(line.update_id for line in lines)
        await self.holds(lambda: all(number > last for number in self.bot.queue.pending), "the updates are confirmed")

    async def quiet(self, *, timeout_s: float = WAIT_S) -> None:
        """Wait until the journal knows of nothing that is open."""
        await self.until(
            lambda s: not s.head.messages and not s.head.turns, "everything is settled", timeout_s=timeout_s
        )

    def fate(self, line: Line) -> list[str]:
        """How the journal settled a line: each settlement of each message that it made of it."""
        records = self.records()
        seqs = {r.seq for r in records if r.type == "MESSAGE_ACCEPTED" and body(r)["update_id"] == str(line.update_id)}
        return [body(r)["outcome"] for r in records if r.type == "MESSAGE_SETTLED" and body(r)["message"] in seqs]

    def turns(self, line: Line) -> list[Record]:
        """The turns that were started over a line."""
        records = self.records()
        seqs = {r.seq for r in records if r.type == "MESSAGE_ACCEPTED" and body(r)["update_id"] == str(line.update_id)}
        return [r for r in records if r.type == "TURN_STARTED" and seqs & set(body(r)["messages"])]

    def sends(self, chat: int) -> list[str]:
        """What stands in a chat from the bot, in order."""
        calls = [c for c in self.bot.log.calls if c.message_id and c.chat_id == chat and c.method.startswith("send")]
        return [call.text or "" for call in calls]

    def verdict(self) -> Verdict:
        """What the judge says of all of it."""
        reported = ambiguous_markers(self, self.records()) if self._installed else set()
        return judge(self.bot.log.said, self.bot.log.calls, reported=reported, end_ns=time.monotonic_ns())

    # ---- what Hermes has on disk

    def rows(self, chat: int) -> list[tuple[str, str]]:
        """Role and words of what a model is told of a chat, without the tools' part of it."""
        found = self._ask(
            "SELECT m.role, m.content FROM messages m JOIN gateway_routing g "
            "ON json_extract(g.entry_json, '$.session_id') = m.session_id "
            "WHERE g.session_key LIKE ? AND m.active = 1 ORDER BY m.id",
            f"%:{chat}",
        )
        return [(str(role), str(words)) for role, words in found if role in ("user", "assistant")]

    def routed(self) -> set[int]:
        """The chats in Hermes' routing table."""
        return {int(key.rsplit(":", 1)[-1]) for (key,) in self._ask("SELECT session_key FROM gateway_routing")}

    def _ask(self, question: str, *given: object) -> list[Any]:
        path = self.home / "state.db"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(question, given).fetchall()

    def log_of(self, number: int) -> str:
        """What the gateway that was started as the ``number``-th, from 0, has printed."""
        return (self.folder / f"gateway-{number}.log").read_text(errors="replace")


def body(record: Record) -> dict[str, Any]:
    """A record's event as plain data."""
    found: dict[str, Any] = json.loads(record.body)
    return found
