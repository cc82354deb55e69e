"""One gateway: its pollers, its lanes, its turns, and the part of the manager's loop that feeds it. The inbox is the product's own."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_hooks.gateway import Ticket, Update
from journal import events as e
from journal.errors import LostHold, Refused
from journal.record import Draft
from tests.model.acting import Move, boxed, free_the_gate, inbox
from tests.model.book import ACCOUNT, ADAPTERS, PLATFORMS, GateHeld, Rules, append
from tests.model.watch import place
from tests.model.world import Proc, Run, World, at, quiet


def gateway_moves(rules: Rules, w: World, proc: Proc) -> Iterator[Move]:
    """What a running gateway may do next. A process that leaves finishes its turns."""
    name = w.state.head.side_of(proc.id) or f"the {proc.stage} process"
    try:
        for a in range(w.left.adapters):
            if proc.polls[a].on:
                yield from _polls(rules, w, proc, a, name)
        for u in proc.late:
            rest = proc._replace(late=tuple(v for v in proc.late if v != u))
            yield f"{name} journals {u} after letting go", _accept(rules, w.with_proc(rest), rest, u), True
            yield f"{name} forgets {u}", w.with_proc(rest), True
        for a in range(w.left.adapters):
            yield from _starts(rules, w, proc, a, name)
        for run in proc.runs:
            yield _advance(rules, w, proc, run, name)
        if proc.stage == "seated":
            yield from _fed(rules, w, proc, name)
            yield from _samples(rules, w, proc, name)
    except GateHeld:
        yield f"{name}'s gateway: the stopped holder of the gate is ended", free_the_gate(w, proc), True
    if proc.stage == "leaving" and not proc.runs:
        yield f"{name} is gone", w.without(proc), True


def _polls(rules: Rules, w: World, proc: Proc, a: int, name: str) -> Iterator[Move]:
    poll = proc.polls[a]
    if poll.batch is not None:
        u = poll.batch
        taken = proc._replace(polls=at(proc.polls, a, poll._replace(batch=None, offset=place(w, u)[1] + 1)))
        yield f"{name} journals {u}", _accept(rules, w.with_proc(taken), taken, u), True
        return
    consumed = max(w.consumed[a], poll.offset)
    u = a + consumed * w.left.adapters
    there = u < w.left.messages
    asked = proc._replace(polls=at(proc.polls, a, poll._replace(clean=True, batch=u if there else None)))
    if asked != proc or consumed != w.consumed[a]:
        yield f"{name} polls {PLATFORMS[a]}", w.with_proc(asked, consumed=at(w.consumed, a, consumed)), True


def _accept(rules: Rules, w: World, proc: Proc, u: int) -> World:
    """Journal an update, and queue it if it is due. Who is refused lets go of the poller and of what waits."""
    box, pen = inbox(rules, w, proc)
    a = place(w, u)[0]
    update = Update(str(u), "text", "chat", b"")
    try:
        (ticket,) = box.accept(PLATFORMS[a], ACCOUNT, [update], None)
    except Refused:
        off = proc.polls[a]._replace(on=False, batch=None, clean=False)
        return w.with_proc(proc._replace(polls=at(proc.polls, a, off), starting=False, queue=()))
    queue = (*proc.queue, ticket.message) if ticket.dispatch and proc.starting else proc.queue
    return boxed(pen.world, proc._replace(queue=queue), box)


def _starts(rules: Rules, w: World, proc: Proc, a: int, name: str) -> Iterator[Move]:
    """The next turn of a chat: over the first message that waits, or over all that wait when they were gathered."""
    waits = [seq for seq in proc.queue if place(w, w.known.index(seq))[0] == a]
    if not waits or any(place(w, run.updates[0])[0] == a for run in proc.runs):
        return
    for batch in {1: waits[:1], len(waits): waits}.values():
        updates = tuple(w.known.index(seq) for seq in batch)
        rest = proc._replace(queue=tuple(seq for seq in proc.queue if seq not in batch))
        box, pen = inbox(rules, w, rest)
        try:
            turn = box.start(batch, "session")
        except Refused:
            yield f"{name} may not start {updates}", boxed(w, rest, box), True
            continue
        yield (
            f"{name} starts {updates}",
            boxed(pen.world, rest._replace(runs=(*rest.runs, Run(turn, updates))), box),
            True,
        )


def _advance(rules: Rules, w: World, proc: Proc, run: Run, name: str) -> Move:
    box, pen = inbox(rules, w, proc)
    others = tuple(r for r in proc.runs if r != run)
    ahead = proc._replace(runs=(*others, run._replace(step=run.step + 1)))
    try:
        if run.step == 0:
            box.intend(run.turn, 0, 1)
            return f"{name} intends {run.updates}", pen.world.with_proc(ahead), True
        if run.step == 1:
            sends = tuple(min(2, n + (u in run.updates)) for u, n in enumerate(w.sends))
            return f"{name} sends {run.updates}", w.with_proc(ahead, sends=sends), True
        if run.step == 2:
            box.sent(run.turn, 0, None)
            return f"{name} records {run.updates}", pen.world.with_proc(ahead), True
        w = _written(w, proc, run)
        box, pen = inbox(rules, w, proc)
        box.finish(run.turn, "answered")
        return f"{name} finishes {run.updates}", pen.world.with_proc(_own(pen.world, proc)._replace(runs=others)), True
    except LostHold:
        return f"{name} has lost the hold of {run.updates}", w.with_proc(_own(w, proc)._replace(runs=others)), True


def _own(w: World, proc: Proc) -> Proc:
    return w.proc(proc.id) or proc


def _written(w: World, proc: Proc, run: Run) -> World:
    """The words of a turn go to disk: the other side has them when it has loaded again."""
    if not w.left.sessions:
        return w
    chat = place(w, run.updates[0])[0]
    procs = tuple(p if p.id == proc.id else p._replace(behind=p.behind | {chat}) for p in w.procs)
    return w._replace(procs=procs, disk=w.disk + 1)


def _fed(rules: Rules, w: World, proc: Proc, name: str) -> Iterator[Move]:
    """What ``Manager._serve_chats`` does beside the decisions: read up, take hold, take up."""
    head = w.state.head
    if head.owning != proc.id or not proc.polling or proc.todo:
        return
    box, pen = inbox(rules, w, proc)
    if box.unread(head) or not box.taking:
        proc = proc._replace(loaded=w.disk, behind=frozenset())
        box.read(head)
        box.take_hold()
    queue = list(proc.queue)

    def feed(ticket: Ticket) -> None:
        if proc.starting:
            queue.append(ticket.message)

    box.take_up(head, pen, feed)  # type: ignore[arg-type]
    after = boxed(w, proc._replace(queue=tuple(queue)), box)
    if after.procs != w.procs:
        yield f"{name} takes up what waits", after, True


def _samples(rules: Rules, w: World, proc: Proc, name: str) -> Iterator[Move]:
    """A health sample: green's while it has to show itself, and anybody's who counts as silent."""
    head = w.state.head
    side = head.side_of(proc.id)
    showing = side == "green" and head.phase in ("active", "baking") and proc.polling
    if side is None or not (showing or proc.slow or quiet(w.state, side)):
        return
    polls = {ADAPTERS[a]: int(proc.polls[a].clean) for a in range(w.left.adapters) if proc.polls[a].on}
    sample = e.HealthSampled(loop_lag_ms=0.0, turns=0, waiting=0, answered=0, errors=0, rss_mb=1.0, polls=polls)
    after = append(rules, w, proc.id, side, [Draft(sample)])
    yield f"{name} gives a sign of life", after.with_proc(proc._replace(slow=False)), True
