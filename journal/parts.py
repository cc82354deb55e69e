"""Divide a long record among several who walk it side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from journal.reader import Reader
from journal.walk import FIRST, Head, Part


class Other(Protocol):
    """Somebody who walks the rows after ``after``."""

    @property
    def after(self) -> int: ...

    def result(self) -> Part | None:
        """Wait for what was walked; None when something was found, or anything else went wrong."""


Split = Callable[[Reader, Head | None], AbstractContextManager[Sequence[Other]]]
"""Who walks which later part of a record while the caller walks its first."""


@contextmanager
def undivided(_reader: Reader, _head: Head | None) -> Iterator[Sequence[Other]]:
    """Nobody else: the caller walks it all."""
    yield ()


def cuts(reader: Reader, most: int, least: int) -> list[tuple[int, bytes, int]]:
    """Where to divide: (seq, its hash, last seq) of every part but the first; at most ``most`` parts of at least ``least`` events.

    Nothing is divided where the rows do not look as expected: that is for the walk to judge.
    """
    first, last = reader.rows("events", after=FIRST, limit=1), reader.last_seq()
    if not first or first[0][0] < 1:
        return []
    begin = first[0][0] - 1
    parts = min(most, (last - begin) // least)
    if parts < 2:
        return []
    seqs = [begin + (last - begin) * number // parts for number in range(1, parts)]
    rows = [row for seq in seqs for row in reader.rows("events", after=seq - 1, limit=1)]
    if [row[0] for row in rows] != seqs or not all(isinstance(row[15], bytes) for row in rows):
        return []
    return [(row[0], row[15], until) for row, until in zip(rows, [*seqs[1:], last], strict=True)]
