"""What may follow what: a pure function from the folded head and a draft to yes, or to the reason why not.

Three ways to be admitted: *owner* events need the current epoch and the owner's incarnation; *holder* events need an open hold of
that very incarnation, under whatever epoch; *protocol* events need the role and the phase in which they were decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from journal import events as e
from journal.errors import AlreadyTaken, IllegalTransition, LostHold, Refused, StaleEpoch
from journal.events import Role
from journal.head import TRANSITIONS, Head, Turn, adapter_key
from journal.record import Draft, Writer


def role_of(head: Head, writer: Writer, event: e.Event) -> Role:
    """The role in which a writer speaks: its seat in the head; else what it says of itself."""
    if isinstance(event, e.ProcessStarted):
        return event.side
    return head.side_of(writer.process) or writer.role


def check(head: Head, draft: Draft, writer: Writer) -> Role:
    """Admit the draft after ``head``, or say why not.

    Returns:
        The role in which the writer says it.
    Raises:
        StaleEpoch, LostHold, AlreadyTaken, IllegalTransition: see ``journal.errors``. Nothing may be written then.
    """
    event = draft.event
    transition, owner, seated, wordy, rule = _ASKED[type(event)]
    role = role_of(head, writer, event)
    if draft.phase_seq is not None and draft.phase_seq != head.phase_seq:
        raise IllegalTransition(
            f"{event.TYPE} was decided at seq {draft.phase_seq}, the phase has moved since",
            hint="refold and decide again",
        )
    if transition:
        _check_transition(head, event, role)
    if owner:
        _check_owner(head, draft, writer)
    elif seated and role in ("blue", "green"):
        _seated(head, event, writer)
    if wordy or draft.payload is not None:
        _check_words(event, draft)
    if rule:
        rule(head, event, writer)
    return role


def _check_transition(head: Head, event: e.Event, role: Role) -> None:
    phases, roles, _ = TRANSITIONS[event.TYPE]
    if head.phase not in phases:
        raise IllegalTransition(
            f"{event.TYPE} is not possible in phase {head.phase}",
            hint="look at 'handoff-journal status' and decide again",
        )
    if role not in roles:
        raise IllegalTransition(f"{event.TYPE} is not for {role} to say", hint="only " + ", ".join(sorted(roles)))


def _check_owner(head: Head, draft: Draft, writer: Writer) -> None:
    if head.owning != writer.process or (draft.epoch is not None and draft.epoch != head.epoch):
        raise StaleEpoch(
            f"{draft.event.TYPE}: process {writer.process.pid} does not own the adapters in epoch {head.epoch}",
            hint="let go at once and forget what was fetched",
        )


_WORDY = (e.MessageAccepted, e.WatcherHandedOver)


def _check_words(event: e.Event, draft: Draft) -> None:
    """What somebody wrote comes with its event and fits the event's digest; other events carry none."""
    digest = event.digest if isinstance(event, _WORDY) else None
    words = draft.payload
    if digest is None and words is None:
        return
    if digest is None or words is None or hashlib.sha256(words.salt + words.data).hexdigest() != digest:
        raise Refused(f"{event.TYPE} does not fit its words", hint="seal the words, and hand them in with their digest")


def _requested(head: Head, event: e.HandoffRequested, _writer: Writer) -> None:
    if event.handoff == head.handoff:
        raise IllegalTransition(f"handoff {event.handoff} was there already", hint="give each handoff its own id")
    if head.owning is None:
        raise IllegalTransition("no gateway serves", hint="start the gateway with the plugin enabled, then promote")
    if head.process("green" if head.owner == "blue" else "blue") is not None:
        raise IllegalTransition(
            "the other side of the last handoff is still finishing its turns", hint="wait until it has exited"
        )


def _terms(head: Head, _event: e.Event, _writer: Writer) -> None:
    if head.phase != "requested" or head.seq != head.phase_seq:
        raise IllegalTransition("terms stand right behind their request", hint="say them in the same append")


def _init(head: Head, event: e.HandoffInit, writer: Writer) -> None:
    _in_blues_place(head, writer)
    if head.expected_green != event.green:
        raise IllegalTransition("HANDOFF_INIT names another process than GREEN_SPAWNED", hint="refold and decide again")


def _ack(head: Head, event: e.HandoffAck, _writer: Writer) -> None:
    """A blue that is gone may have written after its last flush: then what stands on disk counts."""
    _agree(head, event.flushed_seq, event.digests if head.blue is not None else head.flushed)


def _agree(head: Head, flushed_seq: int, digests: Mapping[str, str]) -> None:
    if flushed_seq != head.flushed_seq:
        raise IllegalTransition(
            f"loaded up to seq {flushed_seq}, flushed up to {head.flushed_seq}", hint="load again and decide again"
        )
    for part, digest in head.flushed.items():
        if digests.get(part) != digest:
            raise IllegalTransition(f"the digest of {part} differs from what was flushed", hint="load again")


