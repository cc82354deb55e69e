"""Exactly one recoverer acts, and it is the journal: Hermes' own three are kept off the platforms that it covers.

After a crash Hermes would re-run the interrupted chats (resume-pending), send recorded replies again (delivery ledger) and
continue sessions with a synthetic turn. In a green that takes over from a living blue nothing was interrupted at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import module, wrap


class Recoverers:
    """Hermes' start-up recovery, restrained."""

    def __init__(self, runner: Any, hold: Hold, home: Path) -> None:
        self._runner = runner
        self._hold = hold
        self._clean = home / ".clean_shutdown"
        self.was_clean = self._clean.exists()
        wrap(runner.session_store, "suspend_recently_active", self._suspend)
        wrap(runner, "_schedule_resume_pending_sessions", self._resume)
        wrap(runner, "_suspend_stuck_loop_sessions", self._unless_green(0))
        for notice in ("_send_update_notification", "_send_restart_notification"):
            wrap(runner, notice, self._quiet_green)
        wrap(runner, "_send_home_channel_startup_notifications", self._quiet_green)
        ledger = _maybe("gateway.delivery_ledger")
        if ledger is not None:
            wrap(ledger, "sweep_recoverable", self._sweep)
        registry = getattr(_maybe("tools.process_registry"), "process_registry", None)
        if registry is not None:
            wrap(registry, "recover_from_checkpoint", self._unless_green(0))
        cron = getattr(_maybe("cron.scheduler_provider"), "InProcessCronScheduler", None)
        if cron is not None:
            wrap(cron, "recover_interrupted", self._unless_green(0))

    def keep_marker(self) -> None:
        """A green consumed ``.clean_shutdown`` on its way to the warm point; it was not meant for it."""
        if self._hold.green and self.was_clean:
            self._clean.touch()

    def take_marker(self) -> None:
        """A green that serves is a gateway that runs: nothing was shut down."""
        if self._hold.green:
            self._clean.unlink(missing_ok=True)

    def _unless_green(self, instead: Any) -> Callable[[Any], Callable[..., Any]]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def recover(*arguments: Any, **options: Any) -> Any:
                return instead if self._hold.green else original(*arguments, **options)

            return recover

        return make

    def _quiet_green(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def notify(*arguments: Any, **options: Any) -> Any:
            return True if self._hold.green else await original(*arguments, **options)

        return notify

    def _suspend(self, original: Callable[..., int]) -> Callable[..., int]:
        """Around ``suspend_recently_active``: marks the chats of covered platforms no more."""
        store = self._runner.session_store

        def suspend(*arguments: Any, **options: Any) -> int:
            if self._hold.green:
                return 0
            with store._lock:
                store._ensure_loaded_locked()
                before = {key for key, entry in store._entries.items() if entry.resume_pending}
            original(*arguments, **options)
            for key in self._covered_pending() - before:
                store.clear_resume_pending(key)
            return 0

        return suspend

    def _resume(self, original: Callable[..., int]) -> Callable[..., int]:
        """Around ``_schedule_resume_pending_sessions``: the journal takes up what was interrupted, message by message."""

        def schedule(*arguments: Any, **options: Any) -> int:
            for key in self._covered_pending():
                self._runner.session_store.clear_resume_pending(key)
            return 0 if self._hold.green else original(*arguments, **options)

        return schedule

    def _covered_pending(self) -> set[str]:
        store = self._runner.session_store
        with store._lock:
            store._ensure_loaded_locked()
            return {key for key, entry in store._entries.items() if entry.resume_pending and self._covers(entry)}

    def _covers(self, entry: Any) -> bool:
        platform = getattr(entry, "platform", None) or getattr(getattr(entry, "origin", None), "platform", None)
        return str(getattr(platform, "value", platform)) in self._hold.covered

    def _sweep(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def sweep(*arguments: Any, **options: Any) -> Any:
            platforms = set(options.get("deliverable_platforms") or ()) - self._hold.covered
            if self._hold.green or not platforms:
                return []
            return original(*arguments, **{**options, "deliverable_platforms": platforms})

        return sweep


def _maybe(name: str) -> Any:
    try:
        return module(name)
    except ImportError:
        log.debug("%s is not there", name)
        return None
