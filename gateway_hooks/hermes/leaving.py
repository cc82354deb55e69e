"""The end of a process that holds nothing: exit code 0, no notice to anybody, nothing touched that the other side owns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from gateway_hooks import process
from gateway_hooks.hermes.hold import log
from gateway_hooks.hermes.watchers import Watchers

CLEANUP_S = 5.0


async def leave(runner: Any, watchers: Watchers, ended: Callable[[], None]) -> None:
    """Do of ``GatewayRunner.stop`` what concerns this process alone, and let ``start_gateway`` return.

    Not done, because it is another's now: notices, resume marks, ending tool processes, ``.clean_shutdown``, status.
    """
    if runner._shutdown_event.is_set():
        return
    log.info("leaving: the other side serves")
    runner._running = False
    runner._draining = True
    left = watchers.leave(process.drain)
    if left:
        log.info("%d background processes live on", left)
    for agent in _cached_agents(runner):  # not agent.close(): it ends processes and sessions that live on over there
        with contextlib.suppress(Exception):
            messages = getattr(agent, "_session_messages", None)
            await asyncio.wait_for(asyncio.to_thread(agent.shutdown_memory_provider, messages or []), CLEANUP_S)
    for platform, adapter in list(runner.adapters.items()):
        adapter._status_indicator_enabled = False
        with contextlib.suppress(Exception):
            await asyncio.wait_for(runner._bounded_adapter_teardown(adapter, platform), CLEANUP_S * 2)
    for task in list(runner._background_tasks):
        if task is not asyncio.current_task():
            task.cancel()
    own: Any = getattr(runner, "_session_db", None)
    databases: tuple[Any, Any] = (getattr(own, "_db", own), getattr(runner.session_store, "_db", None))
    for database in databases:
        with contextlib.suppress(Exception):
            database.close()
    with contextlib.suppress(Exception):
        runner._shutdown_executor()
    with contextlib.suppress(Exception):
        await asyncio.to_thread(ended)
    runner._shutdown_event.set()


def _cached_agents(runner: Any) -> list[Any]:
    lock, cache = getattr(runner, "_agent_cache_lock", None), getattr(runner, "_agent_cache", None)
    if lock is None or cache is None:
        return []
    with lock:
        entries = list(cache.values())
        cache.clear()
    return [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
