"""Play an incident, ask for the audit, and judge it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.incidents.deeds import Incident
from tests.incidents.judge import judge
from tests.incidents.scene import Note, Scene, patch


@dataclass(frozen=True, slots=True)
class Played:
    """What was done, how it ended, what the audit said of it, and what is wrong with that."""

    notes: tuple[Note, ...]
    outcome: str
    answer: dict[str, Any]
    wrong: tuple[str, ...]


async def play(incident: Incident, folder: Path) -> Played:
    """Play one incident in a new folder."""
    env = {}
    if incident.blue_patch:
        folder.mkdir(parents=True)
        env = {"PYTHONPATH": patch(folder / "blue-patch", incident.blue_patch)}
    async with Scene(folder, blue_env=env) as scene:
        await incident.deed(scene)
        outcome = await scene.over()
        done = await scene.run(
            [sys.executable, "-m", "gateway_hooks.cli", "audit", "--json", "--home", str(scene.home)]
        )
        answer = json.loads(done.stdout) if done.stdout else {"causes": [], "check": {"first": done.stderr.decode()}}
        wrong = judge(scene.notes, answer, scene.home / "handoff" / "journal.db")
        return Played(tuple(scene.notes), outcome, answer, tuple(wrong))
