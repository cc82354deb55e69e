"""Who may say what in which phase: the protocol's table, row by row, and the three ways to be admitted."""

from __future__ import annotations

from typing import get_args

import pytest

from journal import events as e
from journal.errors import AlreadyTaken, IllegalTransition, LostHold, Refused, StaleEpoch
from journal.events import Phase, Process, Role
from journal.head import TRANSITIONS
from journal.record import Draft, Payload
from tests.builders import (
    BLUE,
    DIGEST,
    DIGESTS,
    EXAMPLES,
    GREEN,
    KEEPER,
    LATER,
    OPERATOR,
    SALT,
    SESSION,
    Book,
    accepted,
    connected,
    flushed,
    handed_over,
    health,
    lost,
    paused,
    preflight,
    process,
    requested,
    rollback,
    started,
)  # fmt: skip

PHASES: tuple[Phase, ...] = get_args(Phase)
SPEAKERS: dict[Role, Process] = {"blue": BLUE, "green": GREEN, "operator": OPERATOR, "keeper": KEEPER}
STRANGER = process(99)

ROLLING: tuple[Phase, ...] = ("init", "ack", "active", "baking")
ADMITTED: dict[str, tuple[tuple[Phase, ...], str]] = {
    "HANDOFF_REQUESTED": (("idle", "failed"), "blue operator"),
    "HANDOFF_FAILED": (("requested",), "blue operator keeper"),
    "HANDOFF_INIT": (("requested",), "blue"),
    "HANDOFF_ACK": (("init",), "green"),
    "HANDOFF_ACTIVE": (("ack",), "blue"),
    "HANDOFF_SEIZED": (("ack",), "green"),
    "HANDOFF_CONFIRM": (("active",), "green"),
    "HANDOFF_COMPLETE": (("baking",), "blue"),
    "HANDOFF_ROLLBACK": (ROLLING, "blue green operator keeper"),
    "BLUE_SERVING": (("rolling_back",), "blue"),
}
"""By the protocol's table, with both sides alive: the phases that admit a step, and who may say it. With both sides seated after
``complete`` and ``rolled_back``, a new request waits until one of them has exited."""


def _ready(phase: Phase) -> Book:
    """A book in that phase in which everything but phase and role speaks for the next step."""
    book = Book().reach(phase)
    if phase == "requested":
        book.say(BLUE, e.GreenSpawned(green=GREEN))
    if phase in ("init", "ack"):
        book.say(BLUE, flushed())
        book.say(BLUE, paused())
    if phase == "rolling_back":
        book.say(GREEN, paused())
        book.say(GREEN, flushed())
    return book


def _step(book: Book, type_: str) -> e.Event:
    seq = max(book.head.flushed_seq, 1)
    fitting: dict[str, e.Event] = {
        "HANDOFF_REQUESTED": requested("h2"),
        "HANDOFF_ACK": e.HandoffAck(flushed_seq=seq, digests=DIGESTS),
        "HANDOFF_ROLLBACK": rollback(book.head.phase),
        "BLUE_SERVING": e.BlueServing(flushed_seq=seq, digests=DIGESTS),
    }
    return fitting.get(type_) or next(x for x in EXAMPLES if type_ == x.TYPE)


