"""What the benchmarks append: the life of a gateway that answers messages, built before any clock runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from journal import events as e
from journal import schema
from journal.pseudonyms import seal
from journal.record import Draft, Payload, Stamp
from journal.store import Journal, Reader, create
from tests.builders import ACCOUNT, BLUE, CHAT, SESSION, connected, flushed, started, writer

US = writer(BLUE, "blue")
BEGIN = (Draft(started()), Draft(connected()))
"""What stands in a journal before its first message."""
LIFE = 7
"""Events from an accepted message to its settlement, with one reply and the flush after it."""
BATCH = 500
_WORDS = b"What will the weather be like tomorrow, and do I need an umbrella? " * 2


def steady() -> Stamp:
    """A clock that stands: the same drafts make the same rows."""
    return Stamp(at_ns=1_700_000_000_000_000_000, mono_ns=5_000_000_000_000)


def drafts(count: int) -> Iterator[Draft]:
    """``count`` events after ``BEGIN``: message after message is accepted, answered and settled; health every tenth."""
    seq, number = len(BEGIN), 0
    while count > 0:
        life = list(_life(seq + 1, number))[:count]
        yield from life
        seq, number, count = seq + len(life), number + 1, count - len(life)


def _life(first: int, number: int) -> Iterator[Draft]:
    payload, digest = seal(_WORDS, number.to_bytes(16, "big"))
    message = e.MessageAccepted(
        platform="telegram", account=ACCOUNT, chat=CHAT, kind="text", update_id=f"{700_000_000 + number}", digest=digest
    )
    yield Draft(message, key=f"{ACCOUNT}:{700_000_000 + number}:1700000000", payload=payload, epoch=1)
    yield Draft(e.TurnStarted(messages=(first,), session=SESSION), epoch=1)
    yield Draft(e.ReplyIntended(turn=first + 1, part=0, of=1))
    yield Draft(e.ReplySent(turn=first + 1, part=0, reference=f"{900_000 + number}"))
    yield Draft(e.TurnFinished(turn=first + 1, outcome="answered"))
    yield Draft(e.MessageSettled(message=first, outcome="answered", turn=first + 1))
    if number % 10:
        yield Draft(flushed(digest=f"{number:064x}"))
    else:
        yield Draft(
            e.HealthSampled(
                loop_lag_ms=0.5, turns=1, waiting=0, answered=number, errors=0, rss_mb=81.5,
                polls={f"telegram:{ACCOUNT}": number},
            )
        )  # fmt: skip


def fill(folder: Path, count: int) -> None:
    """A journal with ``BEGIN`` and ``count`` events in ``folder``."""
    with opened(folder) as journal:
        batch: list[Draft] = []
        for draft in drafts(count):
            batch.append(draft)
            if len(batch) == BATCH:
                journal.append(*batch, writer=US)
                batch.clear()
        if batch:
            journal.append(*batch, writer=US)


def opened(folder: Path, clock: Callable[[], Stamp] = steady) -> closing[Journal]:
    """A new journal in ``folder`` with ``BEGIN`` in it."""
    create(folder, at_ns=1)
    journal = Journal(folder, clock)
    journal.append(*BEGIN, writer=US)
    return closing(journal)


@dataclass(frozen=True, slots=True)
class Row:
    """What bare sqlite3 is to do for one event: the encoded row, the words that come with it, the words that go."""

    event: tuple[Any, ...]
    words: tuple[int, bytes, bytes] | None
    erased: int | None


def rows(folder: Path, events: Sequence[Draft]) -> list[Row]:
    """The rows that appending ``events`` to a journal in ``folder`` makes, encoded and hashed."""
    fill(folder, len(events))
    with closing(Reader(folder / "journal.db")) as reader:
        made = [row for row in _paged(reader) if row[0] > len(BEGIN)]
    return [_row(row, draft) for row, draft in zip(made, events, strict=True)]


def beginning(folder: Path) -> list[Row]:
    """The rows of ``BEGIN``, from a journal."""
    with closing(Reader(folder / "journal.db")) as reader:
        return [Row(row, None, None) for row in reader.rows("events", after=0, limit=len(BEGIN))]


def _paged(reader: Reader) -> Iterator[tuple[Any, ...]]:
    after = 0
    while page := reader.rows("events", after=after):
        yield from page
        after = page[-1][0]


def _row(event: tuple[Any, ...], draft: Draft) -> Row:
    payload: Payload | None = draft.payload
    erased = draft.event.message if isinstance(draft.event, e.MessageSettled) else None
    return Row(event, (event[0], payload.salt, payload.data) if payload else None, erased)


class Bare:
    """sqlite3 and nothing else: the same file format, tables, indexes, triggers, settings and checkpoint policy."""

    def __init__(self, path: Path, begin: Sequence[Row] = ()) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        schema.create(self._connection, 1)
        for pragma in ("wal_autocheckpoint = 0", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        if begin:
            self.insert(begin)

    def insert(self, made: Sequence[Row]) -> None:
        """One transaction."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        for row in made:
            run("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row.event)
            if row.words is not None:
                run("INSERT INTO payloads VALUES (?,?,?)", row.words)
            if row.erased is not None:
                run("DELETE FROM payloads WHERE seq = ?", (row.erased,))
        run("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
