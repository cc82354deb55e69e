"""What the law alone must keep out: any process says anything at any time, as if its decisions were made on a world of its own.

It may be wrong, late or confused, but it does not lie about what it has done: it never says that it has paused, loaded or sent
what it has not, nor that somebody is dead who lives. Of all else, what the law admits must be safe.
"""

from __future__ import annotations

from collections.abc import Iterator

from journal import events as e
from journal.errors import Refused
from journal.events import Process
from journal.pseudonyms import seal
from journal.record import Draft, Payload
from tests.model.acting import _CLAIMS, Move, _started, digests
from tests.model.book import ACCOUNT, CHATS, NAMES, PLATFORMS, GateHeld, Rules, append
from tests.model.watch import place
from tests.model.world import BAKE_S, BOOT, LIMITS, SIDES, Poll, Proc, Run, World, at, number

SESSION = NAMES.of("s", "session")
_NOBODY = Process(pid=3, started=0, boot=BOOT)


def rash_moves(rules: Rules, w: World, proc: Proc) -> Iterator[Move]:
    """Everything that this process may say out of turn, and what comes of it where the law admits it."""
    name = w.state.head.side_of(proc.id) or proc.stage
    for what, draft in _words(w, proc):
        try:
            after = append(rules, w, proc.id, w.state.head.side_of(proc.id) or "green", [draft])
        except (Refused, GateHeld):
            continue
        yield f"{name} rashly: {what}", _done(after, proc, draft.event).spend("rash"), False


def _words(w: World, proc: Proc) -> Iterator[tuple[str, Draft]]:
    for event in (*_protocol(w, proc), *_seats(w, proc)):
        detail = " ".join(
            str(v) for v in (getattr(event, "side", ""), getattr(event, "reason", ""), getattr(event, "phase", "")) if v
        )
        serving = " serving" if isinstance(event, e.ProcessStarted) and event.serving else ""
        of = f" of {event.process.pid}" if isinstance(event, e.ProcessLost) else ""
        yield f"{event.TYPE} {detail}{serving}{of}".rstrip(), Draft(event)
    for a in range(w.left.adapters):
        yield f"ADAPTER_CONNECTED {PLATFORMS[a]}", Draft(_CLAIMS[a])
    yield from _inward(w, proc)
    yield from _turns(w, proc)


def _protocol(w: World, proc: Proc) -> Iterator[e.Event]:
    head = w.state.head
    loaded = digests(proc.loaded) if proc.loaded_seq >= 0 else {}
    living = head.expected_green if w.proc(head.expected_green) else None
    yield e.HandoffInit(green=head.green or living or _NOBODY)
    yield e.HandoffInit(green=_NOBODY)
    yield e.HandoffAck(flushed_seq=max(proc.loaded_seq, 0), digests=loaded)
    yield e.HandoffActive(turns=0)
    yield e.HandoffSeized(reason="lost")
    yield e.HandoffConfirm(samples=(1,))
    yield e.HandoffComplete(sample=1)
    yield e.HandoffFailed(reason="fault")
    yield e.HandoffRequested(handoff=head.handoff or "h0", runtime="same", bake_s=BAKE_S, limits=LIMITS)
    yield e.HandoffRequested(handoff="again", runtime="same", bake_s=BAKE_S, limits=LIMITS)
    yield e.HandoffTerms(confirm_within_s=BAKE_S)
    yield e.BakeConfirmed()
    yield e.DivergenceDetected(rule="silence", measured=1.0, limit=0.0, evidence=())
    yield e.HandoffCompleteRequested()
    yield e.HandoffRollback(phase=head.phase, reason="fault")
    yield e.HandoffRollback(phase="ack" if head.phase != "ack" else "init", reason="fault")
    yield e.HandoffResumed(phase="ack" if head.phase != "ack" else "init")
    version = {} if proc.loaded < 0 else digests(proc.loaded)
    yield e.BlueServing(flushed_seq=head.flushed_seq, digests=version)


def _seats(w: World, proc: Proc) -> Iterator[e.Event]:
    yield e.ProcessExited()
    yield e.ProcessLost(side=w.state.head.side_of(proc.id) or "green", process=proc.id, how="died")
    gone = number(0)
    if w.proc(gone) is None:
        yield from (e.ProcessLost(side=side, process=gone, how="died") for side in SIDES)
    yield from (_started(side, serving) for side in SIDES for serving in (True, False))