@pytest.mark.parametrize("role", SPEAKERS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("type_", TRANSITIONS)
def test_a_step_is_admitted_in_its_phase_from_its_role_and_nowhere_else(type_: str, phase: Phase, role: Role) -> None:
    book = _ready(phase)
    event, (phases, roles) = _step(book, type_), ADMITTED[type_]
    who = SPEAKERS[role]
    if phase in phases and role in roles.split():
        book.say(who, event, role)
        assert book.head.phase == TRANSITIONS[type_][2]
        assert book.head.phase_seq == book.head.seq
        return
    before = book.head
    with pytest.raises(IllegalTransition):
        book.say(who, event, role)
    assert book.head == before


@pytest.mark.parametrize("role", ["blue", "green"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("event", [x for x in EXAMPLES if x.TYPE != "PROCESS_LOST"], ids=lambda event: event.TYPE)
def test_who_has_no_seat_cannot_speak_as_a_side(event: e.Event, phase: Phase, role: Role) -> None:
    book = _ready(phase)
    draft = accepted() if event.TYPE == "MESSAGE_ACCEPTED" else Draft(event)
    with pytest.raises(Refused):
        book.say(STRANGER, draft, role)


# ------------------------------------------------------------------------------------------------ requested and init


def test_a_request_needs_a_gateway_that_serves() -> None:
    with pytest.raises(IllegalTransition, match="no gateway"):
        Book().say(OPERATOR, requested())


@pytest.mark.parametrize(("phase", "leaver"), [("complete", BLUE), ("rolled_back", GREEN)])
def test_a_request_waits_until_the_other_side_has_exited(phase: Phase, leaver: Process) -> None:
    book = Book().reach(phase)
    with pytest.raises(IllegalTransition, match="still finishing"):
        book.say(OPERATOR, requested("h2"))
    book.say(leaver, e.ProcessExited())
    book.say(OPERATOR, requested("h2"))


def test_after_a_completed_handoff_green_is_blue_of_the_next() -> None:
    book = Book().reach("complete")
    epoch = book.head.epoch
    book.say(BLUE, e.ProcessExited())
    book.say(OPERATOR, requested("h2"))
    assert (book.head.blue, book.head.green, book.head.owner, book.head.epoch) == (GREEN, None, "blue", epoch)
    assert not book.head.flushed
    book.say(GREEN, e.GreenSpawned(green=LATER))
    book.say(GREEN, e.HandoffInit(green=LATER))
    book.say(LATER, started("green", serving=False))
    assert book.head.handoff == "h2"


def test_a_handoff_id_is_not_used_twice_in_a_row() -> None:
    with pytest.raises(IllegalTransition, match="was there already"):
        Book().reach("failed").say(OPERATOR, requested("h1"))


def test_only_blue_spawns_green_and_only_when_asked() -> None:
    with pytest.raises(IllegalTransition):
        Book().reach("idle").say(BLUE, e.GreenSpawned(green=GREEN))
    with pytest.raises(IllegalTransition):
        Book().reach("requested").say(OPERATOR, e.GreenSpawned(green=GREEN))


def test_where_blue_is_settled_an_operator_spawns_green_and_no_keeper() -> None:
    book = Book().reach("requested")
    book.say(OPERATOR, lost("blue", BLUE))
    with pytest.raises(IllegalTransition, match="only blue spawns green"):
        book.say(KEEPER, e.GreenSpawned(green=GREEN), role="keeper")
    book.say(OPERATOR, e.GreenSpawned(green=GREEN))
    with pytest.raises(IllegalTransition):
        book.say(KEEPER, e.HandoffInit(green=GREEN), role="keeper")
    book.say(OPERATOR, e.HandoffInit(green=GREEN))
    assert book.head.phase == "init"


def test_green_is_not_spawned_twice_over_a_living_one() -> None:
    book = Book().reach("requested")
    book.say(BLUE, e.GreenSpawned(green=GREEN))
    with pytest.raises(IllegalTransition, match="already"):
        book.say(BLUE, e.GreenSpawned(green=LATER))
    book.say(BLUE, lost("green", GREEN))
    book.say(BLUE, e.GreenSpawned(green=LATER))


def test_init_names_the_process_that_was_spawned() -> None:
    book = Book().reach("requested")
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.HandoffInit(green=GREEN))
    book.say(BLUE, e.GreenSpawned(green=GREEN))
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.HandoffInit(green=LATER))
    book.say(BLUE, e.HandoffInit(green=GREEN))


@pytest.mark.parametrize(
    "phase", ["idle", "requested", "init", "ack", "active", "rolling_back", "rolled_back", "failed"]
)
def test_a_green_that_nobody_spawned_gets_no_seat(phase: Phase) -> None:
    book = Book().reach(phase)
    if book.head.green is not None:
        book.say(BLUE, lost("green", GREEN))
    with pytest.raises(IllegalTransition):
        book.say(STRANGER, started("green", serving=book.head.owner == "green"))


@pytest.mark.parametrize("phase", ["baking", "complete"])
def test_the_keeper_may_start_green_again_once_it_owns_by_right(phase: Phase) -> None:
    book = Book().reach(phase)
    epoch = book.head.epoch
    book.say(KEEPER, lost("green", GREEN), "keeper")
    book.say(LATER, started("green"))
    assert (book.head.owning, book.head.epoch) == (LATER, epoch + 1)


# ------------------------------------------------------------------------------------------------------- ack and on


def test_ack_names_exactly_what_was_flushed_last() -> None:
    book = Book().reach("init")
    with pytest.raises(IllegalTransition):
        book.say(GREEN, e.HandoffAck(flushed_seq=1, digests=DIGESTS))
    seq = book.say(BLUE, flushed())
    for loaded, digests in ((seq - 1, DIGESTS), (seq, {}), (seq, {"routing": "cd" * 32})):
        with pytest.raises(IllegalTransition):
            book.say(GREEN, e.HandoffAck(flushed_seq=loaded, digests=digests))
    later = book.say(BLUE, flushed("transcripts"))
    with pytest.raises(IllegalTransition):
        book.say(GREEN, e.HandoffAck(flushed_seq=seq, digests=DIGESTS))
    book.say(GREEN, e.HandoffAck(flushed_seq=later, digests={**DIGESTS, "transcripts": DIGEST, "more": DIGEST}))


def test_what_another_than_the_owner_flushes_does_not_count() -> None:
    book = Book().reach("init")
    book.say(GREEN, flushed())
    assert not book.head.flushed


def test_active_is_refused_while_blue_holds_an_adapter() -> None:
    book = Book().reach("ack")
    with pytest.raises(IllegalTransition, match="still holds"):
        book.say(BLUE, e.HandoffActive(turns=0))
    book.say(BLUE, paused())
    epoch = book.head.epoch
    book.say(BLUE, e.HandoffActive(turns=0))
    assert (book.head.owning, book.head.epoch) == (GREEN, epoch + 1)


def test_green_seizes_from_a_dead_blue_only_once_it_is_settled() -> None:
    book = Book().reach("ack")
    with pytest.raises(IllegalTransition, match="not recorded as lost"):
        book.say(GREEN, e.HandoffSeized(reason="lost"))
    book.say(GREEN, lost("blue", BLUE))
    epoch = book.head.epoch
    book.say(GREEN, e.HandoffSeized(reason="lost"))
    assert (book.head.owning, book.head.epoch) == (GREEN, epoch + 1)


def test_green_does_not_connect_after_seizing_from_a_silent_blue_before_blue_is_ended() -> None:
    book = Book().reach("ack")
    book.say(GREEN, e.HandoffSeized(reason="silent"))
    with pytest.raises(IllegalTransition, match="has not let go"):
        book.say(GREEN, connected())
    book.say(GREEN, lost("blue", BLUE))
    book.say(GREEN, connected())


def test_a_blue_that_was_settled_cannot_speak_when_it_thaws() -> None:
    book = Book().reach("ack")
    book.say(GREEN, lost("blue", BLUE))
    for event in (e.HandoffActive(turns=0), rollback("ack"), paused(), flushed(), health(), e.ProcessExited()):
        with pytest.raises(IllegalTransition):
            book.say(BLUE, event, "blue")
    with pytest.raises(StaleEpoch):
        book.say(BLUE, accepted(), "blue")


def test_of_seizing_and_active_the_first_in_the_journal_wins() -> None:
    book = Book().reach("ack")
    book.say(GREEN, e.HandoffSeized(reason="silent"))
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.HandoffActive(turns=0))


