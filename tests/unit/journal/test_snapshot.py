"""A snapshot saves time and changes nothing else: missing, damaged, of other code or of another record, the head is the folded one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from journal import reader, snapshot, store
from journal.bell import read_head
from journal.chain import GENESIS
from journal.export import to_database
from journal.head import Head, advance
from journal.record import Draft, Record, Stamp
from journal.store import Journal, Reader, create
from journal.verify import verify
from tests.bench.workload import BEGIN, US, drafts

EVENTS, EVERY = 54, 20


@pytest.fixture
def long(folder: Path, clock: Callable[[], Stamp], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of 54 events whose last snapshot was taken at seq 40; its last message is in the middle of its turn."""
    monkeypatch.setattr(store, "EVERY", EVERY)
    with closing(Journal(folder, clock)) as journal:
        _fill(journal)
    return folder


def _fill(journal: Journal) -> None:
    journal.append(*BEGIN, writer=US)
    for draft in drafts(EVENTS - len(BEGIN)):
        journal.append(draft, writer=US)


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seqs that a journal folds."""
    seqs: list[int] = []

    def record_of(row: tuple[object, ...]) -> Record:
        seqs.append(int(str(row[0])))
        return reader.record_of(row)

    monkeypatch.setattr(store, "record_of", record_of)
    return seqs


def _head(folder: Path) -> Head:
    with closing(Reader(folder / "journal.db")) as whole:
        head = Head(hash=GENESIS)
        for record in whole.all():
            head = advance(head, record, record.event)
    return head


def _changed(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "journal.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_who_opens_a_long_journal_folds_what_came_after_the_snapshot(
    long: Path, clock: Callable[[], Stamp], folded: list[int]
) -> None:
    with closing(Journal(long, clock)) as journal:
        assert folded == list(range(41, EVENTS + 1))
        assert journal.head == _head(long)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM snapshots",
        "UPDATE snapshots SET kind = 'tail'",
        "UPDATE snapshots SET seq = 39",
        "UPDATE snapshots SET seq = 4000",
        "UPDATE snapshots SET hash = (SELECT hash FROM events WHERE seq = 39)",
        "UPDATE snapshots SET seq = 39, hash = (SELECT hash FROM events WHERE seq = 39)",
        "UPDATE snapshots SET form = 'of another version'",
        "UPDATE snapshots SET body = CAST(replace(CAST(body AS TEXT), '\"epoch\":1', '\"epoch\":2') AS BLOB)",
        "UPDATE snapshots SET body = x'', digest = x''",
        "UPDATE snapshots SET digest = x'00'",
        "DROP TABLE snapshots",
    ],
)
def test_a_snapshot_that_is_gone_or_wrong_costs_only_time(
    long: Path, clock: Callable[[], Stamp], folded: list[int], statement: str
) -> None:
    _changed(long, statement)
    with closing(Journal(long, clock)) as journal:
        assert folded == list(range(1, EVENTS + 1))
        assert journal.head == _head(long)
        (receipt,) = journal.append(Draft(BEGIN[1].event), writer=US)
        assert receipt.seq == EVENTS + 1


def test_a_snapshot_whose_digest_fits_what_is_no_head_is_passed_over(
    long: Path, clock: Callable[[], Stamp], folded: list[int]
) -> None:
    with closing(sqlite3.connect(long / "journal.db", isolation_level=None)) as connection:
        form, chain = connection.execute("SELECT form, hash FROM snapshots").fetchone()
        for body in (b"[]", b"\xff", b'{"seq":"x"}', b'{"seq":7}'):
            digest = snapshot._digest(form, chain, body)
            connection.execute("UPDATE snapshots SET body = ?, digest = ?", (body, digest))
            with closing(Journal(long, clock)) as journal:
                assert journal.head == _head(long)
    assert folded == list(range(1, EVENTS + 1)) * 4


def test_a_whole_snapshot_of_another_record_is_passed_over(
    long: Path, clock: Callable[[], Stamp], folded: list[int], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    create(other, at_ns=1)
    clock()  # the same events, a moment later
    with closing(Journal(other, clock)) as journal:
        _fill(journal)
    statements = "DELETE FROM snapshots", "INSERT INTO snapshots SELECT * FROM other.snapshots"
    _changed(long, f"ATTACH '{other / 'journal.db'}' AS other", *statements)
    with closing(Journal(long, clock)) as journal:
        assert folded[:1] == [1]
        assert journal.head == _head(long)


def test_other_code_takes_no_snapshot_of_ours(
    long: Path, clock: Callable[[], Stamp], folded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_form", lambda: "other code")
    with closing(Journal(long, clock)) as journal:
        assert folded[0] == 1
        assert journal.head == _head(long)
    monkeypatch.setattr(snapshot, "_form", lambda: None)  # its source cannot be read
    Journal(long, clock).close()


def test_verify_and_export_are_as_without_snapshots(long: Path, tmp_path: Path) -> None:
    _changed(long, "UPDATE snapshots SET body = x'00'")
    with closing(Reader(long / "journal.db")) as whole:
        assert verify(whole, head=read_head(long / "bell")).good
        to_database(whole, tmp_path / "export.db")
    with closing(Reader(tmp_path / "export.db")) as copy:
        assert verify(copy, head=read_head(long / "bell")).good


def test_no_words_stand_in_a_snapshot(long: Path) -> None:
    with closing(sqlite3.connect(long / "journal.db")) as connection:
        (body,) = connection.execute("SELECT body FROM snapshots").fetchone()
        words = [data for (data,) in connection.execute("SELECT data FROM payloads")]
    assert words
    assert not any(each in body for each in words)
    assert b"umbrella" not in body


def test_what_was_erased_before_a_snapshot_is_tidied_by_whoever_opens_after_it(
    long: Path, clock: Callable[[], Stamp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TIDY_EVENTS", 10**9)
    with closing(Reader(long / "journal.db")), closing(Journal(long, clock)) as journal:
        assert journal._dirty
        assert journal.tidy()
        assert not journal._dirty
