"""Append and read. What ``append`` has returned survives the process and the power.

An append takes the gate, opens a write transaction, checks the law against the folded head, inserts, commits, rings the bell.
It inserts at head + 1 without looking; when somebody else was there first it rolls back, catches up and checks again.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic_core import to_json

from journal import schema
from journal.bell import Bell
from journal.chain import GENESIS, link
from journal.durable import KEY_LENGTH, bring, make_key
from journal.errors import Busy, DiskTrouble, HandoffError, KeyConflict, NewerJournal, NoJournal, Refused, Tampered
from journal.events import MODELS, HandoffRequested, same
from journal.gate import Gate
from journal.head import Head, erases, incarnation, move
from journal.law import check, role_of
from journal.record import Draft, Payload, Receipt, Record, Stamp, Writer
from journal.trouble import identify, keep_open, onward, require_private, stands, translated

MAX_BODY = 64 * 1024
PAGE = 500
TIDY_EVENTS = 1000
"""After so many events the write-ahead log is emptied though nothing was erased, so that it cannot grow without bound."""
_COLUMNS = "seq, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, hash"
_PAGED = f"SELECT {_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_LINES = "SELECT seq, type, v, pid, started, boot, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


def create(folder: Path, *, at_ns: int) -> None:
    """Make the folder (0700), its key (0600) and an empty journal. Does nothing when a journal stands there.

    Raises:
        DiskTrouble: The folder cannot be written.
    """
    try:
        above = [path.parent for path in (folder, *folder.parents) if not path.exists()] or [folder.parent]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "bell").mkdir(mode=0o700, exist_ok=True)
        path, key = folder / "journal.db", folder / "key"
        path.touch(mode=0o600)
        with closing(Gate(folder / "gate")) as gate, gate.held(), closing(sqlite3.connect(path)) as connection:
            connection.isolation_level = None
            make_key(key)
            if schema.is_empty(connection):  # also when a creation was cut short
                schema.create(connection, at_ns)
                (folder / "bell" / "head").unlink(missing_ok=True)  # another journal's
            bring(folder, *above)
    except (OSError, sqlite3.Error) as error:
        raise DiskTrouble(
            f"cannot create a journal in {folder}: {error}", hint="check the folder and the disk"
        ) from error


def read_key(folder: Path) -> bytes:
    """The 32 bytes of the pseudonyms' key. Raises ``NoJournal`` when there is none."""
    try:
        key = (folder / "key").read_bytes()
        if len(key) == KEY_LENGTH:
            return key
    except OSError as error:
        raise NoJournal(
            f"no key beside the journal in {folder}", hint="restore it, or run 'handoff-journal install'"
        ) from error
    raise NoJournal(f"the key beside the journal in {folder} is damaged", hint="restore it from a backup")


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
            rows = onward(self._connection.execute(_PAGED, (after, limit)).fetchall(), after, path=self.path)
        return [_record(row) for row in rows]

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
        columns = _COLUMNS if table == "events" else "seq, salt, data"
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