def test_green_completes_only_when_blue_is_gone() -> None:
    book = Book().reach("baking")
    with pytest.raises(IllegalTransition, match="blue is alive"):
        book.say(GREEN, e.HandoffComplete(sample=1))
    book.say(GREEN, lost("blue", BLUE))
    book.say(GREEN, e.HandoffComplete(sample=1))
    assert (book.head.phase, book.head.owning) == ("complete", GREEN)


@pytest.mark.parametrize("phase", PHASES)
def test_the_bake_is_ended_early_only_while_it_lasts(phase: Phase) -> None:
    book = Book().reach(phase)
    if phase == "baking":
        book.say(OPERATOR, e.HandoffCompleteRequested())
        return
    with pytest.raises(IllegalTransition):
        book.say(OPERATOR, e.HandoffCompleteRequested())


# --------------------------------------------------------------------------------------------------------- rolling back


def test_rollback_names_the_phase_in_which_it_was_decided() -> None:
    book = Book().reach("active")
    with pytest.raises(IllegalTransition, match="decided in ack"):
        book.say(BLUE, rollback("ack"))
    owner, epoch = book.head.owner, book.head.epoch
    book.say(BLUE, rollback("active"))
    assert (book.head.owner, book.head.epoch) == (owner, epoch), "a rollback alone changes no owner"


def test_a_decision_on_a_phase_of_another_handoff_is_refused() -> None:
    book = Book().reach("requested")
    decided_on = book.head.phase_seq
    book.say(BLUE, e.HandoffFailed(reason="spawn"))
    book.say(OPERATOR, requested("h2"))
    failed = e.HandoffFailed(reason="deadline")
    with pytest.raises(IllegalTransition, match="phase has moved"):
        book.say(BLUE, Draft(failed, phase_seq=decided_on))
    book.say(BLUE, Draft(failed, phase_seq=book.head.phase_seq))


