"""When an owner at rest counts as silent: at its bounds, for whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_hooks.hanging import IDLE_SAMPLE_S, Without, may_write, patience_s, silent_at_rest, unheard_s
from journal import events as e
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


def test_who_owns_no_more_takes_its_own_sign_down_and_not_that_of_the_next_owner(tmp_path: Path) -> None:
    blue, green = Without(tmp_path, BLUE), Without(tmp_path, GREEN)
    blue.show(True)
    green.show(True)
    blue.show(False)
    assert not may_write(tmp_path, GREEN), "its keeper would end it for its silence"
    green.show(False)
    assert may_write(tmp_path, GREEN)
    assert list(tmp_path.iterdir()) == []
