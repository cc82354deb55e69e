"""Old journals, and a bad one, say for ever what they said when they were made."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from journal.record import Record
from journal.store import Reader
from journal.verify import verify
from replay.check import check
from replay.data import fingerprint
from replay.fold import fold
from tests.golden.make import JOURNALS, verdict

HERE = Path(__file__).parent
NAMES = [journal.__name__ for journal in JOURNALS]


def records_of(name: str) -> list[Record]:
    with closing(Reader(HERE / f"{name}.db")) as reader:
        return list(reader.all())


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_journal_says_what_it_always_said(name: str) -> None:
    assert verdict(records_of(name)) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_of_a_golden_journal_holds_and_ends_in_its_head(name: str) -> None:
    wanted = expected(name)["head"]
    with closing(Reader(HERE / f"{name}.db")) as reader:
        found = verify(reader, head=(reader.last_seq(), bytes.fromhex(wanted)))
    assert (found.bad, found.head) == (None, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_journal_cut_anywhere_folds_to_the_same_state(name: str) -> None:
    records = records_of(name)
    whole = fold(records)
    for cut in range(len(records) + 1):
        assert fold(records[cut:], fold(records[:cut])) == whole
    assert fingerprint(whole) == expected(name)["state"]


def test_the_bad_journal_differs_first_where_green_confirmed() -> None:
    first = check(records_of("bad")).first
    assert first is not None
    assert (first.seq, first.field, first.expected, first.actual) == (15, "samples", None, (14,))


@pytest.mark.parametrize("name", ["finished", "rolled_back", "killed_blue"])
def test_the_good_journals_differ_nowhere(name: str) -> None:
    assert check(records_of(name)).differences == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_journal_is_one_file(name: str) -> None:
    records_of(name)
    assert sorted(path.name for path in HERE.glob(f"{name}.*")) == [f"{name}.db", f"{name}.json"]
