"""The journal in memory does what the real store does: the same receipts, refusals, heads, hashes and words for the same drafts."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from journal import events as e
from journal.errors import Busy, DiskTrouble, HandoffError
from journal.events import Process
from journal.record import Draft, Stamp, Writer
from journal.store import Journal, Reader, create
from replay.fold import fold
from tests.builders import (
    BLUE,
    EXAMPLES,
    GREEN,
    OPERATOR,
    Book,
    accepted,
    handed_over,
    health,
    process,
    started,
    writer,
)
from tests.sim.memory import Disk, FsyncFailed, MemoryJournal, MemoryReader


def _drafts(random: Random) -> list[Draft]:
    """One append, sensible or not."""
    drafts: list[Draft] = []
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        x = random.random()
        if x < 0.4:
            drafts.append(accepted(random.randrange(6), key=random.random() < 0.8, words=random.randbytes(4)))
        elif x < 0.45:
            drafts.append(handed_over())
        else:
            event = random.choice(EXAMPLES if random.random() < 0.05 else _QUIET)
            if "messages" in type(event).model_fields:
                event = e.TurnStarted(messages=(random.randrange(1, 30),), session="s_" + "2" * 16)
            drafts.append(
                Draft(event, key=random.choice((None, None, "one", "two")), epoch=random.choice((None, None, 1, 2)))
            )
    return drafts


_QUIET = [x for x in EXAMPLES if not x.TYPE.startswith(("HANDOFF", "PROCESS", "BLUE"))]
"""Those that leave phases and seats as they are."""


def _said(ours: Journal | MemoryJournal, drafts: list[Draft], who: Writer) -> object:
    try:
        return ours.append(*drafts, writer=who)
    except HandoffError as error:
        return type(error), error.message
    except Exception as error:  # a payload that does not fit
        return type(error)


@pytest.mark.parametrize("seed", [1, 2, 3, int.from_bytes(os.urandom(4), "big")])
def test_memory_and_the_real_store_agree_on_every_append(seed: int, tmp_path: Path) -> None:
    print(f"seed {seed}")
    random, ticks = Random(seed), iter(range(10**9))
    create(tmp_path / "handoff", at_ns=1)
    now = Stamp(0, 0)
    disk = Disk()
    pairs = [(Journal(tmp_path / "handoff", lambda: now), MemoryJournal(disk, tmp_path, lambda: now)) for _ in range(2)]
    with closing(pairs[0][0]), closing(pairs[1][0]), closing(Reader(tmp_path / "handoff" / "journal.db")) as reader:
        for way in ("idle", "requested", "init", "ack", "active", "baking", "complete"):
            for _ in range(60):
                tick = next(ticks)
                now = Stamp(tick * 7, tick * 5)
                real, memory = random.choice(pairs)
                who = writer(random.choice((BLUE, GREEN, OPERATOR, process(9))))
                drafts = _drafts(random)
                assert _said(real, drafts, who) == _said(memory, drafts, who)
            for who_, event in _STEPS[way]:
                real, memory = random.choice(pairs)
                drafts = [Draft(event)]
                assert _said(real, drafts, writer(who_)) == _said(memory, drafts, writer(who_))
        assert pairs[0][0].catch_up() == pairs[0][1].catch_up() == pairs[1][1].catch_up()
        stored, kept = list(reader.all()), list(MemoryReader(disk, tmp_path).all())
        assert [r.hash for r in stored] == [r.hash for r in kept]
        assert [r.event for r in stored] == [r.event for r in kept]
        assert fold(stored) == fold(kept)
        words = MemoryReader(disk, tmp_path)
        assert all(reader.payload(r.seq) == words.payload(r.seq) for r in stored)
        assert len(stored) > 20


_STEPS: dict[str, tuple[tuple[Process, e.Event], ...]] = {
    "idle": ((BLUE, started()),),
    "requested": ((OPERATOR, e.HandoffRequested(handoff="h9", runtime="same", bake_s=1.0)),),
    "init": ((BLUE, e.GreenSpawned(green=GREEN)), (BLUE, e.HandoffInit(green=GREEN))),
    "ack": ((GREEN, started("green", serving=False)), (GREEN, health())),
    "active": ((BLUE, e.HandoffActive(turns=0)),),
    "baking": ((GREEN, e.HandoffConfirm(samples=(1,))),),
    "complete": ((BLUE, e.ProcessExited()),),
}


def test_a_commit_whose_sync_failed_is_found_by_nobody_but_recovery() -> None:
    disk = Disk()
    journal = MemoryJournal(disk, Path(), lambda: Stamp(0, 0))
    failed = DiskTrouble("disk I/O error")
    failed.__cause__ = FsyncFailed()
    disk.fault = lambda _process, _types: failed
    with pytest.raises(DiskTrouble):
        journal.append(Draft(started()), writer=writer(BLUE))
    assert not disk.records
    disk.fault = lambda _process, _types: None
    assert disk.recover()
    assert [r.type for r in disk.records] == ["PROCESS_STARTED"]


def test_a_commit_in_doubt_is_gone_once_another_was_written_over_it() -> None:
    disk = Disk()
    journal = MemoryJournal(disk, Path(), lambda: Stamp(0, 0))
    journal.append(Draft(started()), writer=writer(BLUE))
    disk.doubtful = list(zip(disk.records, [None], strict=True))
    journal.append(Draft(health()), writer=writer(BLUE))
    assert not disk.recover()


def test_whoever_waits_too_long_for_the_gate_is_told_who_holds_it() -> None:
    disk = Disk()
    disk.holder = GREEN
    journal = MemoryJournal(disk, Path(), lambda: Stamp(0, 0))
    with pytest.raises(Busy) as refused:
        journal.append(Draft(started()), writer=writer(BLUE))
    assert refused.value.holder == GREEN.pid


def test_the_law_in_memory_is_the_law_of_the_book() -> None:
    disk, book = Disk(), Book()
    journal = MemoryJournal(disk, Path(), lambda: Stamp(0, 0))
    journal.append(Draft(started()), writer=writer(BLUE))
    book.say(BLUE, started())
    assert journal.head.owning == book.head.owning == BLUE
