"""The port: what a gateway offers to a handoff, and the ledger it is given to write with.

Two gateways stand behind it, real Hermes and the embedded reference gateway, and both pass the contract suite in
``tests/contract``. The manager calls a gateway from its own thread, never from the gateway's loop, and gives each call a bound;
a gateway hops onto its own loop. A gateway knows nothing of phases: it is told to let go, to connect, to take up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from journal.errors import AlreadyTaken as AlreadyTaken
from journal.errors import HandoffError
from journal.errors import LostHold as LostHold
from journal.errors import StaleEpoch as StaleEpoch

NotOwner = StaleEpoch  # what the ledger raises at a process that does not own the adapters (any more)

UpdateKind = Literal["text", "command", "callback", "edit", "album", "other"]
SettledAs = Literal["answered", "no_reply", "merged", "refused", "ambiguous", "abandoned"]
TurnOutcome = Literal["answered", "no_reply", "failed", "cancelled"]


class GatewayFault(HandoffError):
    """The gateway could not do what it was told, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """One platform connection. ``account`` is clear text (a bot's id); it becomes a pseudonym before it reaches the journal.

    ``way`` is ``warm`` where we know how to let go and take over within milliseconds, ``general`` where the old side
    disconnects and the new one connects as a reconnect.
    """

    platform: str
    account: str
    way: Literal["warm", "general"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the gateway is: ``kind`` (``hermes``, ``reference``), its version as installed, its adapters."""

    kind: str
    version: str
    adapters: tuple[AdapterInfo, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of preflight or doctor. ``code`` is stable and greppable, ``text`` says what to do."""

    code: str
    severity: Literal["ok", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that a platform handed over. ``chat`` is the lane within which order matters (chat plus thread), clear text.

    ``update_id`` is the platform's number; ``stamp`` (a date, say) tells two updates apart to which a platform that restarted its
    numbering gave the same one. ``payload`` is what the platform sent, verbatim, enough to feed it again.
    """

    update_id: str
    kind: UpdateKind
    chat: str
    payload: bytes
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An update that the journal holds. ``message`` is the seq of its MESSAGE_ACCEPTED.

    ``dispatch`` is False when the gateway must not start it now: its lane is held by the other side's turn, or by an earlier
    message that waits, or this update was already started or settled. It comes back by ``Gateway.take_up`` when it is due.
    """

    message: int
    platform: str
    account: str
    update: Update
    dispatch: bool


@dataclass(frozen=True, slots=True)
class Flushed:
    """A named part of what green must load (``routing``, ``transcripts``, ``watchers``): how many entries, and their digest."""

    part: str
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Health:
    """One sample, taken on the gateway's own loop. Counters run since the process started; ``polls`` since the last connect.

    ``polls`` maps ``platform:account`` to clean polls; ``waiting`` counts updates that the gateway has and has not started.
    """

    loop_lag_ms: float
    turns: int
    waiting: int
    answered: int
    errors: int
    rss_mb: float
    polls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A background process that a turn of this gateway started and whose end it is waiting for; ``payload`` is its JSON."""

    name: str
    payload: bytes


class Gateway(Protocol):
    """What a gateway offers. Every call is made from the manager's thread; ``GatewayFault`` says what did not work."""

    def identity(self) -> Identity: ...

    def preflight(self) -> tuple[Finding, ...]:
        """What would go wrong; changes nothing."""

    def load(self) -> tuple[Flushed, ...]:
        """Load everything but adapters, and build what can be built before the adapters are ours (warm). Idempotent: a second
        call reads again what the other side has flushed since."""

    def flush(self) -> tuple[Flushed, ...]:
        """Bring to disk what the other side must read. Safe while turns run: only entries of our own are written."""

    def pause(self) -> Mapping[str, int | None]:
        """Let go of every adapter, fast, and stop starting turns; sending keeps working. What is fetched and not started may
        be thrown away: the journal has it, no ``accept`` is still on its way there. Returns next offsets by ``platform:account``.
        Idempotent. Must have an inverse."""

    def connect(self) -> Mapping[str, int | None]:
        """Take the adapters and poll, whether for the first time or after ``pause``; starts nothing that the journal knows.
        Returns next offsets by ``platform:account`` when known. Idempotent."""

    def turns(self) -> int:
        """Turns in flight (started, and not finished)."""

    def take_up(self, ticket: Ticket) -> None:
        """Feed one accepted message to the gateway's own dispatch. Never blocks on the turn itself."""

    def watchers(self) -> tuple[Watcher, ...]:
        """Pending process watchers, for the successor."""

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        """Take over watchers that the other side handed over."""

    def sample(self) -> Health:
        """One health sample from the gateway's own loop. Raises ``GatewayFault`` when the loop does not answer in time."""

    def end(self) -> None:
        """Exit the process cleanly (exit code 0) without touching what the other side now owns. Returns at once."""


class Ledger(Protocol):
    """What the gateway writes with. Thread-safe and blocking (a durable append is 0.2 ms): never call it on an event loop,
    hop to a thread. ``NotOwner`` means: stop polling at once, and forget what was just fetched; nothing of it counts."""

    def accept(
        self, platform: str, account: str, updates: Sequence[Update], next_offset: int | None
    ) -> tuple[Ticket, ...]:
        """Journal a fetched batch before the platform can consider it consumed; all or nothing, in one append."""

    def start(self, messages: Sequence[int], session: str) -> int:
        """Open a turn over one or more accepted messages (several when quick texts were merged). Returns the turn's number.

        Raises ``NotOwner``, or ``AlreadyTaken`` when one of the messages is held or settled: do not run it."""

    def join(self, turn: int, message: int) -> None:
        """A message that was merged into a running turn."""

    def intend(self, turn: int, part: int, of: int | None = None) -> None:
        """A reply part is about to be sent, one of ``of`` when that is known.

        Raises ``LostHold`` when this process no longer holds the turn: do not send."""

    def sent(self, turn: int, part: int, reference: str | None) -> None:
        """The platform took the part; ``reference`` is the platform's message id."""

    def finish(self, turn: int, outcome: TurnOutcome) -> None:
        """Close the turn and settle its messages."""

    def settle(self, message: int, outcome: SettledAs) -> None:
        """Settle a message that needs no turn (ignored, refused)."""
