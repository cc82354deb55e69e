"""Hold the state that ``replay --at N`` gives, for every N, against what others wrote down: the platform's log and Hermes' own tables.

Everything here speaks of one machine and one boot, so the journal's monotonic clock and the log's are the same clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gateway_hooks.demo.hermes_home import HOME_CHAT
from gateway_hooks.demo.wire import Call
from journal.events import ReplyIntended, ReplySent, TurnStarted
from journal.pseudonyms import Pseudonyms
from journal.record import Record
from journal.store import read_key
from replay.fold import State, apply

LATE_NS = 20_000_000_000
"""A reply that the platform took so long ago stands in the record, however busy the machine."""


def polled_by_whom_the_record_says(records: Sequence[Record], calls: Sequence[Call]) -> int:
    """At every N, whoever is handed updates by the platform is who holds the adapter at N. Returns how many polls were compared.

    A poll counts for the seqs that stand between its answer and the next one: its updates are accepted there.
    """
    compared, state = 0, State()
    polls = [call for call in calls if call.method == "getUpdates"]
    handed = {
        str(update): call for call in reversed(polls) for update in call.update_ids
    }  # the first time, where it came again
    for record in records:
        state = apply(state, record)
        if record.type != "MESSAGE_ACCEPTED":
            continue
        holders = {process.pid for process in state.head.connected.values()}
        call = handed[record.event.update_id]  # type: ignore[attr-defined]
        assert holders == {record.process.pid}, f"at {record.seq} the state says {holders}"
        assert call.begin_ns <= record.mono_ns, f"{record.seq} was accepted before the platform was asked for it"
        last = [c for c in calls if c.method == "getUpdates" and c.update_ids and c.pid is not None and c.end_ns]
        before = [c for c in last if c.end_ns is not None and c.end_ns <= record.mono_ns]
        if before:
            newest = max(before, key=lambda c: c.end_ns or 0)
            assert newest.pid in holders, f"at {record.seq} {newest.pid} polled, the state says {holders}"
            compared += 1
    return compared


def answered_as_the_record_says(records: Sequence[Record], calls: Sequence[Call]) -> int:
    """At every N: what the state calls sent had been asked of the platform, and what the platform had been asked was intended."""
    answers = [
        call for call in calls if call.message_id is not None and call.chat_id != HOME_CHAT
    ]  # a notice is no answer
    sends = {str(call.message_id): call for call in answers if call.outcome == "answered"}
    intended: dict[tuple[int, int], Record] = {}
    sent: set[str] = set()
    for record in records:
        event = record.event
        if isinstance(event, ReplyIntended):
            intended[event.turn, event.part] = record
        if isinstance(event, ReplySent):
            call = sends[str(event.reference)]
            announced = intended[event.turn, event.part]
            assert announced.mono_ns <= call.begin_ns, f"part of seq {record.seq} went out before it was intended"
            assert call.end_ns is not None
            assert call.end_ns <= record.mono_ns, f"seq {record.seq} says sent before the platform took it"
            sent.add(str(event.reference))
        asked_long_ago = {m for m, c in sends.items() if (c.end_ns or 0) < record.mono_ns - LATE_NS}
        assert asked_long_ago <= sent, (
            f"at {record.seq} the platform had taken {asked_long_ago - sent}, the record has not"
        )
    assert sent == set(sends), "in the end every reply that the platform took stands in the record"
    return len(sent)


def sessions_as_hermes_has_them(records: Sequence[Record], home: Path) -> int:
    """At every N: each session in which a turn was started by then exists in Hermes' tables, begun before that turn ended."""
    names = Pseudonyms(read_key(home / "handoff"))
    with closing(sqlite3.connect(f"{(home / 'state.db').as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT session_key, started_at FROM sessions").fetchall()
    begun = {names.of("s", str(key)): float(at) for key, at in rows}
    seen: set[str] = set()
    turns: dict[int, str] = {}
    for record in records:
        if isinstance(record.event, TurnStarted):
            turns[record.seq] = record.event.session
        if record.type == "TURN_FINISHED":
            session = turns[record.event.turn]  # type: ignore[attr-defined]
            assert session in begun, f"the session of seq {record.seq} is not in Hermes' table"
            assert begun[session] * 1e9 <= record.at_ns
            seen.add(session)
    return len(seen)
