"""Every cell of the protocol's table: what each side decides when all is well, when time is up, and when the other is gone."""

from __future__ import annotations

import pytest

from journal import events as e
from journal.events import Phase, Process
from journal.record import Record, Stamp
from replay import decide as d
from replay.decide import decide
from replay.fold import fold
from tests.builders import BLUE, DIGESTS, GREEN, LATER, OPERATOR, lost
from tests.unit.replay.histories import History, connected, paused, started

FROZEN = {"peer": "stopped", "stopped_s": 3.0}


def said(action: d.Action | None) -> e.Event:
    assert isinstance(action, d.Say)
    return action.event


def rollback(action: d.Action | None) -> tuple[Phase, str, tuple[int, ...]]:
    event = said(action)
    assert isinstance(event, e.HandoffRollback)
    return event.phase, event.reason, event.evidence


def before(phase: Phase) -> History:
    """A history in one of the phases in which green can fail, green having sampled."""
    history = History()
    way = {"init": history.init, "ack": history.ack, "active": history.connected, "baking": history.baking}
    return way[phase]()


# ---------------------------------------------------------------------------------------------- at rest


def test_a_serving_blue_has_nothing_to_decide() -> None:
    history = History().serving()
    assert decide(history.state, history.view("blue", peer="none")) is None


def test_an_owner_that_does_not_poll_connects() -> None:
    history = History().serving()
    assert decide(history.state, history.view("blue", peer="none", polling=False)) == d.Connect()


# ---------------------------------------------------------------------------------------------- requested


def test_blue_spawns_green_when_it_is_asked_to() -> None:
    history = History().requested()
    assert decide(history.state, history.view("blue", peer="none")) == d.Spawn()


def test_a_request_that_is_too_old_fails() -> None:
    history = History().requested().wait(10.1)
    assert said(decide(history.state, history.view("blue", peer="none"))) == e.HandoffFailed(reason="deadline")


# ---------------------------------------------------------------------------------------------- init


def test_a_blue_that_is_frozen_after_it_wrote_more_than_it_flushed_is_ended() -> None:
    history = History().init().flushed()
    seq = history.state.head.flushed_seq
    view = history.view("green", loaded={"routing": "ef" * 32}, loaded_seq=seq, **FROZEN)
    assert decide(history.state, view) == d.EndPeer("blue", "ended_stopped")
    agreed = history.view("green", loaded=DIGESTS, loaded_seq=seq, **FROZEN)
    assert isinstance(said(decide(history.state, agreed)), e.HandoffAck)


def test_blue_flushes_in_init() -> None:
    history = History().init()
    assert decide(history.state, history.view("blue")) == d.Flush()


def test_green_waits_for_the_first_flush() -> None:
    history = History().init()
    assert decide(history.state, history.view("green")) is None


def test_green_loads_what_was_flushed() -> None:
    history = History().init().flushed()
    assert decide(history.state, history.view("green")) == d.Load(history.seq)


def test_green_acknowledges_what_it_has_loaded() -> None:
    history = History().init().flushed()
    view = history.view("green", loaded=DIGESTS, loaded_seq=history.seq)
    assert said(decide(history.state, view)) == e.HandoffAck(flushed_seq=history.seq, digests=DIGESTS)


def test_green_that_loaded_an_older_flush_loads_again() -> None:
    history = History().init().flushed()
    old = history.seq
    history.flushed()
    assert decide(history.state, history.view("green", loaded=DIGESTS, loaded_seq=old)) == d.Load(history.seq)


def test_green_whose_digests_differ_says_nothing() -> None:
    history = History().init().flushed()
    view = history.view("green", loaded={"routing": "cd" * 32}, loaded_seq=history.seq)
    assert decide(history.state, view) is None


def test_green_that_never_comes_to_agree_says_so_before_the_deadline_hides_it() -> None:
    history = History().init().flushed()
    view = {"loaded": {"routing": "cd" * 32}, "loaded_seq": history.seq}
    history.wait(53)
    history.sample(BLUE)
    assert decide(history.state, history.view("green", **view)) is None
    history.wait(2)
    history.sample(BLUE)
    action = decide(history.state, history.view("green", **view))
    assert rollback(action) == ("init", "digests", (history.state.head.flushed_seq,))
    assert said(action).detail == "green read another routing"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seen", "how"), [(FROZEN, "ended_stopped"), ({}, "ended_silent")], ids=["frozen", "silent"])
