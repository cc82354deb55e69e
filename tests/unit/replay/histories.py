"""Records made by hand: the law, a clock that is told what time it is, a true chain, and no store beneath.

``say`` appends by the law. ``plant`` appends what the law or the decisions would never have let stand, with a chain that is good
nevertheless. Times are seconds since the history began.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from journal import events as e
from journal import schema
from journal.chain import GENESIS, link
from journal.events import Process, Role
from journal.head import Head, advance, effects, verdicts
from journal.law import check, role_of
from journal.pseudonyms import seal
from journal.record import Draft, Record, Stamp, Writer
from replay.decide import View
from replay.fold import State, fold
from tests.builders import ACCOUNT, BLUE, DIGEST, DIGESTS, GREEN, OPERATOR, SALT, SESSION

BEGAN_NS = 1_700_000_000_000_000_000
MONO_NS = 5_000_000_000_000
ADAPTER = f"telegram:{ACCOUNT}"
BOOT = BLUE.boot
LIMITS = e.Limits()
_INSERT = f"INSERT INTO events VALUES ({','.join('?' * 16)})"


class History:
    """A record that grows; ``records`` is what a reader would give."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.head = Head(hash=GENESIS)
        self.at_s = 0.0

    @property
    def state(self) -> State:
        return fold(self.records)

    @property
    def seq(self) -> int:
        return self.head.seq

    def now(self) -> Stamp:
        return Stamp(BEGAN_NS + round(self.at_s * 1e9), MONO_NS + round(self.at_s * 1e9))

    def wait(self, seconds: float) -> History:
        """Let time pass."""
        self.at_s += seconds
        return self

    def say(self, who: Process, *what: e.Event | Draft, role: Role = "operator") -> int:
        """Append events in one append, a millisecond after the last one; returns the first one's seq."""
        self.at_s += 0.001
        first = self.seq + 1
        for each in what:
            draft = each if isinstance(each, Draft) else Draft(each)
            check(self.head, draft, Writer(who, role))
            self._put(draft, who, role)
        return first

    def plant(self, who: Process, what: e.Event, *, at_role: Role = "operator", **envelope: Any) -> int:
        """Append whatever the law thinks of it; ``envelope`` overrides columns of the record."""
        self.at_s += 0.001
        self._put(Draft(what), who, at_role, **envelope)
        return self.seq

    def _put(self, draft: Draft, who: Process, speaks_as: Role, **envelope: Any) -> None:
        event, head, stamp, seq = draft.event, self.head, self.now(), self.head.seq + 1
        columns: dict[str, Any] = {
            "handoff": event.handoff if isinstance(event, e.HandoffRequested) else head.handoff,
            "role": role_of(head, Writer(who, speaks_as), event),
            "epoch": effects(head, event, seq, who).get("epoch", head.epoch),
            "key": draft.key,
            "cause": draft.cause,
            **envelope,
        }
        handoff, said_as, epoch, key, cause = (columns[name] for name in ("handoff", "role", "epoch", "key", "cause"))
        body = to_json(event).decode()
        digest = link(
            head.hash, seq, handoff, event.TYPE, event.V, said_as, who, epoch, stamp.at_ns, stamp.mono_ns, key, cause, body
        )  # fmt: skip
        record = Record(
            seq, handoff, event.TYPE, event.V, said_as, who, epoch, stamp.at_ns, stamp.mono_ns, key, cause, body,
            head.hash, digest,
        )  # fmt: skip
        self.records.append(record)
        self.head = advance(head, record, event)

    # --------------------------------------------------------------------------------------- traffic

    def accept(self, number: int, *, chat: int = 1, kind: e.UpdateKind = "text") -> int:
        """A message, accepted by the owner."""
        payload, digest = seal(b"words", SALT)
        event = e.MessageAccepted(
            platform="telegram", account=ACCOUNT, chat=f"c_{chat:016x}", kind=kind, update_id=str(number), digest=digest
        )
        return self.say(self._owner(), Draft(event, key=f"{ADAPTER}:{number}", payload=payload))

    def turn(self, *messages: int) -> int:
        """A turn of the owner over these messages."""
        return self.say(self._owner(), e.TurnStarted(messages=messages, session=SESSION))

    def intend(self, turn: int, part: int = 0, of: int | None = None) -> int:
        who = self.head.turns[turn].holder
        return self.say(who, Draft(e.ReplyIntended(turn=turn, part=part, of=of), cause=turn))

    def sent(self, turn: int, part: int = 0) -> int:
        who = self.head.turns[turn].holder
        return self.say(who, Draft(e.ReplySent(turn=turn, part=part), cause=turn))

    def finish(self, turn: int) -> int:
        """The turn answers its first message, the others are merged; all in one append."""
        held = self.head.turns[turn]
        settled = [
            Draft(e.MessageSettled(message=m, outcome="merged" if n else "answered", turn=turn), cause=turn)
            for n, m in enumerate(held.messages)
        ]
        return self.say(held.holder, Draft(e.TurnFinished(turn=turn, outcome="answered"), cause=turn), *settled)

    def answer(self, *messages: int) -> int:
        """A whole turn; returns its number."""
        turn = self.turn(*messages)
        self.intend(turn)
        self.sent(turn)
        self.finish(turn)
        return turn

    def lose(self, side: e.Side, by: Process, how: str = "died", role: Role = "operator") -> int:
        """Settle the process of a side, with everything that its messages are due."""
        process = self.head.process(side) or self.head.expected_green
        assert process is not None
        lost = e.ProcessLost(side=side, process=process, how=how)  # type: ignore[arg-type]
        due = [e.MessageSettled(message=m, outcome=outcome) for m, outcome in verdicts(self.head, process).items()]
        return self.say(by, lost, *due, role=role)

    def sample(self, who: Process, *, polls: int = 1) -> int:
        """A health sample; ``polls`` clean polls of the adapter."""
        return self.say(who, health(polls))

    def _owner(self) -> Process:
        assert self.head.owning is not None
        return self.head.owning

    # --------------------------------------------------------------------------------------- the way of a handoff

    def serving(self) -> History:
        """Blue serves."""
        self.say(BLUE, started("blue", serving=True), connected())
        self.sample(BLUE)
        return self

    def requested(self, bake_s: float = 60.0, handoff: str = "h1") -> History:
        self.serving().say(OPERATOR, e.HandoffRequested(handoff=handoff, runtime="next", bake_s=bake_s, limits=LIMITS))
        return self

    def init(self, bake_s: float = 60.0) -> History:
        """Green is spawned and sits, nothing is flushed."""
        self.requested(bake_s).say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
        self.say(GREEN, started("green", serving=False))
        self.sample(GREEN, polls=0)
        return self

    def flushed(self, who: Process = BLUE) -> History:
        self.say(who, e.SessionFlushed(part="routing", count=1, digest=DIGEST))
        return self

    def ack(self, bake_s: float = 60.0) -> History:
        self.init(bake_s).flushed().say(GREEN, e.HandoffAck(flushed_seq=self.head.flushed_seq, digests=DIGESTS))
        return self

    def active(self, bake_s: float = 60.0) -> History:
        """Blue has let go; nobody polls."""
        self.ack(bake_s).say(BLUE, paused(), e.HandoffActive(turns=len(self.head.turns)))
        return self

    def connected(self, bake_s: float = 60.0) -> History:
        """Active, and green polls; no sample yet."""
        self.active(bake_s).say(GREEN, connected())
        return self

    def confirm(self) -> int:
        """Two clean samples of green, and what it makes of them."""
        samples = (self.sample(GREEN), self.sample(GREEN))
        return self.say(GREEN, e.HandoffConfirm(samples=samples))

    def baking(self, bake_s: float = 60.0) -> History:
        self.connected(bake_s).confirm()
        return self

    def complete(self, bake_s: float = 60.0) -> History:
        self.baking(bake_s).wait(bake_s)
        self.say(BLUE, e.HandoffComplete(sample=self.sample(GREEN)))
        return self

    def rolling_back(self) -> History:
        """The operator's word in the bake; green still polls."""
        self.baking().say(OPERATOR, e.HandoffRollback(phase="baking", reason="operator"))
        return self

    def rolled_back(self) -> History:
        self.rolling_back().say(GREEN, paused())
        self.flushed(GREEN)
        self.say(BLUE, e.BlueServing(flushed_seq=self.head.flushed_seq, digests=DIGESTS))
        self.say(BLUE, connected())
        return self

    # --------------------------------------------------------------------------------------- what comes of it

    def view(self, me: e.Side, **seen: Any) -> View:
        """What a side sees now, with a living peer unless ``seen`` says otherwise."""
        return View(me, self.now(), BOOT, **{"peer": "running", "polling": self.head.owner == me, **seen})

    def export(self, path: Path) -> Path:
        """The record as one file, as ``export`` makes it: no log beside it, and no words."""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            schema.create(connection, BEGAN_NS)
            for r in self.records:
                p = r.process
                row = (r.seq, r.handoff, r.type, r.v, r.role, p.pid, p.started, p.boot, r.epoch, r.at_ns, r.mono_ns)
                connection.execute(_INSERT, (*row, r.key, r.cause, r.body, r.prev, r.hash))
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
        return path


def started(side: e.Side, *, serving: bool) -> e.ProcessStarted:
    """Green is the runtime that was asked for."""
    runtime = "next" if side == "green" else "same"
    return e.ProcessStarted(side=side, serving=serving, gateway="reference", version="1", runtime=runtime)


def connected() -> e.AdapterConnected:
    return e.AdapterConnected(platform="telegram", account=ACCOUNT)


def paused() -> e.AdapterPaused:
    return e.AdapterPaused(platform="telegram", account=ACCOUNT, next_offset=7)


def health(polls: int = 1) -> e.HealthSampled:
    return e.HealthSampled(
        loop_lag_ms=0.5, turns=0, waiting=0, answered=0, errors=0, rss_mb=80.0, polls={ADAPTER: polls}
    )  # fmt: skip
