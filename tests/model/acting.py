"""One side's manager: what ``decide`` returns, carried out as ``gateway_hooks.manager`` does, an append at a time.

An action is a list of steps, and everything else goes on between two of them: kills, freezes, and what others append. A stale
decision is one whose first step waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gateway_hooks.inbox import Inbox
from gateway_hooks.seat import _free_seat
from gateway_hooks.settling import settle
from journal import events as e
from journal.errors import HandoffError, IllegalTransition, Refused
from journal.events import Process, Side
from journal.head import Head
from journal.record import Draft, Writer
from replay.decide import View
from tests.model import watch
from tests.model.book import ACCOUNT, ADAPTERS, NAMES, PLATFORMS, GateHeld, Pen, Rules, append
from tests.model.world import BOOT, NOW, RUNNING, STOPPED_AT_GATE, Poll, Proc, World, number

Move = tuple[str, World, bool]
"""What happens, the world after it, and whether the way out of trouble may use it: no fault, no operator, no thaw."""
_CLAIMS = tuple(e.AdapterConnected(platform=p, account=NAMES.of("a", ACCOUNT)) for p in PLATFORMS)
_PAUSED = {a: e.AdapterPaused(platform=c.platform, account=c.account) for a, c in zip(ADAPTERS, _CLAIMS, strict=True)}
_LOCAL = {"load", "serve_load", "pause", "end", "spawn", "connect", "leave"}
"""Steps that append nothing: there is no stale decision to wait with."""


def digests(version: int) -> dict[str, str]:
    """What a load or a flush gives of that version of the sessions."""
    return {"sessions": f"{version:016x}"}


@lru_cache
def _started(side: Side, serving: bool) -> e.ProcessStarted:
    return e.ProcessStarted(side=side, serving=serving, gateway="model", version="1", runtime="same")


def probe(w: World, process: Process | None) -> str:
    """The operating system's word."""
    proc = w.proc(process)
    return "none" if process is None else "dead" if proc is None else "running" if proc.up == RUNNING else "stopped"


def free_the_gate(w: World, proc: Proc) -> World:
    """Whoever finds the gate in the hands of a stopped process ends that, and decides again."""
    holder = next(p for p in w.procs if p.up == STOPPED_AT_GATE)
    return w.without(holder).with_proc(proc._replace(todo=()))


# ------------------------------------------------------------------------------------------- decide, and the first step


def manager_moves(rules: Rules, w: World, proc: Proc) -> Iterator[Move]:
    """What the manager of a seated process may do next."""
    me = w.state.head.side_of(proc.id)
    if proc.todo:
        yield from _step(rules, w, proc, me or "?")
        return
    if me is None:
        yield f"the {proc.stage} process has lost its seat and lets go", _leaves(w, proc), True
        return
    peer = w.state.head.green or w.state.head.expected_green if me == "blue" else w.state.head.blue
    stopped = probe(w, peer) == "stopped"
    for stopped_s in (float("inf"), 0.0) if stopped and w.left.stale else (float("inf"),):
        unnoticed = " (unnoticed stop)" if stopped and not stopped_s else ""
        action = _decision(rules, w, proc, me, stopped_s if stopped else 0.0)
        todo = tuple(_plan(w, proc, action))
        if not todo:
            continue
        w2 = w.with_proc(proc._replace(todo=todo), wrong=w.wrong or watch.decided(w, me, action))
        if w.left.stale and todo[0][0] not in _LOCAL:
            yield f"{me} decides: {_say(todo[0])}{unnoticed}", w2, not unnoticed
        else:
            for label, after, way in _step(rules, w2, proc._replace(todo=todo), me):
                yield label + unnoticed, after, way and not unnoticed


def _decision(rules: Rules, w: World, proc: Proc, me: Side, stopped_s: float) -> Any:
    head = w.state.head
    peer = head.green or head.expected_green if me == "blue" else head.blue
    loaded = digests(proc.loaded) if proc.loaded_seq >= 0 else {}
    view: View = rules.decide.View(
        me, NOW, BOOT, probe(w, peer), stopped_s, proc.polling, loaded, proc.loaded_seq, len(proc.runs),
        "broken" if proc.fault else "",
    )  # fmt: skip
    return rules.decide.decide(w.state, view)


def _plan(w: World, proc: Proc, action: Any) -> list[tuple[Any, ...]]:
    head = w.state.head
    match type(action).__name__:
        case "Say":
            return [("say", action.event, head.phase_seq)]
        case "Settle":
            return _settling(head, action.side)
        case "EndPeer":
            ending = _settling(head, action.side, action.how)
            return [("end", *ending[0][1:3]), *ending] if ending else []
        case "Spawn":
            return [("spawn", head.phase_seq)]
        case "Flush":
            return [] if dict(head.flushed) == digests(w.disk) else [("flush",)]
        case "Load":
            return [("load", action.flushed_seq)]
        case "LetGo":
            before = [("flush",)] if action.active else []
            return [*before, ("pause",), ("paused", action.active), ("flush",)]
        case "Serve":
            reads = head.owner == "green" and head.green is not None
            return [("serve_load", action.flushed_seq) if reads else ("serve", action.flushed_seq, -1)]
        case "Connect":
            return [*([("pause",)] if proc.fault else []), ("claim", head.epoch), ("connect",)]
        case "Exit":
            return [("goodbye",), ("leave",)]
    return []


