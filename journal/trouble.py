"""Whether a file is a journal that we know, and what SQLite's errors mean to whoever called."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from journal import schema
from journal.errors import DiskTrouble, HandoffError, NewerJournal, NotAJournal

Row = tuple[Any, ...]


def identify(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``NotAJournal`` or ``NewerJournal`` unless the file's header says that this version can use it."""
    application, version = schema.identify(connection)
    if application != schema.APPLICATION_ID:
        raise NotAJournal(f"{path} is not a handoff journal", hint="name the journal.db that 'install' made")
    if version > schema.VERSION:
        raise NewerJournal(
            f"{path} has schema {version}, this version knows {schema.VERSION}", hint="upgrade handoff-journal"
        )


def onward(rows: list[Row], after: int, path: Path) -> list[Row]:
    """The rows of a page, which begin with their seq. In a damaged file a page may lead back: never follow it in a circle."""
    if rows and rows[-1][0] <= after:
        raise NotAJournal(f"{path}: seq {rows[-1][0]} follows seq {after}", hint="restore it from an export")
    return rows


def keep_open(connection: sqlite3.Connection) -> None:
    """Let nothing but its own ``close`` close it, nor the interpreter's end: whoever closes last checkpoints, outside of the gate.

    A process that ends without closing leaves no lock behind, and its successor finds everything in the write-ahead log.
    """
    import ctypes  # here: who only reads starts fast

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises as ``NotAJournal`` (the file is not what it was) or ``DiskTrouble`` (it may be, later)."""
    try:
        yield
    except HandoffError:
        raise
    except sqlite3.OperationalError as error:
        if "no such" in str(error) or "decode" in str(error):
            raise NotAJournal(f"{path}: {error}", hint="restore it from an export") from error
        if "locked" in str(error):
            raise DiskTrouble(f"{path} stays locked", hint="another program writes to it without the gate") from error
        raise DiskTrouble(f"{path}: {error}", hint="check the disk and the folder's mode") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter when SQLite quotes what is damaged
        raise NotAJournal(f"{path}: {error}", hint="restore it from an export") from error
