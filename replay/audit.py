"""What happened in a handoff, as findings: each is data with the smallest set of seqs that proves it. Prose is ``render``'s.

A handoff's audit reaches from its request to the next one's, for messages are answered long after it has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from journal import events as e
from journal.events import Process, Side
from journal.head import AT_REST, Head
from journal.record import Record
from replay.cause import Cause, Causes
from replay.fold import Moment, State, apply
from replay.stories import Stories, Story
from replay.timeline import Handoff, Owned, Timeline, read

Code = Literal[
    "died", "in_flight", "took_over", "gap", "rolled_back", "failed", "diverged", "watchers", "lost", "doubled",
    "ambiguous", "abandoned", "waiting",
]  # fmt: skip
Level = Literal["note", "bad"]
Source = Callable[[], Iterable[Record]]
"""Gives the record from its beginning, each time it is called; ``Reader.all`` is one."""

SIDES: tuple[Side, Side] = ("blue", "green")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the record says happened ``at`` a seq. ``facts`` is JSON-able data; ``seqs`` are the events that prove it, in order."""

    code: Code
    level: Level
    at: int
    seqs: tuple[int, ...]
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audit:
    """One handoff. ``outcome`` is its phase at rest, or ``open``; ``messages`` counts what was open at some time in it, by
    outcome; ``head`` is the journal's last seq and hash, to be kept elsewhere and given to ``verify``. ``causes`` are what broke,
    the first one first. At the record's end ``serving`` owns the adapters, nobody polls those in ``deaf``; ``last`` says whether
    this is the last handoff of the record."""

    handoff: Handoff
    outcome: str
    epochs: tuple[int, int]
    messages: Mapping[str, int]
    findings: tuple[Finding, ...]
    head: tuple[int, bytes]
    causes: tuple[Cause, ...] = ()
    serving: Owned | None = None
    deaf: tuple[str, ...] = ()
    last: bool = True

    @property
    def good(self) -> bool:
        """Whether the handoff came to its end, or may still, and no message suffered."""
        return self.outcome in ("complete", "open") and not any(f.level == "bad" for f in self.findings)


def audit(source: Source, name: str | None = None) -> Audit:
    """Audit a handoff, the last one without a ``name``. Reads the record twice. Raises ``NothingHere`` when there is none."""
    timeline = read(source())
    handoff = timeline.select(name)
    look = _Look(handoff)
    end = timeline.last.seq if timeline.last else 0
    for record in source():
        if record.seq > end:  # written since the first reading
            break
        look.step(record)
    outcome = handoff.phase if handoff.phase in AT_REST else "open"
    findings = sorted((*look.findings, *_gaps(timeline, handoff), *look.messages()), key=lambda f: f.at)
    owned = timeline.handoffs[-1].called(timeline.owned[-1]) if timeline.owned else None
    deaf = tuple(dict.fromkeys(gap.adapter for gap in timeline.gaps() if gap.connected is None))
    return Audit(
        handoff, outcome, look.epochs, look.counts(), tuple(findings), (end, timeline.hash), look.causes.found(), owned, deaf,
        handoff is timeline.handoffs[-1],
    )  # fmt: skip


