"""Walk the chain: is each row what was appended, and does it follow the one before it?

A long record is walked in parts, each by a process of its own. That changes only how long it takes: a part whose walk found anything,
or did not come to its end, is walked again by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ConfigDict, ValidationError

from journal import events as e
from journal.chain import GENESIS, link_said, named, said
from journal.events import Process
from journal.reader import PAGE, Reader

Head = tuple[int, bytes]
"""A seq and its 32-byte hash."""
FIRST = -(2**63)
_INT, _TEXT, _BLOB, _NULL = int, str, bytes, type(None)
_TYPES: tuple[tuple[type, ...], ...] = (
    (_INT,), (_TEXT, _NULL), (_TEXT,), (_INT,), (_TEXT,), (_INT,), (_INT,), (_TEXT,), (_INT,), (_INT,), (_INT,),
    (_TEXT, _NULL), (_INT, _NULL), (_TEXT,), (_BLOB,), (_BLOB,),
)  # fmt: skip
_KINDS = frozenset(product(*_TYPES))
"""Every way in which the columns of a row may be typed."""
_WORDY = (e.MessageAccepted, e.WatcherHandedOver, e.MessageSettled, e.WatcherAdopted)
_READ: dict[tuple[str, int], tuple[str, Callable[[str], Any] | None, bool]] = {
    key: (named(*key), model.__pydantic_validator__.validate_json, model in _WORDY) for key, model in e.MODELS.items()
}
"""(type, version): its part of the link, how its body is read, and whether words come or go with it."""


class Found(Exception):
    """Something is wrong at ``seq``."""

    def __init__(self, seq: int, text: str) -> None:
        super().__init__(text)
        self.seq = seq


@dataclass(frozen=True, slots=True)
class Part:
    """The rows after seq ``after``, whose hash is ``hash``, up to ``until``: where each found good, it ends with the hash ``ends``.

    ``words`` are those that it left, by the seq of their message; ``gone`` the messages of before it whose words went in it.
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    after: int
    hash: bytes
    until: int
    ends: bytes
    words: dict[int, str]
    gone: list[int]


class Walk:
    """The chain so far, and the words that must still stand: ``words`` maps the seq of an open message to its digest.

    ``came``, from when it is a dict, has those of messages too that were settled since.
    """

    def __init__(self, head: Head | None) -> None:
        self._given = head
        self.events = 0
        self.first: int | None = None
        self.last: int | None = None
        self.hash = GENESIS
        self.words: dict[int, str] = {}
        self.came: dict[int, str] | None = None
        self._gone: list[int] = []

    def follow(self, reader: Reader, *, until: int | None = None) -> None:
        """Go on from where the walk stands, to ``until`` or to the head of the moment. Raises ``Found`` at the first wrong row."""
        while rows := reader.rows("events", after=FIRST if self.last is None else self.last, limit=self._page(until)):
            if self.last is None:
                self._start(rows[0][0], rows[0][14])
            self._steps(rows)

    def _page(self, until: int | None) -> int:
        return PAGE if until is None else min(PAGE, max(0, until - (self.last or 0)))

    def part(self, reader: Reader, after: int, hash_: bytes, until: int) -> Part:
        """Walk only what stands after ``after``, whose hash is taken on trust, up to ``until``. Raises as `follow` does."""
        self.first, self.last, self.hash = after + 1, after, hash_
        self.follow(reader, until=until)
        return Part(after, hash_, self.last, self.hash, self.words, self._gone)

    def join(self, part: Part) -> bool:
        """Take over what another walk found good, if it goes on from where this one stands; else leave it."""
        if (part.after, part.hash) != (self.last, self.hash):
            return False
        self.events += part.until - part.after
        self.last, self.hash = part.until, part.ends
        for seq in part.gone:
            self.words.pop(seq, None)
        self.words.update(part.words)
        return True

    def _steps(self, rows: list[tuple[Any, ...]]) -> None:
        """A page, in one loop: a million calls would cost a fifth of the whole."""
        first, last, hash_ = rows[0][0], self.last, self.hash
        given_seq, given = self._given if self._given else (None, b"")
        speaker: tuple[Any, ...] | None = None
        who = ""
        try:
            for row in rows:
                (
                    seq, handoff, type_, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, digest,
                ) = row  # fmt: skip
                if last is not None and seq != last + 1:
                    raise Found(last + 1, f"seq {last + 1} is missing: seq {seq} follows seq {last}")
                if tuple(map(type, row)) not in _KINDS:
                    raise Found(seq, f"seq {seq} has a column of another kind than it was appended with")
                if prev != hash_:
                    what = f"seq {seq} is not chained to what stands before it: it, or its predecessor, was changed"
                    raise Found(seq, what)
                try:
                    if speaker != (role, pid, started, boot):
                        speaker = (role, pid, started, boot)
                        who = said(role, Process.model_construct(pid=pid, started=started, boot=boot))
                    what, validate, wordy = _READ[type_, v] if (type_, v) in _READ else (named(type_, v), None, False)
                    now = link_said(prev, seq, handoff, what, who, epoch, at_ns, mono_ns, key, cause, body)
                except UnicodeEncodeError:
                    now = b""
                if now != digest:
                    raise Found(seq, f"seq {seq} is not what was appended: its hash differs")
                if seq == given_seq and given != digest:
                    what = f"seq {seq} has another hash than the given head: the record was rewritten up to there"
                    raise Found(seq, what)
                if validate is None:
                    raise Found(seq, f"seq {seq} is {type_} version {v}, which this version does not know")
                try:
                    event = validate(body)
                except ValidationError:
                    raise Found(seq, f"the body of seq {seq} is not a {type_}") from None
                if wordy:
                    self._note(event, seq)
                last, hash_ = seq, digest
        finally:
            if last is not None and last != self.last:
                self.events += last - (first - 1 if self.last is None else self.last)
                self.last, self.hash = last, hash_

    def _start(self, seq: int, prev: bytes) -> None:
        """The first row that stands. What came before it may have been sealed and cut off."""
        if seq < 1:
            raise Found(seq, f"seq {seq} was inserted: a journal begins at 1")
        self.first, given = seq, self._given
        if seq == 1:
            return
        self.hash = prev
        if given is not None and given[0] == seq - 1 and given[1] != prev:
            raise Found(seq, f"seq {seq} is not chained to the given head: what stood before it was another record")
        if given is not None and given[0] < seq - 1:
            raise Found(given[0], f"the given head, seq {given[0]}, does not stand here: the journal begins at {seq}")

    def _note(self, event: e.Event, seq: int) -> None:
        match event:
            case e.MessageAccepted() | e.WatcherHandedOver():
                self.words[seq] = event.digest
                if self.came is not None:
                    self.came[seq] = event.digest
            case e.MessageSettled(message=gone) | e.WatcherAdopted(handed_over=gone):
                if self.words.pop(gone, None) is None:
                    self._gone.append(gone)
