"""Whether a gateway at rest that says nothing hangs, or only cannot write: what its keeper looks at before it ends it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from journal.events import Process

SAMPLE_S = "HANDOFF_JOURNAL_SAMPLE_S"
"""The variable by which a keeper tells its gateways how often at least it wants a sample: seconds."""
IDLE_SAMPLE_S = 60.0
PER_LIMIT = 5
"""So many samples must be missing before a gateway counts as hung."""
TRIAL = 64 * 1024
"""Bytes that must find room: more than an append takes."""


def sample_s(hung_s: float) -> float:
    """How often a gateway at rest must sample, for somebody who gives it up after ``hung_s`` without a sample."""
    return min(IDLE_SAMPLE_S, hung_s / PER_LIMIT)


class Without:
    """The sign that a process goes on though it cannot write its journal: a file in the journal's folder that names it."""

    def __init__(self, folder: Path, process: Process) -> None:
        self._path, self._process, self._stands = folder / "without", process, False

    def show(self, without: bool) -> None:
        """Put the sign up or take it down. Where that is not possible the keeper cannot write either, and it is tried again."""
        if without == self._stands:
            return
        with suppress(OSError):
            if without:
                self._path.write_text(_named(self._process))
            else:
                self._path.unlink(missing_ok=True)
            self._stands = without


def may_write(folder: Path, process: Process) -> bool:
    """Whether that process could say something if it were well: the folder takes what is written, and it has not put up its sign."""
    path = folder / "trial"
    try:
        if _sign(folder) == _named(process):
            return False
        with path.open("wb") as trial:
            trial.write(bytes(TRIAL))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError:
        return False
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return True


def _sign(folder: Path) -> str:
    try:
        return (folder / "without").read_text()
    except FileNotFoundError:
        return ""


def _named(process: Process) -> str:
    return f"{process.pid} {process.started} {process.boot}"
