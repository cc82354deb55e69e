"""The keeper: what ``replay.boot`` decides for one that is never away, carried out as ``gateway_hooks.keeper`` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway_hooks.settling import settle
from journal.errors import Refused
from journal.events import Process
from journal.record import Draft
from replay import boot
from tests.model.acting import Move, probe
from tests.model.book import GateHeld, Rules, append
from tests.model.world import BOOT, NOW, STOPPED_AT_GATE, Poll, Proc, World, number

_KEEPER = Process(pid=1, started=0, boot=BOOT)


def keeper_moves(rules: Rules, w: World) -> Iterator[Move]:
    """Its next action; and in the bake, as a fault, the one that follows three failed starts of green's runtime."""
    view = _view(w)
    yield from _acts(rules, w, boot.keep(w.state, view), True)
    if w.left.faults and w.state.head.phase == "baking":
        tried = boot.boot(w.state, blue=False, green=False)
        after_failures = boot.keep(w.state, replace(view, tried=tried, failures=boot.MAX_FAILURES))
        for label, after, _ in _acts(rules, w, after_failures, False):
            yield f"{label} after three failed starts", after.spend("faults"), False


def _view(w: World) -> boot.View:
    head = w.state.head
    seats: dict[Any, Any] = {
        "blue": probe(w, head.blue),
        "green": probe(w, head.green or head.expected_green),
        "starting": "running" if any(p.stage == "starting" for p in w.procs) else "none",
    }
    stopped = {seat: float("inf") for seat, found in seats.items() if found == "stopped"}
    return boot.View(NOW, BOOT, **seats, stopped_s=stopped)


def _acts(rules: Rules, w: World, action: Any, way: bool) -> Iterator[Move]:
    head = w.state.head
    try:
        match type(action).__name__:
            case "Say":
                draft = Draft(action.event, phase_seq=head.phase_seq)
                yield f"the keeper says {action.event.TYPE}", append(rules, w, _KEEPER, "keeper", [draft]), way
            case "Settle":
                process = head.process(action.side) or head.expected_green
                if process:
                    after = append(rules, w, _KEEPER, "keeper", settle(head, action.side, process, "died"))
                    yield f"the keeper settles {action.side}", after, way
            case "EndPeer":
                proc = w.proc(head.process(action.side) or head.expected_green)
                if proc:
                    yield f"the keeper ends {action.side}: {action.how}", w.without(proc), way
            case "Start":
                new = Proc(number(w.born), "starting", polls=(Poll(),) * w.left.adapters)
                yield f"the keeper starts {action.side}", w.with_proc(new, born=w.born + 1), way
    except GateHeld:
        holder = next(p for p in w.procs if p.up == STOPPED_AT_GATE)
        yield "the keeper ends the stopped holder of the gate", w.without(holder), way
    except Refused:
        return
