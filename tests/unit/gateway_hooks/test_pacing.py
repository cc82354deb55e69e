"""A green that loads slowly under traffic that never ends: it comes to agree with blue, which waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from gateway_hooks.gateway import Flushed, Ticket, Update
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import Manager
from gateway_hooks.pacing import Pace
from journal import events as e
from journal.head import Head
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal, Reader, read_key
from tests.builders import BLUE, GREEN, process
from tests.unit.gateway_hooks.test_bake import Polling, Town

EVERY_S = 0.2
"""Somebody new writes."""


class Talking(Polling):
    """What is said changes what a flush says; to load it takes a while, in which others talk on."""

    def __init__(self, street: Street) -> None:
        super().__init__()
        self._street = street

    def flush(self) -> tuple[Flushed, ...]:
        return (Flushed("routing", self._street.said, f"{self._street.said:064x}"),)

    def load(self) -> tuple[Flushed, ...]:
        self._street.go_on(self._street.load_s / 2)
        parts = self.flush()
        self._street.go_on(self._street.load_s / 2)
        return parts

    def take_up(self, ticket: Ticket) -> None:
        self._street.answer(ticket)


class Street(Town):
    """A town in which people talk. What they say is answered at once, by whoever it goes to; ``waited_s`` is the longest wait."""

    load_s = 1.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.said = self.sent = 0
        self.waited_s = 0.0
        self.inboxes: dict[e.Process, Inbox] = {}

    def begin(self, who: e.Process, side: e.Side, *, serving: bool) -> None:
        journal = Journal(self.folder, self.now)
        self.journals.append(journal)
        writer = Writer(who, side)
        started = e.ProcessStarted(side=side, serving=serving, gateway="idle", version="1", runtime="same")
        journal.append(Draft(started), writer=writer)
        inbox = Inbox(journal, Pseudonyms(read_key(self.folder)), writer, lambda n: b"0" * n, taking=serving)
        self.inboxes[who] = inbox
        gateway = self.gateways[who] = Talking(self)
        self.sides[who] = Manager(journal, gateway, inbox, self, writer, lambda _: process(50), polling=False)

    def go_on(self, seconds: float) -> None:
        """Time passes, and people talk to blue as long as it polls."""
        end = self.at_s + seconds
        while self.at_s < end:
            self.at_s = round(self.at_s + EVERY_S, 3)
            inbox = self.inboxes[BLUE]
            if inbox._journal.catch_up().connected.get(self.adapter) == BLUE:
                self.sent += 1
                update = Update(str(self.sent), "text", f"chat-{self.sent}", str(self.at_s).encode())
                for ticket in inbox.accept("telegram", "1", [update], self.sent + 1):
                    if ticket.dispatch:
                        self.answer(ticket)

    @property
    def adapter(self) -> str:
        return "telegram:" + Pseudonyms(read_key(self.folder)).of("a", "1")

    def answer(self, ticket: Ticket) -> None:
        who = next(p for p, inbox in self.inboxes.items() if inbox._journal.catch_up().owning == p)
        inbox = self.inboxes[who]
        self.waited_s = max(self.waited_s, self.at_s - float(ticket.update.payload))
        inbox.finish(inbox.start([ticket.message], f"s-{ticket.message}"), "no_reply")
        self.said += 1

    def settle_down(self) -> None:
        for manager in list(self.sides.values()):
            manager.step()
        self.go_on(EVERY_S)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    street = Street(tmp_path / "handoff")
    yield street
    for journal in street.journals:
        journal.close()


def handed_over(street: Street, load_s: float) -> list[str]:
    """The phases of a handoff to a green that takes so long to load."""
    street.load_s = 0.0
    street.begin(BLUE, "blue", serving=True)
    street.settle_down()
    street.journals[0].append(
        Draft(
            e.HandoffRequested(handoff="h1", runtime="same", bake_s=60.0, limits=e.Limits(init_s=60.0, sample_s=5.0))
        ),
        writer=Writer(process(9), "operator"),
    )
    while street.state().head.phase != "init":
        street.settle_down()
    street.begin(process(50), "green", serving=False)
    street.load_s = load_s
    while street.state().head.phase == "init" and street.at_s < 100.0:
        street.settle_down()
    while street.state().head.phase in ("ack", "active"):
        street.settle_down()
    street.load_s = 0.0
    for _ in range(5):
        street.settle_down()
    with closing(Reader(street.folder / "journal.db")) as reader:
        return [r.type for r in reader.all() if r.type.startswith("HANDOFF_")]


@pytest.mark.parametrize("load_s", [0.0, 1.0, 3.0])
def test_a_green_that_loads_slowly_under_steady_traffic_takes_over(street: Street, load_s: float) -> None:
    steps = handed_over(street, load_s)
    assert steps == ["HANDOFF_REQUESTED", "HANDOFF_INIT", "HANDOFF_ACK", "HANDOFF_ACTIVE", "HANDOFF_CONFIRM"]
    assert street.said == street.sent, "what waited while blue held still is answered"
    assert street.waited_s < 6.0 if load_s else street.waited_s < 1.0


def test_who_flushes_waits_longer_after_each_new_flush_and_holds_still_for_the_later_ones() -> None:
    pace, head = Pace(), Head(hash=b"")
    head.phase, head.green = "init", GREEN
    flushes, still, now = [], 0, 0
    for tenth in range(540):
        now = tenth * 10**8
        if pace.due(head, now):
            pace.flushed(head, e.Limits(init_s=60.0), now, new=not pace.still(head, now))
            flushes.append(tenth / 10)
        still += pace.still(head, now)
    assert flushes[:4] == [0.0, 0.3, 0.9, 2.1]
    assert max(b - a for a, b in pairwise(flushes)) == pytest.approx(5.0, abs=0.5)
    assert 20.0 < still / 10 < 30.0, "half of the time, once it was tried three times without"
    head.green = None
    assert not pace.still(head, now)


def test_nobody_holds_still_while_nothing_changes() -> None:
    pace, head = Pace(), Head(hash=b"")
    head.phase, head.green = "init", GREEN
    for tenth in range(300):
        now = tenth * 10**8
        if pace.due(head, now):
            pace.flushed(head, e.Limits(init_s=60.0), now, new=tenth == 0)
        assert not pace.still(head, now)
