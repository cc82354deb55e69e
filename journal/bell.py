"""The doorbell: a small file, written after each commit, whose folder others watch. It also holds the head (seq, hash).

Watching the database's ``-wal`` instead would wake readers before a commit is visible. Nothing is ever decided by the bell: truth is
``seq > cursor``, and a writer killed between commit and bell rings nothing, which the readers' slow timer makes good.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LOOK_NS = 20_000_000
"""A bell whose folder was moved is looked for again after so long; until then the readers' timer makes it good."""
_LENGTH = 20 + 1 + 64 + 1


class Bell:
    """The writing side. ``folder`` is ``HERMES_HOME/handoff/bell``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "head"
        self._fd = -1
        self._looked_ns = 0

    def ring(self, seq: int, digest: bytes) -> None:
        """Write the head in one ``pwrite``; a later one that stands there already is kept, and rings all the same.

        Writers ring after they have let go of the gate, so not always in order. A bell that cannot be rung is not an error: the
        event stands.
        """
        try:
            if self._fd < 0:
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                later = int(os.pread(self._fd, 20, 0)) > seq
            except ValueError:
                later = False
            if later:
                os.pwrite(self._fd, b"\n", _LENGTH - 1)
            else:
                os.pwrite(self._fd, b"%-20d %b\n" % (seq, digest.hex().encode()), 0)
        except OSError:
            self.close()

    def look(self, now_ns: int) -> None:
        """See to it that it rings where its folder stands now, which may have been removed or moved; not more often than worth it.

        Args:
            now_ns: The monotonic clock.
        """
        if 0 <= now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        if self._fd >= 0:
            with suppress(OSError):
                if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                    return
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_head(folder: Path) -> tuple[int, bytes] | None:
    """The head that the bell last held: (seq, 32-byte hash), or None when there is none to read."""
    try:
        seq, digest = (folder / "head").read_text().split()
        return int(seq), bytes.fromhex(digest)
    except (OSError, ValueError):
        return None
