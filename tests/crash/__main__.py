"""The crash matrix: ``python -m tests.crash [--jobs N] [--only PATTERN] [--seed N] [--sample N] [--json FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import logging
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from journal.record import Record
from tests.crash.cases import SCENES, cases, on_hermes
from tests.crash.stage import Case, Stage
from tests.crash.verdict import Outcome, as_json, judged, told
from tests.hermes_venv import hermes_venv

TRIES = 3
"""How often a case is played whose point did not come about."""


@dataclass(frozen=True, slots=True)
class How:
    """How the cases are played: so many at a time, by or without the keeper, on the reference gateway or on a Hermes."""

    jobs: int
    keeper: bool = True
    hermes: str | None = None


async def play(case: Case, folder: Path, seed: int, how: How) -> tuple[Outcome, list[Record]]:
    """Play one case in a folder of its own."""
    began = time.monotonic()
    stage = Stage(folder, case, seed=seed, keeper=how.keeper, hermes=how.hermes)
    async with stage:
        unfinished = await stage.play()
        outcome = judged(stage, unfinished, time.monotonic() - began)
        records = stage.records()
        await asyncio.to_thread(stage.end_all)
    return outcome, records


async def matrix(
    folder: Path, scenes: Sequence[Case], *, how: How, seed: int, say: Callable[[str], None]
) -> list[Case]:
    """Play every scene once, and make the cases of what was seen. Raises ``AssertionError`` when a scene itself goes wrong."""
    known: set[tuple[str, str, str]] = set()
    found: list[Case] = []
    turn = asyncio.Semaphore(how.jobs)

    async def scene(n: int) -> tuple[Outcome, list[Record]]:
        async with turn:
            return await play(scenes[n], folder / f"scene-{n}", seed + n, how)

    for case, (outcome, records) in zip(scenes, await asyncio.gather(*map(scene, range(len(scenes)))), strict=True):
        new = list(cases(case, records, known))
        say(f"{told(outcome)}\n    {len(records)} events, {len(new)} cases")
        if outcome.wrong:
            raise AssertionError(f"{outcome.name}: {outcome.wrong}")
        found += new
    return found


async def run(todo: Sequence[Case], folder: Path, *, how: How, seed: int, say: Callable[[str], None]) -> list[Outcome]:
    """Play the cases, so many at a time."""
    waiting = list(enumerate(todo))[::-1]
    outcomes: list[Outcome] = []

    async def worker() -> None:
        while waiting:
            n, case = waiting.pop()
            for turn in range(TRIES):
                outcome, _ = await play(case, folder / f"case-{n}-{turn}", seed + n + 7919 * turn, how)
                if outcome.wrong or outcome.dealt >= len(case.wounds):
                    break
            outcomes.append(outcome)
            say(
                f"{len(outcomes)}/{len(todo)} {told(outcome)}"
                + (f"\n    {folder}/case-{n}-{turn}" * bool(outcome.wrong))
            )

    await asyncio.gather(*(worker() for _ in range(how.jobs)))
    return outcomes


def say(line: str) -> None:
    print(line, flush=True)


def figures(outcomes: Sequence[Outcome]) -> str:
    """All of them in a few lines."""
    sums: Counter[str] = Counter()
    for outcome in outcomes:
        sums.update(outcome.counts)
    failed = sum(bool(o.wrong) for o in outcomes)
    reached = sum(o.dealt >= o.wounds for o in outcomes)
    return "\n".join(
        [
            f"{len(outcomes)} cases: {reached} reached, {len(outcomes) - reached} whose point did not come about, {failed} failed",
            ", ".join(f"{n} {what}" for what, n in sums.items()),
        ]
    )


def piece(text: str) -> tuple[int, int]:
    """``K/N``: a case is in the same piece on each run, so that the pieces together are the whole matrix."""
    k, n = (int(part) for part in text.split("/"))
    if not 1 <= k <= n:
        raise ValueError(text)
    return k, n


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="*", help="cases whose name fits this pattern")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--sample", type=int, default=0, help="so many of them, drawn at random")
    parser.add_argument("--piece", type=piece, metavar="K/N", help="only the K-th of N pieces, by name: K from 1 to N")
    parser.add_argument("--scenes", type=int, default=len(SCENES), help="only the cases of the first so many scenes")
    parser.add_argument(
        "--bare", action="store_true", help="without the keeper: the test starts a gateway when none is left"
    )
    parser.add_argument("--hermes", action="store_true", help="every handoff message, on a real Hermes")
    parser.add_argument("--keep", type=Path, help="keep the folders of the cases here")
    parser.add_argument("--json", type=Path, help="write the outcomes here")
    given = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # that clients go away is the point
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="handoff-crash-") as temporary:
        folder = given.keep or Path(temporary)
        how = How(given.jobs, not given.bare, str(hermes_venv("0.19.0") / "bin" / "python") if given.hermes else None)
        scenes = () if given.hermes else SCENES[: given.scenes]
        clean = asyncio.run(matrix(folder / "scenes", scenes, how=how, seed=given.seed, say=say))
        todo = on_hermes() if given.hermes else clean
        total = len(todo)
        todo = [case for case in todo if fnmatch.fnmatch(case.name, given.only)]
        if given.piece:
            k, n = given.piece
            todo = [case for case in todo if zlib.crc32(case.name.encode()) % n == k - 1]
        dice = random.Random(given.seed)
        todo = dice.sample(todo, min(given.sample, len(todo))) if given.sample else todo
        say(f"{len(todo)} of {total} cases")
        outcomes = asyncio.run(run(todo, folder, how=how, seed=given.seed, say=say))
    if given.json:
        given.json.write_text(as_json(outcomes))
    print(figures(outcomes))
    return 1 if any(o.wrong for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
