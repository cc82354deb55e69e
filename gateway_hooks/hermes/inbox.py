"""Where each accepted message stands between the poll that fetched it and the turn that answers it.

Hermes knows an update by its id and forgets all but the first when it merges several into one event. This map does not.
It is pure bookkeeping, used on the gateway's loop only: nothing here waits, locks or knows Hermes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from gateway_hooks.gateway import Ticket

LOOKS = 5
FEEDS = 3
"""How often one message is fed to the gateway's handlers before it is given up."""
Place = Literal["fetched", "seen", "carried", "started"]


@dataclass(slots=True)
class Item:
    """One event on its way. ``messages`` are the seqs that it speaks for: one, or several once texts were merged.

    ``fetched``: journaled, not yet handed to the handlers. ``seen``: a handler has it. ``carried``: it waits in one of the
    gateway's own queues. ``started``: a turn was opened for it, and whoever opened it settles it. ``again``: the journal has
    given it back, so it may have been started before, by a process that died. ``tickets`` are what the platform sent for each of
    the messages, ``fed`` is how often they went to the handlers.
    """

    tickets: list[Ticket]
    at_s: float
    place: Place = "fetched"
    messages: list[int] = field(default_factory=list)
    missed: int = 0
    again: bool = False
    fed: int = 1


class Inbox:
    """The accepted and not yet settled messages of one account, by update id."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}

    def __len__(self) -> int:
        return sum(item.place != "started" for item in self._items.values())

    def __contains__(self, update_id: str) -> bool:
        return update_id in self._items

    def accept(self, tickets: Iterable[Ticket], *, now_s: float) -> None:
        """Remember what was journaled and may be dispatched. What is on its way already stays: a batch may be fetched twice."""
        for ticket in tickets:
            if ticket.dispatch and ticket.update.update_id not in self._items:
                self._items[ticket.update.update_id] = Item([ticket], now_s, messages=[ticket.message])

    def due(self, ticket: Ticket, *, now_s: float) -> bool:
        """Note that a message has come back to be dispatched; False when it is on its way here already.

        One whose turn is being opened comes back when the journal has refused that, a moment before whoever opens it hears of it.
        """
        if self.place(ticket.update.update_id) not in {None, "started"}:
            return False
        self._items[ticket.update.update_id] = Item([ticket], now_s, messages=[ticket.message], again=True)
        return True

    def see(self, update_id: str) -> Ticket | None:
        """A handler is about to get this update. None when it may not: it is not due, or it was let through before."""
        item = self._items.get(update_id)
        if item is None or item.place != "fetched":
            return None
        item.place = "seen"
        return item.tickets[0]

    def carry(self, update_id: str) -> None:
        """The event made from this update waits in a queue of the gateway."""
        item = self._items.get(update_id)
        if item is not None and item.place != "started":
            item.place = "carried"

    def merge(self, into: str, update_id: str) -> bool:
        """An event was folded into another, which speaks for both from now on."""
        target, item = self._items.get(into), self._items.get(update_id)
        if target is None or item is None or target is item:
            return False
        target.messages.extend(message for message in item.messages if message not in target.messages)
        target.tickets.extend(item.tickets)
        target.fed = max(target.fed, item.fed)
        del self._items[update_id]
        return True

    def place(self, update_id: str) -> Place | None:
        """Where an event stands; None when it is not here (settled, merged, or never accepted)."""
        item = self._items.get(update_id)
        return None if item is None else item.place

    def again(self, update_id: str) -> bool:
        """Whether somebody may have started this event before."""
        item = self._items.get(update_id)
        return item is not None and item.again

    def messages(self, update_id: str) -> tuple[int, ...]:
        """What an event speaks for; empty when nothing of it was accepted."""
        item = self._items.get(update_id)
        return () if item is None else tuple(item.messages)

    def item(self, update_id: str) -> Item | None:
        """An event as it stands here now, to be told from the same one that has come back since."""
        return self._items.get(update_id)

    def start(self, update_id: str) -> Item:
        """A turn is being opened for the event."""
        item = self._items[update_id]
        item.place = "started"
        return item

    def drop(self, update_id: str, item: Item | None = None) -> tuple[int, ...]:
        """Forget an event: it is settled, or the journal says it is somebody else's. Returns what it spoke for.

        With ``item`` it is forgotten only if it is that one still, and has not come back since.
        """
        if item is not None and self._items.get(update_id) is not item:
            return ()
        item = self._items.pop(update_id, None)
        return () if item is None else tuple(item.messages)

    def give_back(self, update_id: str, item: Item, *, now_s: float) -> None:
        """No turn could be opened for the event: the journal feeds again what it has. What it never knew would be lost and is
        ``fetched`` again, to be fed from here.
        """
        self.drop(update_id, item)
        for ticket in item.tickets:
            if not ticket.message:
                self._items.setdefault(ticket.update.update_id, Item([ticket], now_s, messages=[0], fed=item.fed))

    def unstarted(self) -> tuple[Ticket, ...]:
        """What the platform sent for each message of which no turn was opened, in the order in which it came."""
        return tuple(ticket for item in self._items.values() if item.place != "started" for ticket in item.tickets)

    def feed_again(self, update_id: str, *, now_s: float) -> tuple[Ticket, ...]:
        """Begin anew with what an event spoke for, since the gateway has dropped it; nothing once it was fed ``FEEDS`` times."""
        item = self._items.get(update_id)
        if item is None or item.place == "started" or item.fed >= FEEDS:
            return ()
        del self._items[update_id]
        for ticket in item.tickets:
            messages = [ticket.message]
            self._items[ticket.update.update_id] = Item(
                [ticket], now_s, messages=messages, again=True, fed=item.fed + 1
            )
        return tuple(item.tickets)

    def throw_away(self) -> int:
        """Forget all that was not started: the journal has it. Returns how many events went."""
        gone = [update_id for update_id, item in self._items.items() if item.place != "started"]
        for update_id in gone:
            del self._items[update_id]
        return len(gone)

    def unseen(self, *, older_than_s: float, now_s: float) -> tuple[Ticket, ...]:
        """Due messages that no handler has seen: a poll handed them over and its result was thrown away."""
        return tuple(
            item.tickets[0]
            for item in self._items.values()
            if item.place == "fetched" and now_s - item.at_s >= older_than_s
        )

    def strays(self, found: Collection[str]) -> tuple[str, ...]:
        """Events that should wait in a queue and were in none, several looks in a row: the gateway dropped them.

        Args:
            found: The update ids that stand in the gateway's queues now.
        """
        gone = []
        for update_id, item in self._items.items():
            item.missed = item.missed + 1 if item.place == "carried" and update_id not in found else 0
            if item.missed >= LOOKS:
                gone.append(update_id)
        return tuple(gone)