def _active(head: Head, _event: e.Event, _writer: Writer) -> None:
    held = sorted(a for a, p in head.connected.items() if p == head.blue)
    if held:
        raise IllegalTransition(f"blue still holds {', '.join(held)}", hint="pause every adapter first")


def _seized(head: Head, event: e.HandoffSeized, _writer: Writer) -> None:
    if event.reason == "lost" and head.blue is not None:
        raise IllegalTransition("blue is not recorded as lost", hint="settle it with PROCESS_LOST first")


def _complete(head: Head, _event: e.Event, writer: Writer) -> None:
    if head.side_of(writer.process) == "green" and head.blue is not None:
        raise IllegalTransition("blue is alive: completing is its word", hint="wait, or settle blue first")


def _rollback(head: Head, event: e.HandoffRollback, _writer: Writer) -> None:
    if event.phase != head.phase:
        raise IllegalTransition(
            f"HANDOFF_ROLLBACK was decided in {event.phase}, the phase is {head.phase}", hint="refold and decide again"
        )


def _blue_serving(head: Head, event: e.BlueServing, _writer: Writer) -> None:
    held = sorted(a for a, p in head.connected.items() if p != head.blue)
    if held:
        raise IllegalTransition(
            f"green has not let go of {', '.join(held)}", hint="wait for its ADAPTER_PAUSED, or end and settle it"
        )
    if head.owner == "green" and head.green is not None:
        if not head.flushed_seq:
            raise IllegalTransition(
                "green has not flushed yet", hint="wait for its SESSION_FLUSHED, or end and settle it"
            )
        _agree(head, event.flushed_seq, event.digests)


def _complete_requested(head: Head, _event: e.Event, _writer: Writer) -> None:
    if head.phase != "baking":
        raise IllegalTransition(
            f"there is no bake to end in phase {head.phase}", hint="look at 'handoff-journal status'"
        )


def _bake_confirmed(head: Head, _event: e.Event, _writer: Writer) -> None:
    if head.phase != "baking":
        raise IllegalTransition(
            f"there is no bake to confirm in phase {head.phase}", hint="look at 'handoff-journal status'"
        )


def _diverged(head: Head, _event: e.Event, writer: Writer) -> None:
    if head.side_of(writer.process) is None or head.phase not in ("init", "ack", "active", "baking"):
        raise IllegalTransition(f"nothing diverges in phase {head.phase}", hint="refold and decide again")


def _resumed(head: Head, event: e.HandoffResumed, _writer: Writer) -> None:
    if not head.open or event.phase != head.phase:
        raise IllegalTransition(f"the phase is {head.phase}, not {event.phase}", hint="refold and decide again")


def _spawned(head: Head, _event: e.Event, writer: Writer) -> None:
    if head.phase != "requested":
        raise IllegalTransition("nobody has asked for green", hint="refold and decide again")
    _in_blues_place(head, writer)
    if head.expected_green is not None:
        raise IllegalTransition(f"green is process {head.expected_green.pid} already", hint="end and settle it first")


def _in_blues_place(head: Head, writer: Writer) -> None:
    """Blue spawns green; where blue is settled, an operator may."""
    if head.blue != writer.process and (head.blue is not None or writer.role != "operator"):
        raise IllegalTransition("only blue spawns green while it lives", hint="refold and decide again")


def _started(head: Head, event: e.ProcessStarted, writer: Writer) -> None:
    seated = head.process(event.side)
    if seated is not None:
        raise IllegalTransition(
            f"{event.side} is process {seated.pid}", hint="stand aside, or settle it when it is dead"
        )
    if head.side_of(writer.process) is not None:
        raise IllegalTransition("this process has a seat already")
    if event.serving != (event.side == head.owner):
        raise IllegalTransition(f"{head.owner} owns the adapters", hint="serve with them, or start without serving")
    if event.side == "green" and head.phase not in ("baking", "complete") and head.expected_green != writer.process:
        raise IllegalTransition("this process was not spawned as green", hint="exit")


def _exited(head: Head, _event: e.Event, writer: Writer) -> None:
    side = head.side_of(writer.process)
    if side is None:
        raise IllegalTransition("this process has no seat")
    if any(p == writer.process for p in head.connected.values()):
        raise IllegalTransition("adapters are still connected", hint="pause them first")
    if any(t.holder == writer.process for t in head.turns.values()):
        raise IllegalTransition("turns are still open", hint="finish them first")


def _lost(head: Head, event: e.ProcessLost, writer: Writer) -> None:
    if event.process == writer.process:
        raise IllegalTransition("a process cannot declare itself lost")
    if head.process(event.side) != event.process and not (
        event.side == "green" and head.green is None and head.expected_green == event.process
    ):
        raise IllegalTransition(f"{event.side} {event.process.pid} is settled already", hint="refold and decide again")


