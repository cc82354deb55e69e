"""Explore the protocol: ``python -m tests.model --messages 2 --kills 1 --freezes 1``."""

from __future__ import annotations

import argparse
import sys
import time

from journal import law
from replay import decide
from tests.model.book import Rules
from tests.model.explore import Found, explore
from tests.model.hunt import hunt_all, name_tests
from tests.model.sizes import LARGE, named
from tests.model.world import Size


def main() -> int:
    """Print how many worlds there are, and the shortest schedule to a bad one. 1 when there is one."""
    parser = argparse.ArgumentParser(prog="tests.model", description=__doc__)
    for name, value in Size()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--bound", type=int)
    parser.add_argument("--large", action="store_true", help="all that is too large for the tests")
    parser.add_argument("--mutants", action="store_true", help="bring tests/model/mutants.json up to date instead")
    parser.add_argument(
        "--tests", action="store_true", help="with --mutants: only name unit tests for those that are new; seconds"
    )
    options = vars(parser.parse_args())
    quick = options.pop("tests")
    if options.pop("mutants"):
        (name_tests if quick else hunt_all)(lambda line: print(line, flush=True))
        return 0
    bound = options.pop("bound")
    sizes = LARGE if options.pop("large") else (Size(**options),)
    return 1 if sum([_explored(size, bound) for size in sizes]) else 0


def _explored(size: Size, bound: int | None) -> bool:
    """Whether a counterexample was found."""
    began = time.monotonic()
    explored = explore(Rules(law, decide), size, bound=bound, told=_progress)
    seconds = time.monotonic() - began
    print(
        f"{named(size)}: {explored.worlds} worlds, {explored.steps} steps, {explored.depth} deep, {seconds:.0f} s",
        "" if explored.whole else "(cut short)",
    )
    if explored.found:
        tell(explored.found)
    return explored.found is not None


def _progress(worlds: int, depth: int) -> None:
    print(f"\r{worlds} worlds, {depth} deep", end="\r", file=sys.stderr, flush=True)


def tell(found: Found) -> None:
    """The counterexample, a step a line."""
    print(f"BAD: {found.wrong}")
    for label in found.schedule:
        print(f"  {label}")


if __name__ == "__main__":
    sys.exit(main())