def test_blue_serves_again_only_after_green_has_paused_and_flushed() -> None:
    book = Book().reach("rolling_back")
    serving = e.BlueServing(flushed_seq=0, digests={})
    with pytest.raises(IllegalTransition, match="not let go"):
        book.say(BLUE, serving)
    book.say(GREEN, paused())
    with pytest.raises(IllegalTransition, match="not flushed"):
        book.say(BLUE, serving)
    seq = book.say(GREEN, flushed())
    for flushed_seq, digests in ((seq - 1, DIGESTS), (seq, {}), (seq, {"routing": "cd" * 32})):
        with pytest.raises(IllegalTransition):
            book.say(BLUE, e.BlueServing(flushed_seq=flushed_seq, digests=digests))
    epoch = book.head.epoch
    book.say(BLUE, e.BlueServing(flushed_seq=seq, digests=DIGESTS))
    assert (book.head.owning, book.head.epoch) == (BLUE, epoch + 1)


def test_a_flush_from_before_the_rollback_does_not_count() -> None:
    book = Book().reach("baking")
    seq = book.say(GREEN, flushed())
    book.say(BLUE, rollback("baking"))
    book.say(GREEN, paused())
    with pytest.raises(IllegalTransition, match="not flushed"):
        book.say(BLUE, e.BlueServing(flushed_seq=seq, digests=DIGESTS))


def test_blue_serves_at_once_when_green_is_certainly_gone() -> None:
    book = Book().reach("rolling_back")
    book.say(BLUE, lost("green", GREEN))
    epoch = book.head.epoch
    book.say(BLUE, e.BlueServing(flushed_seq=0, digests={}))
    assert (book.head.owning, book.head.epoch) == (BLUE, epoch + 1)


def test_blue_keeps_its_epoch_when_it_never_lost_the_adapters() -> None:
    book = Book().reach("ack")
    epoch = book.head.epoch
    book.say(GREEN, rollback("ack"))
    book.say(BLUE, e.BlueServing(flushed_seq=0, digests={}))
    assert (book.head.owning, book.head.epoch) == (BLUE, epoch)
    book.say(BLUE, accepted())


def test_only_the_blue_that_sits_can_serve_again() -> None:
    book = Book().reach("rolling_back")
    book.say(GREEN, lost("blue", BLUE))
    book.say(LATER, started("blue", serving=False))
    book.say(GREEN, paused())
    seq = book.say(GREEN, flushed())
    serving = e.BlueServing(flushed_seq=seq, digests=DIGESTS)
    with pytest.raises(IllegalTransition):
        book.say(BLUE, serving, "blue")
    book.say(LATER, serving)
    assert book.head.owning == LATER


def test_while_rolling_back_green_connects_only_when_there_is_no_blue() -> None:
    book = Book().reach("rolling_back")
    with pytest.raises(IllegalTransition, match="rolling back"):
        book.say(GREEN, connected())
    book.say(GREEN, lost("blue", BLUE))
    book.say(GREEN, connected())


def test_a_blue_that_is_started_again_while_rolling_back_serves_what_it_owns() -> None:
    book = Book().reach("ack")
    book.say(GREEN, rollback("ack"))
    book.say(KEEPER, lost("blue", BLUE), "keeper")
    book.say(LATER, started("blue"))
    book.say(LATER, e.HandoffResumed(phase="rolling_back"))
    book.say(LATER, connected())


# -------------------------------------------------------------------------------------------------------------- seats


def test_a_seat_is_free_only_once_its_process_is_settled() -> None:
    book = Book().reach("idle")
    with pytest.raises(IllegalTransition, match="blue is process"):
        book.say(LATER, started())
    book.say(LATER, lost("blue", BLUE), "blue")
    epoch = book.head.epoch
    book.say(LATER, started())
    assert (book.head.owning, book.head.epoch) == (LATER, epoch + 1)


def test_nobody_has_two_seats() -> None:
    with pytest.raises(IllegalTransition, match="seat already"):
        Book().reach("requested").say(BLUE, started("green", serving=False))


@pytest.mark.parametrize("serving", [True, False])
def test_who_sits_down_says_whether_it_serves_and_only_the_owner_does(serving: bool) -> None:
    book = Book().reach("baking")
    book.say(GREEN, lost("blue", BLUE))
    if serving:
        with pytest.raises(IllegalTransition):
            book.say(LATER, started("blue", serving=True))
    else:
        epoch = book.head.epoch
        book.say(LATER, started("blue", serving=False))
        assert (book.head.owning, book.head.epoch) == (GREEN, epoch)
    owned = Book()
    if not serving:
        with pytest.raises(IllegalTransition):
            owned.say(BLUE, started(serving=False))


