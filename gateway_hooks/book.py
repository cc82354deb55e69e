"""The record as a keeper follows it: read, folded, and opened for writing once something has to be said.

A keeper outlives the file. It may be put back from an export, or removed and made anew, while gateways run: then what was read of the
former one is forgotten, and all is folded anew. Where none stands any more, what was known stays known.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from journal.errors import HandoffError
from journal.record import Stamp
from journal.store import Journal, Reader
from replay.fold import State, state_of


class Book:
    """One for a keeper. ``state`` is what was read last; ``reads`` whether it could be read the last time."""

    def __init__(self, folder: Path, clock: Callable[[], Stamp]) -> None:
        """``folder`` is the home's ``handoff``; ``clock`` gives the time of what is said."""
        self.state = State()
        self.reads = False
        self._folder, self._path, self._clock = folder, folder / "journal.db", clock
        self._reader: Reader | None = None
        self._journal: Journal | None = None
        self._file: tuple[int, int] | None = None

    def read(self) -> bool:
        """Fold what is new. True when it is another record than the one that was read before.

        Raises:
            HandoffError: It cannot be read, or not any more. ``state`` is left as it was.
        """
        self.reads = False
        there = self._identity()
        if self._reader is None or there != self._file or self._reader.last_seq() < self.state.head.seq:
            other = self._file is not None and (there != self._file or self._reader is not None)
            self._open(there)
        else:
            other = False
            if self._reader.last_seq() != self.state.head.seq:
                self.state = state_of(self._reader, self.state)
        self.reads = True
        return other

    def journal(self) -> Journal:
        """The record open for writing. Once the file was replaced it refuses every word, until that is read.

        Raises:
            HandoffError: There is none, or it cannot be opened.
        """
        if self._journal is None:
            self._journal = Journal(self._folder, self._clock)
        return self._journal

    def _open(self, there: tuple[int, int] | None) -> None:
        self._close()
        reader = Reader(self._path)
        try:
            self.state = state_of(reader)
        except BaseException:
            reader.close()
            raise
        self._reader, self._file = reader, there

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._journal is not None:
            with suppress(HandoffError, sqlite3.Error, OSError):  # its folder may be gone with it
                self._journal.close()
            self._journal = None

    def _identity(self) -> tuple[int, int] | None:
        """Which file stands there now. While one is open, no other gets its number."""
        with suppress(OSError):
            status = self._path.stat()
            return status.st_dev, status.st_ino
        return None
