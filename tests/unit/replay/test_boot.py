"""Every cell of the protocol's table in which nobody is left to act: what the parent says, whom it ends, and whom it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from journal import events as e
from journal.events import Phase
from replay import boot as b
from replay.boot import Leave, Start, View, backoff_s, boot, keep
from replay.check import check
from replay.decide import EndPeer, PeerIs, Say, Settle
from tests.builders import BLUE, GREEN, KEEPER, LATER, OPERATOR
from tests.unit.replay.histories import BOOT, History, started

OLD, NEW = Start("blue", "same"), Start("green", "next")
Told = list[str | Start | Leave]


def at(phase: Phase) -> History:
    """A history in that phase, with both sides in their seats."""
    history = History()
    way: dict[str, Callable[[], object]] = {
        "idle": history.serving, "requested": history.requested, "init": history.init, "ack": history.ack,
        "active": history.connected, "baking": history.baking, "complete": history.complete,
        "rolling_back": history.rolling_back, "rolled_back": history.rolled_back, "failed": history.requested,
    }  # fmt: skip
    way[phase]()
    if phase == "failed":
        history.say(BLUE, e.HandoffFailed(reason="preflight"))
    return history


def view(history: History, **seen: Any) -> View:
    """What the parent sees: everybody who has a seat lives, unless ``seen`` says otherwise."""
    head = history.head
    there: dict[str, PeerIs] = {
        "blue": "running" if head.blue else "none",
        "green": "running" if head.green else "none",
    }
    stopped = {name: 60.0 for name in ("blue", "green", "starting") if seen.get(name) == "stopped"}
    return View(history.now(), BOOT, **{**there, "stopped_s": stopped, **seen})


def played(history: History, **seen: Any) -> Told:
    """What the parent does until it starts somebody, leaves, or waits; what it says has to be admitted and to hold in a check."""
    told: Told = []
    while True:
        action = keep(history.state, view(history, **seen))
        match action:
            case None:
                break
            case Start() | Leave():
                told.append(action)
                break
            case Say(event):
                told.append(event.TYPE)
                history.say(KEEPER, event, role="keeper")
            case Settle(side):
                told.append(f"settle {side}")
                history.lose(side, KEEPER, role="keeper")
                seen[side] = "none"
            case EndPeer(side, how):
                told.append(f"end {side}")
                history.lose(side, KEEPER, how, role="keeper")
                seen[side] = "none"
            case b.EndStarting():
                told.append("end starting")
                seen["starting"] = "none"
    assert check(history.records).differences == ()
    return told


DEAD, FROZEN = "dead", "stopped"
CELLS: list[tuple[Phase, dict[str, str], Told]] = [
    # nobody is missing
    *((phase, {}, []) for phase in ("idle", "requested", "init", "ack", "active", "baking", "complete")),
    ("rolling_back", {}, []),
    ("rolled_back", {}, []),
    ("failed", {}, []),
    # blue dead
    ("idle", {"blue": DEAD}, ["settle blue", OLD]),
    ("requested", {"blue": DEAD}, ["settle blue", "HANDOFF_FAILED", OLD]),
    ("init", {"blue": DEAD}, [OLD]),
    ("ack", {"blue": DEAD}, []),
    ("active", {"blue": DEAD}, []),
    ("baking", {"blue": DEAD}, []),
    ("complete", {"blue": DEAD}, []),
    ("rolling_back", {"blue": DEAD}, [OLD]),
    ("rolled_back", {"blue": DEAD}, [OLD]),
    ("failed", {"blue": DEAD}, ["settle blue", OLD]),
    # blue frozen
    ("idle", {"blue": FROZEN}, ["end blue", OLD]),
    ("requested", {"blue": FROZEN}, ["end blue", "HANDOFF_FAILED", OLD]),
    ("init", {"blue": FROZEN}, []),
    ("ack", {"blue": FROZEN}, []),
    ("active", {"blue": FROZEN}, []),
    ("baking", {"blue": FROZEN}, []),
    ("complete", {"blue": FROZEN}, []),
    ("rolling_back", {"blue": FROZEN}, []),
    ("rolled_back", {"blue": FROZEN}, ["end blue", OLD]),
    ("failed", {"blue": FROZEN}, ["end blue", OLD]),
    # green dead or frozen beside a living blue
    *((phase, {"green": how}, []) for phase in ("init", "ack", "active", "baking") for how in (DEAD, FROZEN)),
    ("rolling_back", {"green": DEAD}, []),
    ("rolling_back", {"green": FROZEN}, []),
    ("rolled_back", {"green": DEAD}, []),
    ("rolled_back", {"green": FROZEN}, []),
    ("complete", {"green": DEAD}, [NEW]),
    ("complete", {"green": FROZEN}, ["end green", NEW]),
    # both
    ("init", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", "HANDOFF_ROLLBACK", OLD]),
    ("ack", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", "HANDOFF_ROLLBACK", OLD]),
    ("active", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", "HANDOFF_ROLLBACK", OLD]),
    ("baking", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", NEW]),
    ("complete", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", NEW]),
    ("rolling_back", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", OLD]),
    ("rolled_back", {"blue": DEAD, "green": DEAD}, ["settle blue", "settle green", OLD]),
    ("ack", {"blue": DEAD, "green": FROZEN}, ["end green", "settle blue", "HANDOFF_ROLLBACK", OLD]),
    ("active", {"blue": FROZEN, "green": DEAD}, ["end blue", "settle green", "HANDOFF_ROLLBACK", OLD]),
    ("baking", {"blue": FROZEN, "green": FROZEN}, ["end blue", "end green", NEW]),
    ("rolling_back", {"blue": DEAD, "green": FROZEN}, ["end green", "settle blue", OLD]),
]  # fmt: skip


@pytest.mark.parametrize(("phase", "seen", "told"), CELLS)
def test_the_parent_does_in_each_cell_what_nobody_else_can(phase: Phase, seen: dict[str, str], told: Told) -> None:
    history = at(phase).wait(5.0)
    assert played(history, **seen) == told


# ---------------------------------------------------------------------------------------------- failed starts


def test_after_three_failed_starts_in_the_bake_the_old_runtime_is_started() -> None:
    history = at("baking").wait(5.0)
    both = {"blue": DEAD, "green": DEAD}
    assert played(history, **both, tried=NEW, failures=2)[-1] == NEW
    history = at("baking").wait(5.0)
    assert played(history, **both, tried=NEW, failures=3) == ["settle blue", "settle green", "HANDOFF_ROLLBACK", OLD]


def test_a_new_runtime_that_is_misconfigured_is_not_tried_again_in_the_bake() -> None:
    history = at("baking").wait(5.0)
    told = played(history, blue=DEAD, green=DEAD, tried=NEW, failures=1, code=b.MISCONFIGURED)
    assert told[-2:] == ["HANDOFF_ROLLBACK", OLD]


def test_what_another_runtime_failed_at_counts_for_nobody_else() -> None:
    history = at("baking").wait(5.0)
    assert played(history, blue=DEAD, green=DEAD, tried=OLD, failures=9, code=b.MISCONFIGURED)[-1] == NEW


def test_once_complete_the_new_runtime_is_started_however_often_it_fails() -> None:
    state = at("complete").state
    assert boot(state, blue=False, green=False, failures=99) == NEW


def test_the_wait_between_failed_starts_doubles_and_is_bounded() -> None:
    assert [backoff_s(n) for n in (0, 1, 2, 3, 4, 50, 5000)] == [0.0, 1.0, 2.0, 4.0, 8.0, 30.0, 30.0]
    history = at("idle")
    history.lose("blue", KEEPER, role="keeper")
    assert played(history, tried=OLD, failures=3, since_s=3.9) == []
    assert played(history, tried=OLD, failures=3, since_s=4.0) == [OLD]


def test_nobody_is_started_while_somebody_starts() -> None:
    history = at("idle")
    history.lose("blue", KEEPER, role="keeper")
    assert played(history, starting="running") == []
    assert played(history, starting="stopped") == ["end starting", OLD]


# ---------------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("code", "told"), [(0, Leave(0)), (78, Leave(78)), (1, OLD), (75, OLD), (-9, OLD), (None, OLD)]
)
def test_a_gateway_that_ends_by_itself_at_rest_ends_its_parent_only_with_0_and_78(
    code: int | None, told: Start | Leave
) -> None:
    assert played(at("idle"), blue=DEAD, code=code, tried=OLD) == ["settle blue", told]


def test_a_gateway_that_ends_in_a_handoff_is_started_again_even_with_exit_code_0() -> None:
    assert played(at("requested"), blue=DEAD, code=0)[:2] == ["settle blue", "HANDOFF_FAILED"]
    assert played(at("baking").wait(5.0), blue=DEAD, green=DEAD, code=0)[-1] == NEW


def test_nobody_leaves_while_the_other_side_still_finishes_its_turns() -> None:
    assert played(at("complete"), green=DEAD, code=0) == []


def test_a_parent_that_was_told_to_end_waits_for_everybody_and_starts_nobody() -> None:
    history = at("baking").wait(5.0)
    assert played(history, ending=True) == []
    assert played(history, ending=True, green=DEAD, code=0) == []
    assert played(history, ending=True, green=DEAD, blue=DEAD, code=0) == [Leave(0)]
    assert played(at("idle").wait(20.0), ending=True, blue=FROZEN, code=-9) == ["end blue", Leave(-9)]


# ---------------------------------------------------------------------------------------------- a green that is no use, alone


def alone(phase: Phase) -> History:
    history = at(phase).wait(5.0)
    history.lose("blue", GREEN)
    return history


def test_a_green_whose_blue_is_dead_goes_on_alone() -> None:
    for phase in ("ack", "active", "baking"):
        assert played(alone(phase)) == []


def test_a_green_that_does_not_come_to_serve_within_its_deadline_is_ended_and_the_old_runtime_started() -> None:
    history = alone("active")
    while history.at_s < 40.0:
        history.wait(4.0).sample(GREEN)
    assert played(history) == ["end green", "HANDOFF_ROLLBACK", OLD]


def test_a_green_that_hangs_alone_in_the_bake_is_ended_and_started_again() -> None:
    history = alone("baking").wait(15.1)
    assert played(history, awake_s=1.0) == [], "who has just woken up cannot know"
    assert played(history) == ["end green", NEW]


def test_a_frozen_blue_whose_green_does_not_move_within_the_deadline_is_ended() -> None:
    history = at("init").wait(61.0)
    assert played(history, blue=FROZEN) == ["end blue", OLD]


# ---------------------------------------------------------------------------------------------- a gateway at rest that hangs


@pytest.mark.parametrize(("phase", "side", "again"), [("idle", "blue", OLD), ("complete", "green", NEW)])
def test_an_owner_at_rest_that_could_speak_and_does_not_is_ended_and_started_again(
    phase: Phase, side: str, again: Start
) -> None:
    history = at(phase)
    history.sample(BLUE if side == "blue" else GREEN)
    quiet = history.wait(301.0)
    assert played(quiet, hung_s=300.0, writable_s=29.0) == [], "it may not have been able to write"
    assert played(quiet, hung_s=300.0, writable_s=30.0, awake_s=200.0) == [], "who has just woken up cannot know"
    assert played(quiet, hung_s=302.0, writable_s=60.0) == []
    assert played(quiet, writable_s=60.0) == [], "nobody asked for it"
    assert played(quiet, hung_s=300.0, writable_s=30.0) == [f"end {side}", again]


def test_an_owner_whose_handoff_is_open_is_left_to_the_other_side_however_silent() -> None:
    for phase in ("requested", "init", "ack", "active", "baking", "rolling_back"):
        quiet = at(phase).wait(9.0)
        assert b.quiet(quiet.state, quiet.now(), BOOT, 1.0) is None


def test_one_that_was_not_heard_since_its_start_counts_from_there() -> None:
    history = History().serving()
    history.wait(299.0)
    assert b.quiet(history.state, history.now(), BOOT, 300.0) is None
    history.wait(2.0)
    assert b.quiet(history.state, history.now(), BOOT, 300.0) == "blue"


# ---------------------------------------------------------------------------------------------- beside it


def test_a_journal_that_cannot_be_written_keeps_nobody_from_being_started() -> None:
    assert played(at("init"), blue=DEAD, green=DEAD, mute=True) == [OLD]


def test_the_runtime_of_a_side_is_what_its_last_process_said() -> None:
    history = at("complete")
    assert b.runtime(history.state, "green") == "next"
    assert b.runtime(History().state, "blue") == "same"
    history = History().requested()
    assert b.runtime(history.state, "green") == "next"


def test_after_a_whole_handoff_the_new_runtime_is_the_old_one_of_the_next() -> None:
    history = at("complete")
    history.say(BLUE, e.AdapterPaused(platform="telegram", account="a_" + "0" * 16), e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="third", bake_s=1.0))
    assert played(history, blue=DEAD, green="none")[-1] == Start("blue", "next")
    history.say(LATER, started("blue", serving=True))
    assert played(history) == []
