"""The rules as data, the limits that are told otherwise, and whose hour counts. What they find is tested over whole days."""

from __future__ import annotations

from journal import events as e
from replay.baseline import baseline, owner, percentile
from replay.diverge import RULES, told
from replay.observe import KEPT, Observed
from tests.builders import BLUE, GREEN, ROOT
from tests.unit.replay.histories import ADAPTER, History


def test_the_page_on_the_bake_lists_every_rule_as_it_is() -> None:
    rows = [
        f"| `{r.name}` | {r.unit} | {r.factor:g} | {r.floor:g} | {r.least} | {r.sense} |" for r in RULES
    ]  # fmt: skip
    written = [line for line in (ROOT / "docs" / "bake.md").read_text().splitlines() if line.startswith("| `")]
    assert written == rows


def test_what_is_told_otherwise_changes_that_and_nothing_else() -> None:
    rules = told(RULES, {"memory": e.RuleLimits(floor=1.0)})
    changed = {r.name: (r.factor, r.floor, r.least) for r in rules if r not in RULES}
    memory = next(r for r in RULES if r.name == "memory")
    assert changed == {"memory": (memory.factor, 1.0, memory.least)}


def test_only_what_the_owner_of_that_hour_said_counts_as_blues_own() -> None:
    history = History().rolled_back()  # green owned, and BLUE does again
    history.answer(history.accept(1))
    assert owner(history.records) == BLUE
    for _ in range(3):
        history.wait(60).sample(BLUE, polls=len(history.records))
    found = baseline(history.records)
    assert found.turns.count == 1
    assert found.polls[ADAPTER] > 0


def test_of_an_empty_record_there_is_no_baseline_to_compare_with() -> None:
    found = baseline([])
    assert (found.turns.count, dict(found.polls), found.grown_mb) == (0, {}, 0.0)


def test_what_is_observed_is_bounded_and_speaks_of_green_alone() -> None:
    history = History().baking()
    for n in range(3 * KEPT):
        history.wait(5).sample(GREEN, polls=n)
        history.sample(BLUE)
    observed = Observed(GREEN, 1, 0)
    for record in history.records:
        observed.move(record)
    assert len(observed.samples) == KEPT
    assert {history.records[s.seq - 1].process for s in observed.samples} == {GREEN}


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile(values, 0.95) for values in ([], [3.0], [*map(float, range(100))])] == [0.0, 3.0, 95.0]
