"""The stage of the contract suite: the stand-ins, one home, and up to two real gateway processes in it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from gateway_hooks.demo.botapi import BotApi
from gateway_hooks.demo.hermes_home import write_home
from gateway_hooks.demo.judge import sent_messages
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import answered, mark
from gateway_hooks.demo.model import Asked, Model
from gateway_hooks.demo.shapes import BOT_ID
from gateway_hooks.demo.whopolls import WhoHolds
from gateway_hooks.demo.wire import Call
from gateway_hooks.gateway import Watcher
from gateway_hooks.process import ROLE, System
from journal.events import Side
from journal.store import create
from tests.contract.puppet import SOCKET
from tests.contract.strings import WAIT_S, Player
from tests.hermes_venv import hermes_venv

KindName = Literal["reference", "hermes"]
KINDS: tuple[KindName, ...] = ("reference", "hermes")
ROOT = Path(__file__).resolve().parents[2]
CHATS = range(FIRST_CHAT, FIRST_CHAT + 200)
PLUGIN = "puppet"
_PLUGIN_CODE = '''"""Puts a puppet into the seat of this gateway."""

from gateway_hooks.hermes import plugin
from tests.contract import puppet


def register(context):
    plugin.enter(puppet.take)
'''
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a person did in a chat, known by its marker."""

    chat: int
    marker: str
    update_id: int
    message_id: int


