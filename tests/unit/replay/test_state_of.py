"""Folding a journal straight from its rows gives what folding its records gives."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from journal import events as e
from journal.errors import NewerJournal, Tampered
from journal.store import Reader
from replay.fold import KEPT_SAMPLES, State, fold, state_of
from tests.bench.workload import fill
from tests.builders import BLUE, EXAMPLES, GREEN, ROOT
from tests.unit.replay.histories import History, health, started

GOLDEN = ROOT / "tests" / "golden"
NAMES = ["finished", "rolled_back", "killed_blue", "bad"]


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_a_golden_journal_fold_as_its_records_do(name: str, tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / f"{name}.db", tmp_path))
    with closing(Reader(path)) as reader:
        assert state_of(reader) == fold(reader.all())


@pytest.mark.parametrize("name", NAMES)
def test_a_fold_goes_on_from_any_seq(name: str, tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / f"{name}.db", tmp_path))
    with closing(Reader(path)) as reader:
        records, whole = list(reader.all()), state_of(reader)
        for count in range(len(records)):
            assert state_of(reader, fold(records[:count])) == whole


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_every_type_does_to_a_state_what_its_record_does(event: e.Event, tmp_path: Path) -> None:
    history = History().baking()
    history.turn(history.accept(1))
    history.plant(BLUE, event)
    with closing(Reader(history.export(tmp_path / "journal.db"))) as reader:
        assert state_of(reader) == fold(reader.all()) == history.state


def test_a_long_journal_is_folded_over_many_pages(tmp_path: Path) -> None:
    fill(tmp_path / "handoff", 1200)
    with closing(Reader(tmp_path / "handoff" / "journal.db")) as reader:
        assert state_of(reader) == fold(reader.all())


def test_a_state_that_was_handed_out_is_never_changed(tmp_path: Path) -> None:
    history = History().baking()
    before = history.state
    kept = before.copy()
    history.answer(history.accept(1))
    history.turn(history.accept(2))
    history.sample(BLUE)
    after = fold(history.records[before.head.seq :], before)
    with closing(Reader(history.export(tmp_path / "journal.db"))) as reader:
        assert state_of(reader, before) == after
    assert before == kept
    assert after != kept


def test_of_many_samples_the_last_of_each_side_are_kept(tmp_path: Path) -> None:
    """Also where somebody leaves a seat, and somebody else takes it, between them."""
    history = History().baking()
    for number in range(KEPT_SAMPLES + 5):
        history.sample(BLUE)
        history.sample(GREEN)
        if number == KEPT_SAMPLES:
            history.lose("green", BLUE)
            history.plant(GREEN, health())
            history.plant(BLUE, e.ProcessExited())
            history.plant(BLUE, health())
            history.plant(BLUE, started("blue", serving=False))
            history.plant(GREEN, started("green", serving=True))
        with closing(Reader(history.export(tmp_path / f"{number}.db"))) as reader:
            assert state_of(reader) == fold(reader.all())
    assert {side: len(kept) for side, kept in history.state.samples.items()} == {"blue": 4, "green": 4}


def test_an_empty_journal_has_the_state_of_no_events(tmp_path: Path) -> None:
    with closing(Reader(History().export(tmp_path / "journal.db"))) as reader:
        assert state_of(reader) == State() == state_of(reader, State())


def _with(tmp_path: Path, change: str) -> Path:
    history = History().serving()
    history.accept(1)
    path = history.export(tmp_path / "journal.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(f"UPDATE events SET {change} WHERE type = 'MESSAGE_ACCEPTED'")
    return path


@pytest.mark.parametrize(
    ("change", "error"),
    [("body = '{}'", Tampered), ("v = 2", NewerJournal), ("type = 'SOMETHING_ELSE'", NewerJournal)],
)
@pytest.mark.parametrize("folded", [state_of, lambda reader: fold(reader.all())], ids=["rows", "records"])
def test_a_row_that_cannot_be_read_is_refused_either_way(
    change: str, error: type[Exception], folded: Callable[[Reader], State], tmp_path: Path
) -> None:
    with closing(Reader(_with(tmp_path, change))) as reader, pytest.raises(error):
        folded(reader)
