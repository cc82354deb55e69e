"""The reserve: room on the disk that is kept for the events which close a handoff, and given back when nothing else is left."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE = 2 * 2**20
"""Bytes. An append takes 12 to 20 KiB of the write-ahead log before it is emptied: a hundred of them close any handoff."""


class Reserve:
    """A file of real blocks beside the journal. A copy-on-write file system may promise less."""

    def __init__(self, folder: Path, size: int = SIZE) -> None:
        self._path = folder / "reserve"
        self._size = size

    def hold(self) -> bool:
        """Make sure that it stands. False when the disk has no room for it, or cannot be written."""
        with suppress(OSError):
            if self._path.stat().st_size == self._size:
                return True
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
                os.ftruncate(fd, self._size)
            finally:
                os.close(fd)
        except OSError:
            self.give_back()  # what was allocated so far would be missed elsewhere
            return False
        return True

    def give_back(self) -> bool:
        """Return its blocks to the disk. False when there was nothing to return."""
        try:
            found = self._path.stat().st_size > 0
            self._path.unlink()
        except OSError:
            return False
        return found
