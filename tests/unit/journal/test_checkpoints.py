"""Only who holds the gate writes the database file: in WAL mode that is what a checkpoint is, so its bytes tell of every one."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from journal.errors import Busy
from journal.record import Draft, Stamp
from journal.store import TIDY_EVENTS, Journal
from tests.builders import OPERATOR, WAIT_S, Child, preflight, writer

THEM, NOTE = writer(OPERATOR), Draft(preflight())

_MEMBER = """
import os, sys, signal, sqlite3; from pathlib import Path
from journal.store import Journal, Reader; from journal.record import Draft, Stamp; from journal.errors import HandoffError
from tests.builders import *
folder = Path(sys.argv[1]); path = folder / "journal.db"
journal = Journal(folder, lambda: Stamp(1, 1), deadline_s=0.2)
for _ in range(50): journal.append(Draft(preflight()), writer=writer(OPERATOR))
print("ready", flush=True); input()
def close():
    try: journal.close()
    except HandoffError as error: print(type(error).__name__, flush=True)
ways = {
    "close": close,
    "close and forget": lambda: (close(), globals().pop("journal")),
    "forget": lambda: None,
    "forget at once": lambda: globals().pop("journal"),
    "fail": lambda: 1 / 0,
    "exit": lambda: sys.exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "terminate": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "read": lambda: [list(Reader(path).all()) for _ in range(3)],
    "open again": lambda: [Journal(folder, lambda: Stamp(1, 1), deadline_s=0.1) for _ in range(2)],
    "fork": lambda: os.fork() or sys.exit(0),
}
sys.stderr = open(os.devnull, "w")
ways[sys.argv[2]]()
"""
WAYS = (
    "close", "close and forget", "forget", "forget at once", "fail", "exit", "kill", "terminate", "read", "open again", "fork",
)  # fmt: skip


@contextmanager
def gate_held(folder: Path) -> Iterator[None]:
    fd = os.open(folder / "gate", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


def content(folder: Path) -> str:
    return hashlib.sha256((folder / "journal.db").read_bytes()).hexdigest()


@pytest.mark.parametrize("way", WAYS)
def test_no_connection_checkpoints_while_somebody_else_holds_the_gate(folder: Path, way: str) -> None:
    before = content(folder)
    with Child(_MEMBER, str(folder), way) as member:
        assert member.line() == "ready"
        with gate_held(folder):
            member.go()
            member.wait(WAIT_S)
            assert content(folder) == before
            assert (folder / "journal.db-wal").stat().st_size > 100_000


def test_the_last_one_to_close_checkpoints_once_the_gate_is_free(folder: Path) -> None:
    before = content(folder)
    with Child(_MEMBER, str(folder), "close") as member:
        assert member.line() == "ready"
        member.go()
        assert member.wait() == 0
    assert content(folder) != before
    assert not (folder / "journal.db-wal").exists()


def test_appending_alone_never_checkpoints_and_tidying_does_after_a_thousand_events(
    folder: Path, journal: Journal
) -> None:
    """The file is never opened here while it is open: its size and times tell enough."""
    path = folder / "journal.db"
    before = path.stat()
    for _ in range(4):
        journal.append(*[NOTE] * (TIDY_EVENTS // 4 - 1), writer=THEM)
        assert journal.tidy()
    assert journal._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    journal.append(*[NOTE] * 4, writer=THEM)
    assert journal.tidy()
    assert path.stat().st_size > before.st_size
    assert (folder / "journal.db-wal").stat().st_size == 0
    between = path.stat()
    journal.append(NOTE, writer=THEM)
    assert journal.tidy()
    assert path.stat().st_mtime_ns == between.st_mtime_ns


def test_the_log_of_a_quiet_bake_does_not_grow_without_bound(folder: Path, clock: Callable[[], Stamp]) -> None:
    journal, largest = Journal(folder, clock), 0
    for _ in range(100):
        journal.append(*[NOTE] * 100, writer=THEM)
        journal.tidy()
        largest = max(largest, (folder / "journal.db-wal").stat().st_size)
    journal.close()
    assert largest < 4 * 2**20


def test_a_checkpoint_waits_for_the_gate(journal: Journal, folder: Path) -> None:
    journal.append(*[NOTE] * TIDY_EVENTS, writer=THEM)
    journal.gate._deadline_s = 0.05
    with gate_held(folder), pytest.raises(Busy):
        journal.tidy()
    assert journal.tidy()


def test_closing_while_the_gate_is_held_neither_fails_nor_checkpoints(journal: Journal, folder: Path) -> None:
    journal.append(*[NOTE] * 10, writer=THEM)
    journal.gate._deadline_s = 0.05
    before = (folder / "journal.db").stat().st_mtime_ns
    with gate_held(folder):
        journal.close()
    assert (folder / "journal.db").stat().st_mtime_ns == before
    assert (folder / "journal.db-wal").stat().st_size