def test_a_process_is_lost_once() -> None:
    book = Book().reach("active")
    book.say(GREEN, lost("blue", BLUE))
    with pytest.raises(IllegalTransition, match="settled already"):
        book.say(GREEN, lost("blue", BLUE))
    with pytest.raises(IllegalTransition, match="settled already"):
        book.say(KEEPER, lost("blue", BLUE), "keeper")


def test_a_process_cannot_declare_itself_lost() -> None:
    with pytest.raises(IllegalTransition):
        Book().reach("idle").say(BLUE, lost("blue", BLUE))


def test_a_process_is_lost_from_the_side_on_which_it_sits() -> None:
    with pytest.raises(IllegalTransition):
        Book().reach("active").say(OPERATOR, lost("green", BLUE))


def test_a_spawned_green_that_never_sat_down_can_be_lost() -> None:
    book = Book().reach("requested")
    book.say(BLUE, e.GreenSpawned(green=GREEN))
    book.say(BLUE, lost("green", GREEN))
    assert book.head.expected_green is None
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.HandoffInit(green=GREEN))


def test_goodbye_is_said_with_empty_hands() -> None:
    book = Book().reach("idle")
    turn = book.turn(book.accept())
    with pytest.raises(IllegalTransition, match="connected"):
        book.say(BLUE, e.ProcessExited())
    book.say(BLUE, paused())
    with pytest.raises(IllegalTransition, match="turns"):
        book.say(BLUE, e.ProcessExited())
    book.say(BLUE, e.TurnFinished(turn=turn, outcome="cancelled"))
    book.say(BLUE, e.ProcessExited())
    assert book.head.blue is None
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.ProcessExited())


def test_resuming_names_the_phase_that_was_found() -> None:
    book = Book().reach("active")
    with pytest.raises(IllegalTransition):
        book.say(GREEN, e.HandoffResumed(phase="ack"))
    book.say(GREEN, e.HandoffResumed(phase="active"))
    with pytest.raises(IllegalTransition):
        Book().reach("failed").say(BLUE, e.HandoffResumed(phase="failed"))


def test_anybody_may_say_what_preflight_found() -> None:
    Book().reach("idle").say(OPERATOR, preflight())


# ------------------------------------------------------------------------------------------------- owner and adapters

OWNER_EVENTS = [x for x in EXAMPLES if x.ADMISSION == "owner"]


def _as_draft(event: e.Event, epoch: int | None) -> Draft:
    words = accepted().payload if event.TYPE == "MESSAGE_ACCEPTED" else None
    return Draft(event, epoch=epoch, payload=words)


@pytest.mark.parametrize("event", OWNER_EVENTS, ids=lambda event: event.TYPE)
def test_stale_epoch_cannot_append(event: e.Event) -> None:
    book = Book().reach("active")
    for who, epoch in ((BLUE, None), (BLUE, book.head.epoch), (GREEN, book.head.epoch - 1), (OPERATOR, None)):
        with pytest.raises(StaleEpoch):
            book.say(who, _as_draft(event, epoch), "green")


@pytest.mark.parametrize("epoch", [None, 2])
@pytest.mark.parametrize("event", OWNER_EVENTS, ids=lambda event: event.TYPE)
def test_the_owner_appends_under_its_epoch(event: e.Event, epoch: int | None) -> None:
    book = Book().reach("active")
    if isinstance(event, e.TurnStarted):
        event = e.TurnStarted(messages=(book.accept(),), session=SESSION)
    book.say(GREEN, _as_draft(event, epoch))


def test_the_epoch_of_the_incarnation_before_is_stale() -> None:
    book = Book().reach("idle")
    epoch = book.head.epoch
    book.say(LATER, lost("blue", BLUE), "blue")
    book.say(LATER, started())
    with pytest.raises(StaleEpoch):
        book.say(LATER, Draft(accepted().event, epoch=epoch, payload=accepted().payload))


def test_two_processes_are_never_both_connected_to_an_adapter() -> None:
    book = Book().reach("ack")
    book.say(GREEN, e.HandoffSeized(reason="silent"))
    assert set(book.head.connected.values()) == {BLUE}
    with pytest.raises(IllegalTransition):
        book.say(GREEN, connected())
    with pytest.raises(StaleEpoch):
        book.say(BLUE, connected())
    book.say(BLUE, paused())
    book.say(GREEN, connected())
    assert set(book.head.connected.values()) == {GREEN}