class Journal:
    """The writing side: one read-write connection a process, shared by its threads."""

    def __init__(self, folder: Path, clock: Callable[[], Stamp], *, deadline_s: float = 10.0) -> None:
        """Open the journal that stands in ``folder``; never creates one.

        Args:
            folder: ``HERMES_HOME/handoff``.
            clock: Gives the time of an append.
            deadline_s: How long an append waits for the gate.
        Raises:
            NoJournal, NotAJournal, NewerJournal, DiskTrouble.
        """
        self.folder = folder
        self.path = folder / "journal.db"
        if not stands(self.path):
            raise NoJournal(f"no journal in {folder}", hint="run 'handoff-journal install' in that home")
        require_private(folder)
        self._clock = clock
        self.gate = Gate(folder / "gate", deadline_s=deadline_s)
        self._bell = Bell(folder / "bell")
        self._lock = threading.RLock()
        self._dirty, self._tidied = False, 0
        self._file = str(self.path)
        self._pid = os.getpid()
        with translated(self.path), self.gate.held():
            self._connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
            )
            keep_open(self._connection)
            try:
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")
                identify(self._connection, self.path)
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 5000"):
                    self._connection.execute(f"PRAGMA {pragma}")
                self._inode = self._identity()
                self._head = Head(hash=GENESIS)
                self._catch_up()
            except BaseException:
                self._connection.close()
                raise
        _OPEN.add(self)

    @property
    def head(self) -> Head:
        """The head as of the last append or catch-up of this process."""
        return self._head

    def catch_up(self) -> Head:
        """Fold what others have appended since, and return the head."""
        with self._lock, translated(self.path):
            return self._catch_up()

    def append(self, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        """Append events durably, all or none.

        Args:
            drafts: Bodies of at most 64 KiB. An event whose key stands already with the same body is not written again.
            writer: Who says it.
        Returns:
            A receipt for each draft, in order.
        Raises:
            Refused: The law says no; see ``journal.errors`` for what to do. Nothing was written.
            Busy: The gate was not free in time.
            DiskTrouble: It could not be written; believe nothing of it.
            NoJournal: The file was removed or replaced. Stop journaling, loudly.
        """
        with self._lock, translated(self.path), self.gate.held():
            self._check_identity()
            while True:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    receipts, head = self._write(drafts, writer)
                    self._connection.execute("COMMIT")
                    break
                except _Behind:
                    self._connection.execute("ROLLBACK")
                    self._catch_up()
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    self._catch_up()
                    raise
            grew, self._head = head.seq > self._head.seq, head
            self._check_identity()
        if grew:  # once the gate is free: who is woken may want to append
            self._bell.ring(head.seq, head.hash)
        return receipts

    def _write(self, drafts: Sequence[Draft], writer: Writer) -> tuple[tuple[Receipt, ...], Head]:
        head, receipts = self._head.copy(), []
        stamp = self._clock()
        for draft in drafts:
            known = self._known(draft)
            if known:
                receipts.append(known)
                continue
            try:
                check(head, draft, writer)
            except Refused:  # decided on an old head? the newer one may admit it, or refuse it for the real reason
                if self._moved(head.seq):
                    raise _Behind from None
                raise
            self._insert(head, draft, writer, stamp)
            receipts.append(Receipt(head.seq, head.hash))
        return tuple(receipts), head

    def _insert(self, head: Head, draft: Draft, writer: Writer, stamp: Stamp) -> None:
        """Write one row, and bring ``head``, which is this append's own, past it."""
        event, process, seq, prev = draft.event, writer.process, head.seq + 1, head.hash
        raw = to_json(event)
        if len(raw) > MAX_BODY:
            raise Refused(f"{event.TYPE} has a body of {len(raw)} bytes", hint=f"at most {MAX_BODY}")
        body = raw.decode()
        role = role_of(head, writer, event)
        handoff = event.handoff if isinstance(event, HandoffRequested) else head.handoff
        move(head, event, seq, process)
        head.hash = link(
            prev, seq, handoff, event.TYPE, event.V, role, process, head.epoch, stamp.at_ns, stamp.mono_ns,
            draft.key, draft.cause, body,
        )  # fmt: skip
        try:
            self._connection.execute(
                _INSERT,
                (
                    seq, handoff, event.TYPE, event.V, role, process.pid, process.started, process.boot, head.epoch,
                    stamp.at_ns, stamp.mono_ns, draft.key, draft.cause, body, prev, head.hash,
                ),
            )  # fmt: skip
        except sqlite3.IntegrityError as error:
            if self._moved(seq - 1):
                raise _Behind from error
            raise
        if draft.payload is not None:
            words = (seq, draft.payload.salt, draft.payload.data)
            self._connection.execute("INSERT INTO payloads VALUES (?,?,?)", words)
        erased = erases(event)
        if erased is not None:
            self._connection.execute("DELETE FROM payloads WHERE seq = ?", (erased,))
            self._dirty = True

    def _known(self, draft: Draft) -> Receipt | None:
        if draft.key is None:
            return None
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM events WHERE key = ?", (draft.key,)).fetchone()
        if row is None:
            return None
        record = _record(row)
        if not same(record.event, draft.event):
            what = f"the key {draft.key} stands at seq {record.seq} with another body"
            raise KeyConflict(what, hint="use another key")
        return Receipt(record.seq, record.hash, known=True)

    def _moved(self, seq: int) -> bool:
        """Whether others have appended; ``seq`` is how far this very transaction has come, so that its own rows do not count."""
        later = self._connection.execute("SELECT 1 FROM events WHERE seq > ? LIMIT 1", (seq,))
        return later.fetchone() is not None

    def _catch_up(self) -> Head:
        head = self._head.copy()  # what was handed out is never changed
        while rows := self._connection.execute(_PAGED, (head.seq, PAGE)).fetchall():
            for row in rows:
                record = _record(row)
                event = record.event
                _follows(head, record)
                move(head, event, record.seq, record.process)
                head.hash = record.hash
                self._dirty = self._dirty or erases(event) is not None  # whoever erased may be gone by now
        self._head = head
        return head

    def tidy(self) -> bool:
        """Empty the write-ahead log when words were erased, or it has grown long, and nobody reads. True when nothing is left."""
        with self._lock, translated(self.path), self.gate.held():
            if not self._dirty and self._head.seq - self._tidied < TIDY_EVENTS:
                return True
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                self._connection.execute("PRAGMA busy_timeout = 5000")
            self._dirty, self._tidied = bool(busy), self._tidied if busy else self._head.seq
            return not busy

    def close(self) -> None:
        """Close under the gate: the last connection to close checkpoints. Also done at the interpreter's exit. Idempotent.

        While somebody else holds the gate for too long the connection stays open until the process ends: what was appended is safe.
        """
        _OPEN.discard(self)
        with suppress(Busy), self._lock, self.gate.held():
            self._connection.close()
        self._bell.close()
        self.gate.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._file)  # noqa: PTH116 - at every append, twice
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_identity(self) -> None:
        if self._identity() != self._inode:
            raise NoJournal(f"{self.path} was removed or replaced", hint="put it back and start the gateway again")


