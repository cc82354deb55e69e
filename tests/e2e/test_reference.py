"""The reference gateway as real processes, under traffic: a handoff, and every way in which the protocol's table says it can break."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.rig import Kill
from gateway_hooks.demo.run import Options, Report, run
from gateway_hooks.demo.wire import read
from journal.events import Phase, Side, TurnFinished
from journal.record import Record
from replay.fold import State
from tests.e2e.agreement import answered_as_the_record_says, polled_by_whom_the_record_says
from tests.e2e.kept_work import keep

Played = tuple[Report, Verdict, State, list[Record]]


SLOW_S = 10.0
"""Of the turn that is in flight at the handoff, which comes once green has booted: on a busy machine that takes seconds."""


def play(folder: Path, *, kill: Kill | None = None, slow_s: float = 2.0) -> Played:
    """With a bake that is not over before somebody is hurt, also where the one who does it is late; a dead green ends it."""
    bake_s = 1.5 if kill is None else 60.0 if kill.side == "green" else 3.0
    options = Options(messages=24, rate=8.0, slow_s=slow_s, bake_s=bake_s, kill=kill)
    return asyncio.run(run(folder, options))


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Played]:
    """A handoff under traffic in which nothing goes wrong, and where it was."""
    folder = tmp_path_factory.mktemp("handed-over")
    return folder, play(folder, slow_s=SLOW_S)


def nothing_lost(played: Played) -> None:
    report, verdict, state, _ = played
    assert report.messages.lost == 0, verdict.lost
    assert report.messages.answered_twice == 0, verdict.answered_twice
    assert verdict.kept, verdict
    assert not state.head.messages, "every message is settled"


def test_a_handoff_under_traffic_loses_nothing_and_blue_exits_cleanly(handed_over: tuple[Path, Played]) -> None:
    _, played = handed_over
    report, _, state, _ = played
    nothing_lost(played)
    assert report.outcome == "complete"
    assert report.blue_exit_code == 0
    assert state.head.owner == "green"
    assert state.head.blue is None


def test_the_slow_turn_is_finished_by_blue_and_its_follow_ups_come_after_it(handed_over: tuple[Path, Played]) -> None:
    _, (_, verdict, state, records) = handed_over
    active = state.step("HANDOFF_ACTIVE")
    assert active is not None
    blue = records[0].process
    at = active.moment.seq
    started = {r.seq for r in records if r.type == "TURN_STARTED" and r.process == blue and r.seq < at}
    late = [r for r in records if isinstance(r.event, TurnFinished) and r.event.turn in started and r.seq > at]
    assert late, "a turn was in flight at the handoff"
    assert all(r.process == blue for r in late)
    assert not verdict.disorder


KILLED: list[tuple[Side, Phase, str]] = [
    ("green", "init", "rolled_back"),
    ("green", "ack", "rolled_back"),
    ("green", "active", "rolled_back"),
    ("green", "baking", "rolled_back"),
    ("blue", "ack", "complete"),
    ("blue", "active", "complete"),
    ("blue", "baking", "complete"),
]


@pytest.mark.parametrize(("side", "phase", "outcome"), KILLED)
def test_a_killed_side_leaves_a_runtime_serving_and_nothing_lost(
    tmp_path: Path, side: Side, phase: Phase, outcome: str
) -> None:
    played = play(tmp_path, kill=Kill(side, phase))
    report, _, state, records = played
    nothing_lost(played)
    assert report.outcome == outcome
    lost = [r for r in records if r.type == "PROCESS_LOST" and f'"side":"{side}"' in r.body]
    assert len(lost) == 1
    assert state.head.owning is not None
    assert state.head.connected


FROZEN: list[tuple[Side, Phase, str]] = [*KILLED, ("blue", "init", "complete")]


@pytest.mark.parametrize(("side", "phase", "outcome"), FROZEN)
def test_a_frozen_side_is_ended_and_nothing_is_lost(tmp_path: Path, side: Side, phase: Phase, outcome: str) -> None:
    played = play(tmp_path, kill=Kill(side, phase, freeze=True))
    report, _, _, records = played
    nothing_lost(played)
    assert report.outcome == outcome
    assert any(r.type == "PROCESS_LOST" and '"how":"ended_stopped"' in r.body for r in records)


def test_after_a_rollback_from_the_bake_blue_knows_what_green_answered(tmp_path: Path) -> None:
    kept = asyncio.run(keep(tmp_path, "reference", 50))
    assert kept.by_green >= 50
    assert not kept.wrong, kept.told()


def test_the_state_at_every_seq_agrees_with_the_platform(handed_over: tuple[Path, Played]) -> None:
    folder, (_, _, _, records) = handed_over
    _, calls = read(folder / "botapi.jsonl")
    assert polled_by_whom_the_record_says(records, calls) > 10
    assert answered_as_the_record_says(records, calls) > 10
