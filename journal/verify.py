"""Verify the record: is every row what was appended, are all of them there, do the words still fit their events?

A chain says nothing of what came before its first row and cannot see that its tail was removed. The first is said in the verdict,
the second is found against a head that was kept elsewhere: the bell's, or one that an audit has printed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from journal.errors import Unusable
from journal.parts import Split, undivided
from journal.reader import Reader
from journal.walk import FIRST, Found, Head, Walk


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


def verify(reader: Reader, *, head: Head | None, split: Split = undivided) -> Verdict:
    """Walk the chain from the first row that stands to the last, page by page; safe beside writers.

    Args:
        reader: On the journal in question.
        head: A head that was kept elsewhere (seq, 32-byte hash), read before this call: the journal must contain it. One just
            before the first row is what the chain is started from.
        split: How a long record is divided among those who walk it; the verdict is the same.
    Returns:
        The verdict; tampering is never raised.
    Raises:
        DiskTrouble: The file could not be read; that says nothing about the record.
    """
    walk = Walk(head)
    try:
        with split(reader, head) as others:
            for other in others:
                walk.follow(reader, until=other.after)
                part = other.result()
                if part is None or not walk.join(part):
                    break
        walk.follow(reader)
        if head is not None and head[0] > (walk.last or 0):
            where = f"ends at seq {walk.last}" if walk.last else "is empty"
            raise Found(
                (walk.last or 0) + 1, f"the journal {where}, the given head is seq {head[0]}: its tail was removed"
            )
        _compare_words(walk, reader)
    except Found as found:
        return _verdict(walk, found.seq, str(found))
    except Unusable as error:
        return _verdict(walk, (walk.last or 0) + 1, f"the file cannot be read after seq {walk.last or 0}: {error}")
    if walk.first is not None and walk.first > 1:
        return _verdict(walk, None, f"the chain holds from seq {walk.first} on; nothing before it stands here")
    return _verdict(walk, None, "the chain holds")


def _verdict(walk: Walk, bad: int | None, finding: str) -> Verdict:
    return Verdict(walk.events, walk.first, walk.last, walk.hash.hex(), bad, finding)


def _compare_words(walk: Walk, reader: Reader) -> None:
    """The words that stand against the events, while writers go on: what they did meanwhile is read before judging."""
    expected, stand, after = dict(walk.words), {}, FIRST
    while rows := reader.rows("payloads", after=after):
        for seq, salt, data in rows:
            fits = isinstance(salt, bytes) and isinstance(data, bytes)
            stand[seq] = hashlib.sha256(salt + data).hexdigest() if fits else ""
        if rows[-1][0] <= after:
            raise Found(after, "the words stand in no order: the file is damaged")
        after = rows[-1][0]
    came: dict[int, str] = {}
    walk.came = came
    walk.follow(reader)
    for seq in sorted(expected.keys() | stand.keys()):
        if seq < (walk.first or 1) and seq > 0:
            continue  # its event was cut off
        digest = expected.get(seq) or came.get(seq)
        if digest is None:
            raise Found(seq, f"words stand at seq {seq} that no open message of the record owns")
        if seq in stand and stand[seq] != digest:
            raise Found(seq, f"the words at seq {seq} are not those that were accepted")
        if seq not in stand and seq in walk.words:
            raise Found(seq, f"the words at seq {seq} were removed before the message was settled")
