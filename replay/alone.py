"""What a side does when the journal cannot be written: pure, like ``replay.decide``, which is about when it can.

Nobody can append, so the last word stands for both sides: who owns the adapters by it ends the other side and serves without the
journal; who does not, serves only when the owner has certainly ended. Both wait until the other side has had its time to prove by
an append that the trouble is not the journal's.
"""

from __future__ import annotations

from dataclasses import dataclass

from journal.events import Process, Side
from replay.decide import EndPeer, View
from replay.fold import State


@dataclass(frozen=True, slots=True)
class ServeAlone:
    """Serve as if the plugin were not there, until the journal can be written again."""


def alone(state: State, view: View, me: Process, quiet_s: float) -> EndPeer | ServeAlone | None:
    """What process ``me`` does next, or None to go on waiting.

    Args:
        state: Folded up to the last event that can be believed.
        view: What this side sees.
        me: The process that asks.
        quiet_s: How long nothing could be appended by us, and nothing was by anybody else.
    """
    head, limits = state.head, state.limits
    owns = head.owning == me
    if not head.open:
        return ServeAlone() if owns else None
    if quiet_s <= limits.silent_s + limits.rolling_back_s:  # a side that can write has rolled back by then
        return None
    other: Side = "green" if view.me == "blue" else "blue"
    if view.peer == "running" and not owns:
        return None
    if view.peer in ("running", "stopped"):
        return EndPeer(other, "ended_stopped" if view.peer == "stopped" else "ended_silent")
    return ServeAlone()
