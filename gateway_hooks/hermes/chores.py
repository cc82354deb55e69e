"""What a gateway does unasked: scheduled jobs, the task board, expiry, reconnecting. Only the owner of the adapters does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import module, wrap

WATCHERS = (
    "_session_expiry_watcher",
    "_kanban_notifier_watcher",
    "_kanban_dispatcher_watcher",
    "_platform_reconnect_watcher",
    "_handoff_watcher",
)


def restrain(runner: Any, hold: Hold) -> None:
    """Tie the runner's endless watchers and the scheduler to what we hold. Before ``GatewayRunner.start``."""
    for name in WATCHERS:
        wrap(runner, name, hold.while_held)
    try:
        wrap(module("cron.scheduler"), "tick", _ticking(hold))
    except ImportError as error:
        log.warning("the scheduler was not found, so it cannot be held back: %s", error)
    status = module("gateway.status")
    wrap(status, "write_runtime_status", _only_held(hold))


def running_jobs(runner: Any) -> int:
    """Scheduled jobs that run in this process right now."""
    count = getattr(runner, "_active_cron_job_count", None)
    try:
        return int(count()) if callable(count) else 0
    except Exception:
        return 0


def _ticking(hold: Hold) -> Callable[[Any], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def tick(*arguments: Any, **options: Any) -> Any:
            return original(*arguments, **options) if hold.held else 0

        return tick

    return make


def _only_held(hold: Hold) -> Callable[[Any], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            return original(*arguments, **options) if hold.held else None

        return write

    return make
