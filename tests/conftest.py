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

# Behind "&" a shell ignores Ctrl-C, and nohup a hangup: so would whatever a test starts, in which they are tried.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
