"""Two real Hermes gateways, one handoff, under traffic. Missing Hermes is a failure, never a skip."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.rig import Kill
from gateway_hooks.demo.run import LIMITS, Options, Report, run
from gateway_hooks.demo.wire import read
from journal.events import Phase, Side, TurnFinished
from journal.record import Record
from replay.fold import State
from tests.e2e.agreement import (
    answered_as_the_record_says,
    polled_by_whom_the_record_says,
    sessions_as_hermes_has_them,
)
from tests.e2e.kept_work import keep
from tests.e2e.upgrading_today import replace
from tests.hermes_venv import hermes_venv

Played = tuple[Report, Verdict, State, list[Record]]
PATIENT = LIMITS.model_copy(update={"silent_s": 20.0, "ack_s": 30.0, "active_s": 45.0, "sample_s": 1.0})
"""A gateway is not hung because the machine is busy otherwise."""
TRIES = 3


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of an environment that holds hermes-agent 0.19.0 and this project."""
    return str(hermes_venv("0.19.0") / "bin" / "python")


def play(folder: Path, options: Options) -> Played:
    return asyncio.run(run(folder, options))


def nothing_lost(played: Played) -> None:
    report, verdict, state, _ = played
    assert report.messages.lost == 0, verdict.lost
    assert report.messages.answered_twice == 0, verdict.answered_twice
    assert not verdict.unasked, "no synthetic turn that nobody asked for"
    assert not verdict.disorder
    assert not verdict.dropped
    assert verdict.kept
    assert not state.head.messages


def chats_in_routing(folder: Path) -> set[str]:
    """Which chats Hermes' own routing table knows."""
    path = folder / "home" / "state.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        keys = [row[0] for row in db.execute("SELECT session_key FROM gateway_routing")]
    return {key.rsplit(":", 1)[-1] for key in keys}


@pytest.fixture(scope="module")
def upgraded(python: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Played]:
    folder = tmp_path_factory.mktemp("upgrade")
    options = Options(
        "hermes", messages=60, rate=3.0, slow_s=4.0, bake_s=6.0, python=python, limits=PATIENT, across=True
    )
    return folder, play(folder, options)


def test_a_running_hermes_is_promoted_and_nothing_is_lost(upgraded: tuple[Path, Played]) -> None:
    _, played = upgraded
    nothing_lost(played)
    assert played[0].outcome == "complete"
    assert played[0].blue_exit_code == 0


def test_the_slow_turn_is_finished_by_blue_after_green_took_over(upgraded: tuple[Path, Played]) -> None:
    _, (_, verdict, state, records) = upgraded
    active = state.step("HANDOFF_ACTIVE")
    assert active is not None
    blue = records[0].process
    started = {r.seq for r in records if r.type == "TURN_STARTED" and r.seq < active.moment.seq}
    late = [
        r
        for r in records
        if isinstance(r.event, TurnFinished) and r.event.turn in started and r.seq > active.moment.seq
    ]
    assert late
    assert all(r.process == blue for r in late)
    assert {client for a in verdict.answers for client in [a.client]}, "the wire log names who answered"


def test_every_chat_is_still_in_the_routing_table(upgraded: tuple[Path, Played]) -> None:
    folder, (_, verdict, _, _) = upgraded
    assert chats_in_routing(folder) >= {str(answer.chat_id) for answer in verdict.answers}


def test_nobody_polls_for_less_than_a_tenth_of_what_replace_takes(
    upgraded: tuple[Path, Played], python: str, tmp_path: Path
) -> None:
    """A machine that is busy otherwise lets somebody wait for the processor now and then: the shortest of a few tries counts."""
    gaps = [upgraded[1][0].gap_ms]
    for name in ("today", "again-1", "again-2"):
        (tmp_path / name).mkdir()
    today = asyncio.run(replace(tmp_path / "today", python)).gap_ms
    while gaps[-1] >= today / 10 and len(gaps) < TRIES:
        again = Options("hermes", messages=16, rate=3.0, slow_s=0.0, bake_s=2.0, python=python, limits=PATIENT)
        gaps.append(play(tmp_path / f"again-{len(gaps)}", again)[0].gap_ms)
    print(f"nobody polls for {[round(gap) for gap in gaps]} ms; with --replace for {today:.0f} ms")
    assert min(gaps) < today / 10


KILLED: list[tuple[Side, Phase, str]] = [
    ("green", "active", "rolled_back"),
    ("green", "baking", "rolled_back"),
    ("blue", "ack", "complete"),
]


@pytest.mark.parametrize(("side", "phase", "outcome"), KILLED)
def test_a_killed_side_leaves_a_hermes_serving_and_nothing_lost(
    python: str, tmp_path: Path, side: Side, phase: Phase, outcome: str
) -> None:
    bake_s = 60.0 if side == "green" else 4.0  # one that is dead ends it
    options = Options(
        "hermes",
        messages=24,
        rate=2.0,
        slow_s=6.0,
        bake_s=bake_s,
        kill=Kill(side, phase),
        python=python,
        limits=PATIENT,
    )
    played = play(tmp_path, options)
    nothing_lost(played)
    assert played[0].outcome == outcome


def test_after_a_rollback_from_the_bake_blue_knows_the_fifty_that_green_answered(tmp_path: Path) -> None:
    kept = asyncio.run(keep(tmp_path, "hermes", 50))
    assert kept.by_green >= 50
    assert not kept.wrong, kept.told()


def test_the_state_at_every_seq_agrees_with_the_platform_and_with_hermes(upgraded: tuple[Path, Played]) -> None:
    folder, (_, _, _, records) = upgraded
    _, calls = read(folder / "botapi.jsonl")
    assert polled_by_whom_the_record_says(records, calls) > 20
    assert answered_as_the_record_says(records, calls) > 20
    assert sessions_as_hermes_has_them(records, folder / "home") >= 6