class _Look:
    """Everything that one handoff's findings need, gathered in one walk."""

    def __init__(self, handoff: Handoff) -> None:
        self.findings: list[Finding] = []
        self.epochs = (0, 0)
        self.causes = Causes()
        self._handoff = handoff
        self._stories = Stories(handoff.first)
        self._state = State()
        self._heard: dict[Process, Moment] = {}
        self._watchers: dict[int, int | None] = {}
        self._types: dict[int, str] = {}
        self._free: dict[str, Moment] = {}
        self._connected: Moment | None = None
        self._now: Moment | None = None

    def step(self, record: Record) -> None:
        before, self._state = self._state, apply(self._state, record)
        self._stories.follow(before, record)
        if self._handoff.first <= record.seq <= self._handoff.last:
            self._within(before, record)
        now = Moment(record.seq, record.at_ns, record.mono_ns, record.process.boot)
        self._heard[record.process] = self._now = now
        if record.type == "ADAPTER_CONNECTED":
            self._connected = now
        ended = before.head.turns.keys() - self._state.head.turns.keys()
        for message in (m for turn in ended for m in before.head.turns[turn].messages if m in before.head.messages):
            self._free[before.head.messages[message].chat] = now

    def _within(self, before: State, record: Record) -> None:
        self.causes.follow(before, record)
        event, head = record.event, self._state.head
        self.epochs = (self.epochs[0] or before.head.epoch, head.epoch)
        self._types[record.seq] = record.type
        match event:
            case e.ProcessLost():
                self.findings.append(self._died(before, record, event))
            case e.HandoffRollback():
                evidence = {str(seq): self._types.get(seq, "") for seq in event.evidence}
                why = {"reason": event.reason, "detail": event.detail, "phase": event.phase, "evidence": evidence}
                self._note("rolled_back", (record.seq, *event.evidence), {**_by(record), **why})
            case e.HandoffFailed():
                self._note("failed", (record.seq,), {**_by(record), "reason": event.reason, "detail": event.detail})
            case e.DivergenceDetected():
                rule = {"rule": event.rule, "measured": event.measured, "limit": event.limit}
                self._note("diverged", (record.seq, *event.evidence), rule)
            case e.WatcherHandedOver():
                self._watchers[record.seq] = None
            case e.WatcherAdopted() if event.handed_over in self._watchers:
                self._watchers[event.handed_over] = record.seq
        if head.epoch != before.head.epoch:
            who = {**_by(record), "side": head.owner, "epoch": head.epoch, "type": record.type}
            self._note("took_over", (record.seq,), who)
            if record.type != "PROCESS_STARTED":
                held = in_flight(before.head)
                self._note("in_flight", (record.seq, *_turns(before.head)), {"type": record.type, **held})

    def _note(self, code: Code, seqs: tuple[int, ...], facts: Mapping[str, object]) -> None:
        self.findings.append(Finding(code, "note", seqs[0], tuple(sorted(set(seqs))), facts))

    def _died(self, before: State, record: Record, event: e.ProcessLost) -> Finding:
        turns = {n: t for n, t in before.head.turns.items() if t.holder == event.process}
        heard = self._heard.get(event.process)
        quiet = heard.elapsed_s(record.at_ns, record.mono_ns, record.process.boot) if heard else None
        facts = {
            "side": event.side,
            "pid": event.process.pid,
            "how": event.how,
            "phase": before.head.phase,
            "quiet_ms": None if quiet is None else round(quiet * 1e3, 3),
            "turns": sorted(turns),
            "held": sorted(m for turn in turns.values() for m in turn.messages if m in before.head.messages),
            "waiting": [seq for seq, m in before.head.messages.items() if m.turn is None],
        }
        return Finding("died", "note", record.seq, tuple(sorted({record.seq, *turns})), {**facts, **_by(record)})

    def messages(self) -> list[Finding]:
        """What did not end as it should, and what has not ended."""
        told = [story for story in self._stories.told if self._concerns(story)]
        found = [finding for story in told for finding in _ended_badly(story)]
        span = range(self._handoff.first, self._handoff.last + 1)
        found += [
            Finding("doubled", "bad", twice[1], twice, {"message": twice[1]})
            for twice in self._stories.twice
            if twice[1] in span
        ]
        for story in self._stories.untold():
            if self._concerns(story) and self._state.head.messages[story.accepted].turn is None:
                found.append(self._untold(story))
        return found + self._left_watchers()

    def _left_watchers(self) -> list[Finding]:
        if not self._watchers:
            return []
        left = [handed for handed, adopted in self._watchers.items() if adopted is None]
        seqs = tuple(left or sorted({*self._watchers, *(a for a in self._watchers.values() if a)}))
        level: Level = "bad" if left and self._handoff.phase in AT_REST else "note"
        facts = {"handed_over": len(self._watchers), "adopted": len(self._watchers) - len(left)}
        return [Finding("watchers", level, seqs[-1], seqs, facts)]

    def _untold(self, story: Story) -> Finding:
        """Lost, when nobody works on it or will: with a living owner it waits behind a turn of its chat, or for the owner's loop,
        which takes a free message up at once. What it did not take up within the time in which a side may be silent is lost."""
        head = self._state.head
        message = head.messages[story.accepted]
        busy = {m.chat for m in head.messages.values() if m.turn is not None}
        why = ""
        if message.due is not None:
            why = f"due to be settled as {message.due}"
        elif head.owning is None:
            why = "no process owns the adapters"
        elif message.chat not in busy and (free_s := self._free_s(story, message.chat)) > self._state.limits.silent_s:
            why = f"not taken up for {free_s:.0f} s"
        if why:
            return Finding("lost", "bad", story.accepted, story.path(), {"message": story.accepted, "why": why})
        return Finding("waiting", "note", story.accepted, story.path(), {"message": story.accepted})

    def _free_s(self, story: Story, chat: str) -> float:
        """How long nothing has stood in a waiting message's way, at the end of the record."""
        since = max((m for m in (story.at, self._free.get(chat), self._connected) if m), key=lambda m: m.seq)
        now = self._now or since
        return since.elapsed_s(now.at_ns, now.mono_ns, now.boot)

    def _concerns(self, story: Story) -> bool:
        """Whether the message was open at some time between this request and the next; what was settled before is not told."""
        return story.accepted <= self._handoff.last

    def counts(self) -> dict[str, int]:
        told = [story for story in self._stories.told if self._concerns(story)]
        untold = [story for story in self._stories.untold() if self._concerns(story)]
        counted = Counter(str(story.outcome) for story in told)
        return {"accepted": len(told) + len(untold), **dict(sorted(counted.items())), "open": len(untold)}


