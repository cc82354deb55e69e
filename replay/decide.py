"""What each side must do next: pure, from the state that the record gives and a view of the world right now.

The manager of a side asks again after every action and every wake-up. One action at a time, the most urgent first. Nothing here
does anything, and nothing here believes that an action worked before the record says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from journal.events import (
    Event,
    HandoffAck,
    HandoffComplete,
    HandoffConfirm,
    HandoffFailed,
    HandoffRollback,
    HandoffSeized,
    Side,
)
from journal.record import Stamp
from replay.fold import State

NEARLY = 0.9
"""Of the time for booting: what green has not come to agree with by then, it will not; blue could name no reason but the deadline."""
PeerIs = Literal["none", "running", "stopped", "dead"]
Ending = Literal["ended_silent", "ended_late", "ended_old", "ended_stopped"]


@dataclass(frozen=True, slots=True)
class View:
    """What a side sees that no event says.

    ``peer`` is the operating system's word on the process that the record names on the other side; ``stopped_s`` how long it has
    been stopped (SIGSTOP). ``polling`` is whether our gateway was told to connect and not to pause since; ``loaded`` the digests
    of its last load, and ``loaded_seq`` the flush it read, -1 before the first; ``turns`` its turns in flight. ``fault`` is what our
    own gateway failed at; ``peer_end`` how the last process of the other side ended, where the system told: ``exit code 74``.
    """

    me: Side
    now: Stamp
    boot: str
    peer: PeerIs = "none"
    stopped_s: float = 0.0
    polling: bool = False
    loaded: Mapping[str, str] = field(default_factory=dict)
    loaded_seq: int = -1
    turns: int = 0
    fault: str = ""
    peer_end: str = ""
    awake_s: float = float("inf")


# ------------------------------------------------------------------------------------------- what can be done


@dataclass(frozen=True, slots=True)
class Say:
    """Append this protocol event."""

    event: Event


@dataclass(frozen=True, slots=True)
class Settle:
    """The other side's process is dead: record it, and settle what it held."""

    side: Side


@dataclass(frozen=True, slots=True)
class EndPeer:
    """End the other side's process (SIGKILL), because it is silent, late, or left over."""

    side: Side
    how: Ending


@dataclass(frozen=True, slots=True)
class Spawn:
    """Run preflight, start green, and say GREEN_SPAWNED and HANDOFF_INIT; or HANDOFF_FAILED."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Flush the sessions, and say so where something changed since the last flush."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load what the owner flushed up to this seq."""

    flushed_seq: int


@dataclass(frozen=True, slots=True)
class LetGo:
    """Pause every adapter and flush; ``active`` says HANDOFF_ACTIVE in the same append."""

    active: bool


@dataclass(frozen=True, slots=True)
class Serve:
    """Load what the other side flushed, if it is alive, and say BLUE_SERVING."""

    flushed_seq: int


@dataclass(frozen=True, slots=True)
class Connect:
    """Load what the other side flushed last, adopt what it handed over, claim every adapter, and poll."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Say PROCESS_EXITED and end this process with exit code 0."""


Action = Say | Settle | EndPeer | Spawn | Flush | Load | LetGo | Serve | Connect | Exit


# ------------------------------------------------------------------------------------------- the decisions


def decide(state: State, view: View) -> Action | None:
    """The next action of side ``view.me``, or None when there is nothing to do until something changes."""
    head = state.head
    other: Side = "green" if view.me == "blue" else "blue"
    if view.peer == "dead":
        return Settle(other)
    if head.owner != view.me and view.polling:
        return LetGo(active=False)  # it lost the adapters while it was away
    action = (_blue if view.me == "blue" else _green)(state, view)
    if action is not None:
        return action
    if head.owner != view.me:
        return None
    others = any(p != head.owning for p in head.connected.values())
    reversing = head.phase == "rolling_back" and head.blue is not None  # with blue gone, green goes on serving
    return Connect() if not view.polling and not others and not reversing else None


