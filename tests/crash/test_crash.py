"""A fresh dozen of the crash matrix; ``make crash`` plays all of it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.crash.__main__ import How, matrix, run
from tests.crash.cases import SCENES

SAMPLE, JOBS = 12, 4


def test_a_runtime_serves_and_nothing_is_lost_or_doubled_wherever_somebody_dies(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}: python -m tests.crash --scenes 2 --sample {SAMPLE} --jobs {JOBS} --seed {seed}")
    todo = asyncio.run(matrix(tmp_path / "scenes", SCENES[:2], how=How(JOBS), seed=seed, say=print))
    drawn = random.Random(seed).sample(todo, SAMPLE)
    outcomes = asyncio.run(run(drawn, tmp_path, how=How(JOBS), seed=seed, say=print))
    assert [(o.name, o.wrong) for o in outcomes if o.wrong] == []
    assert sum(o.dealt > 0 for o in outcomes) >= SAMPLE // 2
