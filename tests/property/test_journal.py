"""Whatever is offered to the journal, in whatever order: what it admits keeps its promises, what it refuses leaves no trace."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from journal import events as e
from journal.bell import read_head
from journal.chain import GENESIS
from journal.errors import Refused
from journal.events import Phase, Process, Role, Side
from journal.head import Head, advance
from journal.record import Draft, Record, Stamp, Writer
from journal.snapshot import pack, unpack
from journal.store import Journal, Reader, create
from journal.verify import verify
from tests.builders import DIGEST, DIGESTS, EXAMPLES, SESSION, accepted, handed_over, process, requested

SEEDS = (1, 2, 3, 4, 5, 6)
STEPS = 1500
CAST = [process(n) for n in range(1, 9)]


_ROLES: tuple[Role, ...] = ("blue", "green", "operator", "keeper")
_REST: list[tuple[str, Side]] = [
    ("PROCESS_STARTED", "blue"),
    ("HANDOFF_REQUESTED", "blue"),
    ("PROCESS_EXITED", "green"),
    ("ADAPTER_PAUSED", "blue"),
]
_ON: dict[Phase, list[tuple[str, Side]]] = {
    "idle": _REST,
    "failed": _REST,
    "rolled_back": _REST,
    "complete": [*_REST, ("PROCESS_EXITED", "blue")],
    "requested": [("GREEN_SPAWNED", "blue"), ("HANDOFF_INIT", "blue"), ("PROCESS_STARTED", "blue")],
    "init": [("PROCESS_STARTED", "green"), ("SESSION_FLUSHED", "blue"), ("HANDOFF_ACK", "green")],
    "ack": [
        ("ADAPTER_PAUSED", "blue"),
        ("HANDOFF_ACTIVE", "blue"),
        ("HANDOFF_SEIZED", "green"),
        ("HANDOFF_SEIZED", "green"),
    ],
    "active": [("ADAPTER_CONNECTED", "green"), ("HANDOFF_CONFIRM", "green")],
    "baking": [
        ("HANDOFF_COMPLETE", "blue"),
        ("HANDOFF_COMPLETE_REQUESTED", "green"),
        ("ADAPTER_CONNECTED", "green"),
        ("BAKE_CONFIRMED", "green"),
    ],
    "rolling_back": [("ADAPTER_PAUSED", "green"), ("SESSION_FLUSHED", "green"), ("BLUE_SERVING", "blue")],
}
"""What leads on from a phase, and who says it."""


class Offers:
    """Random drafts: many of them what somebody sensible might say now, the others anything by anybody."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._handoffs = 0
        self._updates = 0

    def next(self, head: Head) -> tuple[Draft, Writer]:
        rng, luck = self._rng, self._rng.random()
        seats = [p for p in (head.blue, head.green, head.expected_green) if p is not None]
        who = rng.choice(seats) if seats and rng.random() < 0.85 else rng.choice(CAST)
        type_ = rng.choice(EXAMPLES).TYPE
        if luck < 0.35:
            type_, side = rng.choice(_ON[head.phase])
            seat = head.blue if side == "blue" else head.green or head.expected_green
            who = seat or rng.choice(CAST)
        elif luck < 0.6 and head.turns:
            type_ = rng.choice(("REPLY_INTENDED", "REPLY_SENT", "TURN_JOINED"))
            who = rng.choice(list(head.turns.values())).holder
        elif luck < 0.7:
            type_, who = rng.choice(("MESSAGE_ACCEPTED", "TURN_STARTED")), head.owning or who
        role: Role = rng.choice(_ROLES)
        return self._draft(type_, head, who), Writer(who, role)

    def _draft(self, type_: str, head: Head, who: Process) -> Draft:
        rng = self._rng
        message = rng.choice([*head.messages, 1])
        turn = rng.choice([*head.turns, 1])
        part = rng.randrange(3)
        phase = head.phase if rng.random() < 0.9 else "ack"
        seq = head.flushed_seq if head.flushed_seq and rng.random() < 0.9 else 1
        digests = dict(head.flushed) if rng.random() < 0.9 else DIGESTS
        side: Side = "green" if who == head.expected_green else rng.choice(("blue", "blue", "green"))
        dead = rng.choice([p for p in (head.blue, head.green, head.expected_green, CAST[0]) if p is not None])
        epoch = head.epoch - (rng.random() < 0.1)
        self._updates += rng.random() < 0.8
        kind: e.UpdateKind = rng.choice(("text", "text", "command"))
        match type_:
            case "HANDOFF_REQUESTED":
                self._handoffs += 1
                return Draft(requested(f"h{self._handoffs}"))
            case "GREEN_SPAWNED":
                return Draft(e.GreenSpawned(green=rng.choice(CAST)))
            case "HANDOFF_INIT":
                return Draft(e.HandoffInit(green=head.expected_green or CAST[0]))
            case "HANDOFF_ACK":
                return Draft(e.HandoffAck(flushed_seq=seq, digests=digests))
            case "HANDOFF_ROLLBACK":
                return Draft(e.HandoffRollback(phase=phase, reason="fault"))
            case "HANDOFF_RESUMED":
                return Draft(e.HandoffResumed(phase=phase))
            case "BLUE_SERVING":
                return Draft(e.BlueServing(flushed_seq=head.flushed_seq, digests=digests))
            case "PROCESS_STARTED":
                started = next(x for x in EXAMPLES if isinstance(x, e.ProcessStarted)).model_copy(
                    update={"side": side, "serving": side == head.owner}
                )
                return Draft(started)
            case "PROCESS_LOST":
                lost = e.ProcessLost(side=head.side_of(dead) or "green", process=dead, how="died")
                return Draft(lost if rng.random() < 0.3 else e.HandoffCompleteRequested())
            case "MESSAGE_ACCEPTED":
                return accepted(self._updates, kind=kind, salt=rng.randbytes(16), key=True)
            case "WATCHER_HANDED_OVER":
                return handed_over()
            case "WATCHER_ADOPTED":
                return Draft(e.WatcherAdopted(handed_over=rng.choice([*head.watchers, 1])))
            case "TURN_STARTED":
                count = rng.choice((1, 1, 2))
                free = [s for s, m in head.messages.items() if m.turn is None] or [message]
                return Draft(e.TurnStarted(messages=tuple(rng.choices(free, k=count)), session=SESSION), epoch=epoch)
            case "TURN_JOINED":
                return Draft(e.TurnJoined(turn=turn, message=message))
            case "REPLY_INTENDED":
                return Draft(e.ReplyIntended(turn=turn, part=part, of=rng.choice((None, 2))))
            case "REPLY_SENT":
                return Draft(e.ReplySent(turn=turn, part=part))
            case "TURN_FINISHED":
                return Draft(e.TurnFinished(turn=turn, outcome="answered"))
            case "MESSAGE_SETTLED":
                outcome = head.messages[message].due if message in head.messages else None
                return Draft(e.MessageSettled(message=message, outcome=outcome or "no_reply"))
            case "SESSION_FLUSHED":
                return Draft(e.SessionFlushed(part=rng.choice(("routing", "transcripts")), count=1, digest=DIGEST))
            case _:
                return Draft(next(x for x in EXAMPLES if type_ == x.TYPE), epoch=epoch)