def _blue(state: State, view: View) -> Action | None:
    head, limits = state.head, state.limits
    green_here = head.green is not None or head.expected_green is not None
    late = deadline_passed(state, view.now, view.boot)
    match head.phase:
        case "requested":
            return Say(HandoffFailed(reason="deadline")) if late else Spawn()
        case "init" | "ack" | "active" | "baking":
            if not green_here:
                return _roll_back(state, "green_lost", view.peer_end)
            if late:
                return _roll_back(state, "deadline", "nobody confirmed in time" if head.phase == "baking" else "")
            if unresponsive(state, "green", view):
                return _roll_back(state, "green_silent")
            if state.divergence is not None:
                return _roll_back(state, "divergence")
            if view.fault:
                return _roll_back(state, "fault", view.fault)
            if head.phase == "init":
                return Flush()
            if head.phase == "ack":
                return LetGo(active=True)
            if head.phase == "baking" and bake_over(state, view.now, view.boot):
                sample = fresh_sample(state, view.now, view.boot)
                return Say(HandoffComplete(sample=sample)) if sample else None
            return None
        case "rolling_back":
            if head.owner == "blue" or not green_here:
                return Serve(head.flushed_seq)
            if unresponsive(state, "green", view):
                return EndPeer("green", _how(view))
            if late:
                return EndPeer("green", "ended_late")
            held = any(p == head.green for p in head.connected.values())
            return None if held or not head.flushed_seq else Serve(head.flushed_seq)
        case "rolled_back" | "failed":
            if green_here and unresponsive(state, "green", view):
                return EndPeer("green", _how(view))
            if green_here and not _turns_of(state, "green") and _elapsed(state, view) > limits.rolling_back_s:
                return EndPeer("green", "ended_old")
            return None
        case "complete":
            return Exit() if _done(state, view) else None
        case _:
            return None


def _green(state: State, view: View) -> Action | None:
    head = state.head
    blue_silent = head.blue is not None and unresponsive(state, "blue", view)
    match head.phase:
        case "init":
            if not head.flushed_seq and head.blue is not None and not blue_silent:
                return None
            if view.loaded_seq != head.flushed_seq:
                return Load(head.flushed_seq)
            differ = [part for part, digest in head.flushed.items() if view.loaded.get(part) != digest]
            if (
                differ and blue_silent
            ):  # it has written since it flushed, and will not flush again: what stands on disk counts
                return EndPeer("blue", _how(view))
            if not differ or head.blue is None:
                return Say(HandoffAck(flushed_seq=head.flushed_seq, digests=dict(view.loaded)))
            hopeless = _elapsed(state, view) > NEARLY * state.limits.init_s
            return _roll_back(state, "digests", f"green read another {', '.join(differ)}") if hopeless else None
        case "ack":
            if head.blue is None:
                return Say(HandoffSeized(reason="lost"))
            return Say(HandoffSeized(reason="silent")) if blue_silent else None
        case "active" | "baking":
            if blue_silent:
                return EndPeer("blue", _how(view))
            if view.fault and head.blue is not None:
                return _roll_back(state, "fault", view.fault)
            if head.phase == "active":
                samples = confirming_samples(state)
                return Say(HandoffConfirm(samples=samples)) if samples and view.polling else None
            if head.blue is None and deadline_passed(state, view.now, view.boot):
                return _roll_back(state, "deadline", "nobody confirmed in time")
            if head.blue is None and bake_over(state, view.now, view.boot):
                sample = fresh_sample(state, view.now, view.boot)
                return Say(HandoffComplete(sample=sample)) if sample else None
            return None
        case "rolling_back":
            if blue_silent:  # whoever starts gateways here starts it again
                return EndPeer("blue", _how(view))
            if head.owner == "green" and head.blue is not None:
                held = any(p == head.green for p in head.connected.values())
                return LetGo(active=False) if view.polling or held else Flush()
            return None
        case "rolled_back" | "failed":
            return Exit() if _done(state, view) else None
        case "complete":
            return EndPeer("blue", _how(view)) if blue_silent else None
        case _:
            return None


def _roll_back(state: State, reason: str, detail: str = "") -> Say:
    evidence = []
    if reason == "green_lost":  # blue may have been lost since, and be another process by now
        evidence = [loss.moment.seq for loss in state.losses if loss.side == "green"][-1:]
    elif reason == "green_silent" and "green" in state.seen:
        evidence = [state.seen["green"].seq]
    elif reason == "divergence" and state.divergence:
        evidence = [state.divergence[0]]
    elif reason == "digests":
        evidence = [state.head.flushed_seq]
    elif reason == "deadline" and state.entered:
        evidence = [state.entered.seq]
    return Say(
        HandoffRollback(phase=state.head.phase, reason=reason, detail=detail[:200], evidence=tuple(evidence))  # type: ignore[arg-type]
    )


