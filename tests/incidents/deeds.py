"""Thirty and more ways to break a handoff, each done from outside and noted by whoever did it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.incidents.scene import Scene, patch

Deed = Callable[[Scene], Awaitable[None]]
STOP, KILL, TERM, SEGV = signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV


@dataclass(frozen=True, slots=True)
class Incident:
    """A name, what is done (everything from the promote on), and a change to blue's own program."""

    name: str
    deed: Deed
    blue_patch: str = ""


WAY = ("init", "ack", "active", "baking")
SLOW_LOAD = """
from gateway_hooks.reference.sessions import Sessions
quick = Sessions.load
def load(self):
    parts = quick(self)
    time.sleep(0.2)
    return parts
Sessions.load = load
"""
"""Phases of a few milliseconds are made longer, so that one can hit them."""


def at(phase: str, side: str, number: signal.Signals, what: str) -> Deed:
    """A signal, as soon as the phase is there."""

    async def deed(scene: Scene) -> None:
        await scene.promote(bake_s=3.0)
        await scene.reached(*WAY[WAY.index(phase) :])  # some last a millisecond: the note says where it really hit
        await scene.until(lambda: bool(scene.pid(side)), f"{side} is there")
        scene.signal(side, number, what)

    return deed


def seated(number: signal.Signals, what: str) -> Deed:
    """A signal for green in init, once it has its seat. Loading is slow, so that it stays there."""

    async def deed(scene: Scene) -> None:
        folder = patch(scene.folder / "slow", SLOW_LOAD)
        scene.runtime(f'[next]\nenv = {{ PYTHONPATH = "{folder}" }}\n')
        await scene.promote("next", 3.0)
        await scene.until(lambda: sum(t == "PROCESS_STARTED" for t, _ in scene.rows()) > 1, "green has a seat")
        scene.signal("green", number, what)

    return deed


def runtime(text: str, what: str, name: str = "next", **limits: float) -> Deed:
    """Green is another program."""

    async def deed(scene: Scene) -> None:
        if text:
            scene.runtime(f"[next]\n{text}\n")
        scene.note(what, "green")
        await scene.promote(name, **limits)

    return deed


def patched(source: str, what: str, *, phase: str = "", **limits: float) -> Deed:
    """Green is the same program with something wrong in it; with a phase it goes wrong as soon as that is there."""

    async def deed(scene: Scene) -> None:
        trigger = scene.folder / "now"
        folder = patch(scene.folder / "patch", source.replace("TRIGGER", repr(str(trigger))))
        scene.runtime(f'[next]\nenv = {{ PYTHONPATH = "{folder}" }}\n')
        if not phase:
            scene.note(what, "green")
        await scene.promote("next", 20.0, **limits)
        if phase:
            await scene.reached(phase)
            await asyncio.sleep(1.0)
            trigger.touch()
            scene.note(what, "green", pid=scene.pid("green"))

    return deed


def wrapped(limit: str, what: str) -> Deed:
    """Green's interpreter is started by a shell that allows it less."""

    async def deed(scene: Scene) -> None:
        script = scene.folder / "python"
        script.write_text(f'#!/bin/sh\nulimit {limit}\nexec {sys.executable} "$@"\n')
        script.chmod(0o755)
        scene.runtime(f'[next]\npython = "{script}"\n')
        scene.note(what, "green")
        await scene.promote("next", init_s=10.0)

    return deed


def refused(status: int) -> Deed:
    """The platform answers green's polls with an error, and blue's again when it is back."""

    async def deed(scene: Scene) -> None:
        await scene.promote(bake_s=3.0)
        await scene.reached("active")
        scene.bot.faults.fail_next("getUpdates", status, calls=100_000)
        scene.note("polls refused", "green", status=status)
        await scene.reached("rolling_back", "rolled_back")
        scene.bot.faults.fail_next("getUpdates", status, calls=0)
        scene.bot.faults._refusals.clear()

    return deed


async def connection_lost(scene: Scene) -> None:
    """Green's polls get no answer at all."""
    await scene.promote(bake_s=3.0)
    await scene.reached("ack", "active")
    scene.bot.faults.hold("getUpdates")
    scene.note("polls unanswered", "green")
    await scene.reached("rolling_back", "rolled_back")
    scene.bot.faults.release("getUpdates")


def operator_in(phase: str) -> Deed:
    """The operator's own word."""

    async def deed(scene: Scene) -> None:
        folder = patch(scene.folder / "slow", SLOW_LOAD)
        scene.runtime(f'[next]\nenv = {{ PYTHONPATH = "{folder}" }}\n')
        await scene.promote("next", 30.0)
        await scene.reached(phase)
        scene.note("operator", None)
        await scene.order("rollback")

    return deed


async def operator_then_kill(scene: Scene) -> None:
    """Green dies while the operator's rollback is under way, or right after it."""
    await scene.promote(bake_s=30.0)
    await scene.reached("baking")
    scene.note("operator", None)
    await scene.order("rollback")
    scene.signal("green", KILL, "killed")


async def sessions_gone(scene: Scene) -> None:
    """The file that preflight looks for is not there."""
    (scene.home / "reference.db").rename(scene.folder / "reference.db")
    scene.note("state removed", "green")
    await scene.promote()


