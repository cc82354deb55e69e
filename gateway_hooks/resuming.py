"""Finish or undo what was interrupted, as far as somebody at the keyboard can: what a keeper would do, once, but for starting anybody.

A living side goes on by itself and is left alone. What only a gateway can do is left to the next one that starts: the record says
by then what is to become of it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway_hooks.process import System, undisturbed
from gateway_hooks.settling import WORD_S, free_gate_of, settle
from journal.errors import Busy, Refused
from journal.events import HandoffFailed, Process, Side
from journal.record import Draft, Writer
from journal.store import Journal, Reader
from replay.boot import SIDES, Leave, Seen, Start, View, has_a_judge, keep
from replay.decide import EndPeer, PeerIs, Say, Settle, deadline_passed
from replay.fold import State, state_of

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """What was there, what was done about it, and what comes next.

    ``sides`` says of each side what the operating system says; ``did`` are the deeds with the seq of the event that records each;
    ``start`` is whom the boot rule names; ``keeper`` is the pid of the keeper that will start it, if there is one, ``stopped`` of one
    that will not before it is continued; ``serves`` is whether somebody serves all the same.
    """

    before: State
    after: State
    sides: Mapping[Side, PeerIs]
    did: tuple[tuple[str, int], ...] = ()
    start: Start | None = None
    keeper: int | None = None
    stopped: int | None = None
    serves: bool = False


class Resume:
    """One pass over one home. Close it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._system = System()
        self._freed: Process | None = None
        try:
            self._journal = Journal(folder, self._system.now, deadline_s=WORD_S)
        except Busy as error:  # who is stopped with the gate in its hands lets nobody write
            self._freed = free_gate_of(self._system, error)
            self._journal = Journal(folder, self._system.now, deadline_s=WORD_S)
        self._writer = Writer(self._system.me(), "operator")
        self._stopped: dict[Process, int] = {}

    def run(self) -> Found:
        """Do all that can be done, and say what it was. A second time there is nothing left to do."""
        before = self._state()
        first = self._view(before)
        did: list[tuple[str, int]] = []
        while True:
            state = self._state()
            view = self._view(state)
            action = keep(state, view)
            if action is None and state.head.phase == "requested" and deadline_passed(state, view.now, view.boot):
                action = Say(HandoffFailed(reason="deadline", detail="the gateway did not answer"))
            if isinstance(action, Say | Settle | EndPeer):
                with suppress(Refused):  # somebody was faster, and may have said it in other words: look again
                    did.append(self._do(state, action))
                continue
            if action is None and any(view.of(s) == "stopped" and not has_a_judge(state, view, s) for s in SIDES):
                time.sleep(LOOK_S)  # it has to be stopped for as long as the protocol says before it may be ended
                continue
            start = action if isinstance(action, Start) else None
            assert not isinstance(action, Leave)
            sides: dict[Side, PeerIs] = {side: first.of(side) for side in SIDES}
            keeper = keeper_of(self._folder)
            stopped = keeper if keeper is not None and self._is_stopped(keeper) else None
            keeper = None if stopped is not None else keeper
            serves = view.of(state.head.owner) == "running"
            return Found(before, state, sides, tuple(did), start, keeper, stopped, serves)

    def close(self) -> None:
        """Let go of the journal."""
        with undisturbed():
            self._journal.close()

    def _state(self) -> State:
        with closing(Reader(self._journal.path)) as reader:
            return state_of(reader)

    def _view(self, state: State) -> View:
        head, now = state.head, self._system.now()
        seen: dict[Seen, Process | None] = {"blue": head.blue, "green": head.green or head.expected_green}
        found: dict[Seen, PeerIs] = {name: self._system.probe(p) if p else "none" for name, p in seen.items()}
        stopped: dict[Seen, float] = {}
        for name, process in seen.items():
            if process is not None and found[name] == "stopped":
                stopped[name] = (now.mono_ns - self._stopped.setdefault(process, now.mono_ns)) / 1e9
        return View(now, self._writer.process.boot, found["blue"], found["green"], stopped_s=stopped)

    def _is_stopped(self, pid: int) -> bool:
        process = self._system.identify(pid)
        return process is not None and self._system.probe(process) == "stopped"

    def _do(self, state: State, action: Say | Settle | EndPeer) -> tuple[str, int]:
        head = state.head
        if isinstance(action, Say):
            draft = Draft(action.event, phase_seq=head.phase_seq)
            return action.event.TYPE, self._append(draft)
        process = head.process(action.side) or head.expected_green
        assert process is not None
        how = "ended_stopped" if process == self._freed else "died"
        if isinstance(action, EndPeer):
            self._system.end(process)
            how = action.how
        fresh = self._journal.catch_up()
        seq = self._append(*settle(fresh, action.side, process, how))
        verb = "settled" if how == "died" else "ended"
        return f"{verb} {action.side}, process {process.pid}", seq

    def _append(self, *drafts: Draft) -> int:
        with undisturbed():
            return self._journal.append(*drafts, writer=self._writer)[0].seq


def keeper_of(folder: Path) -> int | None:
    """The pid of the keeper of a home, None when it has none."""
    try:
        fd = os.open(folder / "keeper", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 20, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None
