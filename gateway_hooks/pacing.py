"""How often a side flushes for the other one to load, and when it holds still for it.

The other side must load what stands, and find what was flushed. Under traffic there is always something newer: who loads slowly would
never come to an end. So each flush that had something new to say gives more time until the next, and after a few of them whatever
comes in waits in the journal for a while, in order.
"""

from __future__ import annotations

from journal.events import Limits
from journal.head import Head

FIRST_S = 0.3
PATIENCE = 3
"""So many new flushes in growing distance, and the next are made while nothing new is begun."""
SHARE = 6
"""The longest distance is that part of the phase's deadline."""


class Pace:
    """For one side; times are monotonic nanoseconds. It begins anew with each phase, and when somebody takes the other side's seat."""

    def __init__(self) -> None:
        self._about: object = None
        self._changes = 0
        self._next_ns = self._still_until_ns = self._end_ns = 0

    def due(self, head: Head, now_ns: int) -> bool:
        """Whether it is time to flush."""
        about = head.phase_seq, head.green, head.blue
        if about != self._about:
            self._about, self._changes = about, 0
            self._next_ns = self._still_until_ns = self._end_ns = 0
        return now_ns >= self._next_ns

    def flushed(self, head: Head, limits: Limits, now_ns: int, *, new: bool) -> None:
        """There was a flush, with something ``new`` in it or not."""
        limit_s = limits.init_s if head.phase == "init" else limits.rolling_back_s
        soon_ns = now_ns + int(FIRST_S * 1e9)
        if new and now_ns >= self._end_ns:
            distance_ns = int(min(FIRST_S * 2.0**self._changes, limit_s / SHARE) * 1e9)
            self._end_ns = now_ns + distance_ns
            if self._changes >= PATIENCE:
                self._still_until_ns = now_ns + distance_ns // 2
            self._changes += 1
        # what had begun before may end while nothing new begins; once that is over, or before, there is time to load
        self._next_ns = soon_ns if soon_ns < self._still_until_ns else max(soon_ns, self._end_ns)

    def still(self, head: Head, now_ns: int) -> bool:
        """Whether nothing new is to be begun now."""
        return head.phase == "init" and head.green is not None and now_ns < self._still_until_ns
