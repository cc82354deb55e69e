"""A record that the law and the decisions made differs nowhere; whatever is planted in one is found at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from journal import events as e
from replay.check import check
from replay.fold import fold
from tests.builders import BLUE, DIGESTS, GREEN, KEEPER, OPERATOR, lost
from tests.unit.replay.histories import ADAPTER, History, connected, health, paused, started

HEALTH = health()


def first(history: History) -> tuple[int, str] | None:
    found = check(history.records).first
    return (found.seq, found.field) if found else None


# ---------------------------------------------------------------------------------------------- good ones


def _killed_blue() -> History:
    history = History().ack()
    turn = history.turn(history.accept(1, kind="command"))
    history.intend(turn)
    history.turn(history.accept(2, chat=2))
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.say(GREEN, connected())
    history.confirm()
    history.wait(60)
    history.say(GREEN, e.HandoffComplete(sample=history.sample(GREEN)))
    return history


def _lost_green() -> History:
    history = History().baking()
    seq = history.lose("green", BLUE)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(seq,)))
    history.say(BLUE, e.BlueServing(flushed_seq=0, digests=DIGESTS))
    history.say(BLUE, connected())
    return history


def _frozen_green() -> History:
    history = History().connected()
    seen = history.sample(GREEN)
    history.wait(4)
    history.sample(BLUE)
    history.say(BLUE, e.HandoffRollback(phase="active", reason="green_silent", evidence=(seen,)))
    history.lose("green", BLUE, "ended_silent")
    return history


def _failed() -> History:
    history = History().requested().wait(11)
    history.say(BLUE, e.HandoffFailed(reason="deadline"))
    return history


@pytest.mark.parametrize(
    "made",
    [History.complete, History.rolled_back, _killed_blue, _lost_green, _frozen_green, _failed],
    ids=["complete", "rolled back", "killed blue", "lost green", "frozen green", "failed"],
)
def test_a_record_of_the_law_differs_nowhere(made: Callable[..., History]) -> None:
    history = made(History()) if made in (History.complete, History.rolled_back) else made()
    checked = check(history.records)
    assert checked.differences == ()
    assert checked.events == len(history.records)


def test_a_check_may_start_in_the_middle() -> None:
    history = History().complete()
    half = len(history.records) // 2
    assert check(history.records[half:], fold(history.records[:half])).differences == ()


def test_an_empty_record_differs_nowhere() -> None:
    assert check([]).first is None


# ---------------------------------------------------------------------------------------------- the envelope


@pytest.mark.parametrize(
    ("field", "value"), [("epoch", 7), ("role", "green"), ("handoff", "other"), ("cause", 99), ("cause", 0)]
)
def test_a_planted_envelope_is_found(field: str, value: Any) -> None:
    history = History().serving()
    seq = history.plant(BLUE, HEALTH, **{field: value})
    assert first(history) == (seq, field)


def test_a_missing_seq_is_found() -> None:
    history = History().serving()
    history.sample(BLUE)
    history.sample(BLUE)
    del history.records[-2]
    assert first(history) == (history.seq, "seq")


def test_a_difference_says_what_was_expected() -> None:
    history = History().serving()
    seq = history.plant(BLUE, HEALTH, epoch=7)
    (difference,) = check(history.records).differences
    assert (difference.seq, difference.field, difference.expected, difference.actual) == (seq, "epoch", 1, 7)


# ---------------------------------------------------------------------------------------------- the law


def test_what_the_law_does_not_admit_is_found_with_its_word() -> None:
    history = History().serving()
    seq = history.plant(BLUE, e.HandoffActive(turns=0))
    found = check(history.records).first
    assert found is not None
    assert (found.seq, found.field, found.actual) == (seq, "law", "HANDOFF_ACTIVE")
    assert "not possible in phase idle" in str(found.expected)


def test_a_second_poller_is_found() -> None:
    history = History().ack()
    assert first(history) is None
    seq = history.plant(GREEN, connected())
    assert first(history) == (seq, "law")


def test_an_accepted_message_of_somebody_who_does_not_own_is_found() -> None:
    history = History().ack()
    event = e.MessageAccepted(
        platform="telegram", account=ADAPTER.split(":")[1], chat="c_" + "1" * 16, kind="text", update_id="9",
        digest="ab" * 32,
    )  # fmt: skip
    seq = history.plant(GREEN, event)
    assert first(history) == (seq, "law")


def test_a_command_that_is_fed_again_is_found() -> None:
    history = History().ack()
    message = history.accept(1, kind="command")
    history.turn(message)
    history.say(GREEN, lost("blue", BLUE), e.MessageSettled(message=message, outcome="abandoned"))
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    seq = history.plant(GREEN, e.TurnStarted(messages=(message,), session="s_" + "2" * 16))
    assert first(history) == (seq, "law")


# ---------------------------------------------------------------------------------------------- the dead


def test_the_dead_write_nothing() -> None:
    history = History().connected()
    history.lose("green", BLUE)
    seq = history.plant(GREEN, HEALTH, at_role="green")
    assert first(history) == (seq, "process")


def test_a_blue_that_a_request_was_given_up_for_writes_nothing() -> None:
    history = History().requested()
    history.say(OPERATOR, e.HandoffFailed(reason="blue_lost"))
    assert first(history) is None
    seq = history.sample(BLUE)
    assert first(history) == (seq, "process")


def test_what_a_loss_leaves_due_must_be_settled_with_it() -> None:
    history = History().ack()
    message = history.accept(1, kind="command")
    history.turn(message)
    seq = history.say(GREEN, lost("blue", BLUE))
    history.sample(GREEN)
    found = check(history.records).first
    assert found is not None
    assert (found.seq, found.field) == (seq, "settled")
    assert found.expected == f"message {message} settled as abandoned in the same append"


def test_what_is_still_due_at_the_end_of_the_record_is_found() -> None:
    history = History().ack()
    history.turn(history.accept(1, kind="command"))
    seq = history.say(GREEN, lost("blue", BLUE))
    assert first(history) == (seq, "settled")


def test_a_wrong_verdict_is_found() -> None:
    history = History().ack()
    message = history.accept(1)
    history.intend(history.turn(message))
    history.say(GREEN, lost("blue", BLUE))
    seq = history.plant(GREEN, e.MessageSettled(message=message, outcome="answered"))
    assert {(d.seq, d.field) for d in check(history.records).differences} == {(seq, "law"), (seq, "outcome")}


def test_a_turn_that_ends_without_settling_its_messages_is_found() -> None:
    history = History().serving()
    turn = history.turn(history.accept(1))
    seq = history.say(BLUE, e.TurnFinished(turn=turn, outcome="answered"))
    history.sample(BLUE)
    assert first(history) == (seq, "settled")


# ---------------------------------------------------------------------------------------------- decisions


def test_a_confirm_on_too_few_samples_is_found() -> None:
    history = History().connected()
    seq = history.say(GREEN, e.HandoffConfirm(samples=(history.sample(GREEN),)))
    assert first(history) == (seq, "samples")


def test_a_confirm_on_a_sample_without_a_clean_poll_is_found() -> None:
    history = History().connected()
    samples = (history.sample(GREEN, polls=0), history.sample(GREEN))
    seq = history.say(GREEN, e.HandoffConfirm(samples=samples))
    assert first(history) == (seq, "samples")


def test_a_confirm_may_rest_on_the_samples_before_its_own_last_one() -> None:
    history = History().connected()
    samples = (history.sample(GREEN), history.sample(GREEN))
    history.sample(GREEN)
    history.say(GREEN, e.HandoffConfirm(samples=samples))
    assert first(history) is None


def test_a_confirm_on_samples_long_gone_is_found() -> None:
    history = History().connected()
    samples = (history.sample(GREEN), history.sample(GREEN))
    history.sample(GREEN)
    history.sample(GREEN)
    seq = history.say(GREEN, e.HandoffConfirm(samples=samples))
    assert first(history) == (seq, "samples")


def test_a_complete_before_the_bake_is_over_is_found() -> None:
    history = History().baking().wait(30)
    seq = history.say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    assert first(history) == (seq, "bake_s")


def test_a_complete_that_the_operator_asked_for_is_good() -> None:
    history = History().baking()
    history.say(OPERATOR, e.HandoffCompleteRequested())
    history.say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    assert first(history) is None


def test_a_complete_over_an_old_sample_is_found() -> None:
    history = History().baking()
    old = history.sample(GREEN)
    history.wait(60)
    history.sample(GREEN)
    history.sample(BLUE)
    seq = history.say(BLUE, e.HandoffComplete(sample=old))
    assert first(history) == (seq, "sample")


def test_a_complete_over_the_sample_that_stood_before_blue_sampled_itself_is_good() -> None:
    history = History().baking().wait(60)
    history.sample(BLUE)
    seen = history.sample(GREEN)
    history.sample(GREEN)  # while blue's own sample is taken
    history.sample(BLUE)
    history.say(BLUE, e.HandoffComplete(sample=seen))
    assert first(history) is None


def test_a_complete_over_the_sample_that_blue_had_seen_is_good() -> None:
    history = History().baking().wait(60)
    history.sample(BLUE)
    seen = history.sample(GREEN)
    history.sample(GREEN)  # between blue's decision and its append
    history.say(BLUE, e.HandoffComplete(sample=seen))
    assert first(history) is None


def test_a_rollback_for_a_lost_green_needs_its_loss() -> None:
    history = History().baking()
    seq = history.plant(BLUE, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(3,)))
    assert first(history) == (seq, "evidence")


def test_a_rollback_for_a_deadline_that_has_not_passed_is_found() -> None:
    history = History().ack()
    entered = history.seq
    seq = history.say(BLUE, e.HandoffRollback(phase="ack", reason="deadline", evidence=(entered,)))
    assert first(history) == (seq, "deadline")


def test_a_rollback_at_the_deadline_is_good_and_names_the_phase() -> None:
    history = History().ack()
    entered = history.seq
    history.wait(31)
    history.sample(GREEN)
    history.say(BLUE, e.HandoffRollback(phase="ack", reason="deadline", evidence=(entered,)))
    assert first(history) is None


def test_a_rollback_at_the_deadline_must_name_its_own_phase() -> None:
    history = History().init()
    earlier = history.state.steps[-1].moment.seq
    history.flushed().say(GREEN, e.HandoffAck(flushed_seq=history.head.flushed_seq, digests=DIGESTS))
    history.wait(31)
    seq = history.say(BLUE, e.HandoffRollback(phase="ack", reason="deadline", evidence=(earlier,)))
    assert first(history) == (seq, "evidence")


def test_a_green_that_thawed_after_it_was_judged_was_silent_all_the_same() -> None:
    history = History().baking()
    seen = history.sample(GREEN)
    history.wait(4)
    history.sample(BLUE)
    history.sample(GREEN)  # between blue's decision and its append
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(seen,)))
    assert first(history) is None


def test_a_green_that_went_on_while_it_was_judged_had_been_stopped_whatever_it_said_before_and_after() -> None:
    history = History().baking()
    history.wait(4).sample(BLUE)
    history.sample(GREEN)
    seen = history.sample(GREEN)
    history.wait(2.5)  # it was stopped, and blue has looked
    seen = history.sample(GREEN)
    history.sample(GREEN)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(seen,)))
    assert first(history) is None


def test_a_pause_that_was_over_before_its_judge_spoke_last_is_no_ground() -> None:
    history = History().baking()
    history.wait(4).sample(GREEN)
    history.sample(BLUE)
    seen = history.sample(GREEN)
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(seen,)))
    assert first(history) == (seq, "silence")


@pytest.mark.parametrize(("awake_s", "found"), [(0.0, None), (0.4, "silence")])
def test_one_that_goes_on_for_less_than_a_look_and_is_stopped_again_was_stopped_all_the_time(
    awake_s: float, found: str | None
) -> None:
    history = History().baking()
    seen = history.sample(GREEN)
    history.wait(1.6).accept(7)
    history.wait(0.0).accept(8)
    if awake_s:
        history.wait(awake_s / 2).accept(9)
        history.wait(awake_s / 2).accept(10)
    history.sample(BLUE)
    history.wait(1.6)
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(seen,)))
    assert first(history) == ((seq, found) if found else None)


def test_one_that_goes_on_and_is_stopped_again_within_one_look_of_its_judge_was_stopped_to_it() -> None:
    for spoke_again in (False, True):
        history = History().baking()
        seen = history.sample(GREEN)
        history.wait(4).accept(7)
        history.sample(BLUE)  # between its two looks
        if spoke_again:
            history.accept(8)
        seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(seen,)))
        assert first(history) == ((seq, "silence") if spoke_again else None)


def test_a_keeper_may_have_seen_a_pause_of_this_phase_and_no_earlier_one() -> None:
    history = History().complete()
    history.wait(3).sample(GREEN)
    history.sample(GREEN)
    history.lose("green", KEEPER, "ended_stopped", role="keeper")
    assert first(history) is None
    history = History().init()
    history.wait(3).sample(GREEN)
    history.flushed().say(GREEN, e.HandoffAck(flushed_seq=history.head.flushed_seq, digests=DIGESTS))
    seq = history.lose("green", KEEPER, "ended_stopped", role="keeper")
    assert first(history) == (seq, "silence")


def test_a_rollback_for_silence_of_a_green_that_speaks_is_found() -> None:
    history = History().baking()
    for _ in range(5):
        history.wait(2).sample(GREEN)
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(history.seq,)))
    assert first(history) == (seq, "silence")


def test_a_rollback_for_silence_must_name_the_last_sign_of_life() -> None:
    history = History().baking().wait(16)
    history.sample(BLUE)
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_silent", evidence=(3,)))
    assert first(history) == (seq, "evidence")


def test_a_rollback_for_a_divergence_that_nobody_detected_is_found() -> None:
    history = History().baking()
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="divergence"))
    assert first(history) == (seq, "evidence")


def test_a_fault_must_say_what_failed() -> None:
    history = History().baking()
    seq = history.say(GREEN, e.HandoffRollback(phase="baking", reason="fault"))
    assert first(history) == (seq, "detail")


def test_a_seizure_from_a_blue_that_speaks_is_found() -> None:
    history = History().ack()
    history.sample(BLUE)
    seq = history.say(GREEN, e.HandoffSeized(reason="silent"))
    assert first(history) == (seq, "silence")


def test_a_failure_by_a_deadline_that_has_not_passed_is_found() -> None:
    history = History().requested().wait(5)
    seq = history.say(BLUE, e.HandoffFailed(reason="deadline"))
    assert first(history) == (seq, "deadline")


def test_blue_does_not_say_of_itself_that_it_is_lost() -> None:
    history = History().requested()
    seq = history.say(BLUE, e.HandoffFailed(reason="blue_lost"))
    assert first(history) == (seq, "reason")


def test_a_green_that_was_ended_as_late_in_time_is_found() -> None:
    history = History().rolling_back().wait(5)
    seq = history.lose("green", BLUE, "ended_late")
    assert first(history) == (seq, "deadline")


def test_a_green_that_was_ended_as_late_when_nothing_rolled_back_is_found() -> None:
    history = History().baking()
    seq = history.lose("green", BLUE, "ended_late")
    assert first(history) == (seq, "phase")


def test_a_green_that_was_ended_as_old_too_soon_is_found() -> None:
    history = History().rolled_back().wait(5)
    seq = history.lose("green", BLUE, "ended_old")
    assert first(history) == (seq, "how")


def test_a_process_that_was_ended_as_silent_while_it_spoke_is_found() -> None:
    history = History().baking()
    seq = history.lose("blue", GREEN, "ended_silent")
    assert first(history) == (seq, "silence")


def test_blue_serves_over_what_was_flushed_last() -> None:
    history = History().ack()
    history.say(OPERATOR, e.HandoffRollback(phase="ack", reason="operator"))
    seq = history.say(BLUE, e.BlueServing(flushed_seq=5, digests={}))
    assert first(history) == (seq, "flushed_seq")


@pytest.mark.parametrize(
    "event",
    [
        e.DivergenceDetected(rule="silence", measured=1.0, limit=0.5, evidence=(999,)),
        e.HandoffRollback(phase="baking", reason="operator", evidence=(999,)),
    ],
)
def test_evidence_points_backwards(event: e.Event) -> None:
    history = History().baking()
    seq = history.say(BLUE, event)
    assert first(history) == (seq, "evidence")


# ---------------------------------------------------------------------------------------------- the result


def test_all_differences_are_told_in_the_order_of_the_record() -> None:
    history = History().serving()
    seqs = [history.plant(BLUE, HEALTH, epoch=7), history.plant(BLUE, paused(), epoch=8)]
    checked = check(history.records)
    assert [d.seq for d in checked.differences] == seqs
    assert checked.first == checked.differences[0]


def test_what_concerns_some_seqs_can_be_told_alone() -> None:
    history = History().serving()
    seq = history.plant(BLUE, HEALTH, epoch=7)
    history.sample(BLUE)
    checked = check(history.records)
    assert checked.within(seq + 1, history.seq).first is None
    assert checked.within(seq, history.seq).first == checked.first
    assert checked.within(seq, history.seq).events == 2


def test_a_start_of_a_process_that_was_declared_dead_is_found() -> None:
    history = History().baking()
    history.lose("green", BLUE)
    seq = history.plant(GREEN, started("green", serving=True))
    assert first(history) == (seq, "process")
