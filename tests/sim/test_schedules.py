"""Schedules with a name: what once went wrong, or nearly did, each over several interleavings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from journal import events as e
from journal.record import Record
from tests.sim.faults import Fault
from tests.sim.simulation import Simulation

SEEDS = 4
QUICK = e.Limits(init_s=20, ack_s=6, active_s=8, silent_s=6, frozen_s=1, sample_s=1)
PROMOTE = Fault("promote", at_s=1.0)


def _play(
    *faults: Fault,
    bake_s: float = 20.0,
    limits: e.Limits = QUICK,
    watchers: int = 0,
    look: Callable[[Simulation], None] = lambda _sim: None,
) -> list[list[Record]]:
    """The records of each run, all of which held; ``look`` may ask more of each."""
    runs: list[list[Record]] = []
    for seed in range(SEEDS):
        sim = Simulation(seed, [PROMOTE, *faults])
        sim.bake_s, sim.limits, sim.watchers, sim.platform.fates = bake_s, limits, watchers, []
        bad = sim.run()
        assert not bad, "\n".join([*sim.lines[-40:], f"seed {seed}: {bad[0]}"])
        for fault in faults:
            assert sim.injected[fault.kind] or fault.kind == "disk", f"{fault.told()} never came about"
        look(sim)
        runs.append(list(sim.disk.records))
    return runs


def _types(records: list[Record]) -> list[str]:
    return [record.type for record in records]


def _how(records: list[Record]) -> list[str]:
    return [r.event.how for r in records if isinstance(r.event, e.ProcessLost)]


def _reasons(records: list[Record]) -> list[str]:
    return [r.event.reason for r in records if isinstance(r.event, e.HandoffRollback)]


def _fails(call: str, target: str, how: str) -> Fault:
    return Fault("call fails", target, point=("gateway", call), how=how)


def test_a_pause_that_works_and_says_it_did_not_leaves_blue_polling() -> None:
    for records in _play(_fails("pause", "blue", "half")):
        assert _reasons(records) == ["fault"]
        assert "HANDOFF_ACTIVE" not in _types(records)


def test_a_blue_that_freezes_while_it_takes_back_is_ended_and_followed() -> None:
    for records in _play(Fault("rollback", at_s=5.0), Fault("freeze", "blue", at_s=5.0)):
        assert _how(records), "blue was never settled"


def test_a_blue_that_cannot_load_what_green_wrote_ends_in_a_gateway_that_serves() -> None:
    def cannot(sim: Simulation) -> None:
        assert sim.injected["gateway fault: load"]

    _play(
        Fault("rollback", at_s=5.0), Fault("call fails", "blue", point=("gateway", "load"), how="for ever"), look=cannot
    )


def test_a_green_that_cannot_connect_gives_back() -> None:
    for records in _play(_fails("connect", "green", "for ever")):
        assert _reasons(records) == ["fault"]
        assert "HANDOFF_CONFIRM" not in _types(records)


def test_a_frozen_blue_that_thaws_after_green_seized_and_died_serves_on_or_is_replaced() -> None:
    _play(
        Fault("freeze", "other", point=("committed", "HANDOFF_ACK"), for_s=12.0),
        Fault("kill", "green", point=("appended", "HANDOFF_SEIZED")),
    )


def test_a_blue_that_had_to_connect_without_a_word_says_so_once_it_can() -> None:
    for records in _play(
        Fault("freeze", "other", point=("committed", "HANDOFF_ACTIVE"), for_s=25.0),
        Fault("disk", point=("commit", "ADAPTER_CONNECTED"), nth=2, how="full"),
    ):
        served = _types(records).index("BLUE_SERVING")
        assert "ADAPTER_CONNECTED" in _types(records)[served:]


def test_both_sides_stopped_together_for_a_minute_roll_nothing_back() -> None:
    for records in _play(Fault("pause", at_s=5.0, for_s=60.0)):
        assert _reasons(records) == []
        assert "HANDOFF_COMPLETE" in _types(records)


@pytest.mark.parametrize("how", ["gate", "full", "fsync"])
def test_a_goodbye_that_could_not_be_written_is_said_again(how: str) -> None:
    for records in _play(Fault("disk", point=("commit", "PROCESS_EXITED"), how=how), bake_s=0.5):
        assert "PROCESS_EXITED" in _types(records)
        assert _how(records) == []


def test_settling_a_dead_blue_never_meets_the_one_that_sits_there_now() -> None:
    _play(
        Fault("kill", "other", point=("appended", "HANDOFF_ACK")),
        Fault("second start", "green", point=("catch_up", ""), nth=1),
    )


def test_a_blue_whose_loop_hangs_when_it_should_let_go_is_seized_from_and_ended() -> None:
    for records in _play(Fault("hang", "other", point=("committed", "HANDOFF_ACK"), for_s=40.0)):
        assert "HANDOFF_SEIZED" in _types(records)
        assert "ended_silent" in _how(records)


def test_a_blue_whose_loop_hangs_in_the_middle_of_letting_go_polls_again_after_the_rollback() -> None:
    """Green hangs too, and cannot seize: nobody says fault, since a hanging loop is the other side's to judge."""
    for records in _play(_fails("pause", "blue", "half"), Fault("hang", "both", point=("half", "pause"), for_s=40.0)):
        assert _types(records).count("BLUE_SERVING") == 1


