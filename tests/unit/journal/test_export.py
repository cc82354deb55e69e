from __future__ import annotations

import csv
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from journal.errors import DiskTrouble, NoJournal, Refused
from journal.export import COLUMNS, to_csv, to_database, to_lines
from journal.record import Draft, Stamp
from journal.schema import VIEWS
from journal.store import Journal, Reader
from journal.verify import verify
from tests.builders import BLUE, OPERATOR, Child, accepted, connected, preflight, started, writer

US, THEM = writer(BLUE), writer(OPERATOR)


@pytest.fixture
def reader(journal: Journal) -> Reader:
    journal.append(Draft(started()), Draft(connected()), accepted(1, key=True), accepted(2), writer=US)
    return Reader(journal.path)


def _export(reader: Reader, target: Path) -> Reader:
    to_database(reader, target)
    return Reader(target)


def test_an_export_holds_what_stood_only_in_the_log_beside_the_file(reader: Reader, tmp_path: Path) -> None:
    made = to_database(reader, tmp_path / "a.db")
    copy = Reader(tmp_path / "a.db")
    assert copy.rows("events", after=0) == reader.rows("events", after=0)
    assert copy.rows("payloads", after=0) == reader.rows("payloads", after=0)
    assert (made.events, made.seq, made.hash) == (4, 4, reader.records()[-1].hash)
    assert verify(copy, head=(made.seq, made.hash)).good
    copy.close()


def test_an_export_is_one_file_for_its_owner_alone_and_can_be_read_where_nothing_can_be_written(
    reader: Reader, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    copy = _export(reader, folder / "a.db")
    assert [p.name for p in folder.iterdir()] == ["a.db"]
    assert stat.S_IMODE((folder / "a.db").stat().st_mode) == 0o600
    assert copy.last_seq() == 4
    assert [p.name for p in folder.iterdir()] == ["a.db"]
    assert (folder / "a.db").read_bytes()[18:20] == b"\1\1", "not in WAL mode"
    copy.close()


@pytest.mark.parametrize("standing", ["file", "empty", "folder", "dangling link"])
def test_nothing_is_ever_overwritten(reader: Reader, tmp_path: Path, standing: str) -> None:
    target = tmp_path / "out" / "a.db"
    target.parent.mkdir()
    if standing == "folder":
        target.mkdir()
    elif standing == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.write_text("precious" if standing == "file" else "")
    for export in (to_database, to_csv):
        with pytest.raises(Refused, match="there already"):
            export(reader, target)
    assert [p.name for p in target.parent.iterdir()] == ["a.db"]
    assert standing != "file" or target.read_text() == "precious"


def test_what_came_there_while_the_copy_was_made_stays(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real = tmp_path / "a.jsonl", os.link

    def late(source: Path, to: Path) -> None:
        target.write_text("precious")
        real(source, to)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(Refused):
        to_lines(reader, target, str)
    assert target.read_text() == "precious"


def test_without_links_the_copy_is_renamed(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", none)
    assert _export(reader, tmp_path / "a.db").last_seq() == 4


def test_a_copy_that_fails_leaves_nothing_behind(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(DiskTrouble, match="cannot write"):
        to_database(reader, tmp_path / "no" / "folder.db")

    def broken(_: object) -> str:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DiskTrouble, match="No space"):
        to_lines(reader, folder / "a.jsonl", broken)
    assert list(folder.iterdir()) == []


def test_lines_and_tables_hold_every_event_once_and_no_words(reader: Reader, tmp_path: Path) -> None:
    to_lines(reader, tmp_path / "a.jsonl", lambda record: json.dumps([record.seq, record.key]))
    made = to_csv(reader, tmp_path / "a.csv")
    assert [json.loads(line)[0] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["seq"]) for row in rows] == [1, 2, 3, 4]
    assert [row["hash"] for row in rows][-1] == made.hash.hex()
    assert [json.loads(row["body"]) for row in rows] == [json.loads(r.body) for r in reader.records()]
    for name in ("a.jsonl", "a.csv"):
        assert b"hello" not in (tmp_path / name).read_bytes()


def test_an_empty_journal_is_exported_too(journal: Journal, tmp_path: Path) -> None:
    reader = Reader(journal.path)
    assert to_database(reader, tmp_path / "a.db").events == 0
    assert to_csv(reader, tmp_path / "a.csv").events == 0
    reader.close()


_WRITER = """
import sys; from pathlib import Path
from journal.store import Journal; from journal.record import Draft, Stamp; from tests.builders import *
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1), deadline_s=60)
print("ready", flush=True)
while True:
    journal.append(Draft(preflight()), writer=writer(OPERATOR)); journal.tidy()
"""


def test_every_copy_that_is_made_beside_writers_is_whole(folder: Path, tmp_path: Path) -> None:
    with Child(_WRITER, str(folder)) as one, Child(_WRITER, str(folder)) as two:
        assert (one.line(), two.line()) == ("ready", "ready")
        reader, last = Reader(folder / "journal.db"), 0
        for n in range(20):
            seen = reader.last_seq()
            made = to_database(reader, tmp_path / f"{n}.db")
            with closing(Reader(tmp_path / f"{n}.db")) as copy:
                assert verify(copy, head=(made.seq, made.hash) if made.seq else None).good
                assert copy.last_seq() == made.seq >= max(seen, last)
            last = made.seq
        reader.close()
    assert last > 20


def test_a_restored_export_is_a_journal_that_goes_on(
    reader: Reader, folder: Path, tmp_path: Path, journal: Journal, clock: Callable[[], Stamp]
) -> None:
    to_database(reader, tmp_path / "a.db")
    reader.close()
    journal.close()
    (tmp_path / "a.db").rename(folder / "journal.db")
    restored = Journal(folder, clock)
    assert restored.append(Draft(preflight()), writer=THEM)[0].seq == 5
    with closing(Reader(folder / "journal.db")) as found:  # beside the writer, which only WAL admits
        assert verify(found, head=(5, restored.head.hash)).good
    assert (folder / "journal.db").read_bytes()[18:20] == b"\2\2"
    restored.close()


def test_the_views_stand_in_exports_only_and_answer_quickly(reader: Reader, journal: Journal, tmp_path: Path) -> None:
    _export(reader, tmp_path / "a.db").close()

    def views(path: Path) -> set[str]:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")}

    assert views(tmp_path / "a.db") == set(VIEWS)
    assert views(journal.path) == {"timeline"}
    with pytest.raises(NoJournal):
        Reader(tmp_path / "b.db")


def test_exporting_an_export_gives_the_same(reader: Reader, tmp_path: Path) -> None:
    copy = _export(reader, tmp_path / "a.db")
    again = _export(copy, tmp_path / "b.db")
    assert again.rows("events", after=0) == copy.rows("events", after=0)
