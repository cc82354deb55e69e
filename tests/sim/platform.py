"""The chat platform: a Bot API that keeps an offset, hands an update over until it is confirmed, and takes what is sent.

It outlives every process. ``polled`` and ``requests`` are what the judge believes: the platform's own word on who polled, what was
confirmed and what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


class Conflict(Exception):
    """409: somebody else polls with this token, or did a moment ago."""


class Unreachable(Exception):
    """The request never left, or was certainly not taken."""


class Unanswered(Exception):
    """The connection broke after the request had left: nobody here knows whether it was taken."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person sent: number ``n`` of bot ``account``. ``parts`` is how long the answer is, ``think_s`` how long it takes."""

    n: int
    account: str
    chat: str
    kind: str
    parts: int
    think_s: float
    silent: bool = False


@dataclass(slots=True)
class Request:
    """A sendMessage under way or over. ``taken`` is whether the platform posted it; ``fate`` what the sender gets to know."""

    wishes: tuple[tuple[str, int], ...]
    part: int
    of: int
    by: str
    turn: int
    fate: str
    taken: bool = False
    over: bool = False


@dataclass(slots=True)
class BotApi:
    """One server, several bots (accounts)."""

    random: Random
    arrived: dict[str, list[Wish]] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    down: bool = False
    conflicts: int = 0
    fates: list[str] = field(default_factory=list)
    redelivered: int = 0

    def arrive(self, wish: Wish) -> None:
        """A person sends something."""
        self.arrived.setdefault(wish.account, []).append(wish)

    def waiting(self, account: str, offset: int | None) -> list[Wish]:
        """What a poll from ``offset`` would give, without polling."""
        first = max(self.confirmed.get(account, 0), offset or 0)
        return [w for w in self.arrived.get(account, []) if w.n >= first][:3]

    def poll(self, account: str, offset: int | None) -> list[Wish]:
        """getUpdates: everything below ``offset`` counts as consumed from here on."""
        if self.down:
            raise Unreachable
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict
        if offset is not None:
            self.confirmed[account] = max(self.confirmed.get(account, 0), offset)
        return self.waiting(account, offset)

    def forget(self, account: str, updates: int) -> None:
        """The server restarts from an older copy: it hands over again what was confirmed."""
        self.confirmed[account] = max(0, self.confirmed.get(account, 0) - updates)
        self.redelivered += updates

    def send(self, wishes: tuple[tuple[str, int], ...], part: int, of: int, by: str, turn: int) -> Request:
        """sendMessage leaves the sender. What becomes of it is drawn here."""
        fate = self.fates.pop(0) if self.fates else "fine"
        request = Request(wishes, part, of, by, turn, "unreachable" if self.down else fate)
        if request.fate != "unreachable":
            self.requests.append(request)
        else:
            request.over = True
        return request

    def take(self, request: Request) -> None:
        """The request arrives, whatever has become of its sender."""
        request.over = True
        request.taken = request.fate in ("fine", "taken, connection lost")

    def drained(self) -> bool:
        """Whether everything that arrived was confirmed by somebody."""
        return all(self.confirmed.get(account, 0) > wishes[-1].n for account, wishes in self.arrived.items())
