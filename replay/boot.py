"""Who has to be started when nobody serves, and what a small parent does where no living side can act: pure.

The boot rule: before CONFIRM the old runtime; in the bake green's, and after three failed starts in a row the old one; only
COMPLETE makes green's permanent. Whatever a living side can do by itself is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from journal.events import HandoffFailed, HandoffRollback, Side
from journal.record import Stamp
from replay.decide import EndPeer, PeerIs, Say, Settle, deadline_passed, silent
from replay.fold import State

MAX_FAILURES = 3
"""So many failed starts in a row of green's runtime in the bake, and the old one is started."""
SAME = "same"
"""The runtime of whoever names no other."""
ASKED_AGAIN = 75
"""A gateway that has served and ends with this wants to be started again; one that never sat has stood aside."""
MISCONFIGURED = 78
"""A gateway that ends with this would end so again."""
LONGEST_S = 30.0
Seen = Literal["blue", "green", "starting"]
SIDES: tuple[Side, Side] = ("blue", "green")
_SEEN: tuple[Seen, ...] = ("starting", "blue", "green")


@dataclass(frozen=True, slots=True)
class Start:
    """Start this runtime; the process takes that side's seat."""

    side: Side
    runtime: str


@dataclass(frozen=True, slots=True)
class View:
    """What a parent sees that no event says.

    ``blue``, ``green`` and ``starting`` are the operating system's word on the processes that the record names (for green also the
    one that is expected), and on the one that the parent has started and that has no seat yet; ``stopped_s`` how long each has been
    stopped (SIGSTOP). ``tried`` is what the parent started last, ``failures`` how often in a row that has failed, ``since_s`` the
    seconds since it last ended. ``code`` is how the process ended that served last or was to, None when nobody knows. ``ending``: the
    parent was told to end. ``awake_s`` is for how long the parent itself has been able to see. ``mute``: the journal cannot
    be written. An owner at rest that has given no sample for ``hung_s`` is looked at more closely; ``writable_s`` is for how long it
    could have given one.
    """

    now: Stamp
    boot: str
    blue: PeerIs = "none"
    green: PeerIs = "none"
    starting: PeerIs = "none"
    stopped_s: Mapping[Seen, float] = field(default_factory=dict)
    tried: Start | None = None
    failures: int = 0
    since_s: float = float("inf")
    code: int | None = None
    ending: bool = False
    awake_s: float = float("inf")
    mute: bool = False
    hung_s: float = float("inf")
    writable_s: float = 0.0

    def of(self, seen: Seen) -> PeerIs:
        return self.blue if seen == "blue" else self.green if seen == "green" else self.starting

    @property
    def anybody(self) -> bool:
        """Whether a process lives, stopped or not."""
        return any(self.of(seen) in ("running", "stopped") for seen in _SEEN)


@dataclass(frozen=True, slots=True)
class EndStarting:
    """End the process that was started and has no seat: it is stopped."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the parent with this exit code."""

    code: int


Action = Say | Settle | EndPeer | Start | EndStarting | Leave


def boot(state: State, *, blue: bool, green: bool, failures: int = 0) -> Start | None:
    """The boot rule: whom to start, or nobody.

    Args:
        state: What the record says.
        blue: Whether the process that sits as blue lives.
        green: Whether the one that sits, or is expected, as green lives.
        failures: Failed starts in a row of what would be started.
    """
    match state.head.phase:
        case "ack" | "active":  # green goes on alone; before CONFIRM nobody starts another one
            side: Side | None = None if blue or green else "blue"
        case "baking":
            old = failures >= MAX_FAILURES
            side = None if blue or green else "blue" if old else "green"
        case "complete":
            side = None if green else "green"
        case _:
            side = None if blue else "blue"
    return Start(side, runtime(state, side)) if side else None


def runtime(state: State, side: Side) -> str:
    """The name of the runtime that a side runs: what its last process said, else what was asked for."""
    started = state.started.get(side)
    if started is not None:
        return started.runtime
    return state.request.runtime if side == "green" and state.request else SAME


def backoff_s(failures: int) -> float:
    """How long to wait after that many failed starts in a row: 0, 1, 2, 4 ... at most 30 s."""
    return min(LONGEST_S, 2.0 ** (min(failures, 10) - 1)) if failures > 0 else 0.0


def keep(state: State, view: View) -> Action | None:
    """What a parent does next, or None when there is nothing to do until something changes or time passes."""
    frozen = _frozen(state, view)
    if frozen is not None:
        return EndStarting() if frozen == "starting" else EndPeer(frozen, "ended_stopped")
    if view.ending:
        return None if view.anybody else Leave(view.code or 0)
    useless = _useless(state, view) or _hung(state, view)
    if useless is not None:
        return useless
    missing = None if view.mute else _record(state, view)
    return missing or _serve(state, view)


