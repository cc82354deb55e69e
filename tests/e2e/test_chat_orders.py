"""A real Hermes is promoted, confirmed and rolled back from a chat by who may; and from Hermes' own command line."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from gateway_hooks.demo.load import FIRST_CHAT
from tests.e2e.hermes_life import PEOPLE, Life
from tests.hermes_venv import hermes_venv

STRANGER = PEOPLE.stop + 7


async def from_the_chat(folder: Path) -> tuple[str, str, list[str], str, int]:
    """What the phases were after each order, what the chat was told, and what the command line said."""
    python = str(hermes_venv("0.19.0") / "bin" / "python")
    async with Life(folder, python) as life:
        await life.serve()
        await life.answers(life.say(FIRST_CHAT))
        life.order(STRANGER, "/handoff promote")
        await life.answers(life.say(FIRST_CHAT))
        stranger = life.read().head.phase
        life.order(FIRST_CHAT, "/handoff promote same --confirm-within 10m")
        await life.until(lambda s: s.head.phase == "baking", "the bake", timeout_s=120)
        await life.holds(lambda: any("baking" in words for words in life.sends(FIRST_CHAT)), "told", timeout_s=60)
        life.order(FIRST_CHAT, "/handoff confirm")
        await life.until(lambda s: s.confirmed, "the word", timeout_s=60)
        life.order(FIRST_CHAT, "/handoff rollback")
        state = await life.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=60)
        _, env = life.command()
        line = [python, "-m", "hermes_cli.main", "handoff", "status"]
        done = await asyncio.to_thread(
            subprocess.run, line, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        await life.quiet(timeout_s=60)
        return stranger, state.head.phase, life.sends(FIRST_CHAT), done.stdout, done.returncode


def test_a_handoff_is_ordered_from_the_chat_and_from_hermes_own_command_line(tmp_path: Path) -> None:
    stranger, phase, told, said, code = asyncio.run(from_the_chat(tmp_path))
    assert stranger == "idle", "a stranger's order is no order"
    assert phase == "rolled_back"
    assert any("unless you say 'handoff-journal confirm'" in words for words in told)
    assert code == 0, said
    assert "rolled back" in said