def test_adapters_are_held_one_by_one() -> None:
    book = Book().reach("ack")
    book.say(BLUE, connected("matrix"))
    book.say(BLUE, paused())
    with pytest.raises(IllegalTransition, match="matrix"):
        book.say(BLUE, e.HandoffActive(turns=0))
    book.say(BLUE, paused("matrix"))
    book.say(BLUE, e.HandoffActive(turns=0))


@pytest.mark.parametrize("phase", PHASES)
def test_a_seated_process_may_always_say_that_it_paused(phase: Phase) -> None:
    book = Book().reach(phase)
    for who in filter(None, (book.head.blue, book.head.green)):
        book.say(who, paused())
        assert who not in book.head.connected.values()


@pytest.mark.parametrize("role", ["operator", "keeper"])
@pytest.mark.parametrize(
    "event", [Draft(paused()), Draft(flushed()), Draft(health()), handed_over()], ids=lambda d: d.event.TYPE
)
def test_what_a_gateway_says_of_itself_is_not_for_others_to_say(event: Draft, role: Role) -> None:
    book = Book().reach("baking")
    with pytest.raises(IllegalTransition):
        book.say(OPERATOR, event, role)


def test_pausing_lets_go_of_nobody_elses_adapter() -> None:
    book = Book().reach("baking")
    book.say(BLUE, paused())
    assert set(book.head.connected.values()) == {GREEN}


# ------------------------------------------------------------------------------------------------- messages and turns


def test_accepting_makes_no_hold_and_starting_does() -> None:
    book = Book().reach("idle")
    message = book.accept()
    assert book.head.messages[message].turn is None
    turn = book.turn(message)
    assert book.head.messages[message].turn == turn
    with pytest.raises(AlreadyTaken):
        book.turn(message)


def test_the_new_owner_takes_up_what_was_accepted_and_not_started() -> None:
    book = Book().reach("ack")
    message = book.accept()
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=0))
    book.turn(message)


@pytest.mark.parametrize("messages", [(), (3, 3), (99,)])
def test_a_turn_is_over_messages_that_stand_each_once(messages: tuple[int, ...]) -> None:
    book = Book().reach("idle")
    assert book.accept() == 3
    with pytest.raises((IllegalTransition, AlreadyTaken)):
        book.turn(*messages)


def test_a_turn_in_flight_is_finished_by_its_holder_under_whatever_epoch() -> None:
    book = Book().reach("ack")
    first, second = book.accept(1), book.accept(2)
    turn = book.turn(first)
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=1))
    for event in (
        e.TurnJoined(turn=turn, message=second), e.ReplyIntended(turn=turn, part=0), e.ReplySent(turn=turn, part=0),
        e.MessageSettled(message=first, outcome="answered"), e.MessageSettled(message=second, outcome="merged"),
        e.TurnFinished(turn=turn, outcome="answered"),
    ):  # fmt: skip
        with pytest.raises(Refused):
            book.say(GREEN, event)
        book.say(BLUE, event)
    assert not book.head.turns
    assert not book.head.messages


@pytest.mark.parametrize("event", [
    e.TurnJoined(turn=4, message=5), e.ReplyIntended(turn=4, part=0), e.ReplySent(turn=4, part=0),
    e.TurnFinished(turn=4, outcome="answered"), e.MessageSettled(message=3, outcome="answered"),
], ids=lambda event: event.TYPE)  # fmt: skip
def test_who_does_not_hold_a_turn_cannot_speak_of_it(event: e.Event) -> None:
    book = Book().reach("idle")
    assert (book.turn(book.accept(1)), book.accept(2)) == (4, 5)
    for who in (OPERATOR, STRANGER):
        with pytest.raises(LostHold):
            book.say(who, event)


def test_a_part_is_intended_once_and_sent_only_when_intended() -> None:
    book = Book().reach("idle")
    turn = book.turn(book.accept())
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.ReplySent(turn=turn, part=0))
    book.say(BLUE, e.ReplyIntended(turn=turn, part=0))
    with pytest.raises(Refused):
        book.say(BLUE, e.ReplyIntended(turn=turn, part=0))
    with pytest.raises(IllegalTransition):
        book.say(BLUE, e.ReplySent(turn=turn, part=1))


def test_nothing_is_sent_for_messages_whose_fate_is_told() -> None:
    book = Book().reach("idle")
    message = book.accept()
    turn = book.turn(message)
    book.say(BLUE, e.MessageSettled(message=message, outcome="answered"))
    with pytest.raises(IllegalTransition, match="settled"):
        book.say(BLUE, e.ReplyIntended(turn=turn, part=0))