def test_green_ends_an_unresponsive_blue_that_wrote_on_after_its_flush_and_goes_on_with_the_disk(
    seen: dict[str, object], how: d.Ending
) -> None:
    history = History().init().flushed().wait(0 if seen else 16)
    more = {"loaded": {"routing": "cd" * 32}, "loaded_seq": history.seq}
    assert decide(history.state, history.view("green", **more, **seen)) == d.EndPeer("blue", how)
    history.lose("blue", GREEN, "ended_silent") if not seen else history.wait(3).lose("blue", GREEN, how)
    ack = said(decide(history.state, history.view("green", peer="none", **more)))
    assert isinstance(ack, e.HandoffAck)
    history.say(GREEN, ack)
    assert history.head.phase == "ack"


def test_blue_says_how_green_ended_where_the_system_told() -> None:
    history = History().baking()
    history.lose("green", BLUE)
    event = said(decide(history.state, history.view("blue", peer="none", peer_end="exit code 74")))
    assert event == e.HandoffRollback(
        phase="baking", reason="green_lost", detail="exit code 74", evidence=(history.seq,)
    )


def test_green_goes_on_to_ack_beside_a_silent_blue() -> None:
    history = History().init().flushed().wait(16)
    view = history.view("green", loaded=DIGESTS, loaded_seq=history.seq)
    assert said(decide(history.state, view)) == e.HandoffAck(flushed_seq=history.seq, digests=DIGESTS)


def test_green_that_boots_slowly_is_not_silent() -> None:
    history = History().requested()
    history.say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
    history.wait(20)
    assert decide(history.state, history.view("blue")) == d.Flush()
    history.say(GREEN, started("green", serving=False))
    history.wait(20)
    assert decide(history.state, history.view("blue")) == d.Flush()


def test_green_that_does_not_come_up_within_the_deadline_is_rolled_back() -> None:
    history = History().requested()
    init = history.say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN)) + 1
    history.wait(60.1)
    assert rollback(decide(history.state, history.view("blue"))) == ("init", "deadline", (init,))


# ---------------------------------------------------------------------------------------------- ack


def test_blue_lets_go_in_ack() -> None:
    history = History().ack()
    assert decide(history.state, history.view("blue")) == d.LetGo(active=True)


def test_green_waits_in_ack_while_blue_lives() -> None:
    history = History().ack()
    assert decide(history.state, history.view("green")) is None


def test_green_seizes_from_a_lost_blue() -> None:
    history = History().ack()
    history.lose("blue", GREEN)
    view = history.view("green", peer="none")
    assert said(decide(history.state, view)) == e.HandoffSeized(reason="lost")


@pytest.mark.parametrize("seen", [FROZEN, {}], ids=["frozen", "silent"])
def test_green_seizes_from_an_unresponsive_blue(seen: dict[str, object]) -> None:
    history = History().ack().wait(0 if seen else 15.1)
    assert said(decide(history.state, history.view("green", **seen))) == e.HandoffSeized(reason="silent")


def test_green_ends_a_blue_that_stops_when_it_is_to_serve_again_after_a_rollback_from_ack() -> None:
    history = History().ack()
    history.say(OPERATOR, e.HandoffRollback(phase="ack", reason="operator"))
    assert decide(history.state, history.view("green", polling=False)) is None
    assert decide(history.state, history.view("green", polling=False, **FROZEN)) == d.EndPeer("blue", "ended_stopped")


def test_green_ends_the_silent_blue_that_it_seized_from_before_it_connects() -> None:
    history = History().ack().wait(15.1)
    history.say(GREEN, e.HandoffSeized(reason="silent"))
    assert decide(history.state, history.view("green", polling=False, **FROZEN)) == d.EndPeer("blue", "ended_stopped")


# ---------------------------------------------------------------------------------------------- active


def test_green_connects_in_active() -> None:
    history = History().active()
    assert decide(history.state, history.view("green", polling=False)) == d.Connect()


def test_green_connects_to_nothing_that_blue_still_holds() -> None:
    history = History().ack().wait(15.1)
    history.say(GREEN, e.HandoffSeized(reason="silent"))
    assert decide(history.state, history.view("green", polling=False)) is None


def test_green_confirms_with_enough_clean_samples() -> None:
    history = History().connected()
    samples = (history.sample(GREEN), history.sample(GREEN))
    assert said(decide(history.state, history.view("green"))) == e.HandoffConfirm(samples=samples)


