"""What can be known afterwards of a process that was killed between the record of an intent and the request that it announces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway_hooks.demo.markers import answered
from gateway_hooks.demo.wire import Call
from journal.record import Record

KNOWABLE_NS = 250_000_000
"""A process that was hurt so soon after it had recorded an intent may not have begun the request, and nobody can tell afterwards.
Where a reply of the same run took longer than half as long from its intent to the platform, twice that."""


def slowest_ns(calls: Iterable[Call], intents: Callable[[str], Sequence[Record]]) -> int:
    """How long a reply took from its intent to the platform, at most, on this machine as it was.

    ``intents`` gives the intents of the turns over the message with a mark.
    """
    slowest = 0
    for call in calls:
        for marker in answered(call.text or "") if call.message_id and call.pid else ():
            mine = [r.mono_ns for r in intents(marker) if r.process.pid == call.pid and r.mono_ns <= call.begin_ns]
            slowest = max(slowest, call.begin_ns - max(mine, default=call.begin_ns))
    return slowest


def knowable_ns(slowest: int) -> int:
    """How long after its intent a request may not have begun, where the slowest took so long."""
    return max(KNOWABLE_NS, 2 * slowest)