def _play(folder: Path, clock: Callable[[], Stamp], seed: int) -> Counter[str]:
    """Offer random drafts, in appends of one to three, to two journals on one file; look at every refusal. What was admitted."""
    rng = random.Random(seed)
    offers, admitted = Offers(rng), Counter[str]()
    journals = [Journal(folder, clock), Journal(folder, clock)]
    reader = Reader(folder / "journal.db")
    for step in range(STEPS):
        journal = rng.choice(journals)
        before = journal.catch_up()
        offered = [offers.next(before) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        stale = rng.choice(journals)  # which of them writes: the one that has caught up, or the other
        try:
            receipts = stale.append(*(draft for draft, _ in offered), writer=offered[0][1])
        except Refused:
            where = f"seed {seed}, step {step}: {[draft.event for draft, _ in offered]}"
            assert stale.head == before, where
            assert reader.last_seq() == before.seq, where
            assert not reader.rows("payloads", after=before.seq), where
        else:
            new = [d.event.TYPE for (d, _), receipt in zip(offered, receipts, strict=True) if not receipt.known]
            admitted.update(new)
            assert reader.last_seq() == before.seq + len(new), f"seed {seed}, step {step}"
    for journal in journals:
        journal.close()
    reader.close()
    return admitted


def _fold(records: list[Record], head: Head) -> Head:
    for record in records:
        head = advance(head, record, record.event)
    return head


def _promises(records: list[Record], seed: int) -> None:
    """Read from the events alone, without the law's own bookkeeping."""
    owner_epoch: dict[int, Process] = {}
    spoke: set[int] = set()  # messages whose reply may have reached somebody
    turns: dict[int, tuple[Process, list[int]]] = {}
    settled: set[int] = set()
    polling: dict[str, Process] = {}
    for record in records:
        event, where = record.event, f"seed {seed}, seq {record.seq}: {record.type}"
        match event:
            case e.AdapterConnected():
                assert polling.get(event.platform, record.process) == record.process, f"two pollers; {where}"
                polling[event.platform] = record.process
            case e.AdapterPaused() if polling.get(event.platform) == record.process:
                del polling[event.platform]
            case e.ProcessLost():
                polling = {a: p for a, p in polling.items() if p != event.process}
                turns = {n: t for n, t in turns.items() if t[0] != event.process}
            case e.TurnStarted():
                assert not spoke & set(event.messages), f"a message that was replied to is started again; {where}"
                assert not settled & set(event.messages), f"a settled message is started; {where}"
                held = {m for _, messages in turns.values() for m in messages}
                assert not held & set(event.messages), f"a held message is started; {where}"
                turns[record.seq] = (record.process, list(event.messages))
            case e.TurnJoined():
                turns[event.turn][1].append(event.message)
            case e.ReplyIntended():
                assert turns[event.turn][0] == record.process, f"somebody else's turn; {where}"
                spoke.update(turns[event.turn][1])
            case e.TurnFinished():
                del turns[event.turn]
            case e.MessageSettled():
                assert event.message not in settled, f"settled twice; {where}"
                settled.add(event.message)
        if event.ADMISSION == "owner":
            assert owner_epoch.setdefault(record.epoch, record.process) == record.process, (
                f"two owners of an epoch; {where}"
            )


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_offered_the_record_keeps_its_promises(folder: Path, clock: Callable[[], Stamp], seed: int) -> None:
    admitted = _play(folder, clock, seed)
    reader = Reader(folder / "journal.db")
    records = list(reader.all())
    verdict = verify(reader, head=read_head(folder / "bell"))
    reader.close()
    assert verdict.good, f"seed {seed}: {verdict.finding}"
    assert len(records) == sum(admitted.values()) > 200, f"seed {seed}: {admitted}"
    _promises(records, seed)
    assert all(b.epoch - a.epoch in (0, 1) for a, b in pairwise(records)), f"seed {seed}: an epoch was skipped"


@pytest.mark.parametrize("seed", SEEDS)
def test_folding_a_prefix_and_then_the_rest_is_folding_all(folder: Path, clock: Callable[[], Stamp], seed: int) -> None:
    _play(folder, clock, seed)
    reader = Reader(folder / "journal.db")
    records = list(reader.all())
    reader.close()
    whole = _fold(records, Head(hash=GENESIS))
    rng = random.Random(seed)
    for cut in [0, len(records), *(rng.randrange(len(records)) for _ in range(8))]:
        assert _fold(records[cut:], _fold(records[:cut], Head(hash=GENESIS))) == whole, f"seed {seed}, cut {cut}"
    journal = Journal(folder, clock)
    assert journal.head == whole, f"seed {seed}"
    journal.close()


def _kinds(value: object) -> object:
    """The type of a value and of all in it, in the order in which it is walked: 1 is no 1.0, a list no tuple."""
    parts: list[object] = []
    if isinstance(value, Head):
        parts = [getattr(value, f.name) for f in fields(value)]
    elif isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, tuple):
        parts = list(value)
    elif isinstance(value, frozenset):
        parts = sorted(value)
    return type(value), [_kinds(part) for part in parts], list(value) if isinstance(value, dict) else None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_that_is_packed_and_unpacked_is_the_head_that_was_folded(
    folder: Path, clock: Callable[[], Stamp], seed: int
) -> None:
    _play(folder, clock, seed)
    with closing(Reader(folder / "journal.db")) as reader:
        head = Head(hash=GENESIS)
        for record in reader.all():
            head = advance(head, record, record.event)
            again = unpack(pack(head), head.hash)
            assert again == head, f"seed {seed}, seq {record.seq}"
            assert _kinds(again) == _kinds(head), f"seed {seed}, seq {record.seq}"


def test_the_seeds_reach_every_event_of_the_vocabulary(tmp_path: Path, clock: Callable[[], Stamp]) -> None:
    """Or the two properties above would hold of little."""
    admitted = Counter[str]()
    for seed in SEEDS:
        create(tmp_path / str(seed), at_ns=1)
        admitted += _play(tmp_path / str(seed), clock, seed)
    assert {x.TYPE for x in EXAMPLES} - admitted.keys() == set(), f"{admitted}"
