"""What can be known afterwards of a process that was killed between the record of an intent and the request that it announces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway_hooks.demo.markers import answered, markers
from gateway_hooks.demo.wire import Call, Said
from journal.events import MessageAccepted, ReplyIntended, TurnJoined, TurnStarted
from journal.record import Record

KNOWABLE_NS = 250_000_000
"""A process that was hurt so soon after it had recorded an intent may not have begun the request, and nobody can tell afterwards.
Where a reply of the same run took longer than half as long from its intent to the platform, twice that."""


def unknowable(
    records: Sequence[Record], said: Sequence[Said], calls: Sequence[Call], hurt: Mapping[int, int]
) -> set[str]:
    """The marks of replies that a process had intended in the very moment in which it was killed or stopped.

    Args:
        records: The journal's.
        said: What people wrote.
        calls: What the gateways asked of the platform.
        hurt: Pid to when it was hurt, in monotonic nanoseconds.
    """
    intents = intents_of(records, said)
    bound = knowable_ns(slowest_ns(calls, lambda marker: intents.get(marker, ())))
    return {
        marker
        for marker, those in intents.items()
        if any(abs(hurt[r.process.pid] - r.mono_ns) <= bound for r in those if r.process.pid in hurt)
    }


def intents_of(records: Sequence[Record], said: Sequence[Said]) -> dict[str, list[Record]]:
    """The intents of the turns over each message, by its mark."""
    marks = {str(each.update_id): markers(each.text) for each in said}
    of: dict[int, tuple[str, ...]] = {}
    turns: dict[int, tuple[int, ...]] = {}
    found: dict[str, list[Record]] = {}
    for record in records:
        match record.event:
            case MessageAccepted(update_id=update):
                of[record.seq] = marks.get(update.split(".")[0], ())
            case TurnStarted(messages=messages):
                turns[record.seq] = messages
            case TurnJoined(turn=turn, message=message):
                turns[turn] = (*turns[turn], message)
            case ReplyIntended(turn=turn):
                for marker in (marker for message in turns[turn] for marker in of.get(message, ())):
                    found.setdefault(marker, []).append(record)
            case _:
                pass
    return found


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
