"""Verify the record: is every row what was appended, are all of them there, do the words still fit their events?

A chain says nothing of what came before its first row and cannot see that its tail was removed. The first is said in the verdict,
the second is found against a head that was kept elsewhere: the bell's, or one that an audit has printed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from journal import events as e
from journal.chain import GENESIS, link_said, named, said
from journal.errors import Unusable
from journal.events import Process
from journal.reader import Reader

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. ``first`` and ``last`` are seqs, None in an empty journal; ``head`` is the last good hash, in hex.

    ``bad`` is the first seq that is not what it was, or is not there, None when everything holds; ``finding`` says in one line
    what is wrong, or from where the chain was followed.
    """

    events: int
    first: int | None
    last: int | None
    head: str
    bad: int | None
    finding: str

    @property
    def good(self) -> bool:
        """Whether everything holds."""
        return self.bad is None


def verify(reader: Reader, *, head: tuple[int, bytes] | None) -> Verdict:
    """Walk the chain from the first row that stands to the last, page by page; safe beside writers.

    Args:
        reader: On the journal in question.
        head: A head that was kept elsewhere (seq, 32-byte hash), read before this call: the journal must contain it. One just
            before the first row is what the chain is started from.
    Returns:
        The verdict; tampering is never raised.
    Raises:
        DiskTrouble: The file could not be read; that says nothing about the record.
    """
    walk = _Walk(head)
    try:
        walk.follow(reader)
        if head is not None and head[0] > (walk.last or 0):
            where = f"ends at seq {walk.last}" if walk.last else "is empty"
            raise _Found(
                (walk.last or 0) + 1, f"the journal {where}, the given head is seq {head[0]}: its tail was removed"
            )
        _compare_words(walk, reader)
    except _Found as found:
        return walk.verdict(found.seq, str(found))
    except Unusable as error:
        return walk.verdict((walk.last or 0) + 1, f"the file cannot be read after seq {walk.last or 0}: {error}")
    if walk.first is not None and walk.first > 1:
        return walk.verdict(None, f"the chain holds from seq {walk.first} on; nothing before it stands here")
    return walk.verdict(None, "the chain holds")


class _Found(Exception):
    """Something is wrong at ``seq``."""

    def __init__(self, seq: int, text: str) -> None:
        super().__init__(text)
        self.seq = seq


class _Walk:
    """The chain so far, and the words that must still stand: ``words`` maps the seq of an open message to its digest."""

    def __init__(self, head: tuple[int, bytes] | None) -> None:
        self._given = head
        self.events = 0
        self.first: int | None = None
        self.last: int | None = None
        self.hash = GENESIS
        self.words: dict[int, str] = {}

    def follow(self, reader: Reader) -> None:
        """Go on from where the walk stands to the head of the moment."""
        while rows := reader.rows("events", after=FIRST if self.last is None else self.last):
            if self.last is None:
                self._start(rows[0][0], rows[0][14])
            self._steps(rows)

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
                    raise _Found(last + 1, f"seq {last + 1} is missing: seq {seq} follows seq {last}")
                if tuple(map(type, row)) not in _KINDS:
                    raise _Found(seq, f"seq {seq} has a column of another kind than it was appended with")
                if prev != hash_:
                    what = f"seq {seq} is not chained to what stands before it: it, or its predecessor, was changed"
                    raise _Found(seq, what)
                try:
                    if speaker != (role, pid, started, boot):
                        speaker = (role, pid, started, boot)
                        who = said(role, Process.model_construct(pid=pid, started=started, boot=boot))
                    what, validate, wordy = _READ[type_, v] if (type_, v) in _READ else (named(type_, v), None, False)
                    now = link_said(prev, seq, handoff, what, who, epoch, at_ns, mono_ns, key, cause, body)
                except UnicodeEncodeError:
                    now = b""
                if now != digest:
                    raise _Found(seq, f"seq {seq} is not what was appended: its hash differs")
                if seq == given_seq and given != digest:
                    what = f"seq {seq} has another hash than the given head: the record was rewritten up to there"
                    raise _Found(seq, what)
                if validate is None:
                    raise _Found(seq, f"seq {seq} is {type_} version {v}, which this version does not know")
                try:
                    event = validate(body)
                except ValidationError:
                    raise _Found(seq, f"the body of seq {seq} is not a {type_}") from None
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
            raise _Found(seq, f"seq {seq} was inserted: a journal begins at 1")
        self.first, given = seq, self._given
        if seq == 1:
            return
        self.hash = prev
        if given is not None and given[0] == seq - 1 and given[1] != prev:
            raise _Found(seq, f"seq {seq} is not chained to the given head: what stood before it was another record")
        if given is not None and given[0] < seq - 1:
            raise _Found(given[0], f"the given head, seq {given[0]}, does not stand here: the journal begins at {seq}")

    def _note(self, event: e.Event, seq: int) -> None:
        match event:
            case e.MessageAccepted() | e.WatcherHandedOver():
                self.words[seq] = event.digest
            case e.MessageSettled():
                self.words.pop(event.message, None)
            case e.WatcherAdopted():
                self.words.pop(event.handed_over, None)

    def verdict(self, bad: int | None, finding: str) -> Verdict:
        return Verdict(self.events, self.first, self.last, self.hash.hex(), bad, finding)


def _compare_words(walk: _Walk, reader: Reader) -> None:
    """The words that stand against the events, while writers go on: what they did meanwhile is read before judging."""
    expected, stand, after = dict(walk.words), {}, FIRST
    while rows := reader.rows("payloads", after=after):
        for seq, salt, data in rows:
            fits = isinstance(salt, bytes) and isinstance(data, bytes)
            stand[seq] = hashlib.sha256(salt + data).hexdigest() if fits else ""
        if rows[-1][0] <= after:
            raise _Found(after, "the words stand in no order: the file is damaged")
        after = rows[-1][0]
    walk.follow(reader)
    for seq in sorted(expected.keys() | stand.keys()):
        if seq < (walk.first or 1) and seq > 0:
            continue  # its event was cut off
        digest = expected.get(seq) or walk.words.get(seq)
        if digest is None:
            raise _Found(seq, f"words stand at seq {seq} that no open message of the record owns")
        if seq in stand and stand[seq] != digest:
            raise _Found(seq, f"the words at seq {seq} are not those that were accepted")
        if seq not in stand and seq in walk.words:
            raise _Found(seq, f"the words at seq {seq} were removed before the message was settled")