# ------------------------------------------------------------------------------------------- conditions, used by check too


def deadline_passed(state: State, now: Stamp, boot: str) -> bool:
    """Whether the phase has lasted longer than it may; the bake, whether it has waited too long for somebody's word. Its own
    length is ``bake_over``'s business."""
    limits, entered = state.limits, state.entered
    limit = {
        "requested": limits.requested_s,
        "init": limits.init_s,
        "ack": limits.ack_s,
        "active": limits.active_s,
        "baking": state.word_within_s,
        "rolling_back": limits.rolling_back_s,
    }.get(state.head.phase)
    return limit is not None and entered is not None and state.lasted_s(entered, now, boot) > limit


def bake_over(state: State, now: Stamp, boot: str) -> bool:
    """Whether the bake has lasted as long as was asked for, and nobody's word is missing; or the operator has ended it."""
    confirm = state.step("HANDOFF_CONFIRM")
    if state.complete_requested:
        return True
    if confirm is None or state.request is None or state.word_within_s is not None:
        return False
    return state.lasted_s(confirm.moment, now, boot) >= state.request.bake_s


def confirming_samples(state: State) -> tuple[int, ...] | None:
    """The seqs of green's last clean samples since it connected, when there are enough: one clean poll for each adapter."""
    head, needed = state.head, state.limits.confirm_samples
    mine = {a for a, p in head.connected.items() if p == head.green}
    since = max((state.connected_at.get(a, 0) for a in mine), default=0)
    samples = [s for s in state.samples.get("green", ()) if s.process == head.green and s.moment.seq > since][-needed:]
    clean = [s for s in samples if all(s.health.polls.get(a, 0) >= 1 for a in mine)]
    return tuple(s.moment.seq for s in clean) if mine and len(clean) >= needed else None


def fresh_sample(state: State, now: Stamp, boot: str) -> int | None:
    """The seq of green's latest sample, when it is no older than three sampling intervals."""
    samples = [s for s in state.samples.get("green", ()) if s.process == state.head.green]
    if not samples or samples[-1].moment.elapsed_s(now.at_ns, now.mono_ns, boot) > 3 * state.limits.sample_s:
        return None
    return samples[-1].moment.seq


def unresponsive(state: State, side: Side, view: View) -> bool:
    """Stopped for longer than ``frozen_s``, or silent."""
    if view.peer == "stopped" and view.stopped_s >= state.limits.frozen_s:
        return True
    return view.awake_s > state.limits.silent_s and silent(state, side, view.now, view.boot)


def _how(view: View) -> Ending:
    """Of one that is unresponsive: stopped from outside, or running and without a sign of life."""
    return "ended_stopped" if view.peer == "stopped" else "ended_silent"


def silent(state: State, side: Side, now: Stamp, boot: str) -> bool:
    """Whether a side has given no sign of life for longer than ``silent_s``; for longer than ``init_s`` while it boots, which
    is until its first sample."""
    seen, entered = state.seen.get(side), state.entered
    since = max((m for m in (seen, entered) if m), key=lambda m: m.seq, default=None)
    limit = state.limits.silent_s if state.samples.get(side) else max(state.limits.silent_s, state.limits.init_s)
    return since is not None and since.elapsed_s(now.at_ns, now.mono_ns, boot) > limit


def _done(state: State, view: View) -> bool:
    """Whether a side that owns nothing may go: its gateway runs no turn, and the record shows none, or has shown one for long that
    the gateway no longer knows."""
    if view.polling or view.turns:
        return False
    return not _turns_of(state, view.me) or _elapsed(state, view) > state.limits.silent_s


def _turns_of(state: State, side: Side) -> int:
    process = state.head.process(side)
    return sum(1 for turn in state.head.turns.values() if turn.holder == process)


def _elapsed(state: State, view: View) -> float:
    entered = state.entered
    return state.lasted_s(entered, view.now, view.boot) if entered else 0.0