def test_green_does_not_confirm_on_too_few_samples() -> None:
    history = History().connected()
    history.sample(GREEN)
    assert decide(history.state, history.view("green")) is None


def test_green_does_not_confirm_while_an_adapter_has_not_polled_cleanly() -> None:
    history = History().connected()
    history.sample(GREEN, polls=0)
    history.sample(GREEN)
    assert decide(history.state, history.view("green")) is None


def test_samples_from_before_it_connected_confirm_nothing() -> None:
    history = History().active()
    history.sample(GREEN)
    history.sample(GREEN)
    history.say(GREEN, connected())
    assert decide(history.state, history.view("green")) is None


def test_green_goes_on_in_active_when_blue_is_lost() -> None:
    history = History().active()
    history.lose("blue", GREEN)
    assert decide(history.state, history.view("green", peer="none", polling=False)) == d.Connect()


# ---------------------------------------------------------------------------------------------- baking


def test_blue_completes_when_the_bake_is_over() -> None:
    history = History().baking().wait(60)
    sample = history.sample(GREEN)
    assert said(decide(history.state, history.view("blue"))) == e.HandoffComplete(sample=sample)


def test_nobody_completes_before_the_bake_is_over() -> None:
    history = History().baking().wait(10)
    history.sample(GREEN)
    assert decide(history.state, history.view("blue")) is None


def test_the_operator_ends_the_bake_early() -> None:
    history = History().baking()
    history.say(OPERATOR, e.HandoffCompleteRequested())
    sample = history.sample(GREEN)
    assert said(decide(history.state, history.view("blue"))) == e.HandoffComplete(sample=sample)


def test_a_sample_is_fresh_for_three_intervals() -> None:
    history = History().baking()
    sample = history.sample(GREEN)
    state = history.state
    assert d.fresh_sample(state, history.wait(15.0).now(), BLUE.boot) == sample
    assert d.fresh_sample(state, history.wait(0.001).now(), BLUE.boot) is None


def test_a_sample_of_another_green_is_not_fresh() -> None:
    history = History().baking()
    history.lose("green", BLUE)
    assert d.fresh_sample(history.state, history.now(), BLUE.boot) is None


def test_green_leaves_the_completion_to_a_living_blue() -> None:
    history = History().baking().wait(60)
    history.sample(BLUE)
    history.sample(GREEN)
    assert decide(history.state, history.view("green")) is None


def test_green_finishes_the_bake_alone() -> None:
    history = History().baking()
    history.lose("blue", GREEN)
    history.wait(60)
    sample = history.sample(GREEN)
    assert said(decide(history.state, history.view("green", peer="none"))) == e.HandoffComplete(sample=sample)


def test_a_bake_has_no_deadline() -> None:
    history = History().baking(bake_s=1e6).wait(50_000)
    history.sample(GREEN)
    assert decide(history.state, history.view("blue")) is None


def test_a_bake_ends_though_the_clock_was_set_back_while_the_machine_was_off() -> None:
    history = History().baking(bake_s=60.0)
    before, day_ns = history.now(), 86_400 * 10**9
    state = fold([*history.records, Record(
        history.seq + 1, None, "PROCESS_STARTED", 1, "green", Process(pid=9, started=9, boot="another"), 2,
        before.at_ns - day_ns, 10**9, None, None, started("green", serving=True).model_dump_json(), b"", b"",
    )])  # fmt: skip
    for seconds, over in ((59, False), (60, True)):
        now = Stamp(before.at_ns - day_ns + seconds * 10**9, 10**9 + seconds * 10**9)
        assert d.bake_over(state, now, "another") is over


def test_a_bake_in_which_somebodys_word_is_missing_is_not_over_however_long_it_lasts() -> None:
    history = History().baking(bake_s=60.0).wait(100)
    history.sample(GREEN)
    state, view = history.state.copy(), history.view("blue")
    assert d.bake_over(state, view.now, view.boot)
    state.terms = e.HandoffTerms(confirm_within_s=1e6)
    assert not d.bake_over(state, view.now, view.boot)


