"""Background processes that a turn started and whose end somebody waits for.

The process is a child of the gateway that started it, and its output runs into a pipe of that gateway. The successor knows
it by pid: it can tell that it ended, not what it wrote. When the old gateway exits, a ``cat`` takes over its end of the
pipe, so that the process does not die of writing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any

from gateway_hooks.gateway import Watcher
from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import module, wrap

_RECORD = (
    *("command", "pid", "pid_scope", "host_start_time", "cwd", "started_at", "task_id", "session_key"),
    *("watcher_platform", "watcher_chat_id", "watcher_user_id", "watcher_user_name", "watcher_thread_id"),
    *("watcher_message_id", "watcher_interval", "notify_on_complete", "watch_patterns"),
    *("exited", "exit_code", "completion_reason", "termination_source", "output_buffer"),
)
LAST_WORDS = 2000
"""How many characters of what a process wrote go to the successor; Hermes reports no more."""


class Watchers:
    """The watchers of one runner."""

    def __init__(self, runner: Any, hold: Hold) -> None:
        self._runner = runner
        self._hold = hold
        self._running: dict[str, tuple[dict[str, Any], asyncio.Task[Any] | None]] = {}
        self._parked: dict[str, dict[str, Any]] = {}
        wrap(runner, "_run_process_watcher", self._watching)
        self._write_list: Callable[[], None] = _registry()._write_checkpoint
        wrap(_registry(), "_write_checkpoint", self._only_held)

    def pending(self) -> tuple[Watcher, ...]:
        """The processes that run, with what watches each, and those that ended with nobody told yet."""
        registry = _registry()
        watched = {name: watcher for name, (watcher, _) in self._running.items()} | self._parked
        watched |= {str(watcher["session_id"]): watcher for watcher in list(registry.pending_watchers)}
        names = [*registry._running, *(name for name in watched if name not in registry._running)]
        found = []
        for name in names:
            process = registry.get(name)
            if process is None or (process.exited and name not in watched):
                continue
            record = {key: getattr(process, key) for key in _RECORD if hasattr(process, key)}
            record["output_buffer"] = str(record.get("output_buffer") or "")[-LAST_WORDS:]
            payload = {"name": name, "watcher": watched.get(name), "process": record}
            found.append(Watcher(name, json.dumps(payload, default=str).encode()))
        return tuple(found)

    def park(self) -> None:
        """Stop watching, on the loop; the other side does it now. Hermes' list says what runs, also to whom nobody hands over."""
        for name, (watcher, task) in list(self._running.items()):
            self._parked[name] = watcher
            if task is not None:
                task.cancel()
        self._running.clear()
        if _registry()._running:
            self._write_list()

    def resume(self) -> None:
        """Watch again what was parked, on the loop."""
        parked, self._parked = self._parked, {}
        for watcher in parked.values():
            self._start(watcher)

    def recover(self) -> None:
        """Watch what whoever served before us has left in Hermes' list, on the loop: it died, or was rolled back.

        What was reported stands there no more, so one that has ended did so between the two of us, and its end is still to be told.
        """
        registry = _registry()
        for entry in _listed():
            name, awaited = str(entry.get("session_id")), bool(entry.get("watcher_interval"))
            if registry.get(name) is not None or not isinstance(entry.get("pid"), int):
                continue
            if awaited or registry._host_pid_is_ours(entry["pid"], entry.get("host_start_time")):
                self._enter(registry, name, {key: entry[key] for key in _RECORD if key in entry})
                if awaited:
                    self._start(_watcher(name, entry))

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        """Watch what the other side started, on the loop. Idempotent."""
        registry = _registry()
        for given in watchers:
            payload = json.loads(given.payload)
            name = str(payload["name"])
            if registry.get(name) is None:
                self._enter(registry, name, payload["process"])
            if payload["watcher"] is not None:
                self._start(payload["watcher"])

    def leave(self, drain: Callable[[int], object]) -> int:
        """Let the processes outlive us: ``drain`` has somebody read what they write. Returns how many there are."""
        registry, left = _registry(), 0
        for process in list(registry._running.values()):
            pipe = getattr(getattr(process, "process", None), "stdout", None)
            if process.exited or getattr(process, "detached", False) or pipe is None:
                continue
            try:
                drain(pipe.fileno())
                left += 1
            except (OSError, ValueError) as error:
                log.warning("nobody will read what a background process writes: %s", error)
        return left

    def _enter(self, registry: Any, name: str, record: dict[str, Any]) -> None:
        if record.get("pid_scope", "host") != "host":
            log.warning("a background process cannot be adopted: it runs in a sandbox of the other side")
            return
        make = module("tools.process_registry").ProcessSession
        known = {each.name for each in fields(make)}  # the other side may be another version
        record = {key: value for key, value in record.items() if key in known}
        process = make(**{**record, "id": name, "detached": True})
        if not process.exited and not registry._host_pid_is_ours(process.pid, process.host_start_time):
            process.exited = True  # between the two of us; nobody knows its exit code any more
        with registry._lock:
            (registry._finished if process.exited else registry._running)[name] = process
        registry._write_checkpoint()

    def _start(self, watcher: dict[str, Any]) -> None:
        name = str(watcher.get("session_id"))
        if name in self._running:
            return
        task = asyncio.ensure_future(self._runner._run_process_watcher(watcher))
        self._running[name] = (watcher, task)
        tasks = getattr(self._runner, "_background_tasks", None)
        if tasks is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _only_held(self, original: Callable[[], None]) -> Callable[[], None]:
        """The file of running processes is the owner's."""

        def write() -> None:
            if self._hold.held:
                original()

        return write

    def _watching(self, original: Callable[[dict[str, Any]], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watch(watcher: dict[str, Any]) -> Any:
            name = str(watcher.get("session_id"))
            self._running[name] = (watcher, asyncio.current_task())
            try:
                if not self._hold.held:
                    self._parked[name] = watcher
                    return None
                return await original(watcher)
            finally:
                if self._running.get(name, (None, None))[1] is asyncio.current_task():
                    del self._running[name]

        return watch


def _watcher(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """What Hermes would watch a recovered process with."""
    names = ("platform", "chat_id", "user_id", "user_name", "thread_id", "message_id")
    return {
        "session_id": name,
        "check_interval": entry["watcher_interval"],
        "session_key": entry.get("session_key", ""),
        **{key: entry.get(f"watcher_{key}", "") for key in names},
        "notify_on_complete": entry.get("notify_on_complete", False),
    }


def _listed() -> list[dict[str, Any]]:
    try:
        entries = json.loads(module("tools.process_registry").CHECKPOINT_PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _registry() -> Any:
    return module("tools.process_registry").process_registry
