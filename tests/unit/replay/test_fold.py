"""The same events give the same state, however they are cut, and the state says what the record says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from journal import events as e
from journal.pseudonyms import seal
from journal.record import Draft, Writer
from journal.store import Journal
from replay.data import fingerprint
from replay.fold import State, fold
from tests.builders import BLUE, GREEN, KEEPER, OPERATOR, SALT, handed_over
from tests.unit.replay.histories import ADAPTER, History, connected, paused

WAYS: tuple[Callable[[History], History], ...] = (History.complete, History.rolled_back, History.connected)


@pytest.mark.parametrize("way", WAYS)
def test_a_prefix_and_then_the_rest_give_the_state_of_the_whole(way: Callable[[History], History]) -> None:
    records = way(History()).records
    whole = fold(records)
    for cut in range(len(records) + 1):
        assert fold(records[cut:], fold(records[:cut])) == whole


def test_what_the_store_appends_folds_like_what_is_made_by_hand(journal: Journal) -> None:
    history = History().complete()
    for record in history.records:
        journal.append(Draft(record.event), writer=Writer(record.process, record.role))
    assert [(t.holder, t.messages) for t in journal.head.turns.values()] == []
    state = history.state
    assert (journal.head.phase, journal.head.epoch, journal.head.owner) == (
        state.head.phase,
        state.head.epoch,
        state.head.owner,
    )
    assert journal.head.connected == state.head.connected


def test_an_empty_record_is_idle() -> None:
    state = fold([])
    assert (state.head.phase, state.entered, state.steps) == ("idle", None, ())
    assert state == State()


def test_the_steps_are_those_of_the_handoff() -> None:
    state = History().complete().state
    assert [step.phase for step in state.steps] == ["requested", "init", "ack", "active", "baking", "complete"]
    assert [step.role for step in state.steps] == ["operator", "blue", "green", "blue", "green", "blue"]


def test_a_request_forgets_the_last_handoff_and_turns_the_sides() -> None:
    history = History().complete()
    history.say(BLUE, e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="next", bake_s=1.0))
    state = history.state
    assert (state.head.blue, state.head.green, state.head.owner) == (GREEN, None, "blue")
    assert [step.type for step in state.steps] == ["HANDOFF_REQUESTED"]
    assert all(sample.process == GREEN for sample in state.samples["blue"])
    assert "green" not in state.samples
    assert "green" not in state.seen


def test_messages_are_counted_by_what_became_of_them() -> None:
    history = History().serving()
    history.answer(history.accept(1), history.accept(2))
    history.accept(3)
    state = history.state
    assert state.accepted == 3
    assert state.settled == {"answered": 1, "merged": 1}
    assert list(state.head.messages) == [history.seq]


def test_a_loss_says_where_and_with_how_many_turns() -> None:
    history = History().ack()
    history.turn(history.accept(1))
    seq = history.lose("blue", GREEN)
    (loss,) = history.state.losses
    assert (loss.moment.seq, loss.side, loss.phase, loss.turns) == (seq, "blue", "ack", 1)


def test_a_start_forgets_the_samples_of_whoever_sat_there() -> None:
    history = History().baking()
    assert history.state.samples["green"]
    history.lose("green", BLUE)
    history.say(KEEPER, e.ProcessStarted(side="green", serving=True, gateway="r", version="1", runtime="same"))
    assert history.state.samples["green"] == ()


def test_offsets_and_connections_are_kept_by_adapter() -> None:
    history = History().serving()
    platform, account = ADAPTER.split(":")
    history.say(BLUE, e.AdapterOffset(platform=platform, account=account, next_offset=12))
    history.say(BLUE, paused())
    seq = history.say(BLUE, connected())
    assert history.state.offsets == {ADAPTER: 12}
    assert history.state.connected_at == {ADAPTER: seq}


def test_a_watcher_waits_until_it_is_adopted() -> None:
    history = History().ack()
    seq = history.say(BLUE, handed_over(), paused(), e.HandoffActive(turns=0))
    assert list(history.state.watchers) == [seq]
    history.say(GREEN, connected(), e.WatcherAdopted(handed_over=seq))
    assert not history.state.watchers


def test_time_within_a_boot_is_monotonic_and_across_boots_the_walls() -> None:
    moment = History().serving().records[0]
    state = fold([moment])
    seen = state.seen["blue"]
    assert seen.elapsed_s(at_ns=0, mono_ns=seen.mono_ns + 2_000_000_000, boot=seen.boot) == 2.0
    assert seen.elapsed_s(at_ns=seen.at_ns + 3_000_000_000, mono_ns=0, boot="another") == 3.0
    assert seen.elapsed_s(at_ns=0, mono_ns=0, boot="another") == 0.0


def test_the_fingerprint_tells_states_apart_and_nothing_else() -> None:
    one, two = History().baking(), History().baking()
    assert fingerprint(one.state) == fingerprint(two.state)
    two.sample(GREEN)
    assert fingerprint(one.state) != fingerprint(two.state)


def test_words_do_not_enter_a_state() -> None:
    history = History().serving()
    payload, digest = seal(b"a secret", SALT)
    event = e.MessageAccepted(
        platform="telegram", account=ADAPTER.split(":")[1], chat="c_" + "1" * 16, kind="text", update_id="1", digest=digest
    )  # fmt: skip
    history.say(BLUE, Draft(event, payload=payload))
    assert "secret" not in repr(history.state)
