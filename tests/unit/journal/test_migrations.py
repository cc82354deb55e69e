"""Schemas only grow: the first one is read, written and migrated for ever; whoever has it open goes on; a newer one is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from journal import schema
from journal.errors import Busy, DiskTrouble, NewerJournal
from journal.folder import create
from journal.gate import Gate
from journal.record import Draft, Stamp
from journal.store import Journal, Reader
from journal.verify import verify
from tests.builders import OPERATOR, ROOT, preflight, writer

GOLDEN = {1: (19, "5695e0d5dfc26b5ccce781908cff370e15b74afb4a4a2c179ee94e5afaf7d95d")}
"""The head of ``tests/golden/schema_N.db``, by schema: what a version wrote that was in people's hands. None is ever made anew."""
NOTE, THEM = Draft(preflight()), writer(OPERATOR)


@pytest.fixture(params=GOLDEN)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a golden journal of an older schema in it."""
    folder = tmp_path / "handoff"
    folder.mkdir(mode=0o700)
    shutil.copyfile(ROOT / "tests" / "golden" / f"schema_{request.param}.db", folder / "journal.db")
    (folder / "journal.db").chmod(0o600)
    assert _schema(folder)[0] == request.param
    return folder


def _schema(folder: Path) -> tuple[int, list[tuple[int, int]], list[str]]:
    """The version in the header, the migrations on record, what stands in the schema."""
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        version = schema.identify(connection)[1]
        steps = connection.execute("SELECT version, at_ns FROM migrations ORDER BY version").fetchall()
        names = [
            name for (name,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY sql")
        ]
    return version, steps, names


def test_every_schema_has_its_golden_journal_but_the_one_that_is_being_written() -> None:
    assert sorted(GOLDEN) == list(range(1, schema.VERSION))
    with closing(Reader(ROOT / "tests" / "golden" / "schema_1.db")) as reader:
        verdict = verify(reader, head=None)
    assert (verdict.last, verdict.head) == GOLDEN[1]


def test_an_old_journal_is_read_and_written_as_it_stands(old: Path, clock: Callable[[], Stamp]) -> None:
    """A green of a newer version must leave blue's way back open."""
    before = _schema(old)
    with closing(Journal(old, clock)) as journal:
        journal._next_snapshot = 0  # there is no place for one
        assert journal.append(NOTE, writer=THEM)[0].seq == 20
    assert _schema(old) == before


def test_creating_migrates_what_stands_there_and_records_it(
    old: Path, clock: Callable[[], Stamp], tmp_path: Path
) -> None:
    version, steps, _ = _schema(old)
    create(old, at_ns=7)
    create(tmp_path / "new", at_ns=1)
    assert _schema(old)[0] == schema.VERSION
    assert _schema(old)[1] == [*steps, *((n, 7) for n in range(version + 1, schema.VERSION + 1))]
    assert _schema(old)[2] == _schema(tmp_path / "new")[2], "the same as one that was made new"
    create(old, at_ns=8)
    assert _schema(old)[1][-1][1] == 7, "once"
    with closing(Reader(old / "journal.db")) as reader:
        assert verify(reader, head=(19, bytes.fromhex(GOLDEN[version][1]))).good


def test_readers_and_writers_that_have_it_open_go_on(old: Path, clock: Callable[[], Stamp]) -> None:
    with closing(Reader(old / "journal.db")) as reader, closing(Journal(old, clock)) as journal:
        page = reader.records(limit=5)
        create(old, at_ns=7)
        page += reader.records(after=page[-1].seq)
        assert [record.seq for record in page] == list(range(1, 20))
        assert journal.append(NOTE, writer=THEM)[0].seq == 20
        assert reader.last_seq() == 20


def test_a_migration_waits_for_the_gate(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Gate(old / "gate")) as other, other.held():
        monkeypatch.setattr(Gate.__init__, "__kwdefaults__", {"deadline_s": 0.05})
        with pytest.raises(Busy):
            create(old, at_ns=7)
    assert _schema(old)[0] < schema.VERSION


def test_a_migration_that_fails_leaves_the_old_schema(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _schema(old)
    monkeypatch.setitem(
        schema._STEPS, schema.VERSION, schema._STEPS[schema.VERSION] + "INSERT INTO nowhere VALUES (1);"
    )
    with pytest.raises(DiskTrouble):
        create(old, at_ns=7)
    assert _schema(old) == before


def test_a_newer_schema_is_refused_and_not_touched(old: Path, clock: Callable[[], Stamp]) -> None:
    with closing(sqlite3.connect(old / "journal.db")) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = _schema(old)
    for opening in (lambda: Reader(old / "journal.db"), lambda: Journal(old, clock)):
        with pytest.raises(NewerJournal) as refused:
            opening()
        assert refused.value.exit_code == 5
    create(old, at_ns=7)
    assert _schema(old) == before
