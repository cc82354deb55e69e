"""A home whose gateway is a sleeping process: its events are written for it, so that a command finds any phase it is to find."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks.cli import main
from gateway_hooks.process import System
from gateway_hooks.settling import settle
from journal import events as e
from journal.events import Phase, Process
from journal.folder import read_key
from journal.pseudonyms import Pseudonyms, seal
from journal.record import Draft, Record, Writer
from journal.store import Journal, Reader, create
from replay.fold import State, fold
from tests.builders import ACCOUNT, DIGESTS, Child, connected, flushed, health, paused, started

SLEEP = "print('up', flush=True); input()"


class Home:
    """``blue`` and ``green`` are living processes that do nothing."""

    def __init__(self, path: Path, blue: Process, green: Process) -> None:
        self.path, self.folder = path, path / "handoff"
        self.blue, self.green = blue, green
        self.system = System()
        create(self.folder, at_ns=1)
        self.journal = Journal(self.folder, self.system.now)

    def say(self, who: Process, *events: e.Event) -> int:
        """Append for that process; returns the last seq."""
        return self.journal.append(*map(Draft, events), writer=Writer(who, "operator"))[-1].seq

    def serve(self) -> Home:
        """Blue owns the adapter."""
        self.say(self.blue, started(), connected(), health())
        return self

    def request(self, **limits: float) -> Home:
        """An operator has asked."""
        asked = e.HandoffRequested(handoff="h-1", runtime="same", bake_s=3600.0, limits=e.Limits(**limits))  # type: ignore[arg-type]
        self.say(self.system.me(), asked)
        return self

    def bake(self) -> Home:
        """A handoff has come to its bake."""
        return self.serve().request().come_to_bake()

    def hold(self, chat: str) -> int:
        """A message of that chat whose answer is on its way; its seq."""
        payload, digest = seal(b"hello", b"s" * 16)
        name = Pseudonyms(read_key(self.folder)).of("c", chat)
        came = e.MessageAccepted(
            platform="telegram", account=ACCOUNT, chat=name, kind="text", update_id="1", digest=digest
        )
        message = self.journal.append(Draft(came, payload=payload), writer=Writer(self.blue, "operator"))[0].seq
        turn = self.say(self.blue, e.TurnStarted(messages=(message,), session="s_" + "0" * 16))
        self.say(self.blue, e.ReplyIntended(turn=turn, part=0))
        return message

    def suffer(self, chat: str) -> int:
        """A message of that chat whose answer was on its way when blue died, in the handoff that was asked for; its seq."""
        message = self.hold(chat)
        self.system.end(self.blue)
        dead = settle(self.journal.head, "blue", self.blue, "died")
        self.journal.append(*dead, writer=Writer(self.system.me(), "operator"))
        self.say(self.system.me(), e.HandoffFailed(reason="blue_lost"))
        return message

    def come_to_bake(self) -> Home:
        """The handoff that was asked for has come to its bake."""
        for _ in self.steps_to_bake():
            pass
        return self

    def steps_to_bake(self) -> Iterator[None]:
        """The same, one append with each step of the iteration."""
        self.say(self.blue, e.GreenSpawned(green=self.green), e.HandoffInit(green=self.green))
        yield
        self.say(self.green, started("green", serving=False))
        seq = self.say(self.blue, flushed())
        yield
        self.say(self.green, e.HandoffAck(flushed_seq=seq, digests=DIGESTS))
        yield
        self.say(self.blue, paused(), e.HandoffActive(turns=0))
        yield
        seq = self.say(self.green, connected(), health())
        self.say(self.green, e.HandoffConfirm(samples=(seq,)))

    def freeze(self, process: Process) -> None:
        """Stop it."""
        freeze(self.system, process)

    def state(self) -> State:
        with closing(Reader(self.folder / "journal.db")) as reader:
            return fold(reader.all())

    def records(self) -> list[Record]:
        with closing(Reader(self.folder / "journal.db")) as reader:
            return list(reader.all())

    def run(self, *words: str) -> int:
        """Type a command in this very process."""
        return main([*words, "--home", str(self.path)])


def freeze(system: System, child: Process) -> None:
    """Stop a process that this one has started, and wait until the kernel has done so."""
    system.freeze(child)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)


_HOLDS = """
import fcntl, os, signal, sys
gate = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(gate, fcntl.LOCK_EX)
signal.signal(signal.SIGUSR1, lambda *_: fcntl.flock(gate, fcntl.LOCK_UN))
print("up", flush=True); input()
"""


def settled_first(home: Home, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Somebody else settles blue right before the next append of another journal than the home's."""
    append = Journal.append

    def late(journal: Journal, *drafts: Draft, writer: Writer) -> object:
        monkeypatch.setattr(Journal, "append", append)
        home.journal.append(
            *settle(home.journal.catch_up(), "blue", home.blue, how), writer=Writer(home.green, "green")
        )
        return journal.append(*drafts, writer=writer)

    monkeypatch.setattr(Journal, "append", late)


@contextmanager
def stopped_with_the_gate(home: Home, *, phase: Phase = "idle") -> Iterator[Process]:
    """A gateway that serves, or has come to ``requested`` or ``init`` besides, and was stopped in the middle of an append.

    At SIGUSR1 it comes to its end.
    """
    with Child(_HOLDS, str(home.folder / "gate")) as child:
        blue = home.system.identify(child.pid)
        assert blue is not None
        home.say(blue, started(), connected(), health())
        if phase in ("requested", "init"):
            home.request(frozen_s=0.2)
        if phase == "init":
            home.say(blue, e.GreenSpawned(green=home.green), e.HandoffInit(green=home.green))
        assert child.line() == "up"
        home.freeze(blue)
        yield blue


@contextmanager
def a_home(path: Path) -> Iterator[Home]:
    with Child(SLEEP) as blue, Child(SLEEP) as green:
        assert (blue.line(), green.line()) == ("up", "up")
        system = System()
        one, other = system.identify(blue.pid), system.identify(green.pid)
        assert one is not None
        assert other is not None
        home = Home(path, one, other)
        try:
            yield home
        finally:
            home.journal.close()


def parsed(text: str) -> Any:
    """The JSON that a command has printed."""
    return json.loads(text)
