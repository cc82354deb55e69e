"""Wounds: a process of the product stops or ends itself, or its peer, at an exact point. The product knows nothing of it.

``arm`` wraps what appends, rings the bell, lets go of the gate and sends. A wound is dealt once, however often its process is started
again: whoever deals it creates a note first, which says when, by whom, and to whom.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gateway_hooks import seat
from gateway_hooks.reference.botclient import BotClient
from journal.bell import Bell
from journal.events import Process, Role
from journal.gate import Gate
from journal.head import Head
from journal.law import role_of
from journal.record import Draft, Writer
from journal.store import Journal

Point = Literal["before", "inside", "held", "unrung", "after"]
"""Before the append; in its transaction; committed, and still holding the gate; committed and not rung; after it returned.

Of a ``send``: ``before`` and ``after`` the request, as seen by the gateway; ``inside`` (the request is with the platform, which has
not taken it) and ``held`` (taken, not answered) are dealt from outside, while the platform's stand-in has it in its hands.
"""
How = Literal["kill", "stop", "thaw"]
Victim = Literal["self", "peer", "both", "blue", "green"]
"""Whoever is at the point, the other side, both of them; or a side by its name."""
WOUNDS = "HANDOFF_CRASH_WOUNDS"
NOTES = "HANDOFF_CRASH_NOTES"
GATE_S = 1.0
"""How long a gateway waits for the gate here; the product's own is 3 s."""
SEND = "send"


@dataclass(frozen=True, slots=True)
class Wound:
    """When ``side`` says ``type`` in ``phase`` for the ``nth`` time, ``victim`` is hurt at ``point``."""

    side: Role
    type: str
    phase: str
    point: Point
    how: How
    victim: Victim
    nth: int = 1

    @property
    def name(self) -> str:
        nth = f"#{self.nth}" if self.nth > 1 else ""
        return f"{self.phase}/{self.side}/{self.type}{nth}/{self.point}/{self.how}-{self.victim}"


def environment(wounds: tuple[Wound, ...], notes: Path) -> dict[str, str]:
    """What a process needs to know to be wounded."""
    return {WOUNDS: json.dumps([asdict(wound) for wound in wounds]), NOTES: str(notes)}


def deal(n: int, wound: Wound, notes: Path, mine: Process, head: Head, *, itself: bool = True) -> bool:
    """Deal wound number ``n``, unless it was dealt before or there is nobody to take it."""
    victims = _victims(wound.victim, mine, head)
    if not victims:
        return False
    try:
        fd = os.open(notes / f"wound-{n}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    note = {"at_ns": time.monotonic_ns(), "by": mine.pid, "victims": [p.pid for p in victims], "how": wound.how}
    os.write(fd, json.dumps(note).encode())
    os.close(fd)
    number = signal.SIGKILL if wound.how == "kill" else signal.SIGSTOP
    for victim in victims:
        if victim == mine and itself and number == signal.SIGSTOP:
            signal.pthread_kill(threading.get_ident(), number)  # this very thread goes no further
        else:
            with suppress(ProcessLookupError):
                os.kill(victim.pid, number)
    return True


def _victims(victim: Victim, mine: Process, head: Head) -> list[Process]:
    """Who is hurt; oneself last."""
    sides = {"blue": head.blue, "green": head.green or head.expected_green}
    peers = [p for p in sides.values() if p not in (None, mine)]
    chosen = {"self": [mine], "peer": peers[:1], "both": [*peers[:1], mine]}.get(victim, [sides.get(victim)])
    return [p for p in chosen if p is not None]


class _Armed:
    """One wound of this process, and how far it has come."""

    def __init__(self, n: int, wound: Wound, notes: Path) -> None:
        self.n, self.wound, self.notes = n, wound, notes
        self.seen = 0
        self.written: tuple[Head, Writer] | None = None

    def fits(self, head: Head, writer: Writer, draft: Draft) -> bool:
        wound, event = self.wound, draft.event
        return wound.type == event.TYPE and head.phase == wound.phase and role_of(head, writer, event) == wound.side

    def counts(self) -> bool:
        self.seen += 1
        return self.seen >= self.wound.nth

    def deal(self, head: Head, mine: Process) -> None:
        deal(self.n, self.wound, self.notes, mine, head)

    def reached(self, point: Point) -> None:
        if self.written is not None and self.wound.point == point:
            (head, writer), self.written = self.written, None
            self.deal(head, writer.process)


def arm(env: Mapping[str, str]) -> None:
    """Wrap the product in this process so that the wounds in ``env`` are dealt."""
    seat.GATE_S = GATE_S
    notes = Path(env[NOTES])
    wounds = [Wound(**given) for given in json.loads(env.get(WOUNDS, "[]"))]
    armed = [_Armed(n, wound, notes) for n, wound in enumerate(wounds) if not (notes / f"wound-{n}").exists()]
    if armed:
        _wrap_journal(armed)
        _wrap_sender(armed)


_OPENED: list[tuple[Journal, Writer]] = []
"""The journal of this process and who it last wrote as; for what happens between appends."""


def _wrap_journal(armed: list[_Armed]) -> None:
    append, insert, leave, ring = Journal.append, Journal._insert, Gate._leave, Bell.ring

    def appending(self: Journal, *drafts: Draft, writer: Writer) -> Any:
        _OPENED[:] = [(self, writer)]
        before = [a for a in armed if a.wound.point == "before"]
        if any(a.wound.type == draft.event.TYPE for a in before for draft in drafts):
            head = self.catch_up()
            for each in before:
                if any(each.fits(head, writer, draft) for draft in drafts) and each.counts():
                    each.deal(head, writer.process)
        receipts = append(self, *drafts, writer=writer)
        for each in armed:
            each.reached("after")
        return receipts

    def inserting(self: Journal, head: Head, draft: Draft, writer: Writer, *rest: Any) -> None:
        hit = [a for a in armed if a.wound.point != "before" and a.fits(head, writer, draft)]
        here = head.copy() if hit else head
        insert(self, head, draft, writer, *rest)
        for each in hit:
            if each.counts():
                each.written = here, writer  # as it stood before
                each.reached("inside")

    def leaving(self: Gate) -> None:
        for each in armed:
            each.reached("held")
        leave(self)

    def ringing(self: Bell, seq: int, digest: bytes) -> None:
        for each in armed:
            each.reached("unrung")
        ring(self, seq, digest)

    Journal.append, Journal._insert = appending, inserting  # type: ignore[method-assign,assignment]
    Gate._leave, Bell.ring = leaving, ringing  # type: ignore[method-assign]


def _wrap_sender(armed: list[_Armed]) -> None:
    send = BotClient.send

    def reached(point: Point) -> None:
        for each in armed:
            if each.wound.type == SEND and each.wound.point == point and _OPENED:
                (journal, writer) = _OPENED[0]
                head = journal.head
                if (head.phase, head.side_of(writer.process)) == (each.wound.phase, each.wound.side) and each.counts():
                    each.deal(head, writer.process)

    async def sending(self: BotClient, chat_id: int, text: str) -> str:
        reached("before")
        reference = await send(self, chat_id, text)
        reached("after")
        return reference

    BotClient.send = sending  # type: ignore[method-assign]
