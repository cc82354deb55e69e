"""What is not a side's own doing: kills, stops, slowness, time, the operator, and the keeper."""

from __future__ import annotations

from collections.abc import Iterator

from journal import events as e
from journal.errors import Refused
from journal.events import Process, Role
from journal.record import Draft
from tests.model.acting import Move, manager_moves, seat_moves
from tests.model.book import GateHeld, Rules, append
from tests.model.keeping import keeper_moves
from tests.model.rash import rash_moves
from tests.model.serving import gateway_moves
from tests.model.world import (
    BAKE_S,
    BOOT,
    LIMITS,
    RUNNING,
    STOPPED,
    STOPPED_AT_GATE,
    Proc,
    World,
    is_old,
    time_passes,
)

_OPERATOR = Process(pid=2, started=0, boot=BOOT)


def moves(rules: Rules, w: World) -> Iterator[Move]:
    """Everything that may happen next."""
    for proc in w.procs:
        if proc.up == RUNNING:
            if proc.stage == "seated":
                yield from manager_moves(rules, w, proc)
            if proc.stage in ("seated", "leaving"):
                yield from gateway_moves(rules, w, proc)
            else:
                yield from seat_moves(rules, w, proc)
            if w.left.rash and not proc.todo:
                yield from rash_moves(rules, w, proc)
        yield from _faults(w, proc)
    yield from _time(w)
    yield from _operator(rules, w)
    yield from keeper_moves(rules, w)


def _name(w: World, proc: Proc) -> str:
    return w.state.head.side_of(proc.id) or f"a {proc.stage} process"


def _faults(w: World, proc: Proc) -> Iterator[Move]:
    name = _name(w, proc)
    if w.left.kills:
        yield f"{name} is killed", w.without(proc).spend("kills"), False
    if proc.up != RUNNING:
        yield f"{name} thaws", w.with_proc(proc._replace(up=RUNNING, slow=True)), False
        return
    if proc.stage == "starting":
        return
    if w.left.freezes:
        yield f"{name} is stopped", w.with_proc(proc._replace(up=STOPPED)).spend("freezes"), False
        if w.left.gates and not any(p.up == STOPPED_AT_GATE for p in w.procs):
            held = w.with_proc(proc._replace(up=STOPPED_AT_GATE)).spend("freezes").spend("gates")
            yield f"{name} is stopped with the gate in its hands", held, False
    side = w.state.head.side_of(proc.id)
    if w.left.slow and side and not proc.slow:
        quiet = w.with_proc(proc._replace(slow=True))
        yield f"{name} gives no sign of life for long", time_passes(quiet, side).spend("slow"), False


def _time(w: World) -> Iterator[Move]:
    if w.state.steps and not is_old(w.state.entered):
        yield f"the phase {w.state.head.phase} lasts too long", time_passes(w), True


def _operator(rules: Rules, w: World) -> Iterator[Move]:
    head = w.state.head
    owner = w.proc(head.owning)
    if not head.open and w.left.handoffs and owner is not None and owner.up == RUNNING:
        request = e.HandoffRequested(handoff=f"h{w.left.handoffs}", runtime="same", bake_s=BAKE_S, limits=LIMITS)
        yield from _orders(rules, w, "handoffs", request)
        if w.left.words:
            yield from _orders(rules, w, "handoffs", request, e.HandoffTerms(confirm_within_s=BAKE_S))
    if w.left.orders:
        if head.phase == "requested":
            yield from _orders(rules, w, "orders", e.HandoffFailed(reason="fault"))
        elif head.phase in ("init", "ack", "active", "baking"):
            yield from _orders(rules, w, "orders", e.HandoffRollback(phase=head.phase, reason="operator"))
        if head.phase == "baking" and not w.state.complete_requested:
            yield from _orders(rules, w, "orders", e.HandoffCompleteRequested())
        if head.phase == "baking" and w.state.word_within_s is not None:
            yield from _orders(rules, w, "orders", e.BakeConfirmed())
    if w.left.divergences and head.phase in ("active", "baking") and head.blue and w.proc(head.blue):
        found = e.DivergenceDetected(rule="silence", measured=1.0, limit=0.0, evidence=())
        after = _told(rules, w, head.blue, "blue", found)
        if after:
            yield "blue finds green diverging", after.spend("divergences"), False


def _orders(rules: Rules, w: World, budget: str, *events: e.Event) -> Iterator[Move]:
    after = _told(rules, w, _OPERATOR, "operator", *events)
    if after:
        yield f"the operator says {' and '.join(event.TYPE for event in events)}", after.spend(budget), False


def _told(rules: Rules, w: World, who: Process, role: Role, *events: e.Event) -> World | None:
    try:
        return append(rules, w, who, role, [Draft(event) for event in events])
    except (Refused, GateHeld):
        return None
