"""hermes-agent 0.18.2 is promoted to 0.19.0: each in an environment of its own, one home, under traffic; and back again.

CI plays the promote; ``make upgrades`` plays the ways back too. Missing Hermes is a failure, never a skip.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.load import FIRST_CHAT, Player, plan
from gateway_hooks.demo.run import LIMITS
from journal import events as e
from journal.record import Record
from replay.check import check
from replay.fold import State
from tests.e2e.hermes_life import Life, body
from tests.hermes_venv import hermes_venv

OLD, NEW = "0.18.2", "0.19.0"
End = Literal["complete", "operator", "killed"]
PATIENT = LIMITS.model_copy(update={"silent_s": 15.0})
"""A machine that is busy otherwise lets a gateway that boots wait for seconds."""
ENDS: tuple[End, ...] = ("complete", "operator", "killed") if os.environ.get("EVERY_UPGRADE") else ("complete",)


@dataclass(frozen=True)
class Upgraded:
    """What came of it: ``schema`` of state.db before and after, ``versions`` by role in the order of their coming."""

    state: State
    records: list[Record]
    verdict: Verdict
    schema: tuple[int, int]
    late: list[str]
    routed: set[int]

    @property
    def versions(self) -> list[str]:
        return [body(r)["version"] for r in self.records if r.type == "PROCESS_STARTED"]


def schema_of(home: Path) -> int:
    with closing(sqlite3.connect(f"{(home / 'state.db').as_uri()}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT version FROM schema_version").fetchone()[0])


async def upgrade(folder: Path, end: End, *, messages: int) -> Upgraded:
    """Traffic over eight chats with a slow turn in flight at the handoff; the bake ends so; what comes after it is answered."""
    python = {version: str(hermes_venv(version) / "bin" / "python") for version in (OLD, NEW)}
    async with Life(folder, python[OLD]) as life:
        life._markers = 1000  # the plan has marks of its own, from m1 on
        await life.serve()
        (life.journal / "runtimes.toml").write_text(
            f'[next]\npython = "{python[NEW]}"\ncommand = ["-m", "hermes_cli.main", "gateway", "run", "-v"]\n'
        )
        first = life.say(FIRST_CHAT + 50)
        await life.answers(first)
        before = schema_of(life.home)
        traffic = plan(messages=messages, rate=2.0, slow_s=8.0, slow_at_s=3.0, seed=7)
        playing = asyncio.create_task(Player(life.bot.say).play(traffic))
        await life.holds(lambda: len(life.bot.log.said) >= 8, "the slow turn is under way")
        terms = e.HandoffTerms(confirm_within_s=600.0)
        await asyncio.to_thread(life._order, lambda operator: operator.promote("next", 600.0, PATIENT, terms))
        state = await life.until(
            lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=90
        )
        assert state.head.phase == "baking", state.rollback or state.failure
        assert state.head.green is not None
        await playing
        if end == "operator":
            await life.roll_back()
        elif end == "killed":
            life.system.end(state.head.green)
            await life.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=60)
        else:
            await asyncio.to_thread(life._order, lambda operator: operator.confirm())
            await life.complete()
        lines = [life.say(FIRST_CHAT + n) for n in (0, 3, 50)]
        await life.answers(*lines, timeout_s=60)
        await life.quiet(timeout_s=60)
        late = [line.marker for line in lines]
        return Upgraded(
            life.read(), life.records(), life.verdict(), (before, schema_of(life.home)), late, life.routed()
        )  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_a_running_hermes_is_upgraded_under_traffic_and_nothing_is_lost(tmp_path: Path, end: End) -> None:
    done = asyncio.run(upgrade(tmp_path, end, messages=40 if len(ENDS) > 1 else 24))
    assert (done.verdict.lost, done.verdict.answered_twice, done.verdict.unasked) == ((), (), ())
    assert not done.verdict.disorder
    assert done.versions == [OLD, NEW]
    assert done.schema == (19, 22)
    assert done.state.head.phase == ("complete" if end == "complete" else "rolled_back")
    owner = done.state.started[done.state.head.owner].version
    assert owner == (NEW if end == "complete" else OLD)
    by = {body(r)["message"]: r.process for r in done.records if r.type == "MESSAGE_SETTLED"}
    last = max(by)
    assert by[last] == done.state.head.owning, "who owns in the end has answered the last one"
    assert done.routed >= {answer.chat_id for answer in done.verdict.answers}
    assert not check(done.records).differences
