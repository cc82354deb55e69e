"""Whether a gateway at rest that says nothing hangs, has nothing to say yet, or only cannot write: what is looked at before it is
ended."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from journal.events import Process
from journal.record import Stamp
from replay.fold import State

SAMPLE_S = "HANDOFF_JOURNAL_SAMPLE_S"
"""The variable by which a keeper tells its gateways how often at least it wants a sample: seconds."""
IDLE_SAMPLE_S = 60.0
PER_LIMIT = 5
"""So many samples must be missing before a gateway counts as hung."""
TRIAL_S = 5.0
TRIAL = 64 * 1024
"""Bytes that must find room: more than an append takes."""


def sample_s(hung_s: float) -> float:
    """How often a gateway at rest must sample, for somebody who gives it up after ``hung_s`` without a sample."""
    return min(IDLE_SAMPLE_S, hung_s / PER_LIMIT)


def unheard_s(state: State, now: Stamp, boot: str) -> float:
    """For how long the owner of the adapters has given no sign of life; 0 where nobody has ever given one.

    What others say of a handoff is none: a request that was withdrawn does not make a gateway that hangs look well.
    """
    seen = state.seen.get(state.head.owner)
    return seen.elapsed_s(now.at_ns, now.mono_ns, boot) if seen else 0.0


def patience_s(state: State) -> float:
    """How long an owner at rest may go unheard before somebody may say that it hangs: the distance of its samples, and ``silent_s``
    for the one that is due; while it starts, until its first sample, ``init_s`` where that is longer."""
    limits, due_s = state.limits, IDLE_SAMPLE_S + state.limits.silent_s
    return due_s if state.samples.get(state.head.owner) else max(due_s, limits.init_s)


def silent_at_rest(state: State, now: Stamp, boot: str) -> bool:
    """Whether the owner of the adapters, no handoff being open, has missed its sample."""
    return unheard_s(state, now, boot) > patience_s(state)


class Without:
    """The sign that an owner goes on though it cannot write its journal: a file in the journal's folder that names it."""

    def __init__(self, folder: Path, process: Process) -> None:
        self._folder, self._path, self._process, self._stands = folder, folder / "without", process, False

    def show(self, without: bool) -> None:
        """Put the sign up or take it down. Where that is not possible the keeper cannot write either, and it is tried again."""
        if without == self._stands:
            return
        with suppress(OSError):
            if without:
                self._path.write_text(_named(self._process))
            elif _sign(self._folder) == _named(self._process):  # else it is the next owner's by now
                self._path.unlink(missing_ok=True)
            self._stands = without


class Trials:
    """Whether a process that says nothing could write, tried every few seconds for as long as that counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since_ns = self._tried_ns = 0

    def could_write_s(self, process: Process | None, now: Stamp) -> float:
        """For how long without a break it could have; None stands for nobody of whom that is asked."""
        if process is None:
            self._since_ns = 0
        elif now.mono_ns - self._tried_ns > TRIAL_S * 1e9 or not self._since_ns:
            self._tried_ns = now.mono_ns
            self._since_ns = (self._since_ns or now.mono_ns) if may_write(self._folder, process) else 0
        return (now.mono_ns - self._since_ns) / 1e9 if self._since_ns else 0.0


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
