"""Real Hermes: what preflight finds before anything is asked of blue, and the claw runtime. Missing Hermes is a failure."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.run import LIMITS
from journal.events import Process
from tests.e2e.hermes_life import Life
from tests.hermes_venv import hermes_venv

CLAW = str(Path(__file__).parent / "claw")
NO_BOARD = {"HERMES_KANBAN_DISPATCH_IN_GATEWAY": "0"}  # else the gateway makes and ticks a board in the home by itself
PATIENT = LIMITS.model_copy(update={"silent_s": 15.0})


def runtime(life: Life, name: str, version: str, env: Mapping[str, str]) -> None:
    """Name a runtime in the home."""
    path = life.journal / "runtimes.toml"
    said = ", ".join(f'{key} = "{value}"' for key, value in {"PYTHONPATH": CLAW, **env}.items())
    python = hermes_venv(version) / "bin" / "python"
    entry = f'[{name}]\npython = "{python}"\ncommand = ["-m", "hermes_cli.main", "gateway", "run", "-v"]\nenv = {{ {said} }}\n'
    path.write_text((path.read_text() if path.exists() else "") + entry)


async def ask(life: Life, *words: str) -> tuple[int, Any, str]:
    """Type a command beside the gateway: its exit code, its answer and what it complains of."""
    command = [sys.executable, "-m", "gateway_hooks.cli", *words, "--json", "--home", str(life.home)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def fingerprint(home: Path) -> dict[str, str]:
    """What stands in a home, but for the journal, the logs, and what the running gateway itself touches each minute."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file()
        and path.relative_to(home).parts[0] not in ("handoff", "logs")
        and not path.name.startswith("ticker_")
        and path.name != "state.db-shm"
    }


async def still(life: Life) -> None:
    """Wait until the gateway has written what it writes behind an answer: nothing has changed for two seconds."""
    seen, since = fingerprint(life.home), time.monotonic()

    def unchanged() -> bool:
        nonlocal seen, since
        now = fingerprint(life.home)
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > 2.0

    await life.holds(unchanged, "the home is still", timeout_s=60)


async def promoted(life: Life, name: str) -> Process:
    await asyncio.to_thread(life._order, lambda operator: operator.promote(name, 600.0, PATIENT))
    state = await life.until(lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=90)
    assert state.head.phase == "baking", state.rollback or state.failure
    assert state.head.green is not None
    return state.head.green


async def claw(folder: Path) -> tuple[list[list[str]], list[tuple[int, str]], bool]:
    """What stands in a chat while the usual runtime serves, then claw, then the usual one; and how a broken claw is refused."""
    async with Life(folder, str(hermes_venv("0.19.0") / "bin" / "python")) as life:
        await life.serve()
        runtime(life, "claw", "0.19.0", {"HERMES_RUNTIME": "claw", "CLAW": "good"})
        runtime(life, "gone", "0.19.0", {"HERMES_RUNTIME": "claw"})
        runtime(life, "hollow", "0.19.0", {"HERMES_RUNTIME": "claw", "CLAW": "hollow"})
        said = []
        await life.answers(life.say(FIRST_CHAT))
        said.append(life.sends(FIRST_CHAT))
        refused = []
        for name in ("gone", "hollow"):
            code, _, complaint = await ask(life, "promote", "--runtime", name)
            refused.append((code, complaint))
        unnoticed = life.read().request is None
        await promoted(life, "claw")
        await life.answers(life.say(FIRST_CHAT + 1), timeout_s=60)
        said.append(life.sends(FIRST_CHAT + 1))
        await life.roll_back()
        await life.answers(life.say(FIRST_CHAT + 2), timeout_s=60)
        said.append(life.sends(FIRST_CHAT + 2))
        return said, refused, unnoticed


def test_the_claw_runtime_answers_where_it_is_asked_for_and_one_that_is_broken_is_refused(tmp_path: Path) -> None:
    said, refused, unnoticed = asyncio.run(claw(tmp_path))
    assert [[words.startswith("claw: ") for words in chat] for chat in said] == [[False], [True], [False]]
    assert [code for code, _ in refused] == [1, 1]
    assert "agent.claw_runtime cannot be imported" in refused[0][1]
    assert "agent.claw_runtime has no class AIAgent" in refused[1][1]
    assert unnoticed, "nothing was asked of blue"


async def examined(folder: Path) -> tuple[Any, ...]:
    """A dry run of a real upgrade, one to a Hermes that leaves no way back, and the home before and after."""
    async with Life(folder, str(hermes_venv("0.18.2") / "bin" / "python"), env=NO_BOARD) as life:
        await life.serve()
        runtime(life, "next", "0.19.0", {})
        runtime(life, "spoils", "0.19.0", {"CLAW": "spoils"})
        await life.answers(life.say(FIRST_CHAT), timeout_s=90)
        await life.quiet(timeout_s=60)
        await still(life)
        before, asked = fingerprint(life.home), len(life.model.asked)
        good = await ask(life, "promote", "--dry-run", "--runtime", "next")
        after, asked = fingerprint(life.home), len(life.model.asked) - asked
        doctor = await ask(life, "doctor", "--runtime", "next")
        looked = {**fingerprint(life.home)}
        refused = await ask(life, "promote", "--runtime", "spoils")
        knowingly = await ask(life, "promote", "--dry-run", "--no-way-back", "--runtime", "spoils")
        return before, after, asked, good, (looked, *doctor), refused, knowingly, life.read().request


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return asyncio.run(examined(tmp_path_factory.mktemp("preflight")))


def test_a_dry_run_looks_at_everything_and_changes_nothing(looked_at: tuple[Any, ...]) -> None:
    before, after, asked, (code, answer, _), _, *_ = looked_at
    found = {f["code"]: (f["severity"], f["text"]) for f in answer["findings"]}
    assert code == 0, answer
    assert after == before
    assert found["hermes.schema"] == ("ok", "state.db has schema 19, green makes it 22")
    assert found["hermes.way_back"] == ("ok", "hermes-agent 0.18.2 goes on with what green has migrated")
    assert found.keys() >= {"hermes.import", "hermes.config", "hermes.state", "hermes.turn", "memory", "disk", "gate"}
    assert asked == 1, "the smoke turn asked the model once"


def test_doctor_says_what_a_dry_run_says_and_more_and_changes_nothing_either(looked_at: tuple[Any, ...]) -> None:
    before, _, _, (_, dry, _), (after, _, answer, _), *_ = looked_at
    said = {f["code"]: f["severity"] for f in answer["findings"]}
    assert after == before
    assert {f["code"] for f in dry["findings"]} <= said.keys()
    assert said.keys() >= {"key", "modes", "plugin", "adapter", "service", "hermes.turn", "hermes.way_back"}


def test_without_a_way_back_a_promote_is_refused_with_the_reason_unless_one_goes_on_knowingly(
    looked_at: tuple[Any, ...],
) -> None:
    *_, (code, _, complaint), (_, answer, _), request = looked_at
    assert code == 1
    assert "no way back: the old runtime cannot go on with what green leaves" in complaint
    assert "--no-way-back" in complaint
    assert request is None
    found = {f["code"]: f["severity"] for f in answer["findings"]}
    assert found["hermes.way_back"] == "warning"
