from __future__ import annotations

import asyncio
import errno
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from journal import tail
from journal.bell import LOOK_NS, Bell
from journal.record import Draft, Record
from journal.store import PAGE, Journal, Reader
from journal.tail import Doorbell, Tail
from tests.builders import OPERATOR, WAIT_S, Child, preflight, writer

NOTE, US = Draft(preflight()), writer(OPERATOR)
NEVER_S = 10 * WAIT_S
"""A timer that cannot help within the bound of any wait here."""


@contextmanager
def _follow(folder: Path, *, after: int = 0, timer_s: float = NEVER_S) -> Iterator[Callable[[int], list[int]]]:
    """Follow the journal in a thread; gives a function that waits for the next so many seqs."""
    reader = Reader(folder / "journal.db")
    tail = Tail(reader, folder / "bell", after=after, timer_s=timer_s)
    seen: queue.Queue[Record] = queue.Queue()

    def run() -> None:
        for record in tail:
            seen.put(record)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda count: [seen.get(timeout=WAIT_S).seq for _ in range(count)]
    finally:
        tail.close()
        thread.join(WAIT_S)
        assert not thread.is_alive(), "closing ends the iteration"
        reader.close()
    assert seen.empty(), "each record is given once"


def _append(journal: Journal, count: int = 1) -> None:
    for _ in range(count):
        journal.append(NOTE, writer=US)


def _settle(bell: Doorbell) -> None:
    """Wait until nothing rings any more from before."""
    while bell._rung.wait(0.05):
        bell._rung.clear()


def test_what_stands_already_comes_first_and_in_order(journal: Journal) -> None:
    journal.append(*[NOTE] * (PAGE + 2), writer=US)
    with _follow(journal.folder) as next_:
        assert next_(PAGE + 2) == list(range(1, PAGE + 3))
    with _follow(journal.folder, after=PAGE) as next_:
        assert next_(2) == [PAGE + 1, PAGE + 2]


def test_each_append_wakes_the_tail(journal: Journal) -> None:
    with _follow(journal.folder) as next_:
        for seq in range(1, 8):
            _append(journal)
            assert next_(1) == [seq]


_RINGER = """
import sys; from pathlib import Path
from journal.store import Journal; from journal.record import Draft, Stamp; from tests.builders import *
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1))
while True:
    print("ready", flush=True); input()
    journal.append(Draft(preflight()), writer=writer(OPERATOR))
"""


def test_the_bell_of_another_process_wakes_the_tail(folder: Path) -> None:
    with _follow(folder) as next_, Child(_RINGER, str(folder)) as ringer:
        for seq in range(1, 6):
            assert ringer.line() == "ready"
            ringer.go()
            assert next_(1) == [seq]