def test_a_message_is_settled_once() -> None:
    book = Book().reach("idle")
    message = book.accept()
    book.say(BLUE, e.MessageSettled(message=message, outcome="refused"))
    for who in (BLUE, OPERATOR):
        with pytest.raises(AlreadyTaken):
            book.say(who, e.MessageSettled(message=message, outcome="refused"))
    with pytest.raises(AlreadyTaken):
        book.turn(message)


def test_a_message_without_a_turn_is_the_owners_to_settle() -> None:
    book = Book().reach("active")
    message = book.accept()
    with pytest.raises(StaleEpoch):
        book.say(BLUE, e.MessageSettled(message=message, outcome="refused"))
    book.say(GREEN, e.MessageSettled(message=message, outcome="refused"))


def _part(n: int, *, sent: bool, of: int | None = None) -> list[e.Event]:
    intended = e.ReplyIntended(turn=4, part=n, of=of)
    return [intended, e.ReplySent(turn=4, part=n)] if sent else [intended]


FATES: list[tuple[str, list[e.Event], e.UpdateKind, e.SettledAs | None]] = [
    ("nothing was said", [], "text", None),
    ("a command had run", [], "command", "abandoned"),
    ("everything was sent", _part(0, sent=True, of=1), "text", "answered"),
    ("a part was sent, of nobody knows how many", _part(0, sent=True), "text", "ambiguous"),
    ("every part was sent", _part(0, sent=True, of=2) + _part(1, sent=True), "text", "answered"),
    ("a part was never intended", _part(0, sent=True, of=2), "text", "ambiguous"),
    ("a part may have been sent", _part(0, sent=False), "text", "ambiguous"),
    ("the second part may have been sent", _part(0, sent=True) + _part(1, sent=False), "text", "ambiguous"),
    ("a command's answer was sent", _part(0, sent=True, of=1), "command", "answered"),
]


@pytest.mark.parametrize("settling_first", [True, False])
@pytest.mark.parametrize("kind", ["text", "command"])
def test_who_finishes_a_turn_settles_its_messages_before_or_after_even_without_the_adapters(
    kind: e.UpdateKind, settling_first: bool
) -> None:
    book = Book().reach("ack")
    messages = book.accept(1, kind=kind), book.accept(2)
    turn = book.turn(*messages)
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=1))
    ending: list[e.Event] = [e.MessageSettled(message=m, outcome="no_reply") for m in messages]
    ending.insert(2 if settling_first else 0, e.TurnFinished(turn=turn, outcome="no_reply"))
    for event in ending:
        book.say(BLUE, event)
    assert not book.head.messages


def test_who_has_finished_a_turn_has_no_say_once_another_has_started_it() -> None:
    book = Book().reach("ack")
    message = book.accept()
    turn = book.turn(message)
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=1))
    book.say(BLUE, e.TurnFinished(turn=turn, outcome="cancelled"))
    again = book.turn(message)
    with pytest.raises(LostHold):
        book.say(BLUE, e.MessageSettled(message=message, outcome="no_reply"))
    book.say(GREEN, e.ReplyIntended(turn=again, part=0))
    book.say(BLUE, lost("green", GREEN))
    with pytest.raises(IllegalTransition, match="due to be settled"):
        book.say(BLUE, e.MessageSettled(message=message, outcome="no_reply"))


def test_who_has_finished_a_turn_has_no_say_once_the_message_was_merged_into_anothers() -> None:
    book = Book().reach("ack")
    first, second = book.accept(1), book.accept(2)
    turn = book.turn(first)
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=1))
    book.say(BLUE, e.TurnFinished(turn=turn, outcome="cancelled"))
    other = book.turn(second)
    book.say(GREEN, e.TurnJoined(turn=other, message=first))
    with pytest.raises(LostHold):
        book.say(BLUE, e.MessageSettled(message=first, outcome="no_reply"))


