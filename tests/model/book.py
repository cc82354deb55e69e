"""Appending: the product's law, its fold, and the watch over what is admitted. One append is one step, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from journal import events as e
from journal.events import Process, Role
from journal.head import Head, adapter_key
from journal.pseudonyms import Pseudonyms, seal
from journal.record import Draft, Payload, Receipt, Writer
from replay.fold import State, apply
from tests.model import watch
from tests.model.world import STOPPED_AT_GATE, Row, World, at

PLATFORMS = ("telegram", "matrix")
ACCOUNT = "7"


class Rules(NamedTuple):
    """The product: ``journal.law`` and ``replay.decide``, or what a mutation made of one of them."""

    law: ModuleType
    decide: ModuleType


class GateHeld(Exception):
    """A stopped process holds the gate: nobody appends before it was ended."""


class _Names(Pseudonyms):
    """The product's pseudonyms, looked up instead of computed."""

    def of(self, kind: Any, clear: str) -> str:
        return _pseudonym(kind, clear)


@lru_cache
def _pseudonym(kind: Any, clear: str) -> str:
    return Pseudonyms(bytes(32)).of(kind, clear)


NAMES = _Names(bytes(32))
ADAPTERS = tuple(adapter_key(p, NAMES.of("a", ACCOUNT)) for p in PLATFORMS)
CHATS = tuple(NAMES.of("c", f"{p}:chat") for p in PLATFORMS)


def append(rules: Rules, w: World, process: Process, role: Role, drafts: Sequence[Draft]) -> World:
    """The world after an append.

    Raises:
        Refused: By the law; the world stays as it was.
        GateHeld: Somebody has to be ended first.
    """
    if any(p.up == STOPPED_AT_GATE and p.id != process for p in w.procs):
        raise GateHeld
    writer = Writer(process, role)
    for draft in drafts:
        event, state = draft.event, w.state
        if isinstance(event, e.MessageAccepted) and w.known[int(event.update_id)] is not None:
            continue
        rules.law.check(state.head, draft, writer)
        wrong = watch.admitted(w, event, process)
        who = rules.law.role_of(state.head, writer, event)
        w = _told(w, state.head.seq + 1, event, apply(state, Row(state.head.seq + 1, event, process, who)))  # type: ignore[arg-type]
        if wrong and not w.wrong:
            w = w._replace(wrong=wrong)
    return w


def _told(w: World, seq: int, event: e.Event, state: State) -> World:
    if isinstance(event, e.MessageAccepted):
        return w._replace(state=state, known=at(w.known, int(event.update_id), seq))
    if isinstance(event, e.MessageSettled):
        return w._replace(state=state, outcome=at(w.outcome, w.known.index(event.message), event.outcome))
    return w._replace(state=state)


class Pen:
    """What the product's inbox writes with: ``journal.store.Journal`` and its reader, over a world."""

    def __init__(self, rules: Rules, world: World, process: Process, role: Role) -> None:
        self.world = world
        self._rules, self._process, self._role = rules, process, role

    @property
    def head(self) -> Head:
        return self.world.state.head

    def catch_up(self) -> Head:
        return self.head

    def append(self, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        """As in the store: a known update gets the receipt of its first acceptance."""
        before = self.head.seq
        self.world = append(self._rules, self.world, self._process, self._role, drafts)
        receipts = []
        for draft in drafts:
            known = self.world.known[int(draft.event.update_id)] if isinstance(draft.event, e.MessageAccepted) else None
            receipts.append(Receipt(known or self.head.seq, b"", known is not None and known <= before))
        return tuple(receipts)

    def payload(self, seq: int) -> Payload | None:
        """The words of a message that is not settled, in the packing of the inbox."""
        if seq not in self.head.messages:
            return None
        return seal(f'["telegram","{ACCOUNT}","{self.world.known.index(seq)}","text","chat",""]'.encode(), bytes(16))[0]