def _settling(head: Head, side: Side, how: str = "died") -> list[tuple[Any, ...]]:
    process = head.process(side) or (head.expected_green if side == "green" else None)
    return [("settle", side, process, how)] if process else []


# ------------------------------------------------------------------------------------------- one step


def _step(rules: Rules, w: World, proc: Proc, me: str) -> Iterator[Move]:
    step, rest = proc.todo[0], proc._replace(todo=proc.todo[1:])
    label = f"{me}: {_say(step)}"
    try:
        yield label, _DO[step[0]](rules, w.with_proc(rest), rest, *step[1:]), True
        if step[0] in ("connect", "pause") and w.left.faults:
            yield f"{label} fails", w.with_proc(proc._replace(fault=True, todo=())).spend("faults"), False
    except Refused:
        yield f"{label} is refused", w.with_proc(proc._replace(todo=())), True
    except GateHeld:
        yield f"{label}: ends the stopped holder of the gate", free_the_gate(w, proc), True


def _say(step: tuple[Any, ...]) -> str:
    return " ".join(
        [step[0], *(x.TYPE if isinstance(x, e.Event) else x for x in step[1:] if isinstance(x, str | e.Event))]
    )


def _append(rules: Rules, w: World, proc: Proc, *drafts: Draft) -> World:
    role = w.state.head.side_of(proc.id) or "green"
    return append(rules, w, proc.id, role, drafts)


def _decided(rules: Rules, w: World, proc: Proc, event: e.Event, phase_seq: int) -> World:
    return _append(rules, w, proc, Draft(event, phase_seq=phase_seq))


def _settled(rules: Rules, w: World, proc: Proc, side: Side, process: Process, how: str) -> World:
    head = w.state.head
    if process not in (head.process(side), head.expected_green):
        return w
    return _append(rules, w, proc, *settle(head, side, process, how))


def _ended(rules: Rules, w: World, proc: Proc, side: Side, process: Process) -> World:
    peer = w.proc(process)
    if peer is None:
        return w
    return w.without(peer)


def _spawn(rules: Rules, w: World, proc: Proc, phase_seq: int) -> World:
    green = Proc(number(w.born), "spawned", proc.id, polls=(Poll(),) * w.left.adapters, behind=proc.behind)
    proc = proc._replace(todo=(("name", green.id, phase_seq),))
    return w.with_proc(proc).with_proc(green, born=w.born + 1)


def _name(rules: Rules, w: World, proc: Proc, green: Process, phase_seq: int) -> World:
    events = (e.GreenSpawned(green=green), e.HandoffInit(green=green))
    return _append(rules, w, proc, *(Draft(event, phase_seq=phase_seq) for event in events))


def _flush(rules: Rules, w: World, proc: Proc) -> World:
    if dict(w.state.head.flushed) == digests(w.disk):
        return w
    (digest,) = digests(w.disk).values()
    return _append(rules, w, proc, Draft(e.SessionFlushed(part="sessions", count=1, digest=digest)))


def _load(rules: Rules, w: World, proc: Proc, flushed_seq: int) -> World:
    return w.with_proc(proc._replace(loaded=w.disk, loaded_seq=flushed_seq, behind=frozenset()))


def _pause(rules: Rules, w: World, proc: Proc) -> World:
    """The gateway lets go. What was fetched may be on its way to the journal still."""
    late = tuple(p.batch for p in proc.polls if p.batch is not None)
    polls = (Poll(),) * w.left.adapters
    return w.with_proc(proc._replace(
        polls=polls, late=(*proc.late, *late), polling=False, starting=False, taking=False, dispatched=frozenset(), queue=()
    ))  # fmt: skip


def _paused(rules: Rules, w: World, proc: Proc, active: bool) -> World:
    mine = [a for a, p in w.state.head.connected.items() if p == proc.id]
    drafts = [Draft(_PAUSED[a]) for a in mine]
    if active:
        drafts.append(Draft(e.HandoffActive(turns=len(proc.runs))))
    return _append(rules, w, proc, *drafts)


def _serve_load(rules: Rules, w: World, proc: Proc, flushed_seq: int) -> World:
    todo = (("serve", flushed_seq, w.disk), *proc.todo)
    return w.with_proc(proc._replace(loaded=w.disk, behind=frozenset(), todo=todo))


