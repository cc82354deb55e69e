"""The protocol, explored: small here, as large as one likes with ``make model``."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

from journal import law
from replay import decide
from tests.builders import ROOT
from tests.model.around import moves
from tests.model.book import Rules
from tests.model.explore import beginning, explore
from tests.model.hunt import NO_WAY, dies, hopeless, kept, size_of
from tests.model.mutants import mutants, without
from tests.model.sizes import SMALL, named
from tests.model.watch import good, unsafe
from tests.model.world import Size, World, key

PRODUCT = Rules(law, decide)
EXISTING = {m.name: m for m in mutants()}
BY_SCHEDULE = [entry for entry in kept().values() if "schedule" in entry and entry["mutant"] in EXISTING]


@pytest.mark.parametrize("size", SMALL, ids=named)
def test_every_world_is_safe_and_has_a_way_out(size: Size, capsys: pytest.CaptureFixture[str]) -> None:
    explored = explore(PRODUCT, size)
    with capsys.disabled():
        print(f" {explored.worlds} worlds, {explored.steps} steps, {explored.depth} deep", end=" ")
    assert explored.found is None


def test_worlds_with_one_key_have_one_future() -> None:
    """What the key leaves out must not matter: two ways to one key must go on in the same way."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, met, compared = random.Random(seed), dict[str, World](), 0
    size = Size(
        messages=2,
        adapters=2,
        kills=2,
        freezes=2,
        gates=1,
        orders=1,
        slow=1,
        faults=1,
        divergences=1,
        handoffs=2,
        sessions=1,
    )
    for _ in range(40):
        w = beginning(PRODUCT, size)
        for _ in range(60):
            first = met.setdefault(key(w), w)
            following = list(moves(PRODUCT, w))
            if first is not w:
                compared += 1
                assert _future(w) == _future(first)
            if not following:
                assert good(w)
                break
            _, w, _ = rng.choice(following)
    assert compared > 20


def _future(w: World) -> dict[str, str]:
    """What comes next, but for steps that lead nowhere."""
    return {label: after for label, world, _ in moves(PRODUCT, w) if (after := key(world)) != key(w)}


def test_every_rule_that_is_taken_out_is_caught() -> None:
    """By a schedule that is kept, or by a test that is named."""
    known = kept()
    waiting = [m.name for m in mutants() if not {"schedule", "test"} & known.get(m.name, {}).keys()]
    assert not waiting, (
        f"run \"make model ARGS='--mutants --tests'\", or without --tests to look for a schedule: {waiting}"
    )


@pytest.mark.parametrize("entry", BY_SCHEDULE, ids=lambda entry: entry["mutant"])
def test_a_schedule_kills_the_mutant_and_not_the_product(entry: dict[str, Any]) -> None:
    mutant = EXISTING[entry["mutant"]]
    schedule = tuple(entry["schedule"])
    assert dies(without(mutant), size_of(entry), entry["wrong"], schedule)
    assert not dies(PRODUCT, size_of(entry), entry["wrong"], schedule)


@pytest.mark.parametrize("named", sorted({entry["test"] for entry in kept().values() if "test" in entry}))
def test_a_test_that_is_named_for_a_mutant_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    functions = {n.name for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.FunctionDef)}
    assert name in functions


def test_a_stuck_world_is_told_from_one_with_a_way_out() -> None:
    w = beginning(PRODUCT, Size(messages=1))
    assert not unsafe(w)
    assert not hopeless(PRODUCT, w)
    assert hopeless(
        PRODUCT, w._replace(procs=(w.procs[0]._replace(up=2),), known=(None,), left=w.left._replace(messages=0))
    )
    assert NO_WAY
