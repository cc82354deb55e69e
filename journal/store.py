"""Append. What ``append`` has returned survives the process and the power.

An append takes the gate, opens a write transaction, checks the law against the folded head, inserts, commits, rings the bell.
It inserts at head + 1 without looking; when that fails, or the law refuses, it catches up and looks at everything again: what
was decided on an old head is never final. Threads of a process share a transaction when they meet (``journal.group``).
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from journal.bell import Bell
from journal.chain import GENESIS, link
from journal.errors import Busy, HandoffError, KeyConflict, NoJournal, Refused, Tampered, twin
from journal.events import HandoffRequested, Role, same
from journal.folder import create, read_key
from journal.gate import Gate
from journal.group import Line, Request
from journal.head import Head, erases, move
from journal.law import check
from journal.reader import COLUMNS, PAGE, PAGED, Reader, record_of
from journal.record import Draft, Receipt, Record, Stamp, Writer
from journal.snapshot import EVERY, snapshots
from journal.trouble import explained, identify, keep_open, require_private, stands, translated

__all__ = ["MAX_BODY", "PAGE", "TIDY_EVENTS", "Journal", "Reader", "create", "read_key"]

MAX_BODY = 64 * 1024
TIDY_EVENTS = 1000
"""After so many events the write-ahead log is emptied though nothing was erased, so that it cannot grow without bound."""
GROUP = 256
"""So many events of other threads go into a leader's transaction, at least one thread's whole append."""
_KEYED = f"SELECT {COLUMNS} FROM events WHERE key = ?"
_INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


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
        self._line = Line()
        self._dirty, self._tidied = False, 0
        self._name = str(self.path)
        self._pid = os.getpid()
        try:
            self._open()
        except BaseException:
            self._bell.close()
            self.gate.close()
            raise
        _OPEN.add(self)

    def _open(self) -> None:
        with translated(self.path):
            with self.gate.held():
                self._connection = sqlite3.connect(
                    f"{self.path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
                )
                keep_open(self._connection)
                try:
                    self._prepare()
                except BaseException:
                    self._connection.close()
                    raise
            try:
                self._catch_up()  # without the gate: to fold a long record takes seconds, and others want to write
            except BaseException:
                with suppress(Busy), self.gate.held():
                    self._connection.close()
                raise

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        identify(self._connection, self.path)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._inode = self._identity()
        self._snapshots = snapshots(self._connection)
        kept = self._snapshots.kept(self._connection)
        self._dirty = kept is not None  # what was erased before it may still stand in the log
        self._head = kept or Head(hash=GENESIS)
        self._next_snapshot = self._head.seq + EVERY

    @property
    def head(self) -> Head:
        """The head as of the last append or catch-up of this process."""
        return self._head

    def catch_up(self) -> Head:
        """Fold what others have appended since, and return the head."""
        with self._line.alone(), translated(self.path):
            return self._catch_up()

    def append(self, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        """Append events durably, all or none. Threads may call it at once, each for itself.

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
        line = self._line
        if not line.free.acquire(False):
            request = Request(drafts, writer)
            if not line.wait(request):
                return request.outcome()
            try:
                self._lead(request)
            finally:
                line.leave()
            return request.outcome()
        try:
            before = self._head.seq
            try:
                with self.gate as moved:
                    self._check_identity()
                    stamp = self._clock()
                    receipts = None if moved else self._at_once(drafts, writer, stamp)
                    if receipts is None:
                        request = Request(drafts, writer)
                        self._in_order((request,), stamp)
                        receipts = request.outcome()
                    self._check_identity()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise explained(error, self.path) from error
            head = self._head
            if head.seq > before:  # once the gate is free: who is woken may want to append
                self._bell.look(stamp.mono_ns)
                self._bell.ring(head.seq, head.hash)
            return receipts
        finally:
            line.leave()

    def append_after(self, do: Callable[[Head], Sequence[Draft]], *, writer: Writer) -> tuple[Receipt, ...]:
        """Append what ``do`` returns, given the newest head: nobody else appends between what it sees or does and its word on it.

        It holds the gate, so it must be over before others give up waiting, and never append by itself. What it raises goes
        through, and nothing was written. Else as ``append``.
        """
        with self._line.alone(), translated(self.path):
            with self.gate:
                self._check_identity()
                request = Request(tuple(do(self._catch_up())), writer)
                stamp = self._clock()
                self._in_order((request,), stamp)
                self._bell.look(stamp.mono_ns)
                self._check_identity()
            receipts, head = request.outcome(), self._head
            self._bell.ring(head.seq, head.hash)
        return receipts

    def _lead(self, first: Request) -> None:
        """Write for this one and for all who wait by the time that the gate is ours."""
        group, before = [first], self._head.seq
        try:
            with translated(self.path), self.gate:
                self._check_identity()
                group += self._line.take(GROUP)
                stamp = self._clock()
                self._in_order(group, stamp)
                self._bell.look(stamp.mono_ns)
                self._check_identity()
        except Exception as error:
            if isinstance(error, Busy):  # each of them would wait as long in vain
                group += self._line.take(GROUP)
            for request in group:
                request.receipts, request.error = (), error if request is first else twin(error)
        except BaseException:
            self._leave_to_the_next(group[1:])
            raise
        if self._head.seq > before:
            self._bell.ring(self._head.seq, self._head.hash)
        for request in group[1:]:
            request.wake.release()

    def _leave_to_the_next(self, requests: Sequence[Request]) -> None:
        """We are interrupted, perhaps when all of them stand already: whoever does is told, the others wait on."""
        left = []
        for request in requests:
            if request.receipts and self._stands(request.receipts[-1]):
                request.wake.release()
            else:
                request.receipts, request.error = (), None
                left.append(request)
        self._line.put_back(left)

    def _stands(self, receipt: Receipt) -> bool:
        found = self._connection.execute("SELECT hash FROM events WHERE seq = ?", (receipt.seq,)).fetchone()
        return found is not None and found[0] == receipt.hash

    def _at_once(self, drafts: Sequence[Draft], writer: Writer, stamp: Stamp) -> tuple[Receipt, ...] | None:
        """Append on the head that we have; None, and nothing written, when it may be an old one or a key stands already."""
        head, receipts = self._head.copy(), []
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            for draft in drafts:
                self._insert(head, draft, writer, stamp, check(head, draft, writer))
                receipts.append(Receipt(head.seq, head.hash))
            if head.seq >= self._next_snapshot:
                self._keep(head)
            run("COMMIT")
        except (Refused, sqlite3.IntegrityError):
            run("ROLLBACK")
            return None
        except BaseException:
            self._roll_back()
            raise
        self._head = head
        return tuple(receipts)

    def _in_order(self, group: Sequence[Request], stamp: Stamp) -> None:
        """Append on the newest head, looking at everything: each request all or none, all of them in one transaction."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            head = self._catch_up()
            for request in group:
                run("SAVEPOINT request")
                try:
                    request.receipts, head = self._write(head.copy(), request, stamp)
                except sqlite3.Error:
                    raise
                except Exception as error:  # this one's own
                    run("ROLLBACK TO request")
                    request.error = error
                run("RELEASE request")
            if head.seq >= self._next_snapshot:
                self._keep(head)
            run("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._head = head

    def _keep(self, head: Head) -> None:
        self._snapshots.keep(self._connection, head)
        self._next_snapshot = head.seq + EVERY

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _write(self, head: Head, request: Request, stamp: Stamp) -> tuple[tuple[Receipt, ...], Head]:
        receipts, writer = [], request.writer
        assert writer is not None
        for draft in request.drafts:
            known = self._known(draft)
            if known:
                receipts.append(known)
                continue
            self._insert(head, draft, writer, stamp, check(head, draft, writer))
            receipts.append(Receipt(head.seq, head.hash))
        return tuple(receipts), head

    def _insert(self, head: Head, draft: Draft, writer: Writer, stamp: Stamp, role: Role) -> None:
        """Write one row, and bring ``head``, which is this append's own, past it."""
        event, process, seq, prev = draft.event, writer.process, head.seq + 1, head.hash
        raw = event.__pydantic_serializer__.to_json(event)
        if len(raw) > MAX_BODY:
            raise Refused(f"{event.TYPE} has a body of {len(raw)} bytes", hint=f"at most {MAX_BODY}")
        body = raw.decode()
        handoff = event.handoff if isinstance(event, HandoffRequested) else head.handoff
        move(head, event, seq, process)
        head.hash = digest = link(
            prev, seq, handoff, event.TYPE, event.V, role, process, head.epoch, stamp.at_ns, stamp.mono_ns,
            draft.key, draft.cause, body,
        )  # fmt: skip
        run = self._connection.execute
        run(
            _INSERT,
            (
                seq, handoff, event.TYPE, event.V, role, process.pid, process.started, process.boot, head.epoch,
                stamp.at_ns, stamp.mono_ns, draft.key, draft.cause, body, prev, digest,
            ),
        )  # fmt: skip
        words = draft.payload
        if words is not None:
            run("INSERT INTO payloads VALUES (?,?,?)", (seq, words.salt, words.data))
        erased = erases(event)
        if erased is not None:
            run("DELETE FROM payloads WHERE seq = ?", (erased,))
            self._dirty = True

    def _known(self, draft: Draft) -> Receipt | None:
        if draft.key is None:
            return None
        row = self._connection.execute(_KEYED, (draft.key,)).fetchone()
        if row is None:
            return None
        record = record_of(row)
        if not same(record.event, draft.event):
            what = f"the key {draft.key} stands at seq {record.seq} with another body"
            raise KeyConflict(what, hint="use another key")
        return Receipt(record.seq, record.hash, known=True)

    def _catch_up(self) -> Head:
        head = self._head.copy()  # what was handed out is never changed
        while rows := self._connection.execute(PAGED, (head.seq, PAGE)).fetchall():
            for row in rows:
                record = record_of(row)
                event = record.event
                _follows(head, record)
                move(head, event, record.seq, record.process)
                head.hash = record.hash
                self._dirty = self._dirty or erases(event) is not None  # whoever erased may be gone by now
        self._head = head
        return head

    def tidy(self) -> bool:
        """Empty the write-ahead log when words were erased, or it has grown long, and nobody reads. True when nothing is left."""
        with self._line.alone(), translated(self.path), self.gate.held():
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
        with suppress(Busy), self._line.alone(), self.gate.held():
            self._connection.close()
        self._bell.close()
        self.gate.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._name)  # noqa: PTH116 - at every append, twice
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


def _follows(head: Head, record: Record) -> None:
    """Raise ``Tampered`` unless the record is the one after ``head``. What came before the first row may have been cut off."""
    if record.seq != head.seq + 1 if head.seq else record.seq < 1:
        raise Tampered(f"seq {record.seq} follows seq {head.seq}", seq=head.seq + 1, hint=_LOOK)
    if record.prev != head.hash and (head.seq or record.seq == 1):
        raise Tampered(f"seq {record.seq} is not chained to what stands before it", seq=record.seq, hint=_LOOK)


_LOOK = "nothing more is written; run 'handoff-journal verify', and compare with an export"
