"""Recorded against decided: does the law admit every event at its place, and did the conditions of its decision hold there?

The walk believes nothing: the state before each event is folded from those before it, the law is asked again, and what the event
rests on is computed again. What no record can say (what the operating system said of a process, what a gateway failed at) is
taken on trust; that such a word was not contradicted by the record is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from journal import events as e
from journal.errors import Refused
from journal.events import Event, Process
from journal.head import effects, verdicts
from journal.law import check as ask_the_law
from journal.law import role_of
from journal.pseudonyms import seal
from journal.record import Draft, Record, Writer
from replay.fold import State, apply
from replay.grounds import Difference, Grounds


@dataclass(frozen=True, slots=True)
class Checked:
    """How many events were looked at, and where they differ from what had to stand there, in the order of the record."""

    events: int
    differences: tuple[Difference, ...]

    @property
    def first(self) -> Difference | None:
        return self.differences[0] if self.differences else None

    def within(self, first: int, last: int) -> Checked:
        """What concerns the seqs from ``first`` to ``last``."""
        found = tuple(d for d in self.differences if first <= d.seq <= last)
        return Checked(max(0, min(last, self.events) - first + 1), found)


def check(records: Iterable[Record], start: State | None = None) -> Checked:
    """Walk a record, from its beginning or from the state ``start`` before its first event.

    Raises:
        NewerJournal: A later version wrote an event that this one cannot judge.
        Tampered: A body does not fit its model; 'verify' says more.
    """
    walk = _Walk(start or State())
    for record in records:
        walk.step(record)
    return Checked(walk.events, walk.found())


class _Walk:
    def __init__(self, state: State) -> None:
        self.events = 0
        self._state = state
        self._grounds = Grounds()
        self._differences: list[Difference] = []
        self._gone: dict[Process, int] = {}
        self._owed: dict[int, e.SettledAs | None] = {}
        self._owed_by = 0

    def step(self, record: Record) -> None:
        event = record.event
        self._differences += _envelope(self._state, record, event)
        self._differences += self._from_the_grave(record, event)
        self._differences += _admitted(self._state, record, event)
        self._pay(record, event)
        self._differences += self._grounds.judge(self._state, record, event)
        self._lend(record, event)
        before, self._state = self._state, apply(self._state, record)
        self._grounds.follow(before, self._state, record)
        self.events += 1

    def found(self) -> tuple[Difference, ...]:
        """All differences; what the last append still owed is missing now."""
        self._claim("the end of the record")
        return tuple(sorted(self._differences, key=lambda difference: difference.seq))

    def _from_the_grave(self, record: Record, event: Event) -> list[Difference]:
        gone = self._gone.get(record.process)
        if isinstance(event, e.ProcessLost):
            self._gone[event.process] = record.seq
        elif isinstance(event, e.ProcessExited):
            self._gone[record.process] = record.seq
        elif isinstance(event, e.HandoffFailed) and event.reason == "blue_lost" and self._state.head.blue:
            self._gone[self._state.head.blue] = record.seq
        if (
            gone is None or record.role == "keeper"
        ):  # who has left may go on under the same pid, as the parent of the next
            return []
        expected = f"nothing more from process {record.process.pid}, which is gone since seq {gone}"
        return [Difference(record.seq, "process", expected, record.type)]

    def _lend(self, record: Record, event: Event) -> None:
        """Which messages must be settled in the very same append, and as what (None: that was the turn's to say)."""
        head, self._owed_by = self._state.head, record.seq if not self._owed else self._owed_by
        if isinstance(event, e.ProcessLost):
            self._owed.update(verdicts(head, event.process))
        elif isinstance(event, e.TurnFinished) and event.turn in head.turns:
            self._owed.update({m: None for m in head.turns[event.turn].messages if m in head.messages})

    def _pay(self, record: Record, event: Event) -> None:
        if not self._owed:
            return
        if isinstance(event, e.MessageSettled) and event.message in self._owed:
            due = self._owed.pop(event.message)
            if due is not None and due != event.outcome:
                self._differences.append(Difference(record.seq, "outcome", due, event.outcome))
        else:
            self._claim(record.type)

    def _claim(self, instead: str) -> None:
        for message, due in self._owed.items():
            expected = f"message {message} settled{f' as {due}' if due else ''} in the same append"
            self._differences.append(Difference(self._owed_by, "settled", expected, instead))
        self._owed.clear()


def _envelope(state: State, record: Record, event: Event) -> list[Difference]:
    head = state.head
    handoff = event.handoff if isinstance(event, e.HandoffRequested) else head.handoff
    expected = {
        "seq": head.seq + 1 if head.seq else record.seq,  # an archived prefix may be missing
        "handoff": handoff,
        "role": role_of(head, Writer(record.process, record.role), event),
        "epoch": effects(head, event, record.seq, record.process).get("epoch", head.epoch),
    }
    found = [
        Difference(record.seq, field, value, getattr(record, field))
        for field, value in expected.items()
        if getattr(record, field) != value
    ]
    if record.cause is not None and not 0 < record.cause < record.seq:
        found.append(Difference(record.seq, "cause", f"a seq before {record.seq}", record.cause))
    return found


def _admitted(state: State, record: Record, event: Event) -> list[Difference]:
    """The law's word. It is asked about other words than were written: those are erased, and ``verify`` compares what stands."""
    words = None
    if isinstance(event, e.MessageAccepted | e.WatcherHandedOver):
        words, digest = seal(b"", b"")
        event = event.model_copy(update={"digest": digest})
    draft = Draft(event, key=record.key, cause=record.cause, payload=words)
    try:
        ask_the_law(state.head, draft, Writer(record.process, record.role))
    except Refused as refusal:
        return [Difference(record.seq, "law", refusal.message, record.type)]
    return []
