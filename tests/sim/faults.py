"""What goes wrong in a run, drawn from its seed: a list that can be made shorter, so that a failure is told by what it needs.

A fault waits for its moment: a time, or a point that some side passes for the n-th time.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

STAGES = ("append", "commit", "committed", "appended")
STEPS = (
    "HANDOFF_REQUESTED", "HANDOFF_INIT", "HANDOFF_ACK", "HANDOFF_ACTIVE", "HANDOFF_SEIZED", "HANDOFF_CONFIRM",
    "HANDOFF_COMPLETE", "HANDOFF_ROLLBACK", "HANDOFF_RESUMED", "HANDOFF_FAILED", "BLUE_SERVING", "GREEN_SPAWNED",
    "PROCESS_STARTED", "PROCESS_EXITED", "PROCESS_LOST", "ADAPTER_CONNECTED", "ADAPTER_PAUSED", "SESSION_FLUSHED",
    "HEALTH_SAMPLED", "WATCHER_HANDED_OVER", "WATCHER_ADOPTED",
)  # fmt: skip
TALK = (
    "MESSAGE_ACCEPTED", "TURN_STARTED", "TURN_JOINED", "REPLY_INTENDED", "REPLY_SENT", "TURN_FINISHED", "MESSAGE_SETTLED",
)  # fmt: skip
TYPES = STEPS + TALK
CALLS = ("preflight", "load", "flush", "pause", "connect", "sample", "adopt", "end")
LOOP = (
    "fetch",
    "accept",
    "dispatch",
    "gather",
    "start",
    "think",
    "intend",
    "send",
    "sending",
    "record",
    "say",
    "finish",
)
RASH = ("connect", "serve", "ack")
"""What a manager may do once without asking the decisions: claim and poll, take the adapters back, acknowledge."""
TARGETS = ("", "", "", "blue", "green", "owner", "other", "both")
"""Whom a fault meets: whoever passes the point (the owner where there is none), if it is that side; or the other side of him."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind`` and whom it meets. ``point`` (stage, name) and ``nth`` say where, ``at_s`` when, one of the two; ``for_s`` is how long
    it lasts, where that means something, and ``how`` its flavour."""

    kind: str
    target: str = ""
    at_s: float | None = None
    point: tuple[str, str] | None = None
    nth: int = 1
    for_s: float = 0.0
    how: str = ""

    def told(self) -> str:
        """One line."""
        when = (
            f"at {self.at_s:.2f} s"
            if self.at_s is not None
            else f"at {self.point[0]} {self.point[1]}"
            if self.point
            else ""
        )
        nth = f" (time {self.nth})" if self.nth > 1 else ""
        rest = [self.target, self.how, f"for {self.for_s:g} s" if self.for_s else ""]
        return f"{self.kind} {' '.join(r for r in rest if r)} {when}{nth}".replace("  ", " ")


def plan(random: Random, accounts: int) -> list[Fault]:
    """A schedule of faults and of what the operator does. The first handoff is always asked for."""
    faults = [Fault("promote", at_s=random.uniform(0.5, 6.0))]
    if random.random() < 0.4:
        faults.append(Fault("promote", at_s=random.uniform(15.0, 50.0)))
    if random.random() < 0.25:
        faults.append(_when(random, "rollback"))
    if random.random() < 0.15:
        faults.append(_when(random, "complete"))
    if random.random() < 0.3:
        faults += random.choice(THEMES)
    for _ in range(random.choice((0, 1, 1, 2, 2, 3, 4, 5, 7, 9))):
        faults.append(_fault(random))
    return faults


def _at(kind: str, name: str, target: str = "", nth: int = 1, how: str = "", stage: str = "appended") -> Fault:
    return Fault(kind, target, point=(stage, name), nth=nth, how=how)


_SEIZED_FROM = (_at("freeze", "HANDOFF_ACK", "other"), _at("wake", "HANDOFF_SEIZED", "other"))
_ROLLED_BACK = _at("rollback", "HANDOFF_CONFIRM")
THEMES: tuple[tuple[Fault, ...], ...] = (
    _SEIZED_FROM,
    (_SEIZED_FROM[0], _at("rash", "HANDOFF_SEIZED", "green", how="connect")),
    (*_SEIZED_FROM, _at("rash", "HANDOFF_SEIZED", "blue", how="connect")),
    (_at("rash", "HANDOFF_ACK", "green", how="connect"),),
    (_at("rash", "HANDOFF_CONFIRM", "blue", how="connect"),),
    (_ROLLED_BACK, _at("rash", "HANDOFF_ROLLBACK", "blue", how="serve")),
    (_ROLLED_BACK, _at("rash", "ADAPTER_PAUSED", "blue", nth=2, how="serve")),
    (_at("rash", "PROCESS_STARTED", "green", nth=2, how="ack"),),
    (_at("rash", "SESSION_FLUSHED", "green", how="ack"), _at("rash", "SESSION_FLUSHED", "green", nth=2, how="ack")),
    tuple(_at("kill", "intend", nth=n, stage="loop") for n in (1, 2, 3)),
    (_at("rollback", "", stage="spawned"), _at("promote", "", stage="spawned")),
)
"""Combinations in which only one fence holds, and that chance would not meet often."""


def _when(random: Random, kind: str, target: str = "", for_s: float = 0.0, how: str = "") -> Fault:
    if random.random() < 0.25:
        return Fault(kind, target, random.uniform(0.5, 45.0), for_s=for_s, how=how)
    return Fault(kind, target, point=_point(random), nth=random.choice((1, 1, 1, 2, 3, 5)), for_s=for_s, how=how)


def _point(random: Random) -> tuple[str, str]:
    x = random.random()
    if x < 0.45:
        return random.choice(STAGES), random.choice(STEPS)
    if x < 0.6:
        return random.choice(STAGES), random.choice(TALK)
    if x < 0.8:
        return random.choice(("gateway", "half", "done")), random.choice(CALLS)
    if x < 0.85:
        return random.choice((("end", ""), ("ended", ""), ("spawned", "")))
    return "loop", random.choice(LOOP)


def _fault(random: Random) -> Fault:
    x = random.random()
    target = random.choice(TARGETS)
    if x < 0.30:
        return _when(random, "kill", target)
    if x < 0.45:
        return _when(random, "freeze", target, random.choice((0.0, 0.0, 0.5, 2.0, 5.0, 12.0, 25.0, 60.0)))
    if x < 0.50:
        return _when(random, "hang", target, random.choice((1.0, 6.0, 18.0, 40.0)))
    if x < 0.58:
        return Fault("call fails", target, point=("gateway", random.choice(CALLS)), nth=random.choice((1, 1, 2, 3)),
                     how=random.choice(("before", "half", "for ever")))  # fmt: skip
    if x < 0.72:
        how = random.choice(("full", "locked", "fsync", "gate"))
        if random.random() < 0.6:
            return Fault("disk", point=("commit", random.choice(TYPES)), nth=random.choice((1, 1, 2)), how=how)
        how = "full" if how == "gate" else how
        return Fault("disk", at_s=random.uniform(0.5, 45.0), for_s=random.choice((0.5, 2.0, 8.0)), how=how)
    if x < 0.78:
        return Fault("bell", at_s=random.uniform(0.0, 20.0), for_s=random.choice((5.0, 40.0)),
                     how=random.choice(("dead", "late", "doubled")))  # fmt: skip
    if x < 0.82:
        return _when(random, "clock", for_s=random.choice((-86400.0, -30.0, 30.0, 3600.0, 864000.0)))
    if x < 0.85:
        return _when(random, "pause", for_s=random.choice((3.0, 20.0, 90.0)))
    if x < 0.88:
        return _when(random, "power")
    if x < 0.90:
        return _when(random, "second start")
    if x < 0.91:
        return _when(random, "rash", random.choice(("blue", "green")), how=random.choice(RASH))
    if x < 0.94:
        return _when(random, "redeliver", how=str(random.choice((1, 2, 5))))
    if x < 0.96:
        return _when(random, "conflict", how=str(random.choice((1, 4))))
    return _when(random, "platform down", for_s=random.choice((1.0, 10.0)))
