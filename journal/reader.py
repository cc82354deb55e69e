"""Read a journal: read-only and paged, safe beside any writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from journal.errors import NewerJournal, NoJournal
from journal.events import MODELS
from journal.head import incarnation
from journal.record import Payload, Record
from journal.trouble import identify, onward, stands, translated

PAGE = 500
COLUMNS = "seq, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, hash"
PAGED = f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_LINES = "SELECT seq, type, v, pid, started, boot, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"


class Reader:
    """Read-only and paged; safe beside any writer. One per thread."""

    def __init__(self, path: Path) -> None:
        if not stands(path):
            raise NoJournal(
                f"no journal at {path}", hint="run 'handoff-journal install' in that home, or name another --home"
            )
        self.path = path
        with translated(path):
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("PRAGMA busy_timeout = 5000")
                identify(self._connection, path)
            except BaseException:
                self._connection.close()
                raise

    def records(self, *, after: int = 0, limit: int = PAGE) -> list[Record]:
        """At most ``limit`` records with seq > ``after``, in order."""
        with translated(self.path):
            rows = onward(self._connection.execute(PAGED, (after, limit)).fetchall(), after, path=self.path)
        return [record_of(row) for row in rows]

    def all(self, *, after: int = 0) -> Iterator[Record]:
        """Every record after ``after``, page by page, until the head of the moment."""
        while page := self.records(after=after):
            yield from page
            after = page[-1].seq

    def lines(self, *, after: int = 0, limit: int = PAGE) -> list[tuple[Any, ...]]:
        """What a fold needs of most rows: (seq, type, v, pid, started, boot, body), in order."""
        with translated(self.path):
            return onward(self._connection.execute(_LINES, (after, limit)).fetchall(), after, path=self.path)

    def last_seq(self) -> int:
        with translated(self.path):
            return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def payload(self, seq: int) -> Payload | None:
        """The words of an accepted message, or None when they were erased."""
        with translated(self.path):
            row = self._connection.execute("SELECT salt, data FROM payloads WHERE seq = ?", (seq,)).fetchone()
        return Payload(*row) if row else None

    def rows(self, table: Literal["events", "payloads"], *, after: int, limit: int = PAGE) -> list[tuple[Any, ...]]:
        """Rows as they stand, in the order of ``Record``'s or ``Payload``'s fields, whatever somebody made of them."""
        columns = COLUMNS if table == "events" else "seq, salt, data"
        sql = f"SELECT {columns} FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?"
        with translated(self.path):
            try:
                return self._connection.execute(sql, (after, limit)).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            self._connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            try:
                return self._connection.execute(sql, (after, limit)).fetchall()
            finally:
                self._connection.text_factory = str

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy everything as of one moment, in one step: a backup in several would begin anew whenever somebody appends."""
        with translated(self.path):
            self._connection.backup(target)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def record_of(row: tuple[Any, ...]) -> Record:
    """The record of a whole row. Raises ``NewerJournal`` when nobody here knows its type."""
    seq, handoff, type_, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, digest = row
    if (type_, v) not in MODELS:
        raise NewerJournal(
            f"seq {seq} is {type_} version {v}", hint="a later version wrote it: upgrade handoff-journal"
        )
    process = incarnation(pid, started, boot)
    return Record(
        seq, handoff, type_, v, role, process, epoch, at_ns, mono_ns, key, cause, body, prev, digest
    )  # fmt: skip
