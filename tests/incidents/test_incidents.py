"""A few of the incidents of ``make incidents``: what was done from outside is what the audit names, with its proof."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from tests.builders import ROOT
from tests.incidents.deeds import INCIDENTS
from tests.incidents.judge import NAMES, judge
from tests.incidents.play import play
from tests.incidents.scene import Note

SAMPLE = (
    "green killed in the bake",
    "blue stopped in init",
    "green exits at once",
    "the state is gone before preflight",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_audit_names_what_was_done_from_outside(tmp_path: Path, name: str) -> None:
    (incident,) = [each for each in INCIDENTS if each.name == name]
    played = asyncio.run(play(incident, tmp_path / "incident"))
    assert played.wrong == (), (played.notes, played.answer["causes"])


def test_there_are_thirty_incidents_and_more_and_each_has_a_name_of_its_own() -> None:
    assert len({incident.name for incident in INCIDENTS}) == len(INCIDENTS) >= 30


@pytest.mark.parametrize("module", ["scene", "deeds", "judge"])
def test_whoever_does_it_and_whoever_judges_know_nothing_of_the_audit(module: str) -> None:
    tree = ast.parse((ROOT / "tests" / "incidents" / f"{module}.py").read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {name for name in names if name.split(".")[0] in ("journal", "replay", "gateway_hooks")}
    assert ours <= {"gateway_hooks.demo.botapi"}


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"code": "frozen"}, "it says frozen"),
        ({"side": "blue"}, "it blames blue"),
        ({"phase": "init"}, "it says in init"),
        ({"text": "green died"}, "does not say"),
        ({"seqs": [99]}, "not in the journal"),
    ],
)
def test_the_judge_notices_every_kind_of_wrong_answer(told: dict[str, object], wrong: str) -> None:
    journal = ROOT / "tests" / "golden" / "rolled_back.db"
    right = {"code": "died", "side": "green", "phase": "baking", "at": 1, "seqs": [1], "text": "by signal 9"}
    answer = {"causes": [{**right, **told}], "check": {"first": None}}
    found = judge([Note("killed", "green", "baking", 5)], answer, journal)
    assert any(wrong in each for each in found), found
    assert judge([Note("killed", "green", "baking", 5)], {"causes": []}, journal) == ["no cause is named"]
    assert "killed" in NAMES
