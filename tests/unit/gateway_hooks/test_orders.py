"""What an operator may ask for, and what is refused with which reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway_hooks.forcing import handoff_id
from gateway_hooks.orders import Operator
from journal import events as e
from journal.errors import IllegalTransition, NothingHere
from journal.record import Draft, Stamp, Writer
from journal.store import Journal
from tests.builders import health
from tests.unit.gateway_hooks.homes import Home, settled_first


@pytest.fixture
def operator(home: Home) -> Iterator[Operator]:
    opened = Operator(home.folder)
    yield opened
    opened.close()


def test_a_promote_asks_for_a_handoff_in_the_operators_name(home: Home, operator: Operator) -> None:
    home.serve()
    handoff = operator.promote("next", 60.0, e.Limits())
    state = home.state()
    assert (state.head.phase, state.head.handoff) == ("requested", handoff)
    assert state.request is not None
    assert (state.request.runtime, state.request.bake_s) == ("next", 60.0)
    assert state.steps[0].role == "operator"


def test_a_promote_without_a_gateway_finds_nothing_here(operator: Operator) -> None:
    with pytest.raises(NothingHere, match="no gateway runs"):
        operator.promote("same", 60.0, e.Limits())


def test_a_promote_of_a_dead_gateway_finds_nothing_here(home: Home, operator: Operator) -> None:
    home.serve()
    home.system.end(home.blue)
    with pytest.raises(NothingHere, match="no gateway runs"):
        operator.promote("same", 60.0, e.Limits())


def test_a_promote_of_a_stopped_gateway_says_how_to_continue_it(home: Home, operator: Operator) -> None:
    home.serve()
    home.freeze(home.blue)
    with pytest.raises(NothingHere, match="is stopped") as raised:
        operator.promote("same", 60.0, e.Limits())
    assert f"kill -CONT {home.blue.pid}" in raised.value.hint


def test_a_second_promote_is_refused_while_one_is_open(home: Home, operator: Operator) -> None:
    home.bake()
    with pytest.raises(IllegalTransition, match="h-1 is open, in phase baking"):
        operator.promote("same", 60.0, e.Limits())


def test_a_request_whose_deadline_has_passed_does_not_stand_in_the_way(home: Home, operator: Operator) -> None:
    home.serve().request(requested_s=0.0)
    handoff = operator.promote("same", 60.0, e.Limits())
    assert handoff != "h-1"
    assert home.state().head.handoff == handoff


def test_a_request_within_its_deadline_stands(home: Home, operator: Operator) -> None:
    home.serve().request()
    with pytest.raises(IllegalTransition, match="h-1 is open, in phase requested"):
        operator.promote("same", 60.0, e.Limits())


def test_giving_up_names_a_dead_gateway_and_a_silent_one(home: Home, operator: Operator) -> None:
    home.serve().request()
    operator.give_up(home.state())
    failure = home.state().failure
    assert failure is not None
    assert failure.reason == "deadline"
    home.say(home.system.me(), e.HandoffRequested(handoff="h-2", runtime="same", bake_s=1.0))
    home.system.end(home.blue)
    operator.give_up(home.state())
    failure = home.state().failure
    assert failure is not None
    assert failure.reason == "blue_lost"


def test_giving_up_changes_nothing_once_the_request_was_taken_up(home: Home, operator: Operator) -> None:
    home.serve().request()
    seen = home.state()
    home.say(home.blue, e.GreenSpawned(green=home.green), e.HandoffInit(green=home.green))
    operator.give_up(seen)
    assert home.state().head.phase == "init"


def test_giving_up_never_meets_a_later_request(home: Home, operator: Operator) -> None:
    home.serve().request()
    seen = home.state()
    home.say(home.blue, e.HandoffFailed(reason="fault"))
    home.say(home.system.me(), e.HandoffRequested(handoff="h-2", runtime="same", bake_s=1.0))
    operator.give_up(seen)
    assert (home.state().head.handoff, home.state().head.phase) == ("h-2", "requested")


def test_a_rollback_names_the_phase_it_was_decided_in(home: Home, operator: Operator) -> None:
    home.bake()
    assert operator.rollback() == "h-1"
    rollback = home.state().rollback
    assert rollback is not None
    assert (rollback.phase, rollback.reason) == ("baking", "operator")


def test_a_rollback_of_a_request_withdraws_it(home: Home, operator: Operator) -> None:
    home.serve().request()
    operator.rollback()
    assert home.state().head.phase == "failed"


def test_a_second_rollback_orders_nothing_more(home: Home, operator: Operator) -> None:
    home.bake()
    operator.rollback()
    before = home.state().head.seq
    assert operator.rollback() == "h-1"
    assert home.state().head.seq == before


def test_without_an_open_handoff_there_is_nothing_to_end(home: Home, operator: Operator) -> None:
    home.serve()
    for order in (operator.rollback, operator.complete, operator.confirm):
        with pytest.raises(NothingHere, match="no handoff is open"):
            order()


def test_complete_is_refused_before_the_bake(home: Home, operator: Operator) -> None:
    home.serve().request()
    with pytest.raises(IllegalTransition, match="no bake to end in phase requested"):
        operator.complete()


def test_a_promote_says_its_terms_with_its_request_or_none(home: Home, operator: Operator) -> None:
    home.serve()
    operator.promote("same", 60.0, e.Limits(), e.HandoffTerms(confirm_within_s=5.0))
    state = home.state()
    assert (state.head.seq, state.word_within_s) == (state.head.phase_seq + 1, 5.0)


def test_confirm_is_a_word_of_the_bake_and_of_nothing_before_it(home: Home, operator: Operator) -> None:
    home.serve().request()
    with pytest.raises(IllegalTransition, match="no bake to confirm in phase requested"):
        operator.confirm()


def test_confirm_says_that_green_is_good(home: Home, operator: Operator) -> None:
    home.bake()
    assert operator.confirm() == "h-1"
    assert home.state().confirmed


def test_complete_ends_the_bake(home: Home, operator: Operator) -> None:
    home.bake()
    operator.complete()
    assert home.state().complete_requested


def test_a_blue_that_was_killed_while_it_finished_its_turns_is_settled_by_the_next_promote(
    home: Home, operator: Operator
) -> None:
    seq = home.bake().say(home.green, health())
    home.say(home.blue, e.HandoffComplete(sample=seq))
    home.system.end(home.blue)
    operator.promote("same", 60.0, e.Limits())
    state = home.state()
    assert (state.head.phase, state.head.blue) == ("requested", home.green)


@pytest.mark.parametrize("how", ["died", "ended_silent"])
def test_a_promote_is_not_disturbed_by_green_who_settles_the_old_blue_in_that_very_moment(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    home.serve().hold("1")
    seq = home.request().come_to_bake().say(home.green, health())
    home.say(home.blue, e.HandoffComplete(sample=seq))
    home.system.end(home.blue)
    settled_first(home, monkeypatch, how)
    operator.promote("same", 60.0, e.Limits())
    assert (home.state().head.phase, home.state().head.blue) == ("requested", home.green)


@pytest.mark.parametrize("later", ["init", "ack", "active"])
def test_a_rollback_is_ordered_though_the_phase_moves_while_it_is_said(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    home.serve().request()
    steps = home.steps_to_bake()
    append = Journal.append

    def late(journal: Journal, *drafts: Draft, writer: Writer) -> object:
        monkeypatch.setattr(Journal, "append", append)
        for _ in steps:
            if home.journal.head.phase == later:
                break
        return journal.append(*drafts, writer=writer)

    monkeypatch.setattr(Journal, "append", late)
    assert operator.rollback() == "h-1"
    rollback = home.state().rollback
    assert rollback is not None
    assert (rollback.phase, rollback.reason) == (later, "operator")


def test_a_handoffs_name_sorts_by_time_and_can_be_read() -> None:
    earlier, later = handoff_id(Stamp(1_700_000_000_000_000_000, 1)), handoff_id(Stamp(1_700_000_001_000_000_000, 2))
    assert earlier < later
    assert earlier.startswith("h-20231114-221320-")
