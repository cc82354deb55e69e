"""What no step may do and no world may show: the promises, said once more and without the product's words for them.

``admitted`` looks at the processes as they are, where the law knows the record alone. ``unsafe`` judges a world, ``good`` says
whether it is one to end in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from journal import events as e
from journal.events import Process, Side
from journal.head import AT_REST
from tests.model.world import RUNNING, Proc, World, is_old


def unsafe(w: World) -> str:
    """Why this world breaks a promise; empty when it does not."""
    if w.wrong:
        return w.wrong
    for a in range(w.left.adapters):
        if sum(p.up == RUNNING and p.polls[a].on for p in w.procs) > 1:
            return "two processes poll one adapter"
    for u, seq in enumerate(w.known):
        if place(w, u)[1] < w.consumed[place(w, u)[0]] and seq is None:
            return f"message {u} is consumed and not in the journal"
        if w.sends[u] > 1:
            return f"message {u} is answered {w.sends[u]} times"
    return ""


def place(w: World, update: int) -> tuple[int, int]:
    """The adapter of an update, and its number there. What one adapter brings is one chat."""
    return update % w.left.adapters, update // w.left.adapters


def good(w: World) -> bool:
    """A runtime serves, every message is settled, and nothing of a handoff is left."""
    head = w.state.head
    owner = w.proc(head.owning)
    other = head.green if head.owner == "blue" else head.blue
    return (
        owner is not None
        and owner.up == RUNNING
        and all(p.on for p in owner.polls)
        and not owner.todo
        and head.phase in AT_REST
        and other is None
        and all(w.outcome)
    )


def admitted(w: World, event: e.Event, who: Process) -> str:
    """Why this event must not stand after that world, or nothing."""
    check = _CHECKS.get(type(event))
    return check(w, event, who) if check else ""


def decided(w: World, me: Side, action: Any) -> str:
    """Why this action must not be chosen in that world. It may be carried out later, when the world is another."""
    head, event = w.state.head, getattr(action, "event", None)
    peer = w.proc(head.green or head.expected_green if me == "blue" else head.blue)
    healthy = peer is not None and peer.up == RUNNING and not peer.slow
    if isinstance(event, e.HandoffComplete):
        last = w.state.samples.get("green", ())[-1:]
        if not last or last[0].process != head.green or is_old(last[0].moment):
            return "HANDOFF_COMPLETE without a fresh sample of green"
        if not (is_old(w.state.entered) or w.state.complete_requested):
            return "HANDOFF_COMPLETE before the bake is over"
        if w.state.word_within_s is not None:
            return "HANDOFF_COMPLETE though somebody's word is missing"
    mine = w.proc(head.process(me))
    if isinstance(event, e.HandoffConfirm) and not (mine and all(p.clean for p in mine.polls)):
        return "HANDOFF_CONFIRM without a clean poll of each adapter"
    if type(action).__name__ == "Exit" and head.owner == me:
        return "the owner leaves"
    if isinstance(event, e.HandoffSeized) and healthy:
        return "green seizes from a healthy blue"
    if hasattr(action, "how") and healthy and not is_old(w.state.entered):
        return "a healthy process is ended"
    if isinstance(event, e.HandoffRollback) and healthy and _nothing_wrong(w, me):
        return "a healthy handoff is rolled back"
    return ""


def _nothing_wrong(w: World, me: Side) -> bool:
    mine = w.proc(w.state.head.process(me))
    late = is_old(w.state.entered) and (w.state.head.phase != "baking" or w.state.word_within_s is not None)
    return not late and w.state.divergence is None and not (mine and mine.fault)


def _living(w: World, but: Process) -> list[Proc]:
    return [p for p in w.procs if p.id != but]


def _owner_only(w: World, event: e.Event, who: Process) -> str:
    return "" if w.state.head.owning == who else f"{event.TYPE} of a process that does not own the adapters"


def _started(w: World, event: e.ProcessStarted, who: Process) -> str:
    seated = w.proc(w.state.head.process(event.side))
    return f"a second {event.side} beside a living one" if seated else ""


def _connected(w: World, event: e.AdapterConnected, who: Process) -> str:
    a = ("telegram", "matrix").index(event.platform)
    if any(p.polls and p.polls[a].on for p in _living(w, who)):
        return f"{event.platform} is claimed while somebody else holds its poller"
    return _owner_only(w, event, who)


def _turn(w: World, event: e.TurnStarted, who: Process) -> str:
    updates = [w.known.index(m) for m in event.messages]
    me = w.proc(who)
    if not updates or len(set(updates)) < len(updates):
        return "a turn over nothing, or over a message twice"
    for u in updates:
        adapter = place(w, u)[0]
        if w.outcome[u]:
            return f"a turn over message {u}, which is settled"
        if any(u in run.updates for p in _living(w, who) for run in p.runs):
            return f"a turn over message {u}, which another process is answering"
        if any(
            w.known[v] is None or not w.outcome[v] for v in range(u) if place(w, v)[0] == adapter and v not in updates
        ):
            return f"message {u} is started before an earlier one of its chat is done"
        if me is not None and adapter in me.behind:
            return f"message {u} is started without the words that the other side has written in its chat"
    return _owner_only(w, event, who)


def _joined_or_said(w: World, event: e.ReplyIntended | e.ReplySent, who: Process) -> str:
    turn = w.state.head.turns.get(event.turn)
    if turn is None or turn.holder != who:
        return f"{event.TYPE} of a process that does not hold the turn"
    return "" if isinstance(event, e.ReplyIntended) or turn.intended else "sent, and never intended"


def _settled(w: World, event: e.MessageSettled, who: Process) -> str:
    u = w.known.index(event.message) if event.message in w.known else None
    if u is None:
        return "a message is settled that nobody knows"
    if w.outcome[u]:
        return f"message {u} is settled twice"
    if event.outcome in ("answered", "merged"):
        return "" if w.sends[u] else f"message {u} is lost: {event.outcome}, and nothing was sent"
    if event.outcome == "ambiguous":
        intended = any(t.intended for t in w.state.head.turns.values() if event.message in t.messages)
        due = w.state.head.messages[event.message].due if event.message in w.state.head.messages else None
        return (
            ""
            if w.sends[u] or intended or due == "ambiguous"
            else f"message {u} is ambiguous, and nothing was intended"
        )
    if event.outcome == "abandoned":
        return "" if w.died[u] >= 2 else f"message {u} is abandoned after {w.died[u]} deaths"
    return f"message {u} is lost: {event.outcome}"


def _lost(w: World, event: e.ProcessLost, who: Process) -> str:
    return "a living process is settled as lost" if w.proc(event.process) else ""


def _exited(w: World, event: e.ProcessExited, who: Process) -> str:
    me = w.proc(who)
    busy = me is not None and (me.runs or any(p.on for p in me.polls))
    return "a process leaves with its hands full" if busy else ""


def _requested(w: World, event: e.HandoffRequested, who: Process) -> str:
    owner = w.state.head.owning
    if w.proc(owner) is None:
        return "a handoff is asked of nobody"
    return "a handoff begins while the last one's other side is there" if _others(w, owner) else ""


def _others(w: World, owner: Process | None) -> bool:
    return any(p.stage == "seated" and p.id != owner and ("leave",) not in p.todo for p in w.procs)


def _spawned(w: World, event: e.GreenSpawned, who: Process) -> str:
    head = w.state.head
    there = w.proc(head.green) or w.proc(head.expected_green)
    return "a second green beside a living one" if there else _side(w, who, "blue")


def _side(w: World, who: Process, side: str) -> str:
    return "" if w.state.head.side_of(who) == side else f"only {side} may say that"


def _init(w: World, event: e.HandoffInit, who: Process) -> str:
    return "" if w.state.head.expected_green == event.green else "HANDOFF_INIT of a green that was not spawned"


def _ack(w: World, event: e.HandoffAck, who: Process) -> str:
    me = w.proc(who)
    flushed = w.state.head.flushed.get("sessions")
    here = w.state.head.blue is not None  # one that is gone may have written after its last flush
    if flushed and here and (me is None or me.loaded_seq != w.state.head.flushed_seq or me.loaded != int(flushed, 16)):
        return "green acknowledges what it has not loaded"
    return _side(w, who, "green")


def _active(w: World, event: e.HandoffActive, who: Process) -> str:
    me = w.proc(who)
    if me is not None and any(p.on for p in me.polls):
        return "blue hands over while it polls"
    if adapter_held(w, who):
        return "blue hands over what it has not paused"
    return _side(w, who, "blue")


def adapter_held(w: World, who: Process) -> bool:
    """Whether the record shows an adapter in the hands of that process."""
    return who in w.state.head.connected.values()


def _seized(w: World, event: e.HandoffSeized, who: Process) -> str:
    blue = w.proc(w.state.head.blue)
    if blue is not None and event.reason == "lost":
        return "green seizes from the living as from the dead"
    return _side(w, who, "green")


def _confirm(w: World, event: e.HandoffConfirm, who: Process) -> str:
    return _owner_only(w, event, who)


def _complete(w: World, event: e.HandoffComplete, who: Process) -> str:
    head = w.state.head
    if who == head.green and head.blue is not None:
        return "green completes though blue has not been settled"
    return ""


def _blue_serving(w: World, event: e.BlueServing, who: Process) -> str:
    head = w.state.head
    green, me = w.proc(head.green), w.proc(who)
    if green is not None and any(p.on for p in green.polls):
        return "blue serves while green holds a poller"
    if head.owner == "green" and head.green is not None:
        flushed = head.flushed.get("sessions")
        if flushed is None:
            return "blue serves before green has flushed"
        if me is None or me.loaded != int(flushed, 16):
            return "blue serves without what green has flushed"
    return _side(w, who, "blue")


def _terms(w: World, event: e.HandoffTerms, who: Process) -> str:
    head = w.state.head
    return "" if head.phase == "requested" and head.seq == head.phase_seq else "terms are changed after the request"


def _of_the_bake(w: World, event: e.Event, who: Process) -> str:
    return "" if w.state.head.phase == "baking" else f"{event.TYPE} of a bake that is not under way"


def _diverged(w: World, event: e.Event, who: Process) -> str:
    return "" if w.state.head.phase in ("init", "ack", "active", "baking") else "what is no green diverges"


def _rolled_back(w: World, event: e.HandoffRollback, who: Process) -> str:
    return "" if event.phase == w.state.head.phase else "a rollback of another phase than it says"


def _resumed(w: World, event: e.HandoffResumed, who: Process) -> str:
    return "" if event.phase == w.state.head.phase else "a handoff is resumed in another phase than it says"


_CHECKS: dict[type[e.Event], Callable[[World, Any, Process], str]] = {
    e.MessageAccepted: _owner_only,
    e.TurnStarted: _turn,
    e.ReplyIntended: _joined_or_said,
    e.ReplySent: _joined_or_said,
    e.MessageSettled: _settled,
    e.AdapterConnected: _connected,
    e.ProcessStarted: _started,
    e.ProcessLost: _lost,
    e.ProcessExited: _exited,
    e.HandoffRequested: _requested,
    e.GreenSpawned: _spawned,
    e.HandoffInit: _init,
    e.HandoffAck: _ack,
    e.HandoffActive: _active,
    e.HandoffSeized: _seized,
    e.HandoffConfirm: _confirm,
    e.HandoffComplete: _complete,
    e.BlueServing: _blue_serving,
    e.HandoffTerms: _terms,
    e.BakeConfirmed: _of_the_bake,
    e.HandoffCompleteRequested: _of_the_bake,
    e.DivergenceDetected: _diverged,
    e.HandoffRollback: _rolled_back,
    e.HandoffResumed: _resumed,
}
