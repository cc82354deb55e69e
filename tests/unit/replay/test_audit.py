"""An audit finds what happened and what suffered, and names just the events that prove it."""

from __future__ import annotations

from typing import Any

import pytest

from journal import events as e
from journal.errors import NothingHere
from replay.audit import Audit, Finding, audit
from tests.builders import BLUE, DIGESTS, GREEN, LATER, OPERATOR, SESSION, handed_over, lost
from tests.unit.replay.histories import ADAPTER, History, connected, paused, started


def of(history: History, name: str | None = None) -> Audit:
    return audit(lambda: history.records, name)


def only(history: History, code: str) -> Finding:
    (finding,) = [f for f in of(history).findings if f.code == code]
    return finding


def facts(finding: Finding, *names: str) -> list[Any]:
    return [finding.facts[name] for name in names]


def test_a_good_handoff_has_a_gap_and_a_new_owner_and_nothing_bad() -> None:
    history = History().complete()
    found = of(history)
    assert (found.outcome, found.good, found.epochs) == ("complete", True, (1, 2))
    assert [f.code for f in found.findings] == ["gap", "took_over", "in_flight"]
    assert {f.level for f in found.findings} == {"note"}


def test_the_head_is_what_the_record_ends_with() -> None:
    history = History().complete()
    assert of(history).head == (history.seq, history.head.hash)


def test_a_rolled_back_handoff_is_not_good() -> None:
    found = of(History().rolled_back())
    assert (found.outcome, found.good) == ("rolled_back", False)


def test_an_open_handoff_says_so() -> None:
    found = of(History().ack())
    assert (found.outcome, found.good) == ("open", True)


def test_a_death_names_the_phase_the_turns_and_what_waited() -> None:
    history = History().ack()
    turn = history.turn(history.accept(1))
    waiting = history.accept(2)
    history.wait(1.0)
    seq = history.lose("blue", GREEN)
    died = only(history, "died")
    assert died.seqs == (turn, seq)
    assert facts(died, "side", "pid", "phase", "how") == ["blue", BLUE.pid, "ack", "died"]
    assert facts(died, "turns", "held", "waiting", "by") == [[turn], [turn - 1], [waiting], "green"]
    assert died.facts["quiet_ms"] == pytest.approx(1001.0)


def test_what_was_in_flight_is_told_by_side() -> None:
    history = History().ack()
    turn = history.turn(history.accept(1))
    waiting = history.accept(2)
    seq = history.say(BLUE, paused(), e.HandoffActive(turns=1)) + 1
    found = only(history, "in_flight")
    assert found.seqs == (turn, seq)
    assert found.facts["blue"] == {"turns": [turn], "messages": [turn - 1]}
    assert facts(found, "green", "waiting") == [{"turns": [], "messages": []}, [waiting]]


def test_who_took_over_is_told_with_the_epoch() -> None:
    history = History().ack()
    history.lose("blue", GREEN)
    seq = history.say(GREEN, e.HandoffSeized(reason="lost"))
    took = only(history, "took_over")
    assert took.seqs == (seq,)
    assert facts(took, "side", "epoch", "type", "by_pid") == ["green", 2, "HANDOFF_SEIZED", GREEN.pid]


def test_the_gap_of_each_adapter_is_proved_by_its_two_ends() -> None:
    history = History().active().wait(0.25)
    seq = history.say(GREEN, connected())
    gap = only(history, "gap")
    assert (gap.seqs, gap.level) == ((seq - 2, seq), "note")
    assert facts(gap, "adapter", "ended", "phase", "over") == [ADAPTER, "paused", "ack", True]
    assert gap.facts["ms"] == pytest.approx(251.0)


def test_an_adapter_that_nobody_polls_any_more_is_bad() -> None:
    assert only(History().active(), "gap").level == "bad"


def test_a_rollback_names_its_evidence_and_what_stands_there() -> None:
    history = History().baking()
    lost_at = history.lose("green", BLUE)
    seq = history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(lost_at,)))
    found = only(history, "rolled_back")
    assert found.seqs == (lost_at, seq)
    assert facts(found, "by", "phase", "reason") == ["blue", "baking", "green_lost"]
    assert found.facts["evidence"] == {str(lost_at): "PROCESS_LOST"}


def test_a_failed_request_says_why() -> None:
    history = History().requested()
    history.say(BLUE, e.HandoffFailed(reason="spawn", detail="no such file"))
    assert facts(only(history, "failed"), "reason", "detail") == ["spawn", "no such file"]
    assert not of(history).good


def test_a_divergence_is_told_with_its_samples() -> None:
    history = History().baking()
    sample = history.sample(GREEN)
    seq = history.say(BLUE, e.DivergenceDetected(rule="errors", measured=0.5, limit=0.1, evidence=(sample,)))
    found = only(history, "diverged")
    assert (found.seqs, found.facts["rule"]) == ((sample, seq), "errors")


def test_watchers_that_were_handed_over_and_adopted_are_no_trouble() -> None:
    history = History().ack()
    seq = history.say(BLUE, handed_over(), paused(), e.HandoffActive(turns=0))
    history.say(GREEN, connected(), e.WatcherAdopted(handed_over=seq))
    found = only(history, "watchers")
    assert (found.level, found.facts, found.seqs) == ("note", {"handed_over": 1, "adopted": 1}, (seq, history.seq))


def test_a_watcher_that_nobody_adopted_is_left_behind() -> None:
    history = History().ack()
    seq = history.say(BLUE, handed_over(), paused(), e.HandoffActive(turns=0))
    history.say(GREEN, connected())
    history.confirm()
    history.wait(60)
    history.say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    found = only(history, "watchers")
    assert (found.level, found.seqs) == ("bad", (seq,))