def _connected(head: Head, event: e.AdapterConnected, writer: Writer) -> None:
    holder = head.connected.get(adapter_key(event.platform, event.account))
    if holder is not None and holder != writer.process:
        raise IllegalTransition(f"process {holder.pid} has not let go of {event.platform}", hint="wait, or settle it")
    if head.phase == "rolling_back" and head.owner == "green" and head.blue is not None:
        raise IllegalTransition("the handoff is rolling back", hint="wait for BLUE_SERVING")


def _seated(head: Head, _event: e.Event, writer: Writer) -> None:
    if head.side_of(writer.process) is None:
        raise IllegalTransition("this process has no seat")


def _turn_started(head: Head, event: e.TurnStarted, _writer: Writer) -> None:
    if not event.messages:
        raise IllegalTransition("a turn needs a message")
    if len(set(event.messages)) != len(event.messages):
        raise IllegalTransition("a turn names a message twice")
    for m in event.messages:
        _free(head, m)


def _free(head: Head, seq: int) -> None:
    message = head.messages.get(seq)
    if message is None or message.turn is not None or message.due is not None:
        raise AlreadyTaken(f"message {seq} is held or settled", hint="do not start it")


def _holds(head: Head, turn: int, writer: Writer) -> Turn:
    held = head.turns.get(turn)
    if held is None or held.holder != writer.process:
        raise LostHold(f"process {writer.process.pid} does not hold turn {turn}", hint="do not send")
    return held


def _joined(head: Head, event: e.TurnJoined, writer: Writer) -> None:
    _holds(head, event.turn, writer)
    _free(head, event.message)


def _intended(head: Head, event: e.ReplyIntended, writer: Writer) -> None:
    turn = _holds(head, event.turn, writer)
    if event.part in turn.intended:
        raise Refused(f"part {event.part} of turn {event.turn} was intended already", hint="do not send it again")
    if not any(m in head.messages for m in turn.messages):  # its fate could not be told any more
        raise IllegalTransition(f"every message of turn {event.turn} is settled", hint="reply before settling")


def _sent(head: Head, event: e.ReplySent, writer: Writer) -> None:
    if event.part not in _holds(head, event.turn, writer).intended:
        raise IllegalTransition(f"part {event.part} of turn {event.turn} was never intended")


def _finished(head: Head, event: e.TurnFinished, writer: Writer) -> None:
    _holds(head, event.turn, writer)


def _settled(head: Head, event: e.MessageSettled, writer: Writer) -> None:
    message = head.messages.get(event.message)
    if message is None:
        raise AlreadyTaken(f"message {event.message} is settled already")
    if message.finisher == writer.process:
        return  # who has finished its turn knows best
    if message.due is not None:
        if event.outcome != message.due:
            raise IllegalTransition(f"message {event.message} is due to be settled as {message.due}")
        return
    if message.turn is not None:
        _holds(head, message.turn, writer)
    elif head.owning != writer.process:
        raise StaleEpoch(f"message {event.message} is the owner's to settle", hint="let go")


def _adopted(head: Head, event: e.WatcherAdopted, _writer: Writer) -> None:
    if event.handed_over not in head.watchers:
        raise AlreadyTaken(f"no watcher waits at seq {event.handed_over}", hint="do not adopt it")


_UNSEATED = (e.ProcessStarted, e.ProcessLost)
"""What a process may say as blue or green before it has its seat: whoever starts settles the dead first."""

_RULES: dict[type[e.Event], Callable[[Head, Any, Writer], None]] = {
    e.HandoffRequested: _requested,
    e.HandoffTerms: _terms,
    e.HandoffInit: _init,
    e.HandoffAck: _ack,
    e.HandoffActive: _active,
    e.HandoffSeized: _seized,
    e.HandoffComplete: _complete,
    e.HandoffCompleteRequested: _complete_requested,
    e.BakeConfirmed: _bake_confirmed,
    e.DivergenceDetected: _diverged,
    e.HandoffRollback: _rollback,
    e.HandoffResumed: _resumed,
    e.BlueServing: _blue_serving,
    e.GreenSpawned: _spawned,
    e.ProcessStarted: _started,
    e.ProcessExited: _exited,
    e.ProcessLost: _lost,
    e.AdapterConnected: _connected,
    e.AdapterPaused: _seated,
    e.SessionFlushed: _seated,
    e.HealthSampled: _seated,
    e.TurnStarted: _turn_started,
    e.TurnJoined: _joined,
    e.ReplyIntended: _intended,
    e.ReplySent: _sent,
    e.TurnFinished: _finished,
    e.MessageSettled: _settled,
    e.WatcherHandedOver: _seated,
    e.WatcherAdopted: _adopted,
}

_ASKED = {
    model: (
        model.TYPE in TRANSITIONS, model.ADMISSION == "owner", model.ADMISSION == "protocol" and model not in _UNSEATED,
        model in _WORDY, _RULES.get(model),
    )
    for model in e.MODELS.values()
}  # fmt: skip
"""What is asked of each type: does it move the phase, is it the owner's, does its writer need a seat, does it come with words, and
its own rule."""
