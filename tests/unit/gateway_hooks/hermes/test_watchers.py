"""Background processes between two gateways: whoever ends, and whenever, is reported once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.gateway import Watcher
from gateway_hooks.hermes import watchers
from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.watchers import Watchers

WATCH = {"session_id": "proc_1", "check_interval": 5, "platform": "telegram", "chat_id": "7"}


@dataclass
class Process:
    """As much of Hermes' ``ProcessSession`` as is handed over."""

    id: str
    command: str = "make"
    pid: int = 11
    pid_scope: str = "host"
    host_start_time: int = 1
    detached: bool = False
    exited: bool = False
    exit_code: int | None = None
    output_buffer: str = ""
    watcher_interval: int = 0


@dataclass
class Registry:
    """As much of Hermes' ``ProcessRegistry``; ``alive`` are the pids that live."""

    alive: set[int] = field(default_factory=lambda: {11})
    pending_watchers: list[dict[str, Any]] = field(default_factory=list)
    _running: dict[str, Process] = field(default_factory=dict)
    _finished: dict[str, Process] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    written: int = 0

    def get(self, name: str) -> Process | None:
        return self._running.get(name) or self._finished.get(name)

    def _host_pid_is_ours(self, pid: int, _started: int | None) -> bool:
        return pid in self.alive

    def _write_checkpoint(self) -> None:
        self.written += 1


class Runner:
    """Remembers which watchers were started."""

    def __init__(self) -> None:
        self.watched: list[str] = []

    async def _run_process_watcher(self, watcher: dict[str, Any]) -> None:
        self.watched.append(str(watcher["session_id"]))
        await asyncio.Event().wait()


Play = Callable[[Watchers, Registry], Any]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Play], tuple[Registry, list[str]]]:
    """Run something on a loop with a registry of its own; what stands in it, and what is watched, afterwards."""

    def run(what: Play, *, listed: object = ()) -> tuple[Registry, list[str]]:
        registry, runner = Registry(), Runner()
        listing = tmp_path / "processes.json"
        listing.write_text(json.dumps(listed))
        found = SimpleNamespace(process_registry=registry, ProcessSession=Process, CHECKPOINT_PATH=listing)
        monkeypatch.setattr(watchers, "module", lambda _: found)

        async def go() -> None:
            done = what(Watchers(runner, Hold(held=True, green=True)), registry)
            if asyncio.iscoroutine(done):
                await done
            for _ in range(3):
                await asyncio.sleep(0)

        asyncio.run(go())
        return registry, runner.watched

    return run


def handed(**process: Any) -> Watcher:
    record = {"command": "make", "pid": 11, "pid_scope": "host", "host_start_time": 1, **process}
    return Watcher("1", json.dumps({"name": "proc_1", "watcher": WATCH, "process": record}).encode())


def test_one_that_ended_before_anybody_looked_is_handed_over_with_its_last_words(play: Any) -> None:
    found: list[Watcher] = []

    def pend(mine: Watchers, registry: Registry) -> None:
        registry._finished["proc_1"] = Process("proc_1", exited=True, exit_code=3, output_buffer="x" * 9000)
        registry._finished["proc_2"] = Process("proc_2", exited=True)
        registry.pending_watchers.append(WATCH)
        found.extend(mine.pending())

    play(pend)
    (watcher,) = found
    record = json.loads(watcher.payload)["process"]
    assert (record["exited"], record["exit_code"], len(record["output_buffer"])) == (True, 3, watchers.LAST_WORDS)


def test_one_that_ended_between_two_gateways_is_watched_to_be_reported(play: Any) -> None:
    def adopt(mine: Watchers, registry: Registry) -> None:
        registry.alive.clear()
        mine.adopt([handed()])

    registry, watched = play(adopt)
    assert registry._finished["proc_1"].exited
    assert watched == ["proc_1"]


def test_one_that_runs_is_adopted_and_watched_once_however_often_it_is_given(play: Any) -> None:
    registry, watched = play(lambda mine, _: [mine.adopt([handed()]), mine.adopt([handed()])])
    assert registry._running["proc_1"].detached
    assert watched == ["proc_1"]


def test_what_another_version_knows_of_a_process_and_this_one_does_not_is_left_out(play: Any) -> None:
    registry, _ = play(lambda mine, _: mine.adopt([handed(invented_later=1)]))
    assert registry._running["proc_1"].command == "make"


def test_one_in_a_sandbox_of_the_other_side_is_left_out(play: Any) -> None:
    registry, _ = play(lambda mine, _: mine.adopt([handed(pid_scope="sandbox")]))
    assert registry.get("proc_1") is None


LISTED = {"session_id": "proc_1", "pid": 11, "command": "make", "watcher_interval": 5, "watcher_chat_id": "7"}


def test_what_the_dead_have_listed_is_watched_and_what_is_known_is_left_as_it_is(play: Any) -> None:
    def recover(mine: Watchers, registry: Registry) -> None:
        mine.recover()
        mine.recover()
        mine.adopt([handed()])

    ended = {"session_id": "proc_9", "pid": 99, "command": "make"}
    registry, watched = play(recover, listed=[LISTED, ended])
    assert (list(registry._running), list(registry._finished)) == (["proc_1"], [])
    assert watched == ["proc_1"]


def test_one_in_the_list_that_ended_before_we_looked_is_still_told_of_once(play: Any) -> None:
    def recover(mine: Watchers, registry: Registry) -> None:
        mine.recover()
        mine.recover()

    registry, watched = play(recover, listed=[{**LISTED, "pid": 99}])
    assert not registry._running
    assert registry._finished["proc_1"].exited
    assert watched == ["proc_1"]


@pytest.mark.parametrize("listed", [{}, [1], "x"])
def test_a_list_that_is_none_is_empty(play: Any, listed: object) -> None:
    registry, _ = play(lambda mine, _: mine.recover(), listed=listed)
    assert not registry._running


def test_who_lets_go_brings_the_list_up_to_date_though_it_holds_nothing_any_more(play: Any) -> None:
    def park(mine: Watchers, registry: Registry) -> None:
        registry._running["proc_1"] = Process("proc_1")
        mine._hold.set(False)
        mine.park()
        registry._write_checkpoint()

    registry, _ = play(park)
    assert registry.written == 1


def test_one_whose_watch_was_resumed_when_the_adapters_were_anothers_already_is_watched_the_next_time(
    play: Any,
) -> None:
    """What follows a connection may take longer than it lasts."""

    async def resume_too_late(mine: Watchers, registry: Registry) -> None:
        registry._running["proc_1"] = Process("proc_1")
        mine._parked["proc_1"] = WATCH
        mine._hold.set(False)
        mine.resume()
        for _ in range(3):
            await asyncio.sleep(0)
        mine._hold.set(True)
        mine.resume()

    _, watched = play(resume_too_late)
    assert watched == ["proc_1"]
