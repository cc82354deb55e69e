"""Whether a file is a journal that we know, and what SQLite's errors mean to whoever called."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from journal import schema
from journal.errors import DiskTrouble, HandoffError, NewerJournal, NotAJournal, Unusable

Row = tuple[Any, ...]


def stands(path: Path) -> bool:
    """Whether a file stands there. Raises ``DiskTrouble`` when this user may not even look."""
    try:
        return path.is_file()
    except OSError as error:
        raise DiskTrouble(f"{path}: {error.strerror}", hint="run it as the user whose gateway it is") from error


def require_private(folder: Path) -> None:
    """Raise ``Unusable`` when others may write into the folder or the file: nobody could tell any more who wrote what.

    Root may use another user's folder, who owns everything around it too; anybody else may not.
    """
    for path in (folder, folder / "journal.db"):
        found, me = path.stat(), os.geteuid()
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = "700" if path == folder else "600"
            what = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: others may write to it"
            raise Unusable(what, hint=f"run 'handoff-journal verify', then chmod {mode} {path}")
        if me not in (0, found.st_uid):
            raise Unusable(f"{path} belongs to user {found.st_uid}", hint="run it as the user whose gateway it is")


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
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise explained(error, path) from error


def explained(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> HandoffError:
    """What SQLite's error means: ``NotAJournal`` (the file is not what it was) or ``DiskTrouble`` (it may be, later)."""
    if isinstance(error, sqlite3.OperationalError) and not ("no such" in str(error) or "decode" in str(error)):
        if "readonly" in str(error):
            what = f"{path} stands where this user may not write"
            return DiskTrouble(what, hint="check the folder's owner and mode and the disk, or read an export")
        if "unable to open" in str(error):
            return DiskTrouble(f"{path}: {error}", hint="check the disk, the folder's mode and the limit of open files")
        if "locked" in str(error):
            return DiskTrouble(f"{path} stays locked", hint="another program writes to it without the gate")
        return DiskTrouble(f"{path}: {error}", hint="check the disk and the folder's mode")
    return NotAJournal(f"{path}: {error}", hint="restore it from an export")  # also when SQLite quotes what is damaged
