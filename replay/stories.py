"""What became of each message: where it was accepted, whose turns had it, what was sent for it, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from journal import events as e
from journal.events import Process, SettledAs
from journal.record import Record
from replay.fold import Moment, State

Update = tuple[str, str, str]
"""Platform, account, and the platform's number of the update."""


@dataclass(slots=True)
class Story:
    """One accepted message. ``turns`` are those that had it, in order; ``sent`` maps a turn to the first REPLY_SENT of it."""

    accepted: int
    at: Moment
    update: Update
    turns: list[int] = field(default_factory=list)
    intended: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    settled: int | None = None
    outcome: SettledAs | None = None
    ended_by: int | None = None

    def path(self) -> tuple[int, ...]:
        """The seqs that prove its end: accepted, its last turn and its last intention in it, what ended that, settled."""
        turn = self.turns[-1] if self.turns else None
        steps = (self.accepted, turn, self.intended.get(turn or 0), self.ended_by, self.settled)
        return tuple(sorted({seq for seq in steps if seq is not None}))


class Stories:
    """Every message that was open at some time since ``first``; ``follow`` each record with the state before it."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._open: dict[int, Story] = {}
        self._turns: dict[int, tuple[Process, list[int]]] = {}
        self._updates: dict[Update, int] = {}
        self.told: list[Story] = []
        self.twice: list[tuple[int, int]] = []

    def follow(self, before: State, record: Record) -> None:
        """Tell on. ``twice`` collects the seqs of an update that was accepted a second time."""
        match record.event:
            case e.MessageAccepted() as event:
                self._accepted(record, (event.platform, event.account, event.update_id))
            case e.TurnStarted() as event:
                self._turns[record.seq] = (record.process, list(event.messages))
                for message in event.messages:
                    self._take(message, record.seq)
            case e.TurnJoined() as event if event.turn in self._turns:
                self._turns[event.turn][1].append(event.message)
                self._take(event.message, event.turn)
            case e.ReplyIntended() as event:
                for story in self._of(event.turn):
                    story.intended[event.turn] = record.seq
            case e.ReplySent() as event:
                for story in self._of(event.turn):
                    story.sent.setdefault(event.turn, record.seq)
            case e.TurnFinished() as event:
                self._end(event.turn, record.seq)
            case e.ProcessLost() as event:
                for turn in [n for n, t in before.head.turns.items() if t.holder == event.process]:
                    self._end(turn, record.seq)
            case e.MessageSettled() as event if event.message in self._open:
                story = self._open.pop(event.message)
                story.settled, story.outcome = record.seq, event.outcome
                if record.seq >= self._first:
                    self.told.append(story)

    def _accepted(self, record: Record, update: Update) -> None:
        seq = record.seq
        self._open[seq] = Story(seq, Moment(seq, record.at_ns, record.mono_ns, record.process.boot), update)
        if update in self._updates:
            self.twice.append((self._updates[update], seq))
        self._updates[update] = seq

    def _take(self, message: int, turn: int) -> None:
        if message in self._open:
            self._open[message].turns.append(turn)

    def _of(self, turn: int) -> list[Story]:
        return [self._open[m] for m in self._turns.get(turn, (None, []))[1] if m in self._open]

    def _end(self, turn: int, seq: int) -> None:
        for story in self._of(turn):
            story.ended_by = seq
        self._turns.pop(turn, None)

    def untold(self) -> list[Story]:
        """Messages that are not settled at the end of the record."""
        return list(self._open.values())
