"""One soak: a real Hermes under our keeper, people who write, somebody who kills, and somebody who promotes, all from one seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway_hooks.demo.botapi import BotApi
from gateway_hooks.demo.hermes_home import write_home
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import STEPS, mark
from gateway_hooks.demo.rig import MARK, Rig
from gateway_hooks.demo.shapes import Json
from gateway_hooks.demo.whopolls import WhoHolds
from gateway_hooks.demo.wire import Call
from gateway_hooks.orders import Operator
from journal.errors import HandoffError
from journal.events import Limits, Process
from journal.head import AT_REST
from replay.fold import State
from tests.soak_hermes.traffic import Line, plan

LIMITS = Limits(
    requested_s=30, init_s=90, ack_s=20, active_s=40, rolling_back_s=15, silent_s=15, frozen_s=2, sample_s=0.5
)
ECHO = "echo"
CONFIG = {
    "memory": {"nudge_interval": 0},
    "skills": {"creation_nudge_interval": 0},
    "display": {"platforms": {"telegram": {"interim_assistant_messages": True}}},
}
"""What the model says beside a call of a tool goes out, as by default. Reviews are off: every tenth turn of a chat makes Hermes
go over it again in the background, which costs as much as two turns and says nothing."""
BOOT_S = 90.0
STILL_S = 90.0
"""When nothing was settled or accepted for so long, and nobody was killed, the run stands still, and that is a finding."""
HURRY_S = 1.5
"""A kill comes at a random moment within so many seconds of the message that it was drawn for."""
BAKE_S = (0.5, 4.0)
REST_S = (0.5, 8.0)
PACE, LEAST = 0.5, 10
"""How many messages per chat, and at least, may be open before people wait: who writes faster than Hermes answers measures that."""
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """What to play: so many messages over so many chats, ``rate`` a second, and so many SIGKILLs, perhaps handoffs between."""

    messages: int = 10_000
    kills: int = 200
    chats: int = 50
    rate: float = 8.0
    seed: int = 0
    handoffs: bool = True


@dataclass(frozen=True, slots=True)
class Killed:
    """One SIGKILL: whom, when (monotonic), in which phase, on which seat."""

    pid: int
    at_ns: int
    phase: str
    seat: str


class Pressed(BotApi):
    """The Bot API that also counts how often each press of a button was answered, by its id."""

    def __init__(self, log_path: Path) -> None:
        super().__init__(log_path=log_path, who_is=WhoHolds())
        self.pressed: Counter[str] = Counter()

    async def _answer(
        self, request: web.Request, method: str, params: Mapping[str, Any], call: Call
    ) -> tuple[int, Json, Call]:
        if method == "answercallbackquery":
            self.pressed[str(params.get("callback_query_id"))] += 1
        return await super()._answer(request, method, params, call)


class Soak(Rig):
    """``async with Soak(...)``, then ``play``; what came of it is read off ``bot.log`` and ``kills``."""

    def __init__(self, folder: Path, options: Options, *, python: str, say: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, "hermes", python=python)
        self.bot.log.close()
        self.pressing = Pressed(folder / "botapi.jsonl")
        self.bot = self.pressing
        self.options = options
        self.kills: list[Killed] = []
        self.handoffs: Counter[str] = Counter()
        self.lines: dict[int, Line] = {}
        self._say_so = say
        self._said = 0
        self._messages: dict[int, list[int]] = {}
        self._keeper: Process | None = None
        self._began_s = 0.0
        plugin = self.home / "plugins" / ECHO
        plugin.mkdir(parents=True)
        (plugin / "plugin.yaml").write_text(f"name: {ECHO}\nversion: 1.0.0\ndescription: echoes\n")
        (plugin / "__init__.py").write_text(Path(__file__).with_name("echo_plugin.py").read_text())

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The gateway, with the plugin that echoes."""
        command, env = super().command()
        base = {name: value for name, value in env.items() if name in ("PATH", "LANG", "LC_ALL", MARK)}
        env = write_home(
            self.home, bot_url=self.bot.base_url, bot_file_url=self.bot.base_file_url, model_url=self.model.base_url,
            token=self.bot.token, users=range(FIRST_CHAT, FIRST_CHAT + self.options.chats),
            plugins=("handoff-journal", ECHO), base=base, extra_config=CONFIG,
        )  # fmt: skip
        return command, env

    def serving(self, state: State) -> bool:
        """Whether the owner lives and has its adapters."""
        owner = state.head.owning
        connected = owner is not None and owner in state.head.connected.values()
        return connected and owner is not None and self.system.probe(owner) == "running"

    async def play(self) -> str:
        """Play it to its end. Returns what did not come to its end, or nothing."""
        self._began_s = time.monotonic()
        self._keeper = self.start(keeper=("--steady", "0s"))
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.until(self.serving, "the gateway serves", timeout_s=BOOT_S)
            self.bot.say(FIRST_CHAT, f"good morning {mark('m0')}")  # the first turn of all imports for seconds
            await self.until(lambda s: bool(s.settled), "the first answer", timeout_s=BOOT_S)
            killing = asyncio.create_task(self._hurt())
            tasks = [killing, asyncio.create_task(self._tell())]
            if self.options.handoffs:
                tasks.append(asyncio.create_task(self._promote()))
            await self._write()
            await killing
            for task in tasks[2:]:
                task.cancel()
            await self._rests()
        except HandoffError as error:
            return error.message
        finally:
            for task in tasks:
                task.cancel()
            for came in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(came, Exception):
                    raise came
        return ""

    # ---- the people

    async def _write(self) -> None:
        options = self.options
        most = max(LEAST, round(PACE * options.chats))
        lines = plan(messages=options.messages, chats=options.chats, rate=options.rate, seed=options.seed)
        late_s, began_s = 0.0, time.monotonic()
        for line in lines:
            while (ahead_s := line.at_s + late_s - (time.monotonic() - began_s)) > 0:
                await asyncio.sleep(min(ahead_s, LOOK_S))
            waited = time.monotonic()
            still = Stillness(self)
            while self._open() > most and line.kind not in ("pair", "behind"):
                still.look()
                await asyncio.sleep(LOOK_S)
            late_s += time.monotonic() - waited
            self._do(line)

    def _do(self, line: Line) -> None:
        words = f"{STEPS if line.kind == 'steps' else 'what about'} {mark(line.marker, slow_s=line.slow_s)}"
        written = self._messages.setdefault(line.chat, [])
        match line.kind:
            case "album":
                update, second = self.bot.say_album(line.chat, [words, f"and about {mark(line.second)}"])
                self.lines[second] = line
            case "press":
                update = self.bot.press(line.chat, 1, "cp:0")
            case "command" if written and int(line.marker[1:]) % 3 == 0:  # somebody corrects it
                update = self.bot.edit(line.chat, written[-1], f"/{ECHO} {mark(line.marker)}")
            case "command":
                update = self.bot.say(line.chat, f"/{ECHO} {mark(line.marker)}")
            case "edit" if written:
                update = self.bot.edit(line.chat, written[-1], f"rather {mark(line.marker)}")
            case _:
                update = self.bot.say(line.chat, words)
                written.append(self.bot.log.said[-1].message_id)
        self.lines[update] = line
        self._said += line.number

    def _open(self) -> int:
        return len(self.read().head.messages) + len(self.bot.queue)

    # ---- who kills

    async def _hurt(self) -> None:
        options = self.options
        dice = random.Random(options.seed + 1)
        for moment in sorted(dice.randrange(options.messages) for _ in range(options.kills)):
            while self._said < moment:
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(dice.uniform(0.0, HURRY_S))
            while not (victims := self._gateways()):
                await asyncio.sleep(LOOK_S)
            both = len(victims) > 1 and dice.random() < 0.2
            head = self.read().head
            for victim in victims if both else [dice.choice(victims)]:
                side = head.side_of(victim)
                seat = "no seat yet" if side is None else f"{side}{', owner' if head.owning == victim else ''}"
                self.kills.append(Killed(victim.pid, time.monotonic_ns(), head.phase, seat))
                self.system.end(victim)

    def _gateways(self) -> list[Process]:
        """Every gateway that lives, also one that has no seat yet."""
        found = [p for p in self.system.carrying(MARK, str(self.folder)) if p != self._keeper]
        return [p for p in found if _is_gateway(p.pid)]

    # ---- who promotes

    async def _promote(self) -> None:
        dice = random.Random(self.options.seed + 2)
        while True:
            await asyncio.sleep(dice.uniform(*REST_S))
            state = self.read()
            if state.head.phase not in AT_REST or not self.serving(state):
                continue
            bake_s, undone = dice.uniform(*BAKE_S), dice.random() < 0.25
            with suppress(HandoffError):
                await asyncio.to_thread(self._order, "promote", "same", bake_s, LIMITS)
                if undone:
                    await self.until(lambda s: s.head.phase in ("baking", *AT_REST), "the bake", timeout_s=60)
                    await asyncio.to_thread(self._order, "rollback")
            with suppress(HandoffError):
                state = await self.until(lambda s: s.head.phase in AT_REST, "the handoff ends", timeout_s=240)
                self.handoffs[state.head.phase] += 1

    def _order(self, what: str, *details: Any) -> None:
        operator = Operator(self.journal)
        try:
            getattr(operator, what)(*details)
        finally:
            operator.close()

    # ---- the end

    async def _rests(self) -> None:
        """Until nothing is open. Raises ``HandoffError`` when nothing moves any more before that."""
        still = Stillness(self)
        while True:
            state = self.read()
            rests = state.head.phase in AT_REST and not self._open() and not state.head.turns
            if rests and self.serving(state):
                return
            still.look()
            await asyncio.sleep(0.1)

    def log(self) -> str:
        """What the keeper and its gateways have printed."""
        return (self.folder / "gateway-0.log").read_text(errors="replace")

    def told(self) -> str:
        """Where it stands, in a line."""
        state = self.read()
        seconds = time.monotonic() - self._began_s
        return (
            f"{seconds:6.0f} s  {self._said} of {self.options.messages} written, {len(self.bot.queue)} not fetched, "
            f"{len(state.head.messages)} open, {len(self.kills)} killed, {sum(self.handoffs.values())} handoffs, "
            f"phase {state.head.phase}"
        )

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(10.0)
            self._say_so(self.told())


class Stillness:
    """Whether anything moves: messages fetched or settled, gateways killed, a handoff's phase."""

    def __init__(self, soak: Soak) -> None:
        self._soak = soak
        self._seen: tuple[object, ...] = ()
        self._since_s = time.monotonic()

    def look(self) -> None:
        """Raises ``HandoffError`` when nothing has moved for ``STILL_S``."""
        soak = self._soak
        state = soak.read()
        seen = sum(state.settled.values()), len(soak.bot.queue), len(soak.kills), state.head.phase
        if seen != self._seen:
            self._seen, self._since_s = seen, time.monotonic()
        if time.monotonic() - self._since_s > STILL_S:
            raise HandoffError(f"nothing moved for {STILL_S:g} s: {soak.told()}", hint=f"look at {soak.folder}")


def _is_gateway(pid: int) -> bool:
    with suppress(OSError):
        return b"hermes_cli.main\0gateway\0run" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