class Stage:
    """``with Stage(...)`` has the stand-ins play on a loop of their own; leaving ends every process that was started.

    Its methods are called from the test's thread. Nothing that they wait for is waited for without a bound.
    """

    def __init__(self, folder: Path, kind: KindName) -> None:
        self.kind: KindName = kind
        self.bot = BotApi(who_is=WhoHolds())
        self.model = Model(sleep=self._slowly)
        self._folder = folder
        self._home = folder / "home"
        self._system = System()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-ins", daemon=True)
        self._quick = asyncio.Event()
        self._chats = iter(CHATS)
        self._markers = itertools.count(1)
        self._players: list[Player] = []
        self._sleepers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self.bot.start())
        self._await(self.model.start())
        self.let_slow_go()
        create(self._home / "handoff", at_ns=time.time_ns())
        if self.kind == "hermes":
            plugin = self._home / "plugins" / PLUGIN
            plugin.mkdir(parents=True)
            (plugin / "plugin.yaml").write_text(f"name: {PLUGIN}\nversion: 1.0.0\ndescription: a puppet in the seat\n")
            (plugin / "__init__.py").write_text(_PLUGIN_CODE)
        return self

    def __exit__(self, *exc: object) -> None:
        for player in self._players:
            player.kill()
        for sleeper in self._sleepers:
            sleeper.kill()
            sleeper.wait()
        self._await(self.bot.stop())
        self._await(self.model.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- the gateways

    def blue(self) -> Player:
        """A gateway that serves: the one that did before, with everything undone that a test has done to it, or a new one."""
        self.let_slow_go()
        green = self._living("green")
        if green is not None and green.connected:
            green.pause()
        blue = self._living("blue")
        if blue is None:
            blue = self._start("blue")
            self.until(lambda: self.polls(blue), "blue's first poll")
        blue.relent()
        blue.connect()
        return blue

    def green(self) -> Player:
        """A gateway that has loaded and does not poll, beside the one that serves."""
        green = self._living("green") or self._start("green")
        green.relent()
        if green.connected:
            green.pause()
        green.load()
        return green

    def new_green(self) -> Player:
        """The same, of a process that never polled."""
        before = self._living("green")
        if before is not None:
            before.kill()
        return self.green()

    def _living(self, side: Side) -> Player | None:
        return next((player for player in self._players if player.side == side and player.alive), None)

    def _start(self, side: Side) -> Player:
        name = f"{side}-{len(self._players)}"
        strings, log = self._folder / f"{name}.sock", self._folder / f"{name}.log"
        command, env = self._hermes() if self.kind == "hermes" else self._reference()
        env |= {SOCKET: str(strings), "PYTHONPATH": str(ROOT), **({ROLE: "green"} if side == "green" else {})}
        player = Player(side, self._system.spawn(command, env, log), strings, log, self._system)
        self._players.append(player)
        player.stand()
        return player

    def _reference(self) -> tuple[list[str], dict[str, str]]:
        api = self.bot.base_url.rsplit("/bot", 1)[0]
        module = [sys.executable, "-m", "tests.contract.reference_process"]
        return [*module, str(self._home), api, self.bot.token, self.model.base_url], _base()

    def _hermes(self) -> tuple[list[str], dict[str, str]]:
        env = write_home(
            self._home, bot_url=self.bot.base_url, bot_file_url=self.bot.base_file_url, model_url=self.model.base_url,
            token=self.bot.token, users=CHATS, plugins=(PLUGIN,), base=_base(),
        )  # fmt: skip
        return [str(hermes_venv("0.19.0") / "bin" / "python"), "-m", "hermes_cli.main", "gateway", "run", "-v"], env

    def watcher(self) -> Watcher:
        """What a gateway of this kind hands over for a background process, which lives until the stage ends."""
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self._sleepers.append(sleeper)
        name = f"proc_{sleeper.pid}"
        process = {"command": "sleep 600", "pid": sleeper.pid, "pid_scope": "host", "session_key": "", "task_id": ""}
        return Watcher(name, json.dumps({"name": name, "watcher": None, "process": process}).encode())

    # ---- the people

    def say(self, *, chat: int | None = None, slow: bool = False, words: str = "what about") -> Line:
        """Write in a chat, one that nobody has used when none is named. A slow one is answered after ``let_slow_go``."""
        return self.say_at_once(1, chat=chat, slow=slow, words=words)[0]

    def say_at_once(
        self, count: int, *, chat: int | None = None, slow: bool = False, words: str = "what about"
    ) -> list[Line]:
        """Write several texts so quickly that one poll fetches them all."""
        chat_id = next(self._chats) if chat is None else chat

        def speak() -> list[Line]:
            if slow:
                self._quick.clear()
            return [self._say(chat_id, slow, words) for _ in range(count)]

        return self._call(speak)

    def _say(self, chat: int, slow: bool, words: str) -> Line:
        marker = self._marker()
        update_id = self.bot.say(chat, f"{words} {mark(marker, slow_s=1.0 if slow else None)}")
        return Line(chat, marker, update_id, self.bot.log.said[-1].message_id)

    def edit(self, line: Line) -> Line:
        """Change a text."""
        marker = self._marker()
        update_id = self._call(lambda: self.bot.edit(line.chat, line.message_id, f"rather {mark(marker)}"))
        return Line(line.chat, marker, update_id, line.message_id)

    def press(self, line: Line) -> Line:
        """Press a button that stands under a message of the bot."""
        marker = self._marker()
        update_id = self._call(lambda: self.bot.press(line.chat, line.message_id, f"unknown:{mark(marker)}"))
        return Line(line.chat, marker, update_id, line.message_id)

    def unblock(self, line: Line) -> Line:
        """Let the bot write again, which the platform tells it by an update that is no message (``my_chat_member``)."""
        marker, chat = self._marker(), {"id": line.chat, "type": "private", "first_name": "Ada"}
        bot = {"id": BOT_ID, "is_bot": True, "first_name": "Stand-in", "username": "stand_in_bot"}
        body = {
            "chat": chat,
            "from": {"id": line.chat, "is_bot": False, "first_name": f"Ada {mark(marker)}"},
            "date": int(time.time()),
            "old_chat_member": {"user": bot, "status": "kicked", "until_date": 0},
            "new_chat_member": {"user": bot, "status": "member"},
        }

        def happen() -> int:
            update_id = self.bot.queue.put("my_chat_member", body)
            self.bot.polling.wake()
            return update_id

        return Line(line.chat, marker, self._call(happen), 0)

    def let_slow_go(self) -> None:
        """Let the model answer what is slow."""
        self._call(self._quick.set)

    # ---- the platform's misfortunes

    def hold_polls(self) -> None:
        """Let no further poll do anything."""
        self._call(lambda: self.bot.faults.hold("getUpdates"))

    def let_polls_go(self) -> None:
        """Let polls through again."""
        self._call(lambda: self.bot.faults.release("getUpdates"))

    def renumber(self, update_id: int) -> int:
        """Go on numbering from there, as the platform may after a quiet week; returns where it would have gone on."""

        def jump() -> int:
            before = self.bot.queue.next_update_id
            self.bot.queue.jump_to(update_id)
            return before

        return self._call(jump)

    def drop_next_send(self) -> None:
        """Take the next message, and cut the connection instead of saying so."""
        self._call(self.bot.faults.drop_next_send)

    def _marker(self) -> str:
        return f"m{next(self._markers)}"

    async def _slowly(self, _seconds: float) -> None:
        await self._quick.wait()

    # ---- what the platform and the model saw

    @property
    def calls(self) -> tuple[Call, ...]:
        """All requests to the Bot API so far."""
        return self._call(lambda: self.bot.log.calls)

    @property
    def pending(self) -> tuple[int, ...]:
        """Updates that nobody has confirmed."""
        return self._call(lambda: self.bot.queue.pending)

    def polls(self, player: Player, *, since_ns: int = 0) -> list[Call]:
        """The polls that a gateway began since then. A poll during its life of nobody knows whom counts as its own."""
        since_ns = max(since_ns, player.born_ns)
        return [
            call
            for call in self.calls
            if call.method == "getUpdates" and call.pid in (player.process.pid, None) and call.begin_ns > since_ns
        ]

    def answers(self, line: Line) -> list[Call]:
        """The messages that answer a line and that the platform took, one for each."""
        places = {sent.place for sent in sent_messages(self.calls) if sent.chat_id == line.chat}
        return [call for call in self.calls if call.n in places and line.marker in answered(call.text or "")]

    def asked(self, line: Line) -> list[Asked]:
        """What the model was asked about a line."""
        return [asked for asked in self._call(lambda: self.model.asked) if line.marker in asked.found]

    def answer(self, line: Line) -> Call:
        """Wait for a line's answer."""
        self.until(lambda: self.answers(line), f"an answer to {line.marker}")
        return self.answers(line)[0]

    def is_with_the_model(self, line: Line) -> None:
        """Wait until the model is asked about a line."""
        self._within(self.model.until(lambda _: bool(self.asked(line)), timeout_s=WAIT_S), f"{line.marker} is asked")

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds of what the platform saw; it is asked whenever the platform sees more."""
        self._within(self.bot.until(lambda _: bool(holds()), timeout_s=WAIT_S), what)

    def _within(self, work: Coroutine[Any, Any, object], what: str) -> None:
        try:
            self._await(work)
        except TimeoutError:
            stories = [player.story(player.record()) for player in self._players if player.alive]
            raise AssertionError("\n".join([f"{what}: not within {WAIT_S:g} s", *stories])) from None

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S + 5)

    def _call(self, work: Callable[[], T]) -> T:
        if threading.current_thread() is self._thread:
            return work()

        async def call() -> T:
            return work()

        return self._await(call())


def _base() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
