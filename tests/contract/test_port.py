"""What every gateway behind the port keeps to, against real gateway processes on the stand-ins.

That something does not happen is shown by something later that does: a message in another chat that is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from gateway_hooks.demo.markers import answered
from gateway_hooks.demo.shapes import BOT_ID
from tests.contract.stage import Line, Stage
from tests.contract.strings import WAIT_S, Player, Record, due

ADAPTER = f"telegram:{BOT_ID}"
A_MOMENT_S = 0.5
"""What waits as it should is never seen to return meanwhile; what does not wait has long returned."""


def fetched(line: Line) -> Callable[[Record], bool]:
    """Whether the ledger is being told of a line."""
    return lambda record: any(str(line.update_id) in e.updates for e in record)


def told(call: str, line: Line) -> Callable[[Record], bool]:
    """Whether the ledger was told so of a line, and did not refuse it."""
    return lambda record: any(e.call == call and e.ended_ns and not e.raised for e in record.about(line.marker))


def refused(call: str, line: Line) -> Callable[[Record], bool]:
    """Whether the ledger refused that for a line."""
    return lambda record: any(e.call == call and e.raised for e in record.about(line.marker))


def another_is_answered(stage: Stage, player: Player) -> Record:
    """Have somebody in another chat answered: whatever was under way before has had its chance."""
    line = stage.say()
    stage.answer(line)
    return player.until(told("finish", line), "the barrier's turn is finished")


# ------------------------------------------------------------------------------------------------ what comes in


def test_it_says_who_it_is_and_finds_nothing_wrong(stage: Stage, blue: Player) -> None:
    identity = blue.identity()
    assert identity.kind == stage.kind
    assert identity.version
    assert [f"{each.platform}:{each.account}" for each in identity.adapters] == [ADAPTER]
    assert not [finding for finding in blue.preflight() if finding.severity == "error"]


def test_an_update_is_accepted_before_a_poll_confirms_it(stage: Stage, blue: Player) -> None:
    blue.hold("accept")
    line = stage.say()
    blue.until(fetched(line), "accept is called")
    for _ in range(3):  # the loop goes round: whoever does not wait for the ledger polls now
        blue.sample()
    assert stage.pending == (line.update_id,)
    blue.release("accept")
    stage.until(lambda: not stage.pending, "the update is confirmed")
    (accept,) = [e for e in blue.record().about(line.marker) if e.call == "accept"]
    confirming = next(poll for poll in stage.polls(blue) if (poll.offset or 0) > line.update_id)
    assert accept.ended_ns is not None
    assert confirming.begin_ns > accept.ended_ns
    stage.answer(line)


def test_a_batch_that_the_ledger_refuses_is_never_confirmed_and_polling_stops(
    stage: Stage, blue: Player, green: Player
) -> None:
    blue.disown()
    line = stage.say()
    record = blue.until(lambda r: any(e.raised and str(line.update_id) in e.updates for e in r), "the batch is refused")
    refusal = next(e for e in record if str(line.update_id) in e.updates)
    assert refusal.raised == "StaleEpoch"
    assert stage.pending == (line.update_id,)
    green.connect()
    stage.answer(line)
    another_is_answered(stage, green)
    assert refusal.ended_ns is not None
    assert not [poll for poll in stage.polls(blue) if poll.begin_ns > refusal.ended_ns]
    assert not blue.record().tickets(line.marker)
    green.pause()
    blue.relent()
    blue.connect()
    another_is_answered(stage, blue)


def test_a_batch_that_could_not_be_written_is_fetched_again(stage: Stage, blue: Player) -> None:
    blue.order("accept", "DiskTrouble")
    line = stage.say()
    stage.answer(line)
    record = blue.until(told("finish", line), "the turn is finished")
    assert [e.raised for e in record if str(line.update_id) in e.updates] == ["DiskTrouble", ""]
    assert len(stage.answers(line)) == 1


def test_a_redelivered_update_is_accepted_again_and_not_dispatched_twice(stage: Stage, blue: Player) -> None:
    stage.hold_polls()  # the poll that would confirm does not get through
    line = stage.say()
    stage.answer(line)
    blue.until(told("finish", line), "the turn is finished")
    blue.pause()
    stage.until(lambda: all(p.end_ns for p in stage.polls(blue)), "the confirming poll is given up")
    assert stage.pending == (line.update_id,)
    stage.let_polls_go()
    blue.connect()
    another_is_answered(stage, blue)
    record = blue.record()
    assert [ticket.dispatch for ticket in record.tickets(line.marker)] == [True, False]
    assert [e.call for e in record.about(line.marker)].count("start") == 1
    assert len(stage.answers(line)) == 1


def test_one_number_given_twice_by_the_platform_is_two_messages(stage: Stage, blue: Player) -> None:
    first = stage.say()
    stage.answer(first)
    blue.until(told("finish", first), "the turn is finished")
    second_of_day = int(time.time())
    while int(time.time()) == second_of_day or stage.pending:  # another date, and nothing under way
        another_is_answered(stage, blue)
        blue.sample()
    before = stage.renumber(first.update_id)
    second = stage.say()
    stage.answer(second)
    record = blue.until(told("finish", second), "the turn is finished")
    stage.until(lambda: not stage.pending, "the second is confirmed")
    stage.renumber(before)
    another_is_answered(stage, blue)
    assert second.update_id == first.update_id
    assert record.tickets(first.marker)[0].message != record.tickets(second.marker)[0].message
    assert len(stage.answers(first)) == len(stage.answers(second)) == 1


# ------------------------------------------------------------------------------------------------ turns


def test_a_turn_is_started_intended_sent_and_finished_in_that_order(stage: Stage, blue: Player) -> None:
    lines = [stage.say(), stage.say()]
    for line in lines:
        record = blue.until(told("finish", line), "the turn is finished")
        (request,) = stage.answers(line)
        _accept, start, intend, sent, finish = record.about(line.marker)
        assert record.calls(line.marker) == ["accept", "start", "intend", "sent", "finish"]
        assert start.messages == finish.messages == (record.tickets(line.marker)[0].message,)
        assert intend.part == sent.part
        assert finish.outcome == "answered"
        assert sent.reference == str(request.message_id)
        assert intend.ended_ns is not None
        assert request.end_ns is not None
        assert intend.ended_ns < request.begin_ns < request.end_ns < sent.began_ns


def test_a_message_that_is_already_taken_is_not_answered(stage: Stage, blue: Player) -> None:
    blue.order("start", "AlreadyTaken")
    line = stage.say()
    blue.until(refused("start", line), "the start is refused")
    another_is_answered(stage, blue)
    assert not stage.asked(line)
    assert not stage.answers(line)
    stage.answer(stage.say(chat=line.chat))


def test_a_message_whose_turn_could_not_be_written_is_answered_once_it_comes_back(stage: Stage, blue: Player) -> None:
    blue.order("start", "DiskTrouble")
    line = stage.say()
    record = blue.until(refused("start", line), "the start cannot be written")
    another_is_answered(stage, blue)
    assert not stage.asked(line)
    blue.take_up(due(record.tickets(line.marker)[0]))
    stage.answer(line)
    blue.until(told("finish", line), "the turn is finished")
    assert len(stage.answers(line)) == 1


def test_a_lost_hold_sends_nothing(stage: Stage, blue: Player) -> None:
    blue.order("intend", "LostHold")
    line = stage.say()
    blue.until(refused("intend", line), "the intent is refused")
    blue.until_idle()
    another_is_answered(stage, blue)
    assert not [call for call in stage.calls if call.chat_id == line.chat and call.method.startswith("sendM")]
    stage.answer(stage.say(chat=line.chat))


def test_a_ticket_that_must_wait_is_started_when_it_comes_back(stage: Stage, blue: Player) -> None:
    blue.order("accept", "put off")
    line = stage.say()
    record = blue.until(told("accept", line), "the message is accepted")
    (ticket,) = record.tickets(line.marker)
    assert not ticket.dispatch
    assert another_is_answered(stage, blue).calls(line.marker) == ["accept"]
    blue.take_up(due(ticket))
    stage.answer(line)
    record = blue.until(told("finish", line), "the turn is finished")
    assert record.calls(line.marker) == ["accept", "start", "intend", "sent", "finish"]


def test_quick_texts_are_one_turn_over_both_messages(stage: Stage, blue: Player) -> None:
    first, second = stage.say_at_once(2)
    request = stage.answer(first)
    record = blue.until(told("finish", second), "the turn is finished")
    assert answered(request.text or "") == (first.marker, second.marker)
    messages = [record.tickets(line.marker)[0].message for line in (first, second)]
    (start,) = [e for e in record.about(first.marker) if e.call == "start"]
    (finish,) = record.ends(second.marker)
    assert sorted(start.messages) == sorted(finish.messages) == messages
    assert len([call for call in stage.calls if call.chat_id == first.chat and call.method.startswith("sendM")]) == 1


def test_a_follow_up_in_a_busy_chat_is_a_turn_after_it(stage: Stage, blue: Player) -> None:
    first = stage.say(slow=True)
    stage.is_with_the_model(first)
    second = stage.say(chat=first.chat)
    blue.until(told("accept", second), "the follow-up is accepted")
    stage.let_slow_go()
    stage.answer(second)
    record = blue.until(told("finish", second), "the follow-up is finished")
    (end,) = record.ends(first.marker)
    (start,) = [e for e in record.about(second.marker) if e.call == "start"]
    assert end.ended_ns is not None
    assert end.ended_ns < start.began_ns
    assert len(stage.answers(first)) == len(stage.answers(second)) == 1


def test_a_send_whose_connection_was_lost_is_not_sent_again_and_settled_once(stage: Stage, blue: Player) -> None:
    stage.drop_next_send()
    line = stage.say()
    record = blue.until(lambda r: r.ends(line.marker), "the message is settled")
    another_is_answered(stage, blue)
    (end,) = record.ends(line.marker)
    assert end.call == "finish" or end.outcome == "ambiguous"
    assert [(request.text, request.outcome) for request in stage.answers(line)] == [
        (f"answer [{line.marker}]", "dropped")
    ]
    assert "sent" not in blue.record().calls(line.marker), "nobody told it that the part was taken"
    stage.answer(stage.say(chat=line.chat))


def command(stage: Stage, line: Line) -> Line:
    """Give a command."""
    return stage.say(chat=line.chat, words="/status")


ENDS: dict[str, Callable[[Stage, Line], Line]] = {
    "command": command,
    "edit": Stage.edit,
    "callback": Stage.press,
    "other": Stage.unblock,
}


@pytest.mark.parametrize("kind", ENDS)
def test_what_is_no_text_ends_in_exactly_one_settle_or_finish(stage: Stage, blue: Player, kind: str) -> None:
    before = stage.say()
    stage.answer(before)
    blue.until(told("finish", before), "the turn before is finished")
    line = ENDS[kind](stage, before)
    record = blue.until(lambda r: r.ends(line.marker), f"the {kind} is settled")
    assert record.tickets(line.marker)[0].update.kind == kind
    record = another_is_answered(stage, blue)
    assert len(record.ends(line.marker)) == 1
    assert not [e for e in record.about(line.marker) if e.raised]


# ------------------------------------------------------------------------------------------------ letting go, taking over


def test_after_pause_nobody_polls_and_the_turn_in_flight_is_finished_and_answered(
    stage: Stage, blue: Player, green: Player
) -> None:
    slow = stage.say(slow=True)
    stage.is_with_the_model(slow)
    blue.pause()
    paused_ns = time.monotonic_ns()
    assert blue.turns() == 1
    meanwhile = stage.say()
    stage.let_slow_go()
    stage.answer(slow)
    record = blue.until(told("finish", slow), "the turn in flight is finished")
    assert record.calls(slow.marker) == ["accept", "start", "intend", "sent", "finish"]
    blue.until_idle()
    assert meanwhile.update_id in stage.pending
    green.connect()
    stage.answer(meanwhile)
    another_is_answered(stage, green)
    assert not blue.record().tickets(meanwhile.marker)
    assert not stage.polls(blue, since_ns=paused_ns)


def test_connect_after_pause_accepts_what_was_said_meanwhile_and_drops_nothing(stage: Stage, blue: Player) -> None:
    blue.pause()
    meanwhile = [stage.say() for _ in range(3)]
    blue.connect()
    for line in meanwhile:
        stage.answer(line)
        blue.until(told("finish", line), "the turn is finished")
    assert not [call for call in stage.calls if call.method.endswith("Webhook") and call.update_ids]
    assert [len(stage.answers(line)) for line in meanwhile] == [1, 1, 1]


def test_what_waits_behind_a_turn_is_not_started_after_pause_and_is_when_it_comes_back(
    stage: Stage, blue: Player
) -> None:
    slow = stage.say(slow=True)
    stage.is_with_the_model(slow)
    behind = stage.say(chat=slow.chat)
    record = blue.until(told("accept", behind), "the follow-up is accepted")
    blue.pause()
    stage.let_slow_go()
    stage.answer(slow)
    blue.until_idle()
    assert "start" not in blue.record().calls(behind.marker)
    blue.connect()
    assert "start" not in another_is_answered(stage, blue).calls(behind.marker)
    blue.take_up(due(record.tickets(behind.marker)[0]))
    stage.answer(behind)
    blue.until(told("finish", behind), "the follow-up is finished")
    assert len(stage.answers(behind)) == 1


def test_pause_waits_for_a_batch_on_its_way_to_the_ledger_which_is_not_started_any_more(
    stage: Stage, blue: Player
) -> None:
    blue.hold("accept")
    line = stage.say()
    blue.until(fetched(line), "accept is called")
    with ThreadPoolExecutor(1) as hands:
        pausing = hands.submit(blue.pause)
        try:
            assert not wait([pausing], timeout=A_MOMENT_S).done, "pause returned while a batch was on its way"
        finally:
            blue.release("accept")
        pausing.result(timeout=WAIT_S)
    record = blue.record()
    assert [e.call for e in record.about(line.marker) if e.ended_ns] == ["accept"]
    blue.connect()
    assert "start" not in another_is_answered(stage, blue).calls(line.marker)
    blue.take_up(due(record.tickets(line.marker)[0]))
    stage.answer(line)
    blue.until(told("finish", line), "the turn is finished")
    assert len(stage.answers(line)) == 1


def test_pause_and_connect_are_idempotent(stage: Stage, blue: Player) -> None:
    blue.pause()
    blue.pause()
    line = stage.say()
    since_ns = time.monotonic_ns()
    blue.connect()
    blue.connect()
    stage.answer(line)
    another_is_answered(stage, blue)
    assert [e.call for e in blue.record().about(line.marker)].count("accept") == 1
    assert {poll.status for poll in stage.polls(blue, since_ns=since_ns)} <= {200, None}, "nobody polls beside it"


def test_a_green_waits_without_polling_until_connect(stage: Stage, blue: Player) -> None:
    green = stage.new_green()
    another_is_answered(stage, blue)
    assert not stage.polls(green)
    assert green.sample().polls.get(ADAPTER, 0) == 0
    blue.pause()
    green.connect()
    another_is_answered(stage, green)
    assert stage.polls(green)


def test_after_end_it_exits_with_0_and_never_polls_again(stage: Stage, blue: Player, green: Player) -> None:
    blue.pause()
    green.connect()
    another_is_answered(stage, green)
    green.until_idle()
    ended_ns = time.monotonic_ns()
    for player in (blue, green):
        player.end()
    for player in (blue, green):
        assert player.exit_code() == 0, player.story(Record())
        assert not stage.polls(player, since_ns=ended_ns)


# ------------------------------------------------------------------------------------------------ what the other side must know


def test_load_gives_the_digests_that_flush_gave(stage: Stage, blue: Player, green: Player) -> None:
    another_is_answered(stage, blue)
    blue.until_idle()
    flushed = blue.flush()
    assert {"routing", "transcripts"} <= {each.part for each in flushed}
    assert all(each.count for each in flushed)
    assert green.load() == flushed
    assert green.load() == flushed, "loading twice changes nothing"
    another_is_answered(stage, blue)
    blue.until_idle()
    after = blue.flush()
    assert {each.digest for each in after}.isdisjoint(each.digest for each in flushed)
    assert green.load() == after


def test_a_chat_made_in_one_process_is_known_to_the_other_after_load(stage: Stage, blue: Player, green: Player) -> None:
    before = {each.part: each.count for each in blue.flush()}
    blue.pause()
    green.connect()
    first = stage.say()
    stage.answer(first)
    green.until(told("finish", first), "green's turn is finished")
    green.until_idle()
    green.pause()
    assert blue.load() == green.flush()
    blue.connect()
    second = stage.say(chat=first.chat)
    stage.answer(second)
    assert stage.asked(second)[0].history == 3, "what was said in the other process is remembered"
    assert {each.part: each.count for each in blue.flush()}["routing"] == before["routing"] + 1


def test_what_one_process_writes_erases_nothing_that_only_the_other_knows(
    stage: Stage, blue: Player, green: Player
) -> None:
    before = {each.part: each.count for each in blue.flush()}
    blue.pause()
    green.connect()
    another_is_answered(stage, green)  # a chat of which blue has not read
    green.until_idle()
    green.pause()
    flushed = green.flush()
    assert blue.flush() == flushed
    blue.connect()
    another_is_answered(stage, blue)
    blue.until_idle()
    assert {each.part: each.count for each in blue.flush()}["routing"] == before["routing"] + 2
    assert green.load() == blue.flush()


def test_adopted_watchers_are_pending(stage: Stage, blue: Player, green: Player) -> None:
    given = stage.watcher()
    blue.adopt([given])
    assert given.name in [watcher.name for watcher in blue.watchers()]
    green.adopt(blue.watchers())
    assert given.name in [watcher.name for watcher in green.watchers()]


def test_a_sample_has_polls_and_turns(stage: Stage, blue: Player) -> None:
    another_is_answered(stage, blue)
    blue.pause()
    paused_ns = time.monotonic_ns()
    blue.connect()
    another_is_answered(stage, blue)
    blue.until_idle()
    before = blue.sample()
    assert 1 <= before.polls[ADAPTER] <= len(stage.polls(blue, since_ns=paused_ns)), "counted since the last connect"
    assert before.turns == before.waiting == 0
    assert before.rss_mb > 1
    assert before.loop_lag_ms >= 0
    slow = stage.say(slow=True)
    stage.is_with_the_model(slow)
    during = blue.sample()
    assert during.turns == blue.turns() == 1
    assert during.polls[ADAPTER] > before.polls[ADAPTER]
    stage.let_slow_go()
    stage.answer(slow)
    blue.until(told("finish", slow), "the slow turn is finished")
    blue.until_idle()
    after = blue.sample()
    assert after.answered == before.answered + 1
    assert after.errors == before.errors
