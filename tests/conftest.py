"""Fixtures that every test may use."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from journal.record import Stamp
from journal.store import Journal, create

# A shell starts what stands behind "&" with Ctrl-C ignored, and so would be whatever a test starts, in which it is tried.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Clock:
    """A clock that moves on by a millisecond whenever it is asked, and when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000_000_000_000

    def __call__(self) -> Stamp:
        self.now_ns += 1_000_000
        return Stamp(at_ns=self.now_ns, mono_ns=self.now_ns - 1_600_000_000_000_000_000)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty journal."""
    path = tmp_path / "handoff"
    create(path, at_ns=1)
    return path


@pytest.fixture
def journal(folder: Path, clock: Clock) -> Iterator[Journal]:
    """The writing side of ``folder``'s journal."""
    opened = Journal(folder, clock)
    yield opened
    opened.close()