async def never_taken_up(scene: Scene) -> None:
    """Blue is stopped at the very moment of the request; whoever asked gives up."""
    command = [sys.executable, "-m", "gateway_hooks.cli", "promote", "--bake", "2s", "--home", str(scene.home)]
    asked = asyncio.create_task(scene.run(command))
    await scene.until(lambda: scene.phase() != "idle", "the request", every_s=0)
    scene.signal("blue", STOP, "stopped")
    await asked


async def pause_fails(scene: Scene) -> None:
    """Blue cannot let go: its own pause breaks."""
    scene.note("pause broken", "blue")
    await scene.promote()


HANG_LOOP = """
async def guarded(main=main):
    async def wait():
        while not os.path.exists(TRIGGER):
            await asyncio.sleep(0.05)
        time.sleep(600)
    task = asyncio.ensure_future(wait())
    return await main
main = guarded()
"""
HANG_ALL = """
import ctypes, threading
def wait():
    while not os.path.exists(TRIGGER):
        time.sleep(0.05)
    ctypes.PyDLL(None).sleep(600)
threading.Thread(target=wait, daemon=True).start()
"""
WRONG_DIGEST = """
from gateway_hooks.reference import sessions
sessions._digest = lambda rows: "ab" * 32
"""
STUCK_LOAD = """
from gateway_hooks.reference.gateway import ReferenceGateway
ReferenceGateway.load = lambda self: time.sleep(600)
"""
BROKEN_CONNECT = """
from gateway_hooks.reference.gateway import ReferenceGateway
def connect(self):
    raise RuntimeError("the token was revoked")
ReferenceGateway.connect = connect
"""
BROKEN_PAUSE = """
from gateway_hooks.reference.gateway import ReferenceGateway
def pause(self, n=[0]):
    raise RuntimeError("the socket is stuck")
ReferenceGateway.pause = pause
"""

INCIDENTS: tuple[Incident, ...] = (
    Incident("green killed while it boots", at("init", "green", KILL, "killed")),
    Incident("green killed in init, seated", seated(KILL, "killed")),
    Incident("green killed in ack", at("ack", "green", KILL, "killed"), SLOW_LOAD),
    Incident("green killed in active", at("active", "green", KILL, "killed")),
    Incident("green killed in the bake", at("baking", "green", KILL, "killed")),
    Incident("green crashes in the bake", at("baking", "green", SEGV, "crashed")),
    Incident("green told to end by a service manager", at("baking", "green", TERM, "told to end")),
    Incident("blue killed in ack", at("ack", "blue", KILL, "killed")),
    Incident("blue killed in active", at("active", "blue", KILL, "killed")),
    Incident("blue killed in the bake", at("baking", "blue", KILL, "killed")),
    Incident("blue told to end by a service manager", at("baking", "blue", TERM, "told to end")),
    Incident("green stopped while it boots", at("init", "green", STOP, "stopped")),
    Incident("green stopped in init, seated", seated(STOP, "stopped")),
    Incident("green stopped in ack", at("ack", "green", STOP, "stopped"), SLOW_LOAD),
    Incident("green stopped in active", at("active", "green", STOP, "stopped")),
    Incident("green stopped in the bake", at("baking", "green", STOP, "stopped")),
    Incident("blue stopped in init", at("init", "blue", STOP, "stopped")),
    Incident("blue stopped in active", at("active", "blue", STOP, "stopped")),
    Incident("blue stopped in the bake", at("baking", "blue", STOP, "stopped")),
    Incident("blue stopped as it was asked", never_taken_up),
    Incident("the operator in init", operator_in("init")),
    Incident("the operator in the bake", operator_in("baking")),
    Incident("the operator, then green killed", operator_then_kill),
    Incident("green exits at once", runtime('command = ["-c", "raise SystemExit(3)"]', "exits at once")),
    Incident("green's program is missing", runtime('command = ["-m", "no_such_gateway"]', "exits at once")),
    Incident("the interpreter is none", runtime('python = "/bin/false"', "exits at once")),
    Incident("the interpreter is not there", runtime('python = "/nowhere/python"', "cannot be started")),
    Incident("the runtime is not named", runtime("", "cannot be started", name="next")),
    Incident("the state is gone before preflight", sessions_gone),
    Incident(
        "green never comes up",
        runtime('command = ["-c", "import time; time.sleep(600)"]', "never comes up", init_s=4.0),
    ),
    Incident("the deadline for booting is too short", runtime("", "deadline too short", name="same", init_s=0.05)),
    Incident("the disk is full for green", wrapped("-f 8", "disk full")),
    Incident("too little memory for green", wrapped("-v 40000", "exits at once")),
    Incident("green's loop hangs in the bake", patched(HANG_LOOP, "loop hung", phase="baking")),
    Incident("green's whole process hangs in the bake", patched(HANG_ALL, "loop hung", phase="baking")),
    Incident("green computes other digests", patched(WRONG_DIGEST, "wrong digests", init_s=6.0)),
    Incident("green never ends loading", patched(STUCK_LOAD, "load stuck", init_s=6.0)),
    Incident("green cannot connect", patched(BROKEN_CONNECT, "connect broken")),
    Incident("the platform refuses green, 409", refused(409)),
    Incident("the platform refuses green, 502", refused(502)),
    Incident("green's connection is lost", connection_lost),
    Incident("blue cannot let go", pause_fails, BROKEN_PAUSE),
)
