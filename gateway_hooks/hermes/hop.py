"""From the manager's thread onto the gateway's loop and back, with a bound on everything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gateway_hooks.gateway import GatewayFault
from gateway_hooks.hermes.hold import Hold

T = TypeVar("T")
SWITCH_S = 0.0002


class Hop:
    """The loop of this gateway, as seen from beside it."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._tasks: set[asyncio.Task[Any]] = set()

    def wait_for(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run something on the loop and wait for it. Raises ``GatewayFault`` when the loop does not answer in time."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop())
        except GatewayFault:
            work.close()
            raise
        try:
            return future.result(seconds)
        except TimeoutError as error:
            future.cancel()
            raise GatewayFault(f"the gateway's loop did not answer within {seconds:g} s") from error

    def soon(self, call: Callable[[], object]) -> None:
        """Have the loop call something, and go on."""
        self._loop().call_soon_threadsafe(call)

    def keep(self, work: Coroutine[Any, Any, Any]) -> None:
        """On the loop: run something beside the rest."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._hold.loop
        if loop is None or loop.is_closed():
            raise GatewayFault("the gateway's loop does not run", hint="the process is starting or ending")
        return loop


@contextmanager
def nimble() -> Iterator[None]:
    """Let the loop's thread in between working threads sooner: what happens now happens while nobody polls."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
