"""A cache of the folded head, so that whoever opens a long journal need not fold it from its beginning.

It stands in a table of its own, apart from the record: nothing is ever verified or decided by it. One that is missing, damaged, of
other code, or not of this record (its chain hash does not stand at its seq) is passed over: only time is lost.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from journal import events, head
from journal.head import Head

if TYPE_CHECKING:
    from pydantic import TypeAdapter

EVERY = 10_000
"""Events between two snapshots."""
_KEEP = "INSERT OR REPLACE INTO snapshots (kind, seq, hash, form, body, digest) VALUES ('head', ?, ?, ?, ?, ?)"
_KEPT = """SELECT s.seq, s.hash, s.form, s.body, s.digest FROM snapshots s JOIN events e ON e.seq = s.seq AND e.hash = s.hash
WHERE s.kind = 'head'"""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one journal, as this code makes and reads them. ``form`` is None when they cannot be used at all."""

    form: str | None

    def keep(self, connection: sqlite3.Connection, folded: Head) -> None:
        """Put down the head in the caller's transaction; nothing when it cannot be done without loss."""
        if self.form is None:
            return
        try:
            body = pack(folded)
        except PydanticSerializationError:
            return
        connection.execute(_KEEP, (folded.seq, folded.hash, self.form, body, _digest(self.form, folded.hash, body)))

    def kept(self, connection: sqlite3.Connection) -> Head | None:
        """The head that was put down last, if it is one of this record, made by this code, and whole."""
        if self.form is None:
            return None
        try:
            row = connection.execute(_KEPT).fetchone()
            if row is None or row[2] != self.form or row[4] != _digest(self.form, row[1], row[3]):
                return None
            folded = unpack(row[3], row[1])
        except (sqlite3.DatabaseError, ValidationError, TypeError, UnicodeError):
            return None
        return folded if folded.seq == row[0] else None


def snapshots(connection: sqlite3.Connection) -> Snapshots:
    """Those of the journal behind a connection; of an older schema, which has no place for them, none."""
    there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'snapshots'").fetchone()
    ready()
    return Snapshots(_form() if there else None)


def ready() -> None:
    """Load whatever a snapshot takes, while the code that runs still stands on the disk: it may be upgraded under us."""
    _form()
    _adapter()


@lru_cache(maxsize=1)
def _form() -> str | None:
    """What code makes and reads these snapshots: another fold may come to another head from the same events."""
    try:
        sources = [Path(str(module.__file__)).read_bytes() for module in (events, head)]
    except OSError:
        return None
    return hashlib.sha256(b"\0".join(sources)).hexdigest()


def _digest(form: str, chain: bytes, body: bytes) -> bytes:
    return hashlib.sha256(form.encode() + chain + body).digest()


def pack(folded: Head) -> bytes:
    """A head as JSON, all but its hash."""
    return _adapter().dump_json(folded, exclude={"hash"})


def unpack(body: bytes, chain: bytes) -> Head:
    """The very head that was packed. Raises ``pydantic.ValidationError`` when it is none."""
    folded = _adapter().validate_json(body)
    folded.hash = chain
    return folded


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Head]:
    from pydantic import TypeAdapter  # here: building it takes milliseconds, and who only reads does not need it

    return TypeAdapter(Head)
