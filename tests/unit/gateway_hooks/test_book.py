"""A keeper whose journal.db is put back from an export, made anew, or taken away while it minds the home."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.book import Book
from journal import events as e
from journal.errors import NoJournal
from journal.events import Process
from journal.record import Draft, Writer
from journal.store import Journal, Reader, create
from tests.builders import process, started
from tests.unit.gateway_hooks.test_keeper import Parish, _complete

FILES = ("journal.db", "journal.db-wal", "journal.db-shm")
Way = Callable[[Path], None]


@pytest.fixture
def parish(tmp_path: Path) -> Iterator[Parish]:
    found = Parish(tmp_path / "handoff")
    found.steps(until=1)
    yield found
    found.journal.close()


def taken_away(folder: Path) -> None:
    """Moved aside, with what stands beside it."""
    aside = folder.parent / "aside"
    aside.mkdir(exist_ok=True)
    for name in FILES:
        if (folder / name).exists():
            (folder / name).rename(aside / name)


def put_back(folder: Path) -> None:
    """From a copy, as ``export`` makes it."""
    copy = folder.parent / "copy.db"
    with closing(Reader(folder / "journal.db")) as reader, closing(sqlite3.connect(copy)) as target:
        reader.copy_to(target)
    taken_away(folder)
    copy.chmod(0o600)
    copy.rename(folder / "journal.db")


def made_anew(folder: Path) -> None:
    """As ``install`` does."""
    taken_away(folder)
    create(folder, at_ns=2)


WAYS = pytest.mark.parametrize("way", [put_back, made_anew, taken_away])


def lost(folder: Path) -> list[Process]:
    """Who stands there as lost."""
    with closing(Reader(folder / "journal.db")) as reader:
        return [r.event.process for r in reader.all() if isinstance(r.event, e.ProcessLost)]


@WAYS
def test_a_gateway_that_dies_under_another_record_or_none_is_started_again_and_term_is_heard(
    parish: Parish, way: Way
) -> None:
    blue = parish.serve()
    way(parish.folder)
    parish.steps(most=20)
    assert len(parish.street.started) == 1, "it lives"
    parish.dies(blue, -9)
    assert parish.steps(until=2, most=60) is None
    assert len(parish.street.started) == 2
    if way is put_back:
        assert lost(parish.folder) == [blue]
    parish.street.signals = [signal.SIGTERM]
    parish.steps(most=2)
    assert (parish.latest(), signal.SIGTERM) in parish.street.sent
    parish.dies(parish.latest(), 0)
    assert parish.steps(most=10) == 0


@WAYS
def test_nobody_is_started_beside_a_green_that_the_other_record_does_not_know(parish: Parish, way: Way) -> None:
    put_aside = parish.folder.parent / "early.db"
    with closing(Reader(parish.folder / "journal.db")) as reader, closing(sqlite3.connect(put_aside)) as target:
        reader.copy_to(target)
    green = _complete(parish)
    way(parish.folder)
    if way is put_back:  # a copy from before the handoff
        put_aside.chmod(0o600)
        put_aside.replace(parish.folder / "journal.db")
    parish.steps(most=1500)
    assert len(parish.street.started) == 1
    assert parish.street.status[green] == "running"
    parish.dies(green, -9)
    parish.steps(until=2, most=60)
    assert len(parish.street.started) == 2


@WAYS
def test_who_was_cut_off_from_its_journal_is_not_ended_for_its_silence(parish: Parish, way: Way) -> None:
    blue = parish.serve()
    way(parish.folder)
    parish.steps(most=1500)
    assert parish.street.now_s > 1000.0
    assert parish.street.status[blue] == "running"


def test_its_successor_takes_a_seat_in_the_new_record_and_is_judged_by_it_again(parish: Parish) -> None:
    parish.dies(parish.serve(), -9)
    made_anew(parish.folder)
    parish.steps(until=2, most=60)
    parish.journal.close()
    parish.journal = Journal(parish.folder, parish.street.now)
    hung = parish.serve()
    parish.steps(until=3, most=2000)
    assert parish.street.status[hung] == "dead"
    assert lost(parish.folder) == [hung]


def test_what_was_written_into_the_new_file_outlives_the_closing_of_the_old_one(parish: Parish) -> None:
    blue = parish.serve()
    parish.dies(blue, -9)
    parish.steps(until=2)  # the keeper has written
    made_anew(parish.folder)
    parish.street.status[process(7)] = "running"
    with closing(Journal(parish.folder, parish.street.now)) as journal:
        journal.append(Draft(started()), writer=Writer(process(7), "operator"))
        parish.steps(most=2)
        with closing(Reader(parish.folder / "journal.db")) as reader:
            assert [r.type for r in reader.all()] == ["PROCESS_STARTED"]
        parish.dies(process(7), -9)
        parish.steps(most=5)
        assert lost(parish.folder) == [process(7)], "and the keeper writes there too"


def test_the_very_file_that_was_away_for_a_while_is_no_other_record(parish: Parish) -> None:
    parish.serve()
    book = Book(parish.folder, parish.street.now)
    assert not book.read()
    taken_away(parish.folder)
    with pytest.raises(NoJournal):
        book.read()
    assert not book.reads
    assert book.state.head.seq == 3, "what was known stays known"
    for name in FILES:
        aside = parish.folder.parent / "aside" / name
        if aside.exists():
            aside.rename(parish.folder / name)
    assert not book.read()
    assert book.reads


def test_a_copy_that_was_written_over_the_file_is_another_record(parish: Parish) -> None:
    before = parish.folder.parent / "before.db"
    with closing(Reader(parish.folder / "journal.db")) as reader, closing(sqlite3.connect(before)) as target:
        reader.copy_to(target)
    parish.serve()
    book = Book(parish.folder, parish.street.now)
    book.read()
    with closing(sqlite3.connect(before)) as copy, closing(sqlite3.connect(parish.folder / "journal.db")) as target:
        copy.backup(target)
    assert book.read()
    assert book.state.head.seq == 0