def test_a_green_that_was_spawned_for_another_request_does_not_enter_this_one() -> None:
    for records in _play(Fault("rollback", point=("spawned", "")), Fault("promote", point=("spawned", "")), bake_s=0.5):
        asked = [r.event.runtime for r in records if isinstance(r.event, e.HandoffRequested)]
        came = [r.event.runtime for r in records if isinstance(r.event, e.ProcessStarted) and r.event.side == "green"]
        assert asked == ["r1", "r2"]
        assert came == ["r2"]


def test_both_sides_gone_in_active_ends_in_a_gateway_that_serves() -> None:
    _play(
        Fault("freeze", "blue", point=("appended", "HANDOFF_ACTIVE")),
        Fault("kill", "green", point=("appended", "ADAPTER_CONNECTED")),
    )


def test_watchers_that_cannot_be_adopted_at_first_keep_nobody_waiting_and_are_adopted_later() -> None:
    def answered(sim: Simulation) -> None:
        assert sim.injected["gateway fault: adopt"]
        assert not sim.book.head.watchers

    _play(_fails("adopt", "green", "before"), watchers=1, bake_s=0.5, look=answered)


def test_words_of_the_other_side_that_were_not_read_at_first_are_read_before_the_next_turn() -> None:
    def failed(sim: Simulation) -> None:
        assert sim.injected["gateway fault: load"] == 1

    fault = Fault("call fails", "green", point=("gateway", "load"), nth=2, how="before")
    _play(fault, bake_s=0.5, look=failed)


def test_sampling_without_end_does_not_keep_anybody_from_deciding() -> None:
    for records in _play(bake_s=0.0, limits=e.Limits(sample_s=0.05)):
        assert "HANDOFF_COMPLETE" in _types(records)


@pytest.mark.parametrize("stage", ["append", "commit", "committed", "appended"])
def test_a_process_frozen_with_the_gate_in_hand_is_ended_and_nothing_is_half_written(stage: str) -> None:
    for records in _play(Fault("freeze", "blue", point=(stage, "HANDOFF_ACTIVE"))):
        types = _types(records)
        assert types.count("HANDOFF_ACTIVE") + types.count("HANDOFF_SEIZED") == 1
        assert "ended_stopped" in _how(records)


@pytest.mark.parametrize("stage", ["append", "commit", "committed", "appended"])
@pytest.mark.parametrize(
    "step",
    ["HANDOFF_INIT", "HANDOFF_ACK", "HANDOFF_ACTIVE", "ADAPTER_CONNECTED", "HANDOFF_CONFIRM", "HANDOFF_COMPLETE"],
)
def test_both_sides_killed_around_a_step_leave_a_record_that_goes_on(step: str, stage: str) -> None:
    _play(Fault("kill", "both", point=(stage, step)), bake_s=0.5)


def test_a_batch_on_its_way_to_the_journal_when_a_pause_fails_is_answered() -> None:
    """The pause returns once the batch is there: else it came in as dispatched, and nobody had it."""
    _play(_fails("pause", "blue", "for ever"), Fault("disk", at_s=2.0, for_s=2.0, how="full"))
    assert Simulation(3843).run() == []


def test_messages_that_could_not_join_or_start_while_the_disk_was_full_are_taken_up_later() -> None:
    for at_s in (2.0, 6.0, 10.0):
        _play(Fault("disk", at_s=at_s, for_s=8.0, how="locked"), bake_s=0.5)


def test_power_lost_in_any_phase_leaves_a_gateway_that_serves() -> None:
    for step in (
        "GREEN_SPAWNED",
        "HANDOFF_ACK",
        "HANDOFF_ACTIVE",
        "HANDOFF_CONFIRM",
        "SESSION_FLUSHED",
        "PROCESS_STARTED",
    ):
        _play(Fault("power", point=("committed", step)))


def test_who_starts_beside_a_side_that_still_talks_reads_what_it_has_said() -> None:
    _play(
        Fault("kill", "green", point=("loop", "gather")),
        Fault("second start", at_s=12.0),
        Fault("kill", "green", at_s=14.0),
        Fault("second start", at_s=14.1),
        bake_s=0.5,
    )
    assert Simulation(75).run() == []
