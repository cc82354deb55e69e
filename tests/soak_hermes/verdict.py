"""What came of a soak, judged from the platform's log, from what the echoing command noted, and from whom we have killed.

From the journal it takes what was reported (ambiguous, abandoned), and it believes no report without a cause: an ambiguous
reply needs a request that was begun, or a kill within a moment of its intent; an abandoned message two processes that we have
killed while they had it in hand, an abandoned command one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field

from gateway_hooks.demo.judge import Verdict, judge
from gateway_hooks.demo.knowable import knowable_ns, slowest_ns
from gateway_hooks.demo.markers import markers
from gateway_hooks.demo.wire import Call
from journal import events as e
from journal.bell import read_head
from journal.record import Record
from journal.store import Reader
from journal.verify import verify
from replay.check import check
from tests.soak_hermes.echo_plugin import NOTES
from tests.soak_hermes.life import Soak
from tests.soak_hermes.traffic import Line

IN_ORDER = ("text", "pair", "slow", "behind", "steps", "edit")
"""Who says these one after the other is answered so. An album waits for its other photos, and a command may pass who waits."""


@dataclass(slots=True)
class Outcome:
    """The figures, and in ``wrong`` what broke a promise: which message, in which chat, what the platform saw.

    ``answered`` marks stand in a chat once each, ``together`` of them in one message with others. Of the ``ambiguous``, whose request
    was begun, some stand ``unanswered``; of those ``killed_before_the_request`` nobody can tell. ``abandoned``: two processes that we
    have killed had it in hand. ``slowest_request_ms``: from an intent in the journal to its request at the platform.
    """

    seed: int
    messages: int = 0
    seconds: float = 0.0
    written: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    killed_in: dict[str, int] = field(default_factory=dict)
    killed_as: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    handoffs: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    together: int = 0
    lost: int = 0
    answered_twice: int = 0
    ambiguous: int = 0
    ambiguous_unanswered: int = 0
    killed_before_the_request: int = 0
    slowest_request_ms: float = 0.0
    abandoned: int = 0
    unasked: int = 0
    disorder: int = 0
    commands_not_carried_out: int = 0
    presses_again: int = 0
    fed_again: int = 0
    notices: dict[str, int] = field(default_factory=dict)
    events: int = 0
    longest_gap_ms: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), indent=2)

    def told(self) -> str:
        """All of it, for a person."""
        lines = [
            f"{name.replace('_', ' ')}: {_words(value)}" for name, value in asdict(self).items() if name != "wrong"
        ]
        return "\n".join([*lines, *(f"WRONG {what}" for what in self.wrong)])


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} {name}" for name, n in value.items()) or "none"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


class Book:
    """What the journal says of each update, with the kills beside it."""

    def __init__(self, soak: Soak, records: Sequence[Record]) -> None:
        self._kills = {kill.pid: kill.at_ns for kill in soak.kills}
        self.slowest_ns = 0
        self._accepted: dict[str, int] = {}
        self._settled: dict[int, str] = {}
        self._turns: dict[int, list[Record]] = {}
        self._intents: dict[int, list[Record]] = {}
        members: dict[int, tuple[int, ...]] = {}
        for record in records:
            match record.event:
                case e.MessageAccepted(update_id=update):
                    self._accepted.setdefault(update.split(".")[0], record.seq)
                case e.MessageSettled(message=message, outcome=outcome):
                    self._settled[message] = outcome
                case e.TurnStarted(messages=messages):
                    members[record.seq] = messages
                    for message in messages:
                        self._turns.setdefault(message, []).append(record)
                case e.TurnJoined(turn=turn, message=message):
                    members[turn] = (*members[turn], message)
                    self._turns.setdefault(message, []).append(record)
                case e.ReplyIntended(turn=turn):
                    for message in members[turn]:
                        self._intents.setdefault(message, []).append(record)
                case _:
                    pass

    def fate(self, update: int) -> str:
        """How the message was settled; ``open``, or ``never accepted``."""
        seq = self._accepted.get(str(update))
        return "never accepted" if seq is None else self._settled.get(seq, "open")

    def deaths(self, update: int) -> int:
        """How many of those whom we have killed had started it."""
        started = self._turns.get(self._accepted.get(str(update), 0), [])
        return len({record.process for record in started if record.process.pid in self._kills})

    def measure(self, calls: Iterable[Call], of: Mapping[str, int]) -> None:
        """Find out how long a reply takes from its intent to the platform, at most, on this machine as it was."""

        def intents(marker: str) -> Sequence[Record]:
            return self._intents.get(self._accepted.get(str(of.get(marker, "")), 0), [])

        self.slowest_ns = slowest_ns(calls, intents)

    def just_intended(self, update: int) -> bool:
        """Whether its reply was intended by a process in the very moment in which it was killed."""
        intents = self._intents.get(self._accepted.get(str(update), 0), [])
        bound = knowable_ns(self.slowest_ns)
        return any(
            abs(self._kills.get(r.process.pid, 0) - r.mono_ns) <= bound for r in intents
        )  # noted before it is done

    def history(self, update: int) -> str:
        """The turns over it, for a person: who, and what it came to."""
        started = self._turns.get(self._accepted.get(str(update), 0), [])
        killed = [f"{r.process.pid}{' (killed)' if r.process.pid in self._kills else ''}" for r in started]
        return f"{self.fate(update)}, turns by {', '.join(killed) or 'nobody'}"


def judged(soak: Soak, unfinished: str, seconds: float) -> Outcome:
    """Judge a run that has come to its end."""
    records = soak.records()
    log, book = soak.bot.log, Book(soak, records)
    calls, said = log.calls, log.said
    of = {marker: s.update_id for s in said for marker in markers(s.text)}
    presses = {update: line for update, line in soak.lines.items() if line.kind == "press"}
    spoken = [s for s in said if s.update_id not in presses]
    reported = {marker for marker, update in of.items() if book.fate(update) == "ambiguous" and update not in presses}
    book.measure(calls, of)
    verdict = judge(spoken, calls, reported=reported, end_ns=time.monotonic_ns())
    out = Outcome(soak.options.seed, messages=len(said), seconds=seconds, events=len(records))
    out.written = dict(Counter(line.kind for line in soak.lines.values()))
    out.kills, out.starts = len(soak.kills), soak.log().count("handoff_journal.keeper: starting ")
    out.killed_in = dict(Counter(kill.phase for kill in soak.kills))
    out.killed_as = dict(Counter(kill.seat for kill in soak.kills))
    out.handoffs, out.fed_again = dict(soak.handoffs), soak.log().count("it is fed again")
    out.slowest_request_ms = round(book.slowest_ns / 1e6, 1)
    out.longest_gap_ms = round(verdict.gap_ms, 1)
    out.notices = dict(Counter(sent.text.splitlines()[0][:70] for sent in verdict.notices if sent.text))
    out.wrong += [unfinished] * bool(unfinished)
    _count(out, verdict, book, of, soak)
    out.wrong += _presses(out, presses, soak, book)
    out.wrong += _commands(out, soak, book)
    out.wrong += [f"an update was dropped unread: {number}" for number in verdict.dropped]
    with closing(Reader(soak.journal / "journal.db")) as reader:
        chain = verify(reader, head=read_head(soak.journal / "bell"))
    out.wrong += [] if chain.good else [chain.finding]
    out.wrong += [f"check: {difference}" for difference in check(records).differences]
    return out


def _count(out: Outcome, verdict: Verdict, book: Book, of: dict[str, int], soak: Soak) -> None:
    chats = {s.update_id: s.chat_id for s in soak.bot.log.said}
    kinds = {update: line.kind for update, line in soak.lines.items()}

    def what(marker: str) -> str:
        update = of[marker]
        saw = [f"{a.message_id} by {a.client}" for a in verdict.answers if a.marker == marker]
        return (
            f"{marker} ({kinds.get(update, 'text')}, update {update}, chat {chats[update]}): the platform saw "
            f"{'; '.join(saw) or 'no answer'}; the journal: {book.history(update)}"
        )

    out.answered, out.ambiguous = len(verdict.answered), len(verdict.ambiguous)
    out.ambiguous_unanswered = len(set(verdict.ambiguous) - set(verdict.answered))
    messages = Counter((answer.chat_id, answer.message_id) for answer in verdict.answers)
    out.together = sum(markers for markers in messages.values() if markers > 1)
    for marker in verdict.lost:
        update = of[marker]
        unknown = marker in verdict.unfounded and book.just_intended(update)
        given_up = book.fate(update) == "abandoned"
        if given_up and book.deaths(update) >= (1 if kinds.get(update) == "command" else 2):
            out.abandoned += 1
        elif unknown:
            out.killed_before_the_request += 1
        else:
            out.lost += 1
            out.wrong.append(f"lost {what(marker)}")
    unfounded = [m for m in verdict.unfounded if not book.just_intended(of[m]) and m not in verdict.lost]
    out.wrong += [f"called ambiguous without cause {what(marker)}" for marker in unfounded]
    out.answered_twice, out.unasked = len(verdict.answered_twice), len(verdict.unasked)
    words = {marker for marker, update in of.items() if kinds.get(update, "text") in IN_ORDER}
    disorder = [d for d in verdict.disorder if {d.late, d.early} <= words]
    out.disorder = len(disorder)
    out.wrong += [f"answered twice {what(marker)}" for marker in verdict.answered_twice]
    out.wrong += [
        f"unasked in chat {s.chat_id}, message {s.message_id} by {s.client}: {s.text!r}" for s in verdict.unasked
    ]
    out.wrong += [f"out of order: {what(d.late)} before {what(d.early)}" for d in disorder]


def _presses(out: Outcome, presses: dict[int, Line], soak: Soak, book: Book) -> Iterable[str]:
    """A press is answered; again only when a process died over it."""
    for update, line in presses.items():
        times, deaths, fate = soak.pressing.pressed[str(update)], book.deaths(update), book.fate(update)
        out.presses_again += times > 1
        if times > 1 + deaths or (not times and not (fate == "abandoned" and deaths >= 2)):
            yield f"press {update} (chat {line.chat}) answered {times} times; the journal: {book.history(update)}"


def _commands(out: Outcome, soak: Soak, book: Book) -> Iterable[str]:
    """A command is carried out once. It may be not at all: Hermes hands one that waited behind a turn to the model, as a text."""
    path = soak.home / NOTES
    noted = path.read_text().splitlines() if path.exists() else []
    times = Counter(marker for words in noted for marker in markers(words))
    for update, line in soak.lines.items():
        if line.kind == "command":
            out.commands_not_carried_out += not times[line.marker]
            if times[line.marker] > 1:
                history = book.history(update)
                yield f"command {line.marker} (chat {line.chat}) carried out {times[line.marker]} times; {history}"
