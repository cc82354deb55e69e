"""A green that waits warm: ``GatewayRunner.start()`` run up to, and not including, the first poll.

The start is held where all adapters stand and nothing that follows a connection has run (notices, watchers, cron). Guards that
keep a second gateway out are told that we are none; what marks a gateway as the one (pid file, runtime lock, status, token
lock) stays with blue until we connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import module, wrap
from gateway_hooks.hermes.others import Others

LOCKS_WITHIN_S = 10.0


class Guards:
    """Hermes' marks of the one gateway of a home. Installed when the plugin is registered, before Hermes looks at them."""

    def __init__(self, hold: Hold, home: Path, arm: Callable[[], None]) -> None:
        self._hold = hold
        self._pid_file = home / "gateway.pid"
        self._arm = arm
        self._armed = False
        status = module("gateway.status")
        self._take_lock = status.acquire_gateway_runtime_lock
        self._write_pid = status.write_pid_file
        wrap(status, "get_running_pid", self._running_pid)
        wrap(status, "acquire_gateway_runtime_lock", self._locking)
        wrap(status, "write_pid_file", self._writing)
        wrap(status, "record_start_and_check_storm", self._counting)

    def disarm(self) -> None:
        """Tell nobody when the runner stands."""
        self._armed = True

    def release(self) -> None:
        """Give the marks up; what is another's is left alone."""
        status = module("gateway.status")
        status.remove_pid_file()
        status.release_gateway_runtime_lock()

    async def claim(self) -> None:
        """Take the marks as soon as the other side has given them up; we poll already, so this is for tools only."""
        until = time.monotonic() + LOCKS_WITHIN_S
        while self._hold.held and time.monotonic() < until:
            if self._take_lock():
                self._pid_file.unlink(missing_ok=True)  # we hold the lock: whoever wrote it is gone or has let go
                with contextlib.suppress(FileExistsError):
                    self._write_pid()
                return
            await asyncio.sleep(0.02)
        log.warning("the runtime lock is still another's; hermes status may name the wrong process")

    def _running_pid(self, original: Callable[..., int | None]) -> Callable[..., int | None]:
        def get_running_pid(*arguments: Any, **options: Any) -> int | None:
            mine = not arguments and "pid_path" not in options
            return None if mine and not self._hold.held else original(*arguments, **options)

        return get_running_pid

    def _locking(self, original: Callable[[], bool]) -> Callable[[], bool]:
        def acquire() -> bool:
            """Called by ``start_gateway`` when the runner stands and its loop runs."""
            if self._hold.held and not original():
                return False
            if not self._armed:
                self._armed = True
                self._arm()
            return True

        return acquire

    def _writing(self, original: Callable[[], None]) -> Callable[[], None]:
        def write_pid_file() -> None:
            if self._hold.held:
                original()

        return write_pid_file

    def _counting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def record_start(*arguments: Any, **options: Any) -> Any:
            return None if self._hold.green else original(*arguments, **options)

        return record_start


class Start:
    """``GatewayRunner.start()``, held in a green until it may connect."""

    def __init__(self, runner: Any, hold: Hold, others: Others, reached: Callable[[], None]) -> None:
        self._runner = runner
        self._hold = hold
        self._reached = reached
        self._others = others
        wrap(runner, "_connect_adapter_with_timeout", self._connecting)
        wrap(runner, "_start_secondary_profile_adapters", self._holding)

    def _connecting(self, original: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        """Every connection is a reconnect (nothing that waits is dropped); what cannot stand warm is put off."""

        async def connect(adapter: Any, platform: Any, *, is_reconnect: bool = False) -> bool:
            name = str(getattr(platform, "value", platform))
            if self._hold.held:
                return await original(adapter, platform, is_reconnect=is_reconnect or name in self._hold.covered)
            if name in self._hold.covered:
                return await original(adapter, platform, is_reconnect=True)
            self._others.put_off(adapter, platform)
            return True

        return connect

    def _holding(self, original: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
        async def hold_here() -> int:
            """Called once all adapters of the home's own profile stand, before anything that follows a connection."""
            self._reached()
            while not self._hold.held and not self._runner._draining and not self._runner._shutdown_event.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._hold.taken.wait(), 0.5)
            if self._hold.green or {str(name.value) for name in self._runner.adapters} <= self._hold.covered:
                self._runner._startup_restore_in_progress = (
                    False  # it waits for Hermes' own recovery, which is ours now
                )
            return await original() if self._hold.held else 0

        return hold_here