@pytest.mark.parametrize("ending", ["lost", "finished"])
@pytest.mark.parametrize(("said", "kind", "due"), [f[1:] for f in FATES], ids=[f[0] for f in FATES])
def test_what_becomes_of_a_message_whose_turn_ended_without_settling_it(
    said: list[e.Event], kind: e.UpdateKind, due: e.SettledAs | None, ending: str
) -> None:
    book = Book().reach("idle")
    message = book.accept(kind=kind)
    turn = book.turn(message)
    for event in said:
        book.say(BLUE, event)
    if ending == "lost":
        book.say(LATER, lost("blue", BLUE), "blue")
        book.say(LATER, started())
    else:
        book.say(BLUE, e.TurnFinished(turn=turn, outcome="failed"))
    assert not book.head.turns
    assert book.head.messages[message].due == due
    if due is None:
        book.turn(message)
        return
    with pytest.raises(AlreadyTaken):
        book.turn(message)
    wrong: e.SettledAs = "abandoned" if due != "abandoned" else "answered"
    with pytest.raises(IllegalTransition, match="due to be settled"):
        book.say(OPERATOR, e.MessageSettled(message=message, outcome=wrong))
    book.say(OPERATOR, e.MessageSettled(message=message, outcome=due))
    assert not book.head.messages


def test_a_message_that_kills_its_process_twice_is_abandoned() -> None:
    book = Book().reach("idle")
    message = book.accept()
    book.turn(message)
    book.say(LATER, lost("blue", BLUE), "blue")
    book.say(LATER, started())
    assert book.head.messages[message].due is None
    book.turn(message)
    book.say(STRANGER, lost("blue", LATER), "blue")
    assert book.head.messages[message].due == "abandoned"


def test_a_lost_process_takes_its_adapters_and_turns_with_it_and_nobody_elses() -> None:
    book = Book().reach("ack")
    mine = book.accept(1)
    turn = book.turn(mine)
    book.say(BLUE, paused())
    book.say(BLUE, e.HandoffActive(turns=1))
    book.say(GREEN, connected())
    theirs = book.turn(book.accept(2))
    book.say(GREEN, lost("blue", BLUE))
    assert set(book.head.turns) == {theirs}
    assert set(book.head.connected.values()) == {GREEN}
    with pytest.raises(LostHold):
        book.say(BLUE, e.ReplyIntended(turn=turn, part=0))
    book.turn(mine)


# ---------------------------------------------------------------------------------------------------------- their words


@pytest.mark.parametrize("draft", [accepted(), handed_over()], ids=["message", "watcher"])
def test_words_come_with_their_event_and_fit_its_digest(draft: Draft) -> None:
    book = Book().reach("idle")
    for payload in (None, Payload(SALT, b"other"), Payload(bytes(16), b"hello")):
        with pytest.raises(Refused, match="words"):
            book.say(BLUE, Draft(draft.event, payload=payload))
    book.say(BLUE, draft)


def test_other_events_carry_no_words() -> None:
    with pytest.raises(Refused, match="words"):
        Book().reach("idle").say(BLUE, Draft(health(), payload=Payload(SALT, b"hello")))


def test_a_watcher_is_adopted_once_and_a_message_is_no_watcher() -> None:
    book = Book().reach("idle")
    message, watcher, other = book.accept(), book.say(BLUE, handed_over()), book.say(BLUE, handed_over())
    with pytest.raises(AlreadyTaken):
        book.say(BLUE, e.WatcherAdopted(handed_over=message))
    book.say(BLUE, e.WatcherAdopted(handed_over=watcher))
    with pytest.raises(AlreadyTaken):
        book.say(BLUE, e.WatcherAdopted(handed_over=watcher))
    book.say(BLUE, e.WatcherAdopted(handed_over=other))


def test_terms_stand_right_behind_their_request_and_nowhere_else() -> None:
    book = Book().reach("requested")
    book.say(OPERATOR, e.HandoffTerms(confirm_within_s=60.0))
    for who, event in ((OPERATOR, e.HandoffTerms()), (BLUE, e.HandoffTerms())):
        with pytest.raises(IllegalTransition, match="right behind their request"):
            book.say(who, event)


@pytest.mark.parametrize("phase", PHASES)
def test_a_word_for_green_is_one_of_the_bake(phase: Phase) -> None:
    book = Book().reach(phase)
    if phase == "baking":
        book.say(OPERATOR, e.BakeConfirmed())
        return
    with pytest.raises(IllegalTransition, match="no bake to confirm"):
        book.say(OPERATOR, e.BakeConfirmed())


def test_only_a_side_says_that_green_diverges_and_only_while_it_can() -> None:
    diverged = e.DivergenceDetected(rule="slow", measured=2.0, limit=1.0, evidence=(1,))
    book = Book().reach("baking")
    book.say(BLUE, diverged)
    with pytest.raises(IllegalTransition, match="nothing diverges"):
        book.say(OPERATOR, diverged)
    with pytest.raises(IllegalTransition, match="nothing diverges"):
        Book().reach("complete").say(GREEN, diverged)