# ---------------------------------------------------------------------------------------------- green fails, blue rolls back


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_blue_rolls_back_when_green_is_lost(phase: Phase) -> None:
    history = before(phase)
    seq = history.lose("green", BLUE)
    assert rollback(decide(history.state, history.view("blue", peer="none"))) == (phase, "green_lost", (seq,))


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_blue_rolls_back_when_green_is_frozen(phase: Phase) -> None:
    history = before(phase)
    phase_, reason, _ = rollback(decide(history.state, history.view("blue", **FROZEN)))
    assert (phase_, reason) == (phase, "green_silent")


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_blue_rolls_back_when_green_is_silent_and_names_its_last_word(phase: Phase) -> None:
    history = before(phase)
    seen = history.state.seen["green"].seq
    history.wait(15.1)
    assert rollback(decide(history.state, history.view("blue"))) == (phase, "green_silent", (seen,))


@pytest.mark.parametrize(("phase", "seconds"), [("init", 60.1), ("ack", 30.1), ("active", 30.1)])
def test_blue_rolls_back_at_the_deadline(phase: Phase, seconds: float) -> None:
    history = before(phase)
    entered = history.state.entered
    assert entered is not None
    history.wait(seconds)
    history.sample(GREEN)
    assert rollback(decide(history.state, history.view("blue"))) == (phase, "deadline", (entered.seq,))


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_a_stop_that_is_shorter_than_frozen_changes_nothing(phase: Phase) -> None:
    history = before(phase)
    view = history.view("blue", peer="stopped", stopped_s=2.9)
    assert not isinstance(decide(history.state, view), d.Say)


def test_blue_rolls_back_on_a_divergence() -> None:
    history = History().baking()
    evidence = history.sample(GREEN)
    seq = history.say(
        BLUE, e.DivergenceDetected(rule="errors", measured=0.5, limit=0.1, evidence=(evidence,))
    )  # fmt: skip
    assert rollback(decide(history.state, history.view("blue"))) == ("baking", "divergence", (seq,))


@pytest.mark.parametrize("phase", ["active", "baking"])
def test_green_rolls_back_on_its_own_fault_while_blue_lives(phase: Phase) -> None:
    history = before(phase)
    event = said(decide(history.state, history.view("green", fault="it does not connect")))
    assert event == e.HandoffRollback(phase=phase, reason="fault", detail="it does not connect")


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_blue_rolls_back_when_its_own_gateway_fails(phase: Phase) -> None:
    history = before(phase)
    event = said(decide(history.state, history.view("blue", fault="it does not pause")))
    assert event == e.HandoffRollback(phase=phase, reason="fault", detail="it does not pause")


def test_green_keeps_serving_with_a_fault_when_blue_is_gone() -> None:
    history = History().baking()
    history.lose("blue", GREEN)
    assert decide(history.state, history.view("green", peer="none", fault="an adapter is down")) is None


def test_the_evidence_of_a_lost_green_is_not_the_loss_of_a_former_blue() -> None:
    history = History().baking()
    green = history.lose("green", BLUE)
    history.say(LATER, lost("blue", BLUE), started("blue", serving=False))
    view = d.View("blue", history.now(), LATER.boot, peer="none")
    assert rollback(decide(history.state, view)) == ("baking", "green_lost", (green,))


# ---------------------------------------------------------------------------------------------- complete


def test_blue_exits_when_its_turns_are_done() -> None:
    history = History().complete()
    assert decide(history.state, history.view("blue", polling=False)) == d.Exit()


def test_blue_finishes_its_turns_before_it_exits() -> None:
    history = History().ack()
    history.turn(history.accept(1))
    history.say(BLUE, paused(), e.HandoffActive(turns=1))
    history.say(GREEN, connected())
    history.confirm()
    history.wait(60)
    history.say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    assert decide(history.state, history.view("blue", polling=False, turns=1)) is None
    assert decide(history.state, history.view("blue", polling=False, turns=0)) is None  # the record knows of it


def test_green_ends_a_blue_that_falls_silent_after_the_end() -> None:
    history = History().complete().wait(15.1)
    assert decide(history.state, history.view("green")) == d.EndPeer("blue", "ended_silent")


# ---------------------------------------------------------------------------------------------- rolling back


def test_green_lets_go_and_then_flushes() -> None:
    history = History().rolling_back()
    assert decide(history.state, history.view("green")) == d.LetGo(active=False)
    history.say(GREEN, paused())
    assert decide(history.state, history.view("green", polling=False)) == d.Flush()


