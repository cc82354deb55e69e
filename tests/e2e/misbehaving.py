"""A reference gateway that misbehaves once it owns the adapters, for the tests of the rules of divergence.

``python misbehaving.py FAULT --home DIR --api URL --token TOKEN``; it is meant to be started as green.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from gateway_hooks.demo import markers
from gateway_hooks.gateway import Flushed, Health
from gateway_hooks.reference import __main__ as reference
from gateway_hooks.reference import gateway as port
from gateway_hooks.reference.gateway import ReferenceGateway
from gateway_hooks.reference.lanes import Lanes
from gateway_hooks.reference.sessions import Words
from journal.errors import HandoffError

FAULT = sys.argv.pop(1)
HOME = Path(sys.argv[sys.argv.index("--home") + 1])
HUNG, GO = HOME / "hung", HOME / "go"
_healthy = reference._agent
_leaked: list[bytes] = []


async def _slow(_history: Sequence[Words], said: str) -> str:
    await asyncio.sleep(6.0)
    return await _healthy(_history, said)


async def _erring(_history: Sequence[Words], said: str) -> str:
    raise RuntimeError("the model is not there")


async def _held(history: Sequence[Words], said: str) -> str:
    """A slow turn takes until somebody lets it go."""
    while markers.slow_s(said) and not GO.exists():
        await asyncio.sleep(0.02)
    return await _healthy(history, said)


class Misbehaving(ReferenceGateway):
    """Well until it polls."""

    _samples = 0

    async def _connect(self) -> None:
        await super()._connect()
        if FAULT == "hung":
            self._loop.call_later(1.0, threading.Event().wait, 600.0)
        elif FAULT == "lagging":
            self._loop.create_task(self._lag())
        elif FAULT == "leaking":
            self._loop.create_task(self._leak())
        elif FAULT == "deaf":
            self._loop.call_later(1.0, self._go_deaf)

    async def _lag(self) -> None:
        while True:
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                pass
            await asyncio.sleep(0)

    async def _leak(self) -> None:
        while True:
            _leaked.append(b"x" * 2_000_000)
            await asyncio.sleep(0.1)

    def _go_deaf(self) -> None:
        if self._poller is not None:
            self._poller.cancel()

    def sample(self) -> Health:
        self._samples += 1
        if FAULT == "hung once" and self._samples == 3 and not HUNG.exists():  # two stand in the record
            HUNG.touch()
            self._loop.call_soon_threadsafe(threading.Event().wait, 600.0)
        if FAULT == "silent" and self._polls > 2:
            threading.Event().wait(600.0)
        if FAULT == "patchy" and self._polls and time.monotonic() % 8 > 1:
            raise HandoffError("no sample now")
        return super().sample()

    def load(self) -> tuple[Flushed, ...]:
        parts = super().load()
        if FAULT == "other":
            return tuple(Flushed(part.part, part.count, "ff" * 32) for part in parts)
        return parts


class Sleepy(Lanes):
    """Takes messages and starts nothing."""

    async def _work(self, chat: str) -> None:
        await asyncio.sleep(600.0)


_INSTEAD = {"slow": _slow, "erring": _erring, "held": _held}
reference.__dict__["ReferenceGateway"] = Misbehaving
reference.__dict__["_agent"] = _INSTEAD.get(FAULT, _healthy)
if FAULT == "stuck":
    port.__dict__["Lanes"] = Sleepy
reference.main()