def _serve(rules: Rules, w: World, proc: Proc, flushed_seq: int, version: int) -> World:
    event = e.BlueServing(flushed_seq=flushed_seq, digests=digests(version) if version >= 0 else {})
    w = _append(rules, w, proc, Draft(event))
    return w.with_proc(proc._replace(polling=False)) if proc.fault else w


def _claim(rules: Rules, w: World, proc: Proc, epoch: int) -> World:
    mine = {a for a, p in w.state.head.connected.items() if p == proc.id}
    claims = zip(ADAPTERS[: w.left.adapters], _CLAIMS, strict=False)
    return _append(rules, w, proc, *(Draft(c, epoch=epoch) for a, c in claims if a not in mine))


def _connect(rules: Rules, w: World, proc: Proc) -> World:
    polls = tuple(p if p.on else Poll(True, w.consumed[a]) for a, p in enumerate(proc.polls))
    return w.with_proc(proc._replace(polls=polls, polling=True, starting=True, fault=False))


def _goodbye(rules: Rules, w: World, proc: Proc) -> World:
    try:
        return _append(rules, w, proc, Draft(e.ProcessExited()))
    except IllegalTransition:
        return w


def _leave(rules: Rules, w: World, proc: Proc) -> World:
    return _leaves(w, proc)


def _leaves(w: World, proc: Proc) -> World:
    """Its gateway ends: it polls nothing more, and goes when its last turn is over."""
    off = (Poll(),) * w.left.adapters
    gone = proc._replace(
        stage="leaving", polls=off, polling=False, starting=False, taking=False, queue=(), late=(), todo=()
    )
    return w.with_proc(gone) if proc.runs else w.without(proc)


_DO: dict[str, Any] = {
    "say": _decided, "settle": _settled, "end": _ended, "spawn": _spawn, "name": _name, "flush": _flush, "load": _load,
    "pause": _pause, "paused": _paused, "serve_load": _serve_load, "serve": _serve, "claim": _claim, "connect": _connect,
    "goodbye": _goodbye, "leave": _leave,
}  # fmt: skip


# ------------------------------------------------------------------------------------------- taking a seat


class _System:
    """What ``gateway_hooks.seat`` asks of the operating system."""

    def __init__(self, world: World) -> None:
        self._world = world

    def probe(self, process: Process) -> str:
        return probe(self._world, process)


def seat_moves(rules: Rules, w: World, proc: Proc) -> Iterator[Move]:
    """A process that is not seated yet: spawned and waiting for its name, or started by the keeper. See ``seat.take``."""
    head = w.state.head
    spawned = proc.stage == "spawned"
    if spawned and head.expected_green != proc.id:
        orphan = w.proc(proc.parent) is None or head.phase != "requested" or head.expected_green is not None
        if orphan:
            yield "nobody waits for the spawned process: it ends", w.without(proc), True
        return
    try:
        yield (
            "the spawned process sits down" if spawned else "the started process sits down",
            _sit(rules, w, proc, spawned),
            True,
        )
    except GateHeld:
        yield "a starting process ends the stopped holder of the gate", free_the_gate(w, proc), True
    except HandoffError as error:
        yield f"a starting process stands aside: {error}", w.without(proc), True


def _sit(rules: Rules, w: World, proc: Proc, spawned: bool) -> World:
    head = w.state.head
    drafts: list[Draft] = []
    side: Side
    if spawned:
        side, serving = "green", False
    else:
        seats: tuple[Side, ...] = ("blue", "green")
        for s in seats:
            process = head.process(s) or (head.expected_green if s == "green" else None)
            if probe(w, process) == "dead" and process:
                drafts += settle(head, s, process, "died")
        side, serving = _free_seat(head, _System(w))  # type: ignore[arg-type]
    drafts.append(Draft(_started(side, serving)))
    if not spawned and head.open:
        drafts.append(Draft(e.HandoffResumed(phase=head.phase)))
    if serving:
        drafts += [Draft(c) for c in _CLAIMS[: w.left.adapters]]
    w = append(rules, w, proc.id, side, drafts)
    polls = tuple(Poll(serving, w.consumed[a] if serving else 0) for a in range(w.left.adapters))
    return w.with_proc(proc._replace(
        stage="seated", parent=None, polls=polls, polling=serving, taking=serving and not head.watchers, behind=frozenset()
    ))  # fmt: skip


def inbox(rules: Rules, w: World, proc: Proc) -> tuple[Inbox, Pen]:
    """The product's own inbox of this process, as it is now, writing into the world."""
    pen = Pen(rules, w, proc.id, "green")
    box = Inbox(pen, NAMES, Writer(proc.id, "green"), bytes, taking=proc.taking)  # type: ignore[arg-type]
    box._dispatched, box._unread = set(proc.dispatched), set(proc.unread)
    return box, pen


def boxed(w: World, proc: Proc, box: Inbox) -> World:
    """The world with what the inbox remembers now."""
    return w.with_proc(
        proc._replace(taking=box.taking, dispatched=frozenset(box._dispatched), unread=frozenset(box._unread))
    )
