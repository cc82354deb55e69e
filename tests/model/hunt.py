"""Which schedule kills which mutant: found once, kept in ``mutants.json``, and played again by the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.model.around import moves
from tests.model.book import Rules
from tests.model.elsewhere import caught
from tests.model.explore import BREAKS, Found, Impossible, breaks, explore, replayed
from tests.model.mutants import Mutant, counted, mutants, without
from tests.model.watch import good, unsafe
from tests.model.world import Size, World, key

KEPT = Path(__file__).with_name("mutants.json")
NO_WAY = "no way out without a thaw or an operator"
HUNTS = (
    Size(messages=0, kills=0, freezes=1),
    Size(messages=0, kills=1, orders=1, words=1),
    Size(messages=0, kills=0, slow=1, orders=1),
    Size(messages=0, kills=0, faults=1, divergences=1),
    Size(messages=0, kills=1, rash=1, stale=0, words=1),
    Size(messages=1, kills=1, handoffs=0, rash=1, stale=0),
    Size(messages=1, kills=0),
    Size(messages=1, kills=0, rash=1, stale=0),
    Size(messages=1, kills=0, sessions=1, stale=0),
)
"""Where mutants are looked for."""
BOUND = 12_000
NEAR = 100
"""So many worlds around each place where a mutant differs are looked at."""
PLACES = 5
Place = tuple[tuple[str, ...], World]


def places(size: Size, wanted: set[str]) -> dict[str, list[Place]]:
    """Where, within a size, what each mutant takes out is reached: a few places that look different, and the shortest way to each.

    Elsewhere a mutant does what the product does, so that one walk over the product's worlds serves for all of them.
    """
    reached: set[str] = set()
    found: dict[str, dict[Any, Place]] = {}

    def look(schedule: Callable[[], tuple[str, ...]], w: World) -> None:
        head = w.state.head
        kind = (
            head.phase,
            head.owner,
            tuple((p.stage, p.up, p.slow, p.fault, len(p.runs)) for p in w.procs),
            len(head.turns),
        )
        for name in reached & wanted:
            at = found.setdefault(name, {})
            if kind not in at and len(at) < PLACES:
                at[kind] = schedule(), w
        reached.clear()

    explore(counted(reached), size, bound=BOUND, live=False, look=look)
    return {name: list(at.values()) for name, at in found.items()}


def hunt(mutant: Mutant, near: list[Place]) -> Found | None:
    """A counterexample near a place where this mutant differs from the product."""
    rules = without(mutant)
    for way, w in near:
        explored = explore(rules, w.left, start=w, bound=NEAR, live=False)
        if explored.found:
            found = Found(explored.found.wrong, (*way, *explored.found.schedule))
        elif breaks(rules, w) or not hopeless(rules, w):
            continue
        else:
            found = Found(NO_WAY, way)
        return found
    return None


def dies(rules: Rules, size: Size, wrong: str, schedule: tuple[str, ...]) -> bool:
    """Whether a schedule leads these rules to that end. False when a step of it is not possible."""
    try:
        *_, last = replayed(rules, size, schedule)
    except Impossible:
        return False
    if wrong.startswith(BREAKS):
        return breaks(rules, last) == wrong
    return hopeless(rules, last) if wrong == NO_WAY else unsafe(last) == wrong


def hopeless(rules: Rules, w: World) -> bool:
    """Whether no good end can be reached from here by whom nobody helps."""
    seen, todo = {key(w)}, [w]
    while todo:
        w = todo.pop()
        if good(w):
            return False
        if breaks(rules, w):
            continue
        for _, after, way in moves(rules, w):
            if way and key(after) not in seen:
                seen.add(key(after))
                todo.append(after)
    return True


def kept() -> dict[str, dict[str, Any]]:
    """What is known of each mutant, by name."""
    return {entry["mutant"]: entry for entry in json.loads(KEPT.read_text())} if KEPT.exists() else {}


def size_of(entry: dict[str, Any]) -> Size:
    """The size in which an entry's schedule was found."""
    return Size(**entry["size"])


def name_tests(told: Callable[[str], None]) -> None:
    """The quick way to bring ``mutants.json`` up to date: mutants that are gone go, and of those that nothing is known of the unit
    test that catches them is named."""
    entries = {m.name: entry for m in mutants() if (entry := kept().get(m.name, {})).keys() & {"schedule", "test"}}
    wanted = [m for m in mutants() if m.name not in entries]
    tests = caught(wanted) if wanted else {}
    for mutant in wanted:
        told(f"{mutant.name} - {tests.get(mutant.name, 'NO TEST CATCHES IT')}")
        entries[mutant.name] = {"mutant": mutant.name, **({"test": tests[mutant.name]} if mutant.name in tests else {})}
    _keep(entries)


def hunt_all(told: Callable[[str], None]) -> None:
    """Bring ``mutants.json`` up to date: mutants that are gone go, new ones and those whose schedule fails are hunted."""
    before, entries = kept(), {}
    wanted = []
    for mutant in mutants():
        entry = before.get(mutant.name)
        if (
            entry
            and "schedule" in entry
            and dies(without(mutant), size_of(entry), entry["wrong"], tuple(entry["schedule"]))
        ):
            entries[mutant.name] = entry
        else:
            wanted.append(mutant)
    told(f"{len(entries)} mutants die by the schedules that are known; {len(wanted)} to hunt")
    for size in HUNTS:
        near = places(size, {m.name for m in wanted}) if wanted else {}
        told(f"{size}: {len(near)} are reached")
        for mutant in [m for m in wanted if m.name in near]:
            found = hunt(mutant, near[mutant.name])
            if found and dies(without(mutant), size, found.wrong, found.schedule):
                wanted.remove(mutant)
                entries[mutant.name] = _entry(mutant, (size, found))
                told(f"dies: {mutant.name} - {found.wrong}")
                _keep(entries)
    tests = caught(wanted)
    for mutant in wanted:
        entry = {"mutant": mutant.name}
        if mutant.name in tests:
            entry["test"] = tests[mutant.name]
        elif "why" in before.get(mutant.name, {}):
            entry["why"] = before[mutant.name]["why"]
        told(f"no schedule: {mutant.name} - {entry.get('test') or entry.get('why') or 'NOTHING CATCHES IT'}")
        entries[mutant.name] = entry
    _keep(entries)


def _entry(mutant: Mutant, result: tuple[Size, Found]) -> dict[str, Any]:
    size, found = result
    small = {k: v for k, v in size._asdict().items() if v != Size._field_defaults[k]}
    return {"mutant": mutant.name, "wrong": found.wrong, "size": small, "schedule": list(found.schedule)}


def _keep(entries: dict[str, dict[str, Any]]) -> None:
    ordered = [entries[m.name] for m in mutants() if m.name in entries]
    KEPT.write_text(json.dumps(ordered, indent=1) + "\n")
