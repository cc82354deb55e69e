"""When an owner at rest counts as silent: at its bounds, for whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_hooks.hanging import IDLE_SAMPLE_S, Trials, Without, may_write, patience_s, silent_at_rest, unheard_s
from journal import events as e
from journal.events import Process
from journal.record import Stamp
from tests.builders import BLUE, GREEN, OPERATOR
from tests.unit.replay.histories import BOOT, History, started

SILENT_S = e.Limits().silent_s
JUST_S = 0.01


def silent(history: History) -> bool:
    return silent_at_rest(history.state, history.now(), BOOT)


def test_a_gateway_at_rest_is_not_silent_before_its_next_sample_is_late() -> None:
    history = History().serving()
    history.sample(BLUE)
    assert not silent(history.wait(SILENT_S + JUST_S)), "nothing was due"
    assert not silent(history.wait(IDLE_SAMPLE_S - 2 * JUST_S)), "it may still be on its way"
    assert silent(history.wait(2 * JUST_S))
    history.sample(BLUE)
    assert not silent(history)


def test_a_gateway_that_starts_has_until_its_first_sample_as_long_as_in_a_handoff() -> None:
    history = History()
    history.say(BLUE, started("blue", serving=True))
    asked = e.HandoffRequested(handoff="h1", runtime="next", bake_s=1.0, limits=e.Limits(init_s=240.0))
    history.say(OPERATOR, asked, e.HandoffFailed(reason="fault"))
    assert patience_s(history.state) == 240.0
    assert not silent(history.wait(239.9))
    assert silent(history.wait(0.2))
    history.sample(BLUE)
    assert patience_s(history.state) == IDLE_SAMPLE_S + SILENT_S


def test_a_request_that_was_withdrawn_is_no_sign_of_life() -> None:
    history = History().serving()
    history.sample(BLUE)
    history.wait(IDLE_SAMPLE_S + SILENT_S + JUST_S)
    history.say(OPERATOR, e.HandoffRequested(handoff="h1", runtime="next", bake_s=1.0), e.HandoffFailed(reason="fault"))
    assert silent(history)


def test_after_a_handoff_green_is_who_is_listened_to() -> None:
    history = History()
    history.complete()
    history.wait(IDLE_SAMPLE_S + SILENT_S + JUST_S)
    assert silent(history)
    history.sample(GREEN)
    assert unheard_s(history.state, history.now(), BOOT) == pytest.approx(0.0)


def test_a_record_in_which_nobody_was_ever_heard_tells_of_no_silence() -> None:
    assert not silent(History().wait(1000.0))


def test_a_sign_is_taken_down_by_who_put_it_up_alone(tmp_path: Path) -> None:
    blue, green = Without(tmp_path, BLUE), Without(tmp_path, GREEN)
    blue.show(True)
    assert not may_write(tmp_path, BLUE)
    assert may_write(tmp_path, GREEN)
    blue.show(False)
    assert may_write(tmp_path, BLUE)
    blue.show(True)
    green.show(True)
    blue.show(False)
    assert not may_write(tmp_path, GREEN), "it still goes on without the journal"
    green.show(False)
    assert may_write(tmp_path, GREEN)
    assert list(tmp_path.iterdir()) == []


def test_only_time_without_a_break_counts_in_which_somebody_could_have_written(tmp_path: Path) -> None:
    trials, now = Trials(tmp_path), 0.0

    def could(who: Process | None, after_s: float) -> float:
        nonlocal now
        now += after_s
        return trials.could_write_s(who, Stamp(0, int((100.0 + now) * 1e9)))

    assert could(BLUE, 0.0) == 0.0
    assert could(BLUE, 6.0) == 6.0
    assert could(None, 1.0) == 0.0
    assert could(BLUE, 1.0) == 0.0, "it was heard between"
    assert could(BLUE, 6.0) == 6.0
    sign = Without(tmp_path, BLUE)
    sign.show(True)
    assert could(BLUE, 6.0) == 0.0
    sign.show(False)
    assert could(BLUE, 6.0) == 0.0, "it counts from here"
    assert could(BLUE, 6.0) == 6.0
