"""What stands in the journal: the envelope around an event, and what one hands in to append one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from journal.errors import NewerJournal, Tampered
from journal.events import Event, Process, Role, parse


@dataclass(frozen=True, slots=True)
class Writer:
    """Who appends: a process, and the role it acts in where the head does not know the process (operator, keeper)."""

    process: Process
    role: Role


class Stamp(NamedTuple):
    """When: ``at_ns`` UTC nanoseconds since 1970, for people only; ``mono_ns`` the monotonic clock of that boot."""

    at_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Payload:
    """What a person wrote, with the salt of its digest. Erased once the message is settled."""

    salt: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """One event to append. ``key`` makes it idempotent; ``epoch`` is the epoch that an owner event claims, ``phase_seq`` the head's
    ``phase_seq`` on which a decision rests: it is refused when that has moved."""

    event: Event
    key: str | None = None
    cause: int | None = None
    epoch: int | None = None
    phase_seq: int | None = None
    payload: Payload | None = None


class Receipt(NamedTuple):
    """Where an event stands: ``seq`` (1-based, no gaps) and the 32-byte chain hash. ``known`` when the key stood already."""

    seq: int
    hash: bytes
    known: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One row of ``events``. ``epoch`` is the epoch in force once the event stands; ``handoff`` the handoff it belongs to."""

    seq: int
    handoff: str | None
    type: str
    v: int
    role: Role
    process: Process
    epoch: int
    at_ns: int
    mono_ns: int
    key: str | None
    cause: int | None
    body: str
    prev: bytes
    hash: bytes

    @property
    def event(self) -> Event:
        """The parsed body. Raises ``Tampered`` when it does not fit its model, ``NewerJournal`` when nobody here knows that type."""
        try:
            return parse(self.type, self.v, self.body)
        except KeyError as error:
            what = f"seq {self.seq} is {self.type} version {self.v}"
            raise NewerJournal(what, hint="a later version wrote it: upgrade handoff-journal") from error
        except ValidationError as error:
            what = f"the body of seq {self.seq} is not a {self.type}"
            raise Tampered(what, seq=self.seq, hint="run 'handoff-journal verify'") from error