def _frozen(state: State, view: View) -> Seen | None:
    """Who is stopped for too long while nobody else can end it."""
    limit = state.limits.frozen_s if state.head.open else state.limits.silent_s
    for seen in _SEEN:
        stopped = view.of(seen) == "stopped" and view.stopped_s.get(seen, 0.0) >= limit
        if stopped and (view.ending or not has_a_judge(state, view, seen)):
            return seen
    return None


def has_a_judge(state: State, view: View, seen: Seen) -> bool:
    """Whether a living other side would end it. An owner at rest has none, nor a blue that owns and shall serve again, nor one whose
    green has not moved within the deadline."""
    head = state.head
    if seen == "starting" or view.of(_other(seen)) != "running":
        return False
    if head.owner != seen:
        return True
    late = seen == "blue" and deadline_passed(state, view.now, view.boot)
    return head.open and not late and not (head.phase == "rolling_back" and seen == "blue")


def _record(state: State, view: View) -> Say | Settle | None:
    """What the record still lacks, where no side is left that could say it."""
    head = state.head
    for side in SIDES:
        if view.of(side) == "dead" and view.of(_other(side)) != "running":
            return Settle(side)
    if head.phase == "requested" and head.blue is None:
        return Say(HandoffFailed(reason="blue_lost", detail="the gateway died"))
    if head.blue is None and head.green is None and head.expected_green is None and view.starting == "none":
        start = boot(state, blue=False, green=False, failures=_failures(state, view))
        if head.phase in ("init", "ack", "active", "baking") and start and start.side == "blue":
            return Say(_rollback(state))
    return None


def _useless(state: State, view: View) -> EndPeer | None:
    """A green that serves nobody and has no blue beside it that would take back."""
    phase = state.head.phase
    if state.head.blue is not None or view.green != "running":
        return None
    hangs = view.awake_s > state.limits.silent_s and silent(state, "green", view.now, view.boot)
    if phase in ("ack", "active", "baking") and hangs:
        return EndPeer("green", "ended_silent")
    late = phase in ("ack", "active") and deadline_passed(state, view.now, view.boot)
    return EndPeer("green", "ended_late") if late else None


def _hung(state: State, view: View) -> EndPeer | None:
    """A gateway at rest that runs, could speak, and gives no sample: nobody beside it would end it."""
    side = quiet(state, view.now, view.boot, view.hung_s)
    sure = view.awake_s > view.hung_s and view.writable_s >= view.hung_s / 10
    return EndPeer(side, "ended_silent") if side and sure and view.of(side) == "running" else None


def quiet(state: State, now: Stamp, boot: str, limit_s: float) -> Side | None:
    """The owner at rest, when its last sample, or its start, is longer ago than that."""
    head = state.head
    if head.open or head.owning is None:
        return None
    samples = [s.moment for s in state.samples.get(head.owner, ()) if s.process == head.owning]
    last = samples[-1] if samples else state.seen.get(head.owner)
    return head.owner if last and last.elapsed_s(now.at_ns, now.mono_ns, boot) > limit_s else None


def _rollback(state: State) -> HandoffRollback:
    losses = [loss.moment.seq for loss in state.losses if loss.side == "green"]
    if losses:
        return HandoffRollback(phase=state.head.phase, reason="green_lost", evidence=(losses[-1],))
    return HandoffRollback(phase=state.head.phase, reason="fault", detail="both sides are gone")


def _failures(state: State, view: View) -> int:
    """How often in a row the runtime has failed that the boot rule names at first."""
    if view.tried != boot(state, blue=False, green=False):
        return 0
    return max(MAX_FAILURES, view.failures) if view.code == MISCONFIGURED else view.failures


def _serve(state: State, view: View) -> Start | Leave | None:
    """Start whom the boot rule names, when it is time, or leave with the gateway."""
    if view.starting != "none":
        return None
    lives = {side: view.of(side) in ("running", "stopped") for side in SIDES}
    failures = _failures(state, view)
    start = boot(state, blue=lives["blue"], green=lives["green"], failures=failures)
    if start is None:
        return None
    useless = view.code == MISCONFIGURED and view.tried == start
    if useless or (view.code == 0 and not state.head.open):
        return None if any(lives.values()) else Leave(view.code or 0)
    return start if view.since_s >= backoff_s(failures) else None


def _other(side: Side) -> Side:
    return "green" if side == "blue" else "blue"
