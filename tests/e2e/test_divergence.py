"""A real green misbehaves in the bake: the rule fires with its evidence, the handoff rolls back, blue serves and nothing is lost.

CI plays some of the faults; ``make divergence`` plays all of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.load import Player, plan
from gateway_hooks.demo.rig import Rig
from gateway_hooks.demo.run import LIMITS, _settled, _warm_up
from gateway_hooks.orders import Operator
from journal import events as e
from journal.record import Record
from replay.check import check
from replay.fold import State
from tests.e2e import healthy

BAD = Path(__file__).with_name("misbehaving.py")
FIRES = {
    "silent": "",
    "hung": "",
    "other": "",
    "slow": "slow",
    "erring": "errors",
    "deaf": "adapter",
    "stuck": "waiting",
    "leaking": "memory",
    "lagging": "loop",
    "patchy": "samples",
}
EVIDENCE = {
    "slow": {"TURN_STARTED", "TURN_FINISHED"},
    "errors": {"TURN_FINISHED"},
    "adapter": {"HEALTH_SAMPLED"},
    "waiting": {"MESSAGE_ACCEPTED"},
    "memory": {"HEALTH_SAMPLED"},
    "loop": {"HEALTH_SAMPLED"},
    "samples": {"HEALTH_SAMPLED", "HANDOFF_ACTIVE"},
}


SIGNS_OF_LIFE = {"HEALTH_SAMPLED", "HANDOFF_CONFIRM", "HANDOFF_ACK", "PROCESS_STARTED"}
BY_A_RULE = [fault for fault in FIRES if FIRES[fault]]
ALL = bool(os.environ.get("EVERY_FAULT"))


async def misbehave(folder: Path, fault: str) -> tuple[State, list[Record], Verdict]:
    """Traffic, a promote to a green with that fault, and the end of it."""
    rig = Rig(folder, "reference")
    async with rig:
        blue = rig.start()
        await rig.until(lambda s: s.head.owning == blue and bool(s.head.connected), "blue serves", timeout_s=60)
        command, _ = rig.command()
        arguments = ", ".join(f'"{word}"' for word in [str(BAD), fault, *command[3:]])
        (rig.journal / "runtimes.toml").write_text(f'[bad]\npython = "{sys.executable}"\ncommand = [{arguments}]\n')
        await _warm_up(rig)
        playing = asyncio.create_task(Player(rig.bot.say).play(plan(messages=120, rate=6.0, slow_s=0, follow_ups=0)))
        await rig.until(lambda s: s.settled.get("answered", 0) >= 12, "blue has a record", timeout_s=60)
        operator = Operator(rig.journal)
        try:
            limits = LIMITS.model_copy(update={"init_s": 9.0} if fault == "other" else {})
            if FIRES[fault]:  # the rule is to be first, on a busy machine too
                limits = limits.model_copy(update={"silent_s": 15.0})
            operator.promote(
                "bad",
                60.0,
                limits,
                e.HandoffTerms(rules={r: limits for r, limits in healthy.RULES.items() if r == FIRES[fault]}),
            )
        finally:
            operator.close()
        state = await rig.until(lambda s: s.head.phase in ("rolled_back", "complete", "failed"), fault, timeout_s=90)
        rig.bot.say(500, "still there? [m9999]")
        playing.cancel()
        verdict = await _settled(rig, 0, timeout_s=3 if fault == "erring" else 30)
        await rig.until(lambda s: not s.head.messages, "everything is settled", timeout_s=30)
        return state, rig.records(), verdict


def rolled_back_by(fault: str, folder: Path) -> tuple[State, list[Record]]:
    state, records, verdict = asyncio.run(misbehave(folder, fault))
    assert state.head.phase == "rolled_back"
    assert state.head.owner == "blue"
    assert not verdict.lost or fault == "erring", verdict.lost
    assert not verdict.answered_twice
    assert not check(records).differences
    return state, records


@pytest.mark.parametrize("fault", BY_A_RULE if ALL else ["deaf"])
def test_a_green_that_misbehaves_is_rolled_back_by_its_rule(tmp_path: Path, fault: str) -> None:
    state, records = rolled_back_by(fault, tmp_path)
    assert state.rollback is not None
    assert state.divergence is not None
    seq, divergence = state.divergence
    assert (state.rollback.reason, state.rollback.evidence) == ("divergence", (seq,))
    assert divergence.rule == FIRES[fault]
    assert divergence.measured > divergence.limit
    named = {records[n - 1].type for n in divergence.evidence}
    assert named
    assert named <= EVIDENCE[divergence.rule]


@pytest.mark.parametrize("fault", ["silent", "hung"] if ALL else ["silent"])
def test_a_green_that_says_nothing_is_ended_for_its_silence(tmp_path: Path, fault: str) -> None:
    state, records = rolled_back_by(fault, tmp_path)
    assert state.rollback is not None
    assert state.rollback.reason == "green_silent"
    assert {records[n - 1].type for n in state.rollback.evidence} <= SIGNS_OF_LIFE


def test_a_green_that_reads_something_else_never_comes_to_own_anything(tmp_path: Path) -> None:
    state, records = rolled_back_by("other", tmp_path)
    assert state.rollback is not None
    assert (state.rollback.reason, state.rollback.phase) == ("digests", "init")
    assert [records[n - 1].type for n in state.rollback.evidence] == ["SESSION_FLUSHED"]
    assert state.head.epoch == 1


@pytest.mark.parametrize("seed", [1])
def test_no_rule_fires_over_a_healthy_green_under_uneven_load(tmp_path: Path, seed: int) -> None:
    told = asyncio.run(healthy.run_one(tmp_path, seed))
    assert told.outcome == "complete", told
    assert told.good, told