_OPEN: weakref.WeakSet[Journal] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """SQLite checkpoints when the last connection goes: never let the interpreter's end do that outside of the gate."""
    for journal in list(_OPEN):
        if journal._pid == os.getpid():
            with suppress(HandoffError, sqlite3.Error):
                journal.close()


class _Behind(Exception):
    """Somebody appended since the head was folded."""


def _follows(head: Head, record: Record) -> None:
    """Raise ``Tampered`` unless the record is the one after ``head``. What came before the first row may have been cut off."""
    if record.seq != head.seq + 1 if head.seq else record.seq < 1:
        raise Tampered(f"seq {record.seq} follows seq {head.seq}", seq=head.seq + 1, hint=_LOOK)
    if record.prev != head.hash and (head.seq or record.seq == 1):
        raise Tampered(f"seq {record.seq} is not chained to what stands before it", seq=record.seq, hint=_LOOK)


_LOOK = "nothing more is written; run 'handoff-journal verify', and compare with an export"


def _record(row: tuple[Any, ...]) -> Record:
    seq, handoff, type_, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, digest = row
    if (type_, v) not in MODELS:
        raise NewerJournal(
            f"seq {seq} is {type_} version {v}", hint="a later version wrote it: upgrade handoff-journal"
        )
    process = incarnation(pid, started, boot)
    return Record(
        seq, handoff, type_, v, role, process, epoch, at_ns, mono_ns, key, cause, body, prev, digest
    )  # fmt: skip
