"""hermes-agent 0.18.2 is promoted to 0.19.0: each in an environment of its own, one home, under traffic; and back again.

CI plays the promote, by the commands of the README; ``make upgrades`` the ways back too. Missing Hermes is a failure, never a skip.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.load import FIRST_CHAT, Item, Player, plan
from gateway_hooks.demo.run import LIMITS
from journal import events as e
from journal.events import Process
from journal.record import Record
from journal.store import Reader
from replay.check import check
from replay.fold import State
from tests.e2e.hermes_life import Life, body
from tests.e2e.readme import Shown, shown
from tests.hermes_venv import hermes_venv

OLD, NEW = "0.18.2", "0.19.0"
End = Literal["operator", "killed"]
PATIENT = LIMITS.model_copy(update={"silent_s": 15.0})
"""A machine that is busy otherwise lets a gateway that boots wait for seconds."""
SECTION = "Put it into your Hermes"
COMMAND_S = 150.0


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
    async with Life(folder, _python(OLD)) as life:
        await life.serve()
        (life.journal / "runtimes.toml").write_text(_runtimes())
        before = await _first(life)
        playing = await _busy(life, messages)
        terms = e.HandoffTerms(confirm_within_s=600.0)
        await asyncio.to_thread(life._order, lambda operator: operator.promote("next", 600.0, PATIENT, terms))
        green = await _bakes(life)
        await playing
        if end == "operator":
            await life.roll_back()
        else:
            life.system.end(green)
            await life.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=60)
        return await _after(life, before)


async def by_the_readme(folder: Path, *, messages: int) -> tuple[Upgraded, list[tuple[Shown, int, str]]]:
    """A home that has never heard of us, and each command of the README in its order, under traffic; and what each one printed."""
    said: list[tuple[Shown, int, str]] = []
    typed = {each.command: each for each in shown(SECTION) if each.words[0] == "handoff-journal"}
    async with AtHome(folder, _python(OLD), journal=False, plugins=()) as life:
        _, env = life.command()
        env = {**env, "PATH": f"{hermes_venv(OLD) / 'bin'}:{env['PATH']}"}

        async def run(each: Shown) -> None:
            done = await asyncio.to_thread(
                subprocess.run, each.words, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
            print(f"$ {each.command}\n{done.stdout}{done.stderr}")
            said.append((each, done.returncode, done.stdout + done.stderr))

        todo = list(typed.values())
        for each in todo:
            if each.words[1] == "doctor":
                await life.serve()
                before = await _first(life)
                (life.journal / "runtimes.toml").write_text(_runtimes())
            if each.words[1] == "promote" and "--dry-run" not in each.words:
                playing = await _busy(life, messages)
            if each.words[1] == "complete":
                await playing
            await run(each)
            if each.words[1] == "install":
                life.installed()
        await life.until(lambda s: s.head.phase == "complete", "the completion", timeout_s=60)
        return await _after(life, before), said


class AtHome(Life):
    """A home whose config.yaml is written once and then somebody's own."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = self.home / "config.yaml"
        own = config.read_text() if config.exists() else None
        words, env = super().command()
        if own is not None:
            config.write_text(own)
        return words, env

    def installed(self) -> None:
        """There is a journal now."""
        self._installed = True
        self._reader = Reader(self.journal / "journal.db")


def _python(version: str) -> str:
    return str(hermes_venv(version) / "bin" / "python")


def _runtimes() -> str:
    """With a command, since the gateway was not started by a console script; ``-v`` says more in green's log."""
    return f'[next]\nvenv = "{hermes_venv(NEW)}"\ncommand = ["-m", "hermes_cli.main", "gateway", "run", "-v"]\n'


async def _first(life: Life) -> int:
    """Let the first turn import what it needs; the schema of state.db then."""
    life._markers = 1000  # the plan has marks of its own, from m1 on
    await life.answers(life.say(FIRST_CHAT + 50))
    return schema_of(life.home)


async def _busy(life: Life, messages: int) -> asyncio.Task[tuple[Item, ...]]:
    """People write, and a slow turn is under way."""
    said = len(life.bot.log.said)
    traffic = plan(messages=messages, rate=2.0, slow_s=8.0, slow_at_s=3.0, seed=7)
    playing = asyncio.create_task(Player(life.bot.say).play(traffic))
    await life.holds(lambda: len(life.bot.log.said) >= said + 7, "the slow turn is under way")
    return playing


async def _bakes(life: Life) -> Process:
    state = await life.until(lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=90)
    assert state.head.phase == "baking", state.rollback or state.failure
    assert state.head.green is not None
    return state.head.green


async def _after(life: Life, before: int) -> Upgraded:
    lines = [life.say(FIRST_CHAT + n) for n in (0, 3, 50)]
    await life.answers(*lines, timeout_s=60)
    await life.quiet(timeout_s=60)
    schema = (before, schema_of(life.home))
    late = [line.marker for line in lines]
    return Upgraded(life.read(), life.records(), life.verdict(), schema, late, life.routed())


def test_an_upgrade_by_the_commands_of_the_readme_prints_what_it_shows_and_loses_nothing(tmp_path: Path) -> None:
    done, said = asyncio.run(by_the_readme(tmp_path, messages=24))
    nothing_lost(done)
    assert done.state.head.phase == "complete"
    assert done.state.started[done.state.head.owner].version == NEW
    assert [each.words[1] for each, _, _ in said][:4] == ["install", "doctor", "promote", "promote"]
    assert [(each.command, code) for each, code, _ in said if code] == []
    for each, _, printed in said:
        assert each.agrees(printed), f"$ {each.command}\n{printed}\nis shown as\n" + "\n".join(each.lines)


if os.environ.get("EVERY_UPGRADE"):

    @pytest.mark.parametrize("end", ["operator", "killed"])
    def test_a_hermes_that_was_rolled_back_serves_again_on_what_the_new_one_left(tmp_path: Path, end: End) -> None:
        done = asyncio.run(upgrade(tmp_path, end, messages=40))
        nothing_lost(done)
        assert done.state.head.phase == "rolled_back"
        assert done.state.started[done.state.head.owner].version == OLD


def nothing_lost(done: Upgraded) -> None:
    assert (done.verdict.lost, done.verdict.answered_twice, done.verdict.unasked) == ((), (), ())
    assert not done.verdict.disorder
    assert done.versions == [OLD, NEW]
    assert done.schema == (19, 22)
    by = {body(r)["message"]: r.process for r in done.records if r.type == "MESSAGE_SETTLED"}
    assert by[max(by)] == done.state.head.owning, "who owns in the end has answered the last one"
    assert done.routed >= {answer.chat_id for answer in done.verdict.answers}
    assert not check(done.records).differences