# ---------------------------------------------------------------------------------------------- messages


def test_an_ambiguous_message_is_proved_from_its_acceptance_to_its_end() -> None:
    history = History().ack()
    message = history.accept(1)
    turn = history.turn(message)
    intended = history.intend(turn)
    seq = history.lose("blue", GREEN)
    found = only(history, "ambiguous")
    assert (found.level, found.seqs) == ("bad", (message, turn, intended, seq, seq + 1))
    assert found.facts == {"message": message, "attempts": 1}


def test_an_abandoned_message_is_bad() -> None:
    history = History().ack()
    message = history.accept(1, kind="command")
    turn = history.turn(message)
    seq = history.lose("blue", GREEN)
    assert only(history, "abandoned").seqs == (message, turn, seq, seq + 1)


def test_a_message_that_nobody_may_work_on_is_lost() -> None:
    history = History().ack()
    message = history.accept(1)
    history.lose("blue", GREEN)
    found = only(history, "lost")
    assert (found.seqs, found.facts["why"]) == ((message,), "no process owns the adapters")


def test_a_message_that_waits_behind_a_turn_of_its_chat_is_not_lost() -> None:
    history = History().ack()
    history.turn(history.accept(1))
    message = history.accept(2)
    history.wait(600).sample(BLUE)
    found = only(history, "waiting")
    assert (found.level, found.seqs) == ("note", (message,))


def test_a_free_message_that_the_owner_does_not_take_up_is_lost() -> None:
    history = History().ack()
    history.accept(1)
    history.wait(14).sample(BLUE)
    assert only(history, "waiting")
    history.wait(2).sample(BLUE)
    assert "not taken up" in str(only(history, "lost").facts["why"])


def test_a_message_that_became_free_just_now_is_not_lost() -> None:
    history = History().ack()
    turn = history.turn(history.accept(1))
    history.accept(2)
    history.wait(100)
    history.finish(turn)
    assert only(history, "waiting")


def test_a_message_that_was_due_and_never_settled_is_lost() -> None:
    history = History().ack()
    history.intend(history.turn(history.accept(1)))
    history.say(GREEN, lost("blue", BLUE))
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    assert only(history, "lost").facts["why"] == "due to be settled as ambiguous"


def test_a_message_that_two_turns_answered_is_doubled() -> None:
    history = History().ack()
    message = history.accept(1)
    first = history.turn(message)
    history.intend(first)
    one = history.sent(first)
    second = history.plant(BLUE, e.TurnStarted(messages=(message,), session=SESSION))
    history.plant(BLUE, e.ReplyIntended(turn=second, part=0))
    two = history.plant(BLUE, e.ReplySent(turn=second, part=0))
    history.finish(second)
    found = only(history, "doubled")
    assert (found.level, found.seqs) == ("bad", (one, two))


def test_an_update_that_was_accepted_twice_is_doubled() -> None:
    history = History().ack()
    first = history.accept(7)
    second = history.plant(BLUE, history.records[first - 1].event, key=None)
    assert only(history, "doubled").seqs == (first, second)


def test_a_reply_in_two_parts_is_not_doubled() -> None:
    history = History().ack()
    turn = history.turn(history.accept(1))
    for part in range(2):
        history.intend(turn, part, of=2)
        history.sent(turn, part)
    history.finish(turn)
    assert "doubled" not in {f.code for f in of(history).findings}


def test_messages_are_counted_by_what_became_of_them() -> None:
    history = History().ack()
    history.answer(history.accept(1), history.accept(2))
    history.accept(3)
    assert of(history).messages == {"accepted": 3, "answered": 1, "merged": 1, "open": 1}


# ---------------------------------------------------------------------------------------------- by handoff


def two() -> History:
    history = History().ack()
    ambiguous = history.turn(history.accept(1))
    history.intend(ambiguous)
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.say(GREEN, connected())
    history.confirm()
    history.wait(60)
    history.say(GREEN, e.HandoffComplete(sample=history.sample(GREEN)))
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="next", bake_s=1.0))
    history.answer(history.accept(2))
    history.say(GREEN, e.GreenSpawned(green=LATER), e.HandoffInit(green=LATER))
    history.say(LATER, started("green", serving=False))
    return history


def test_each_handoff_has_its_own_findings() -> None:
    history = two()
    assert "ambiguous" in {f.code for f in of(history, "h1").findings}
    assert of(history, "h2").findings == ()
    assert of(history, "h2").messages == {"accepted": 1, "answered": 1, "open": 0}


def test_a_message_that_outlives_its_handoff_counts_in_both() -> None:
    history = History().complete()
    message = history.accept(1)
    history.say(BLUE, e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="next", bake_s=1.0))
    history.answer(message)
    assert of(history, "h1").messages["answered"] == of(history, "h2").messages["answered"] == 1


def test_an_audit_without_a_handoff_has_nothing_to_act_on() -> None:
    with pytest.raises(NothingHere):
        of(History().serving())


def test_what_is_written_during_an_audit_does_not_enter_it() -> None:
    history = History().complete()
    message = history.accept(1)
    once = list(history.records)
    history.answer(message, history.accept(2))
    readings = [once, history.records]
    found = audit(lambda: readings.pop(0))
    assert (found.head[0], found.messages) == (len(once), {"accepted": 1, "open": 1})


def test_a_blue_that_serves_again_is_told() -> None:
    history = History().baking()
    history.lose("green", BLUE)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(history.seq,)))
    seq = history.say(BLUE, e.BlueServing(flushed_seq=0, digests=DIGESTS))
    took = [f for f in of(history).findings if f.code == "took_over"]
    assert [(f.facts["side"], f.facts["epoch"]) for f in took] == [("green", 2), ("blue", 3)]
    assert took[-1].seqs == (seq,)
