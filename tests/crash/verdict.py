"""What came of a case, judged from the platform's log; of the journal only what it reported, and that it holds together."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from gateway_hooks.demo.judge import judge
from gateway_hooks.demo.knowable import knowable_ns, slowest_ns
from gateway_hooks.demo.markers import markers
from journal import events as e
from journal.bell import read_head
from journal.record import Record
from journal.store import Reader
from journal.verify import verify
from replay.check import check
from tests.crash.stage import Stage


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case: what was dealt, what people got, and what broke a promise."""

    name: str
    wounds: int
    dealt: int
    wrong: tuple[str, ...]
    seconds: float
    starts: int
    counts: dict[str, int] = field(default_factory=dict)
    ended: str = ""


def judged(stage: Stage, unfinished: str, seconds: float) -> Outcome:
    """Judge a case that has come to its end."""
    state, records, notes = stage.read(), stage.records(), stage.dealt()
    said, calls = stage.bot.log.said, stage.bot.log.calls
    of = _marks(stage, records)
    ambiguous = {of[s] for s, outcome in _settled(records).items() if outcome == "ambiguous" and s in of}
    abandoned = {of[s] for s in _abandoned(records) if s in of}
    verdict = judge(said, calls, reported=ambiguous, end_ns=time.monotonic_ns())
    intents = _intents(records, of)
    bound_ns = knowable_ns(slowest_ns(calls, lambda marker: intents.get(marker, [])))
    unknown = {marker for marker, said_ in intents.items() if _just_intended(said_, notes, bound_ns)}
    unknown &= set(verdict.unfounded)
    wrong = [unfinished] if unfinished else []
    wrong += [f"lost {m}" for m in verdict.lost if m not in unknown | abandoned]
    wrong += [f"answered twice {m}" for m in verdict.answered_twice]
    wrong += [f"ambiguous without cause {m}" for m in verdict.unfounded if m not in unknown]
    wrong += [f"unasked {s.text}" for s in verdict.unasked]
    wrong += [f"out of order {d.late} before {d.early}" for d in verdict.disorder]
    with closing(Reader(stage.journal / "journal.db")) as reader:
        chain = verify(reader, head=read_head(stage.journal / "bell"))
    wrong += [] if chain.good else [chain.finding]
    wrong += [f"check: {d}" for d in check(records).differences]
    counts = {
        "messages": len(verdict.sent),
        "answered": len(verdict.answered),
        "ambiguous": len(verdict.ambiguous),
        "intended only": len(unknown),
        "abandoned": len(abandoned),
        "restarted": stage.starts - 1,
        "conflicts": sum(call.status == 409 for call in calls),
    }
    return Outcome(
        stage.case.name,
        len(stage.case.wounds),
        len(notes),
        tuple(wrong),
        seconds,
        stage.starts,
        counts,
        state.head.phase,
    )


def _marks(stage: Stage, records: Sequence[Record]) -> dict[int, str]:
    """The mark of each accepted message."""
    by_update = {str(s.update_id): markers(s.text)[0] for s in stage.bot.log.said}
    accepted = [(r.seq, r.event.update_id.split(".")[0]) for r in records if isinstance(r.event, e.MessageAccepted)]
    return {seq: by_update[update] for seq, update in accepted}


def _settled(records: Sequence[Record]) -> dict[int, str]:
    return {r.event.message: r.event.outcome for r in records if isinstance(r.event, e.MessageSettled)}


def _abandoned(records: Sequence[Record]) -> set[int]:
    """Messages given up with cause: two processes died over them."""
    died = {r.event.process for r in records if isinstance(r.event, e.ProcessLost)}
    deaths: dict[int, int] = {}
    for record in records:
        if isinstance(record.event, e.TurnStarted) and record.process in died:
            for message in record.event.messages:
                deaths[message] = deaths.get(message, 0) + 1
    return {s for s, outcome in _settled(records).items() if outcome == "abandoned" and deaths.get(s, 0) >= 2}


def _intents(records: Sequence[Record], of: Mapping[int, str]) -> dict[str, list[Record]]:
    """The intents of the turns over each message, by its mark."""
    turns = {r.seq: r.event.messages for r in records if isinstance(r.event, e.TurnStarted)}
    found: dict[str, list[Record]] = {}
    for record in records:
        for message in turns[record.event.turn] if isinstance(record.event, e.ReplyIntended) else ():
            if message in of:
                found.setdefault(of[message], []).append(record)
    return found


def _just_intended(intents: Sequence[Record], notes: Sequence[dict[str, Any]], bound_ns: int) -> bool:
    """Whether one of these was said by a process in the very moment in which it was hurt.

    The note is written first: who is hurt by another may say it in between.
    """
    return any(
        record.process.pid in note["victims"]
        and (0 if note["how"] == "thaw" else -bound_ns) <= note["at_ns"] - record.mono_ns <= bound_ns
        for record in intents
        for note in notes
    )


def told(outcome: Outcome) -> str:
    """One case in a line."""
    state = "FAILED" if outcome.wrong else "ok" if outcome.dealt or not outcome.wounds else "not reached"
    counts = " ".join(f"{n} {what}" for what, n in outcome.counts.items() if n)
    lines = [f"{state:<11} {outcome.name}  ({outcome.seconds:.1f} s, {outcome.ended}, {counts})"]
    return "\n    ".join([*lines, *outcome.wrong])


def as_json(outcomes: Sequence[Outcome]) -> str:
    """All of them, for a machine."""
    return json.dumps([{name: getattr(o, name) for name in Outcome.__slots__} for o in outcomes], indent=1)