def test_a_bell_that_never_rings_is_made_good_by_the_timer(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a writer is killed between commit and bell."""
    monkeypatch.setattr(Bell, "ring", lambda *_: None)
    with _follow(journal.folder, timer_s=0.01) as next_:
        for seq in range(1, 4):
            _append(journal)
            assert next_(1) == [seq]


def test_the_async_tail_gives_the_same(journal: Journal) -> None:
    async def run() -> list[int]:
        reader = Reader(journal.path)
        tail = Tail(reader, journal.folder / "bell", timer_s=NEVER_S)
        seqs = []
        records = aiter(tail)
        for _ in range(5):
            await asyncio.to_thread(_append, journal)
            seqs.append((await asyncio.wait_for(anext(records), WAIT_S)).seq)
        tail.close()
        reader.close()
        return seqs

    assert asyncio.run(run()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("way", ["removed", "moved"])
def test_a_bell_folder_that_was_replaced_is_watched_again(journal: Journal, way: str) -> None:
    folder = journal.folder / "bell"
    with _follow(journal.folder, timer_s=0.05) as next_:
        _append(journal)
        assert next_(1) == [1]
        if way == "removed":
            shutil.rmtree(folder)
        else:
            folder.rename(journal.folder / "old")
        folder.mkdir()
        for seq in range(2, 6):
            _append(journal)
            assert next_(1) == [seq]


@pytest.mark.parametrize("rounds", range(4))
def test_a_doorbell_hears_the_folder_that_stands_now_even_under_the_same_inode(tmp_path: Path, rounds: int) -> None:
    folder = tmp_path / "bell"
    folder.mkdir()
    doorbell, ringer = Doorbell(folder), Bell(folder)
    for seq in range(rounds + 1):
        shutil.rmtree(folder)
        folder.mkdir()
        assert doorbell._rung.wait(WAIT_S), "the removal itself wakes"
        doorbell.wait(0)
        ringer.look((seq + 1) * LOOK_NS)
        ringer.ring(seq, bytes(32))
        assert doorbell._rung.wait(WAIT_S), "and so does a ring in the new folder"
        _settle(doorbell)
    doorbell.close()
    ringer.close()


def test_a_doorbell_without_a_folder_finds_it_later(tmp_path: Path) -> None:
    folder = tmp_path / "bell"
    doorbell, ringer = Doorbell(folder), Bell(folder)
    doorbell.wait(0)
    folder.mkdir()
    doorbell.wait(0)
    ringer.ring(1, bytes(32))
    assert doorbell._rung.wait(WAIT_S)
    doorbell.close()
    ringer.close()


class Refused:
    """An observer for which the kernel has nothing left, when it is made or when it begins."""

    made: ClassVar[list[Refused]] = []
    at, number = "start", errno.ENOSPC

    def __init__(self) -> None:
        self.made.append(self)
        self.stopped = self.at == "made"  # then there is nothing to stop
        if self.stopped:
            raise OSError(self.number, os.strerror(self.number))

    def schedule(self, *_: object) -> None: ...

    def start(self) -> None:
        if self.at == "thread":
            raise RuntimeError("can't start new thread")
        raise OSError(self.number, os.strerror(self.number))

    def stop(self) -> None:
        self.stopped = True

    def join(self, timeout: float) -> None:
        raise RuntimeError("cannot join thread before it is started")


@pytest.mark.parametrize(("at", "number"), [("start", errno.ENOSPC), ("made", errno.EMFILE), ("thread", 0)])
def test_a_doorbell_that_is_refused_waits_by_its_timer_and_asks_again_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int
) -> None:
    made: list[Refused] = []
    monkeypatch.setattr(Refused, "made", made)
    monkeypatch.setattr(Refused, "at", at)
    monkeypatch.setattr(Refused, "number", number)
    monkeypatch.setattr(tail, "AGAIN_S", 0.01)
    with monkeypatch.context() as refused:
        refused.setattr(tail, "Observer", Refused)
        doorbell = Doorbell(tmp_path)
        asked = []
        for _ in range(8):
            doorbell.wait(0.01)
            asked.append(len(made))
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4]
    assert all(observer.stopped for observer in made)
    for _ in range(9):
        doorbell.wait(0.01)
    (tmp_path / "rung").touch()
    assert doorbell._rung.wait(WAIT_S), "once there is something left it hears"
    doorbell.close()


def test_a_folder_that_went_while_it_was_being_watched_is_looked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refused, "number", errno.ENOENT)
    with monkeypatch.context() as gone:
        gone.setattr(tail, "Observer", Refused)
        doorbell = Doorbell(tmp_path)
    doorbell.wait(0)
    (tmp_path / "rung").touch()
    assert doorbell._rung.wait(WAIT_S)
    doorbell.close()


def test_a_poke_wakes_the_waiter(tmp_path: Path) -> None:
    doorbell = Doorbell(tmp_path)
    waiter = threading.Thread(target=doorbell.wait, args=(NEVER_S,))
    waiter.start()
    doorbell.poke()
    waiter.join(WAIT_S)
    assert not waiter.is_alive()
    doorbell.close()


def test_reading_rings_nobodys_bell(journal: Journal) -> None:
    _append(journal)
    doorbell = Doorbell(journal.folder / "bell")
    _settle(doorbell)
    reader = Reader(journal.path)
    assert len(reader.records()) == 1
    (journal.folder / "bell" / "head").read_bytes()
    assert not doorbell._rung.wait(0.1)
    reader.close()
    doorbell.close()
