"""What can go wrong, split by what the catcher should do.

    HandoffError
    ├── Refused (exit 4)            the law says no: refold and decide again, never retry as it is
    │   ├── StaleEpoch              this process does not own the adapters: let go, forget what was fetched
    │   ├── LostHold                this process does not hold that turn: do not send
    │   ├── AlreadyTaken            the message is held or settled: do not start it
    │   ├── IllegalTransition       the handoff is in another phase
    │   └── KeyConflict             the idempotency key is taken by another body
    ├── NothingHere (exit 3)        no journal, no gateway, no handoff: nothing to act on
    │   └── NoJournal
    ├── Unusable (exit 5)           stop writing; a person has to look
    │   ├── NotAJournal
    │   ├── NewerJournal
    │   └── Tampered                a row or the head is not what the chain says
    ├── DiskTrouble (exit 74)       the journal could not be written: confirm nothing
    └── Busy (exit 75)              somebody else holds the gate; try again, or end a stopped holder

Every one carries a ``hint``: what a person should do, in one line.
"""

from __future__ import annotations


class HandoffError(Exception):
    """Base of everything that this project raises on purpose. ``exit_code`` is what the command line ends with."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def line(self) -> str:
        """One line for a person: what is wrong, and what to do."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def twin(error: Exception) -> Exception:
    """The same error for another thread: one that is raised twice collects the traces of both."""
    other = type(error).__new__(type(error), *error.args)
    other.__dict__.update(error.__dict__)
    other.__cause__ = error.__cause__
    return other


class Refused(HandoffError):
    """The law refused an append. Nothing of it was written."""

    exit_code = 4


class StaleEpoch(Refused):
    """The writer does not own the adapters (any more)."""


class LostHold(Refused):
    """The writer does not hold the turn it speaks of."""


class AlreadyTaken(Refused):
    """A message is held by a turn, or settled."""


class IllegalTransition(Refused):
    """The phase, the role or the evidence does not admit the event."""


class KeyConflict(Refused):
    """The idempotency key stands with another body."""


class NothingHere(HandoffError):
    """There is nothing to act on."""

    exit_code = 3


class NoJournal(NothingHere):
    """There is no journal at that place."""


class Unusable(HandoffError):
    """The file cannot be trusted or understood."""

    exit_code = 5


class NotAJournal(Unusable):
    """The file is something else, or damaged beyond reading."""


class NewerJournal(Unusable):
    """A later version wrote what this one does not know."""


class Tampered(Unusable):
    """The chain does not hold at ``seq``."""

    def __init__(self, message: str, *, seq: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seq = seq


class DiskTrouble(HandoffError):
    """SQLite or the disk refused a write or a read."""

    exit_code = 74


class Busy(HandoffError):
    """The gate was not free in time. ``holder`` is its pid, when the gate's file names one."""

    exit_code = 75

    def __init__(self, message: str, *, holder: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.holder = holder
