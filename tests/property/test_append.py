"""``append`` against a list: keys, batches, refusals, and a writer that is killed between any two of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from journal import events as e
from journal.bell import read_head
from journal.record import Draft
from journal.store import Reader
from journal.verify import verify
from tests.builders import Child

SEEDS = range(3)
BATCHES = 150
KILLS = 4
Answer = list[list[int]] | str
"""For each draft its seq, and 1 when its key was known; or the name of the refusal."""


def batches(seed: int) -> list[list[Draft]]:
    """What is appended, one after the other: keys that come again with the same body or another, and now and then what is refused."""
    dice = random.Random(seed)

    def draft() -> Draft:
        if dice.random() < 0.04:
            return Draft(e.HandoffAck(flushed_seq=1, digests={}))  # no handoff is open
        finding = e.PreflightFinding(
            code="disk", severity="ok", text=dice.choice(("enough", "enough", "enough", "little"))
        )
        key = f"k{dice.randrange(60)}" if dice.random() < 0.6 else None
        return Draft(e.PreflightChecked(findings=(finding,)), key=key)

    return [[draft() for _ in range(dice.choice((1, 1, 1, 2, 5)))] for _ in range(BATCHES)]


class Model:
    """What ought to stand: bodies in order, and where each key is."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | None, str]] = []
        self.keys: dict[str, int] = {}

    def append(self, drafts: list[Draft]) -> Answer:
        rows, keys, answer = list(self.rows), dict(self.keys), []
        for draft in drafts:
            body = draft.event.model_dump_json()
            if draft.key in keys:
                if rows[keys[draft.key] - 1][1] != body:
                    return "KeyConflict"
                answer.append([keys[draft.key], 1])
                continue
            if isinstance(draft.event, e.HandoffAck):
                return "IllegalTransition"
            rows.append((draft.key, body))
            if draft.key is not None:
                keys[draft.key] = len(rows)
            answer.append([len(rows), 0])
        self.rows, self.keys = rows, keys
        return answer


_WRITER = """
import json, sys; from pathlib import Path
from journal.errors import Refused; from journal.record import Stamp; from journal.store import Journal
from tests.builders import OPERATOR, writer; from tests.property.test_append import batches
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1))
for drafts in batches(int(sys.argv[2]))[int(sys.argv[3]):]:
    try: answer = [[r.seq, int(r.known)] for r in journal.append(*drafts, writer=writer(OPERATOR))]
    except Refused as error: answer = type(error).__name__
    print(json.dumps(answer), flush=True)
print("end", flush=True)
"""


def lines(child: Child, count: int) -> Iterator[str]:
    """At most that many of its lines, up to its end."""
    for _ in range(count):
        line = child.line()
        yield line
        if line == "end":
            return


@pytest.mark.parametrize("seed", SEEDS)
def test_append_does_what_a_list_does_though_the_writer_is_killed(folder: Path, seed: int) -> None:
    planned, model, dice, done, kills = batches(seed), Model(), random.Random(seed), 0, 0
    while done < BATCHES:
        with Child(_WRITER, str(folder), str(seed), str(done)) as child:
            life = dice.randrange(BATCHES // KILLS) if kills < KILLS else BATCHES + 1
            told = list(lines(child, life))
            told += child.kill() if kills < KILLS else []
        kills += 1
        for line in told:
            if line != "end":
                assert json.loads(line) == model.append(planned[done]), f"seed {seed}, batch {done}"
                done += 1
        with closing(Reader(folder / "journal.db")) as reader:
            found = [(r.key, r.body) for r in reader.all()]
        if found != model.rows:  # one append more than was told: all of it, or none
            assert done < BATCHES, f"seed {seed}"
            model.append(planned[done])
            done += 1
            assert found == model.rows, f"seed {seed}, batch {done}: a part of an append stands"
    with closing(Reader(folder / "journal.db")) as reader:
        assert verify(reader, head=read_head(folder / "bell")).good, f"seed {seed}"
    assert kills > KILLS
    assert len(model.rows) > BATCHES / 3


def test_the_plans_hold_what_they_are_for() -> None:
    """Or the property above would hold of little."""
    answers: list[Answer] = []
    for seed in SEEDS:
        model = Model()
        answers += [model.append(drafts) for drafts in batches(seed)]
    assert answers.count("KeyConflict") > 20
    assert answers.count("IllegalTransition") > 5
    assert sum(known for answer in answers if not isinstance(answer, str) for _, known in answer) > 50
