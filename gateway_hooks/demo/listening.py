"""Who listened to the Bot API and when nobody did, from the getUpdates calls of a wire log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway_hooks.demo.wire import Call


@dataclass(frozen=True, slots=True)
class Poller:
    """A stretch of time in which one client polled and nobody else began a poll; `end_ns` None while one is open."""

    client: str
    begin_ns: int
    end_ns: int | None
    polls: int


def longest_gap(calls: Sequence[Call], end_ns: int) -> tuple[int, int]:
    """Return the longest time in which no getUpdates was open, and when it began, both in nanoseconds.

    Looks from the first poll to `end_ns`, the time after the last poll included. Polls may overlap, one may lie within
    another. The short space between two polls of one client is a gap like any other; it just is not the longest. A poll
    that was refused, or ended by a conflict, listened while it was open.

    Returns:
        ``(0, 0)`` when nobody ever polled.
    """
    polls = _polls(calls)
    if not polls:
        return 0, 0
    longest, since = 0, polls[0].begin_ns
    covered = since
    for poll in polls:
        if poll.begin_ns >= end_ns:
            break
        if poll.begin_ns - covered > longest:
            longest, since = poll.begin_ns - covered, covered
        covered = max(covered, end_ns if poll.end_ns is None else poll.end_ns)
    if end_ns - covered > longest:
        longest, since = end_ns - covered, covered
    return longest, since


def pollers(calls: Sequence[Call]) -> tuple[Poller, ...]:
    """Return who polled, in turns: a new turn begins when another client begins a poll."""
    turns: list[Poller] = []
    for poll in _polls(calls):
        if not turns or turns[-1].client != poll.client:
            turns.append(Poller(poll.client, poll.begin_ns, poll.end_ns, 1))
            continue
        known = turns[-1]
        end_ns = None if known.end_ns is None or poll.end_ns is None else max(known.end_ns, poll.end_ns)
        turns[-1] = replace(known, end_ns=end_ns, polls=known.polls + 1)
    return tuple(turns)


def _polls(calls: Sequence[Call]) -> list[Call]:
    return sorted((call for call in calls if call.method.lower() == "getupdates"), key=lambda call: call.begin_ns)
