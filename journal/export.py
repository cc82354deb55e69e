"""Copies of the journal that stand by themselves: one file, consistent, made while everything runs.

A plain copy of ``journal.db`` can lack the last events, which stand in its ``-wal``; and opening it where it is open already would
drop SQLite's locks. So a copy is made by SQLite's own backup, in one step, from a connection that cannot write.
"""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from journal import schema
from journal.errors import DiskTrouble, NotAJournal, Refused
from journal.reader import Reader
from journal.record import Record

COLUMNS = (
    "seq", "handoff", "type", "v", "role", "pid", "started", "boot", "epoch", "at_ns", "mono_ns", "key", "cause", "body",
    "prev", "hash",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into the file: how many events, and the head (last seq, its 32-byte hash) to verify it with later."""

    events: int
    seq: int
    hash: bytes


def to_database(reader: Reader, target: Path) -> Exported:
    """Write a journal that every command reads, with views for people; the words of messages that are open now are in it.

    Raises:
        Refused: Something stands at ``target`` already.
        DiskTrouble, NotAJournal: It could not be read or written; nothing is left behind.
    """
    with _Draft(target) as draft:
        with closing(sqlite3.connect(draft.path, isolation_level=None)) as copy:
            reader.copy_to(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, which also a read-only disk can hold
            schema.add_views(copy)
            copy.execute("PRAGMA synchronous = FULL")
        with closing(Reader(draft.path)) as found:
            return _counted(found)


def to_lines(reader: Reader, target: Path, render: Callable[[Record], str]) -> Exported:
    """Write one line for each event, as ``render`` makes it; no words are in it. Raises as ``to_database``."""
    with _Draft(target) as draft:
        return _each(reader.all(), lambda record, file: file.write(render(record) + "\n"), draft)


def to_csv(reader: Reader, target: Path) -> Exported:
    """Write a table of the events with a line of names above; the body is JSON, hashes are hex. No words are in it."""
    with _Draft(target) as draft:
        with draft.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)
        return _each(reader.all(), lambda record, file: csv.writer(file).writerow(_fields(record)), draft)


def _fields(r: Record) -> tuple[object, ...]:
    who = r.process
    return (
        r.seq, r.handoff, r.type, r.v, r.role, who.pid, who.started, who.boot, r.epoch, r.at_ns, r.mono_ns, r.key, r.cause, r.body,
        r.prev.hex(), r.hash.hex(),
    )  # fmt: skip


def _each(records: Iterable[Record], write: Callable[[Record, IO[str]], object], draft: _Draft) -> Exported:
    events, last = 0, Exported(0, 0, b"")
    with draft.path.open("a", newline="", encoding="utf-8") as file:
        for record in records:
            write(record, file)
            events += 1
            last = Exported(events, record.seq, record.hash)
    return last


def _counted(reader: Reader) -> Exported:
    seq = reader.last_seq()
    if not seq:
        return Exported(0, 0, b"")
    first, (last,) = reader.rows("events", after=-1, limit=1)[0], reader.rows("events", after=seq - 1, limit=1)
    if not isinstance(last[-1], bytes):
        raise NotAJournal(f"seq {seq} has no hash", hint="run 'handoff-journal verify'")
    return Exported(seq - first[0] + 1, seq, last[-1])


class _Draft:
    """A file beside ``target`` that takes its name once it is whole and on disk, and that nobody else can read."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f".{target.name}.{os.getpid()}.part")

    def __enter__(self) -> _Draft:
        self._refuse_to_overwrite()
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise self._trouble(error) from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as trouble:
            raise self._trouble(trouble) from trouble
        finally:
            for name in (self.path, Path(f"{self.path}-journal"), Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
                with suppress(OSError):
                    name.unlink(missing_ok=True)
        if (
            isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError)
            and type(error) is not sqlite3.OperationalError
        ):
            raise NotAJournal(f"the copy cannot be used: {error}", hint="run 'handoff-journal verify'") from error
        if isinstance(error, OSError | sqlite3.OperationalError):
            raise self._trouble(error) from error

    def _finish(self) -> None:
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(self.path, self._target)  # unlike a rename it never replaces what came there meanwhile
        except FileExistsError:
            self._refuse_to_overwrite()
            raise
        except OSError:  # a file system without links
            self._refuse_to_overwrite()
            self.path.rename(self._target)

    def _refuse_to_overwrite(self) -> None:
        if os.path.lexists(self._target):
            raise Refused(f"{self._target} is there already", hint="name another file; nothing is overwritten")

    def _trouble(self, error: Exception) -> DiskTrouble:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return DiskTrouble(f"cannot write {self._target}: {reason}", hint="check the folder and the disk")