def _gaps(timeline: Timeline, handoff: Handoff) -> list[Finding]:
    found = []
    for gap in timeline.gaps():
        if handoff.first <= gap.since <= handoff.last:
            seqs = (gap.since,) if gap.connected is None else (gap.since, gap.connected)
            facts = {"adapter": gap.adapter, "ended": gap.ended, "ms": gap.ms, "at_most_ms": gap.at_most_ms}
            phase = next(stay.phase for stay in reversed(handoff.stays) if stay.since.seq <= gap.since)
            level: Level = "note" if gap.connected or (gap.ended == "paused" and phase in AT_REST) else "bad"
            found.append(
                Finding("gap", level, gap.since, seqs, {**facts, "phase": phase, "over": gap.connected is not None})
            )
    return found


def in_flight(head: Head) -> dict[str, object]:
    """Turns and messages under way at a moment, by the side that holds them, and what waits for a turn."""
    held: dict[str, object] = {
        side: {
            "turns": [n for n, t in head.turns.items() if t.holder == head.process(side)],
            "messages": [s for s, m in head.messages.items() if m.turn and _holder(head, m.turn) == head.process(side)],
        }
        for side in SIDES
        if head.process(side)
    }
    return {**held, "waiting": [seq for seq, message in head.messages.items() if message.turn is None]}


def _holder(head: Head, turn: int) -> Process | None:
    return head.turns[turn].holder if turn in head.turns else None


def _turns(head: Head) -> tuple[int, ...]:
    return tuple(head.turns)


def _by(record: Record) -> dict[str, object]:
    return {"by": record.role, "by_pid": record.process.pid}


def _ended_badly(story: Story) -> list[Finding]:
    found = []
    if story.outcome == "ambiguous" or story.outcome == "abandoned":
        facts = {"message": story.accepted, "attempts": len(story.turns)}
        found.append(Finding(story.outcome, "bad", story.settled or story.accepted, story.path(), facts))
    if len(story.sent) > 1:
        twice = tuple(sorted(story.sent.values()))[:2]
        found.append(Finding("doubled", "bad", twice[1], twice, {"message": story.accepted}))
    return found