def test_blue_waits_until_green_has_let_go_and_flushed() -> None:
    history = History().rolling_back()
    assert decide(history.state, history.view("blue")) is None
    history.say(GREEN, paused())
    assert decide(history.state, history.view("blue")) is None
    history.flushed(GREEN)
    assert decide(history.state, history.view("blue")) == d.Serve(history.seq)


def test_blue_serves_at_once_when_it_never_gave_the_adapters_away() -> None:
    history = History().ack()
    history.say(OPERATOR, e.HandoffRollback(phase="ack", reason="operator"))
    assert isinstance(decide(history.state, history.view("blue")), d.Serve)


def test_blue_ends_a_green_that_is_late() -> None:
    history = History().rolling_back().wait(10.1)
    assert decide(history.state, history.view("blue")) == d.EndPeer("green", "ended_late")


def test_blue_ends_a_green_that_is_frozen() -> None:
    history = History().rolling_back()
    assert decide(history.state, history.view("blue", **FROZEN)) == d.EndPeer("green", "ended_stopped")


def test_blue_serves_without_a_flush_when_green_is_lost() -> None:
    history = History().rolling_back()
    history.lose("green", BLUE)
    assert decide(history.state, history.view("blue", peer="none")) == d.Serve(0)


def test_green_goes_on_serving_while_no_blue_is_there() -> None:
    history = History().rolling_back()
    history.lose("blue", GREEN)
    assert decide(history.state, history.view("green", peer="none")) is None


def test_green_that_had_let_go_takes_the_adapters_again_when_blue_is_lost() -> None:
    history = History().rolling_back()
    history.say(GREEN, paused())
    history.flushed(GREEN)
    history.lose("blue", GREEN)
    assert decide(history.state, history.view("green", peer="none", polling=False)) == d.Connect()
    history.say(GREEN, connected())  # the law agrees


# ---------------------------------------------------------------------------------------------- rolled back, failed


def test_blue_connects_after_it_said_that_it_serves() -> None:
    history = History().rolling_back()
    history.say(GREEN, paused())
    history.flushed(GREEN)
    history.say(BLUE, e.BlueServing(flushed_seq=history.seq, digests=DIGESTS))
    assert decide(history.state, history.view("blue", polling=False)) == d.Connect()


def test_green_exits_when_its_turns_are_done() -> None:
    history = History().rolled_back()
    assert decide(history.state, history.view("green", polling=False)) == d.Exit()
    assert decide(history.state, history.view("green", polling=False, turns=1)) is None


def test_blue_ends_a_green_that_does_not_exit() -> None:
    history = History().rolled_back()
    assert decide(history.state, history.view("blue")) is None
    history.wait(10.1)
    assert decide(history.state, history.view("blue")) == d.EndPeer("green", "ended_old")


def test_blue_ends_a_frozen_green_after_the_rollback() -> None:
    history = History().rolled_back()
    assert decide(history.state, history.view("blue", **FROZEN)) == d.EndPeer("green", "ended_stopped")


def test_a_green_that_still_answers_is_left_alone_after_the_rollback() -> None:
    history = History().baking()
    history.turn(history.accept(1))
    history.say(OPERATOR, e.HandoffRollback(phase="baking", reason="operator"))
    history.say(GREEN, paused())
    history.flushed(GREEN)
    history.say(BLUE, e.BlueServing(flushed_seq=history.seq, digests=DIGESTS))
    history.say(BLUE, connected())
    history.wait(10.1)
    assert decide(history.state, history.view("blue")) is None


# ---------------------------------------------------------------------------------------------- everywhere


@pytest.mark.parametrize("phase", ["init", "ack", "active", "baking"])
def test_the_dead_are_settled_before_anything_else(phase: Phase) -> None:
    history = before(phase)
    assert decide(history.state, history.view("blue", peer="dead", fault="x")) == d.Settle("green")
    assert decide(history.state, history.view("green", peer="dead", fault="x")) == d.Settle("blue")


def test_whoever_lost_the_adapters_while_it_was_away_lets_go() -> None:
    history = History().baking()
    assert decide(history.state, history.view("blue", polling=True)) == d.LetGo(active=False)


def test_a_deadline_holds_across_a_reboot_by_the_wall_clock() -> None:
    history = History().requested()
    state = history.state
    soon, late = history.wait(5).now(), history.wait(10).now()
    assert not d.deadline_passed(state, soon, "another-boot")
    assert d.deadline_passed(state, late, "another-boot")
