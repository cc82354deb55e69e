"""A journal in memory, over the real law, head and chain: what the real one does, and a disk's faults on demand.

One ``Disk`` is one journal file; every process opens a ``MemoryJournal`` on it. ``tests/sim/test_memory.py`` holds it against the real
store. An append passes named points: before it (``append``), with the gate in hand before the commit (``commit``) and after it
(``committed``), and once the bell has rung (``appended``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from journal.chain import GENESIS, link
from journal.errors import Busy, HandoffError, KeyConflict, Refused
from journal.events import Event, HandoffRequested, Process, same
from journal.head import Head, erases, move
from journal.law import check, role_of
from journal.record import Draft, Payload, Receipt, Record, Stamp, Writer
from journal.store import MAX_BODY, PAGE

Point = Callable[[str, str], None]
"""Called with a stage and the types of an append; it may park the caller, or kill it."""


class Kept(Record):
    """A record whose body was never taken apart, so that nobody has to parse it again."""

    __slots__ = ("kept",)
    kept: Event

    @property
    def event(self) -> Event:
        return self.kept


class Disk:
    """One journal file and its gate, shared by the processes of a machine.

    ``fault`` is asked at each commit and names what fails there; ``ring`` is called once an append is visible.
    ``doubtful`` is a commit whose fsync failed: nobody sees it, but when every process dies before the next commit, recovery may
    find it in the log.
    """

    def __init__(self) -> None:
        self.records: list[Kept] = []
        self.payloads: dict[int, Payload] = {}
        self.keys: dict[str, int] = {}
        self.holder: Process | None = None
        self.held_ns = 0
        self.doubtful: list[tuple[Kept, Payload | None]] = []
        self.fault: Callable[[Process, str], HandoffError | None] = lambda _process, _types: None
        self.ring: Callable[[], None] = lambda: None

    def commit(self, staged: list[tuple[Kept, Payload | None]]) -> None:
        """Make an append visible."""
        self.doubtful = []
        for record, payload in staged:
            self.records.append(record)
            if record.key is not None:
                self.keys[record.key] = record.seq
            if payload is not None:
                self.payloads[record.seq] = payload
            erased = erases(record.event)
            if erased is not None:
                self.payloads.pop(erased, None)

    def recover(self) -> bool:
        """Everybody is dead: what was written and not synced may stand. True when something was found."""
        found = self.doubtful
        if found:
            self.commit(found)
        return bool(found)


class FsyncFailed(Exception):
    """Inside ``Disk.fault``'s answer: the commit was written, and its sync failed."""


class MemoryReader:
    """``journal.store.Reader`` over a disk in memory."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._disk = disk

    def all(self, *, after: int = 0) -> Iterator[Record]:
        return iter(self._disk.records[after:])

    def records(self, *, after: int = 0, limit: int = PAGE) -> list[Record]:
        return list(self._disk.records[after : after + limit])

    def lines(self, *, after: int = 0, limit: int = PAGE) -> list[tuple[Any, ...]]:
        page = self._disk.records[after : after + limit]
        return [(r.seq, r.type, r.v, r.process.pid, r.process.started, r.process.boot, r.body) for r in page]

    def last_seq(self) -> int:
        return len(self._disk.records)

    def payload(self, seq: int) -> Payload | None:
        return self._disk.payloads.get(seq)

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryJournal:
    """``journal.store.Journal`` over a disk in memory, of one process.

    ``wait`` is called while another process holds the gate: it returns when the gate may be free, and raises ``Busy`` when the
    deadline is over.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        clock: Callable[[], Stamp],
        *,
        process: Process | None = None,
        point: Point = lambda _stage, _types: None,
        wait: Callable[[float], None] | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        self.folder = folder
        self.path = folder / "journal.db"
        self._disk = disk
        self._clock = clock
        self._process = process
        self._point = point
        self._wait = wait
        self._deadline_s = deadline_s
        self._head = Head(hash=GENESIS)
        self._catch_up()

    @property
    def head(self) -> Head:
        return self._head

    def catch_up(self) -> Head:
        self._point("catch_up", "")
        return self._catch_up()

    def _catch_up(self) -> Head:
        rows = self._disk.records[self._head.seq :]
        if rows:
            head = self._head.copy()
            for record in rows:
                move(head, record.event, record.seq, record.process)
                head.hash = record.hash
            self._head = head
        return self._head

    def append(self, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        types = ",".join(draft.event.TYPE for draft in drafts)
        self._point("append", types)
        self._enter(writer.process)
        try:
            head, receipts, staged = self._stage(drafts, writer)
            self._point("commit", types)
            fault = self._disk.fault(writer.process, types) if staged else None
            if fault is not None:
                if isinstance(fault.__cause__, FsyncFailed):
                    self._disk.doubtful = staged
                raise fault
            if staged:
                self._disk.commit(staged)
                self._head = head
            self._point("committed", types)
        finally:
            if self._disk.holder == writer.process:
                self._disk.holder = None
        if staged:
            self._disk.ring()
        self._point("appended", types)
        return tuple(receipts)

    def _enter(self, process: Process) -> None:
        if self._disk.holder is not None and self._wait is not None:
            self._wait(self._deadline_s)
        if self._disk.holder is not None:
            raise Busy("the journal's gate was not free in time", holder=self._disk.holder.pid)
        self._disk.holder, self._disk.held_ns = process, self._clock().mono_ns

    def _stage(
        self, drafts: tuple[Draft, ...], writer: Writer
    ) -> tuple[Head, list[Receipt], list[tuple[Kept, Payload | None]]]:
        head = self._catch_up().copy()
        stamp = self._clock()
        receipts: list[Receipt] = []
        staged: list[tuple[Kept, Payload | None]] = []
        for draft in drafts:
            known = self._known(draft, [record for record, _ in staged])
            if known:
                receipts.append(known)
                continue
            check(head, draft, writer)
            record = _record(head, draft, writer, stamp)
            staged.append((record, draft.payload))
            receipts.append(Receipt(record.seq, record.hash))
        return head, receipts, staged

    def _known(self, draft: Draft, staged: list[Kept]) -> Receipt | None:
        if draft.key is None:
            return None
        seq = self._disk.keys.get(draft.key)
        record = self._disk.records[seq - 1] if seq else next((r for r in staged if r.key == draft.key), None)
        if record is None:
            return None
        if not same(record.event, draft.event):
            what = f"the key {draft.key} stands at seq {record.seq} with another body"
            raise KeyConflict(what, hint="use another key")
        return Receipt(record.seq, record.hash, known=True)

    def tidy(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to let go of."""


def _record(head: Head, draft: Draft, writer: Writer, stamp: Stamp) -> Kept:
    """The row of a draft that was admitted; brings ``head`` past it."""
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
    record = Kept(
        seq, handoff, event.TYPE, event.V, role, process, head.epoch, stamp.at_ns, stamp.mono_ns, draft.key,
        draft.cause, body, prev, head.hash,
    )  # fmt: skip
    object.__setattr__(record, "kept", event)
    return record