def _inward(w: World, proc: Proc) -> Iterator[tuple[str, Draft]]:
    """An update that it has fetched once, and one with words that are not its own."""
    for u, seq in enumerate(w.known):
        if seq is None and w.consumed[place(w, u)[0]] == place(w, u)[1]:
            yield f"accepts {u}", _update(w, u, b"words")
            yield (
                f"accepts {u} with other words",
                Draft(_update(w, u, b"words").event, payload=Payload(bytes(16), b"other")),
            )


def _update(w: World, u: int, words: bytes) -> Draft:
    payload, digest = seal(words, bytes(16))
    a = place(w, u)[0]
    event = e.MessageAccepted(
        platform=PLATFORMS[a],
        account=NAMES.of("a", ACCOUNT),
        chat=CHATS[a],
        kind="text",
        update_id=str(u),
        digest=digest,
    )
    return Draft(event, payload=payload)


def _turns(w: World, proc: Proc) -> Iterator[tuple[str, Draft]]:
    head = w.state.head
    yield "a turn over nothing", Draft(e.TurnStarted(messages=(), session=SESSION))
    for seq in head.messages:
        u = w.known.index(seq)
        earlier = any(not w.outcome[v] for v in range(u) if place(w, v)[0] == place(w, u)[0])
        if not earlier and place(w, u)[0] not in proc.behind:  # in which order is the lanes' business, not the law's
            yield f"a turn over {u}", Draft(e.TurnStarted(messages=(seq,), session=SESSION))
            yield f"a turn over {u} twice", Draft(e.TurnStarted(messages=(seq, seq), session=SESSION))
    for turn, held in head.turns.items():
        u = w.known.index(held.messages[0])
        mine = held.holder == proc.id
        sent = any(run.turn == turn and run.step >= 2 for run in proc.runs)
        if not mine or held.intended:
            yield f"intends {u} again", Draft(e.ReplyIntended(turn=turn, part=0))
        if not mine or not sent:
            yield f"has sent part 1 of {u}", Draft(e.ReplySent(turn=turn, part=1))
        if not mine:
            yield f"finishes {u}", Draft(e.TurnFinished(turn=turn, outcome="answered"))
            for seq in head.messages:
                yield f"joins {w.known.index(seq)} to {u}", Draft(e.TurnJoined(turn=turn, message=seq))
    for u, known in enumerate(w.known):
        message = head.messages.get(known or 0)
        free = message is not None and message.turn is None and message.due is None and head.owning == proc.id
        at_hand = message is not None and (
            message.finisher == proc.id or getattr(head.turns.get(message.turn or 0), "holder", None) == proc.id
        )
        if known and not free and not at_hand:
            yield f"settles {u} as refused", Draft(e.MessageSettled(message=known, outcome="refused"))


def _done(w: World, proc: Proc, event: e.Event) -> World:
    """What the process does once it is admitted."""
    head = w.state.head
    if isinstance(event, e.AdapterConnected):
        a = PLATFORMS.index(event.platform)
        return w.with_proc(
            proc._replace(polls=at(proc.polls, a, Poll(True, w.consumed[a])), polling=True, starting=True)
        )
    if isinstance(event, e.TurnStarted) and event.messages:
        updates = tuple(w.known.index(m) for m in event.messages)
        return w.with_proc(proc._replace(runs=(*proc.runs, Run(head.seq, updates))))
    if isinstance(event, e.ReplyIntended):
        updates = tuple(w.known.index(m) for m in head.turns[event.turn].messages)
        return w._replace(sends=tuple(n + (u in updates) for u, n in enumerate(w.sends)))
    if isinstance(event, e.ProcessStarted):
        serving = tuple(Poll(False, w.consumed[a]) for a in range(w.left.adapters))
        return w.with_proc(proc._replace(stage="seated", parent=None, polls=serving, taking=event.serving, todo=()))
    if isinstance(event, e.ProcessExited):
        return w.with_proc(proc._replace(todo=(("leave",),)))
    return w
