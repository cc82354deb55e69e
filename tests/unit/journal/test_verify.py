from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from journal import events as e
from journal.bell import read_head
from journal.chain import link
from journal.errors import Unusable
from journal.events import Process
from journal.parts import Split, cuts
from journal.record import Draft, Stamp
from journal.store import PAGE, Journal, Reader
from journal.verify import Verdict, verify
from journal.walk import Found, Head, Part, Walk
from tests.builders import BLUE, OPERATOR, accepted, connected, handed_over, preflight, requested, started, writer

US = writer(BLUE)
OPEN, SETTLED, WATCHER, LAST = 3, 4, 5, 10
Rows = list[tuple[Any, ...]]
Work = Callable[[Journal, str, Callable[[], Rows]], Rows]
COLUMNS = (
    "seq", "handoff", "type", "v", "role", "pid", "started", "boot", "epoch", "at_ns", "mono_ns", "key", "cause", "body", "prev",
    "hash",
)  # fmt: skip


@pytest.fixture
def record(folder: Path, clock: Callable[[], Stamp]) -> Path:
    """A folder with a closed journal of ten events: one message open, one settled, one watcher handed over."""
    journal = Journal(folder, clock)
    journal.append(Draft(started()), Draft(connected()), accepted(1, key=True), accepted(2), handed_over(), writer=US)
    journal.append(Draft(requested()), writer=writer(OPERATOR))
    journal.append(Draft(e.MessageSettled(message=SETTLED, outcome="refused"), cause=SETTLED), writer=US)
    journal.append(*[Draft(preflight())] * 3, writer=US)
    journal.close()
    return folder


def _tamper(folder: Path, *statements: str) -> None:
    """As somebody would who knows SQL and may write the file."""
    connection = sqlite3.connect(folder / "journal.db", isolation_level=None)
    for trigger in ("events_no_update", "events_no_delete", "events_in_order"):
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


class _Here:
    """A part that is walked in this process, when its result is wanted."""

    def __init__(self, reader: Reader, after: int, hash_: bytes, until: int, head: Head | None) -> None:
        self.after = after
        self._reader, self._head, self._stretch = reader, head, (after, hash_, until)

    def result(self) -> Part | None:
        try:
            return Walk(self._head).part(self._reader, *self._stretch)
        except (Found, Unusable):
            return None


def _divided(most: int) -> Split:
    @contextmanager
    def split(reader: Reader, head: Head | None) -> Iterator[list[_Here]]:
        yield [_Here(reader, *stretch, head) for stretch in cuts(reader, most, 1)]

    return split


def _verify(folder: Path, head: Head | None = None) -> Verdict:
    """The verdict, which must be the same however the record is divided."""
    with closing(Reader(folder / "journal.db")) as reader:
        verdict = verify(reader, head=head)
        for most in (2, 3, 5, 10):
            found = verify(reader, head=head, split=_divided(most))
            unreadable = all(
                "cannot be read" in each.finding for each in (found, verdict)
            )  # how far is a matter of pages
            assert found == verdict or unreadable, f"divided into {most}"
    return verdict


def _hash(folder: Path, seq: int) -> bytes:
    reader = Reader(folder / "journal.db")
    (row,) = reader.rows("events", after=seq - 1, limit=1)
    reader.close()
    return bytes(row[-1])


def test_a_record_that_nobody_touched_holds(record: Path) -> None:
    verdict = _verify(record, read_head(record / "bell"))
    assert verdict == Verdict(10, 1, LAST, _hash(record, LAST).hex(), None, "the chain holds")
    assert verdict.good
    assert _verify(record).good


def test_an_empty_journal_holds(folder: Path) -> None:
    verdict = _verify(folder)
    assert (verdict.good, verdict.events, verdict.first, verdict.last) == (True, 0, None, None)


@pytest.mark.parametrize("seq", [1, 6, LAST])
@pytest.mark.parametrize("column", COLUMNS[1:])
def test_any_changed_column_is_found_and_located(record: Path, column: str, seq: int) -> None:
    other = {
        "handoff": "'other'", "type": "'HANDOFF_ACTIVE'", "role": "'keeper'", "boot": "'x'", "key": "'x'", "cause": "1",
        "body": "body || ' '", "prev": "zeroblob(32)", "hash": "zeroblob(32)",
    }  # fmt: skip
    _tamper(record, f"UPDATE events SET {column} = {other.get(column, f'{column} + 1')} WHERE seq = {seq}")
    verdict = _verify(record)
    assert verdict.bad == seq
    assert f"seq {seq}" in verdict.finding
    assert "\n" not in verdict.finding


@pytest.mark.parametrize("column", ["handoff", "key"])
def test_an_empty_text_in_the_place_of_nothing_is_found(record: Path, column: str) -> None:
    _tamper(record, f"UPDATE events SET {column} = '' WHERE seq = 2")
    assert _verify(record).bad == 2


@pytest.mark.parametrize("seq", [2, 6, 9])
def test_a_removed_row_is_found(record: Path, seq: int) -> None:
    _tamper(record, f"DELETE FROM events WHERE seq = {seq}")
    verdict = _verify(record)
    assert (verdict.bad, verdict.finding) == (seq, f"seq {seq} is missing: seq {seq + 1} follows seq {seq - 1}")


@pytest.mark.parametrize("seq", [2, 6, 9])
def test_a_removed_row_over_which_the_seqs_were_closed_is_found(record: Path, seq: int) -> None:
    _tamper(
        record,
        f"DELETE FROM events WHERE seq = {seq}",
        f"UPDATE events SET seq = -seq WHERE seq > {seq}",
        "UPDATE events SET seq = -seq - 1 WHERE seq < 0",
    )
    assert _verify(record).bad == seq


@pytest.mark.parametrize("seq", [-7, 0, 5, LAST + 1])
def test_an_inserted_row_is_found(record: Path, seq: int) -> None:
    _tamper(
        record,
        f"UPDATE events SET seq = -1000 - seq WHERE seq >= {max(seq, 1)}" if seq > 0 else "SELECT 1",
        f"INSERT INTO events ({', '.join(COLUMNS)}) SELECT {seq}, {', '.join(COLUMNS[1:11])}, NULL, cause, body, prev, hash"
        " FROM events WHERE seq = 2",
        "UPDATE events SET seq = -999 - seq WHERE seq < -1000",
    )
    assert _verify(record).bad == seq


def test_two_rows_that_changed_places_are_found(record: Path) -> None:
    _tamper(
        record,
        "UPDATE events SET seq = -8 WHERE seq = 8",
        "UPDATE events SET seq = 8 WHERE seq = 9",
        "UPDATE events SET seq = 9 WHERE seq = -8",
    )
    assert _verify(record).bad == 8


@pytest.mark.parametrize("body", ["'rubbish'", "'{}'", "CAST(x'ff00fe' AS TEXT)", "''"])
def test_a_body_that_no_longer_parses_is_found_and_not_raised(record: Path, body: str) -> None:
    _tamper(record, f"UPDATE events SET body = {body} WHERE seq = 3")
    assert _verify(record).bad == 3


@pytest.mark.parametrize("type_", ["'FUTURE'", "CAST(x'ff' AS TEXT)"])
def test_a_type_that_nobody_knows_is_found_and_not_raised(record: Path, type_: str) -> None:
    _tamper(record, f"UPDATE events SET type = {type_} WHERE seq = 3")
    assert _verify(record).bad == 3


# ------------------------------------------------------------------------------------------ what a chain alone cannot see


def _rechain(folder: Path, first: int, last: int = LAST) -> None:
    """As somebody would who knows how the chain is made: new hashes from ``first`` to ``last``."""
    reader = Reader(folder / "journal.db")
    prev, updates = _hash(folder, first - 1), []
    for row in reader.rows("events", after=first - 1, limit=last - first + 1):
        process = Process.model_construct(pid=row[5], started=row[6], boot=row[7])
        columns: list[Any] = [prev, *row[:5], process, *row[8:14]]
        updates.append((prev, digest := link(*columns), row[0]))
        prev = digest
    reader.close()
    connection = sqlite3.connect(folder / "journal.db")
    with connection:
        connection.executemany("UPDATE events SET prev = ?, hash = ? WHERE seq = ?", updates)
    connection.close()


def test_a_record_that_was_rewritten_with_its_chain_is_found_by_a_head_kept_elsewhere(record: Path) -> None:
    head = read_head(record / "bell")
    early = (7, _hash(record, 7))
    _tamper(record, "UPDATE events SET at_ns = at_ns + 1 WHERE seq = 6")
    _rechain(record, 6)
    assert _verify(record).good
    assert _verify(record, head).bad == LAST
    assert _verify(record, early).bad == 7
    assert _verify(record, (5, _hash(record, 5))).good


def test_a_row_that_was_rewritten_with_its_hash_is_found_by_the_row_after_it(record: Path) -> None:
    _tamper(record, "UPDATE events SET at_ns = at_ns + 1 WHERE seq = 6")
    _rechain(record, 6, 6)
    assert _verify(record).bad == 7


def test_what_nobody_could_have_appended_is_found_though_the_chain_holds(record: Path) -> None:
    for column, value in (("type", "'FUTURE'"), ("body", "'{}'")):
        _tamper(record, f"UPDATE events SET {column} = {value} WHERE seq = {SETTLED}")
        _rechain(record, SETTLED)
        assert _verify(record).bad == SETTLED


@pytest.mark.parametrize("kept", [0, 1, 7, 9])
def test_a_removed_tail_is_found_against_the_bells_head(record: Path, kept: int) -> None:
    _tamper(record, f"DELETE FROM events WHERE seq > {kept}")
    verdict = _verify(record, read_head(record / "bell"))
    assert verdict.bad == kept + 1
    assert "tail was removed" in verdict.finding


def test_a_journal_may_have_gone_on_since_the_head_was_kept(record: Path) -> None:
    assert _verify(record, (8, _hash(record, 8))).good
    assert _verify(record, (8, bytes(32))).bad == 8


# ------------------------------------------------------------------------------------------------- a prefix was cut off


def test_a_journal_that_begins_later_is_followed_from_its_first_row_and_says_so(record: Path) -> None:
    head = (5, _hash(record, 5))
    _tamper(record, "DELETE FROM events WHERE seq <= 5", "DELETE FROM payloads")
    verdict = _verify(record)
    assert (verdict.good, verdict.events, verdict.first, verdict.last) == (True, 5, 6, LAST)
    assert "from seq 6 on" in verdict.finding
    assert _verify(record, head).good, "the last head of what was cut off"
    assert _verify(record, (5, bytes(32))).bad == 6
    assert _verify(record, (4, bytes(32))).bad == 4, "a head that does not stand here is not believed"


def test_words_of_messages_before_the_cut_are_left_alone(record: Path) -> None:
    _tamper(record, "DELETE FROM events WHERE seq <= 5")
    assert _verify(record).good


# ----------------------------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        (f"UPDATE payloads SET data = x'00' WHERE seq = {OPEN}", OPEN),
        (f"UPDATE payloads SET salt = x'00' WHERE seq = {WATCHER}", WATCHER),
        (f"DELETE FROM payloads WHERE seq = {OPEN}", OPEN),
        (f"DELETE FROM payloads WHERE seq = {WATCHER}", WATCHER),
        (f"INSERT INTO payloads VALUES ({SETTLED}, x'00', x'00')", SETTLED),
        ("INSERT INTO payloads VALUES (1, x'00', x'00')", 1),
        ("INSERT INTO payloads VALUES (99, x'00', x'00')", 99),
        ("INSERT INTO payloads VALUES (-1, x'00', x'00')", -1),
    ],
)
def test_words_that_were_changed_removed_or_added_are_found(record: Path, statement: str, bad: int) -> None:
    _tamper(record, statement)
    assert _verify(record).bad == bad


def test_erased_words_are_no_finding(record: Path, clock: Callable[[], Stamp]) -> None:
    journal = Journal(record, clock)
    journal.append(Draft(e.MessageSettled(message=OPEN, outcome="no_reply")), writer=US)
    journal.append(Draft(e.WatcherAdopted(handed_over=WATCHER)), writer=US)
    journal.close()
    assert _verify(record, read_head(record / "bell")).good


class Beside(Reader):
    """A reader in whose presence somebody writes: ``work`` gets each table's name and a way to read its rows, and returns them."""

    def __init__(self, folder: Path, clock: Callable[[], Stamp], work: Work) -> None:
        super().__init__(folder / "journal.db")
        self.journal = Journal(folder, clock)
        self._work = work

    def rows(self, table, *, after, limit=PAGE):  # type: ignore[no-untyped-def]
        return self._work(self.journal, table, lambda: super(Beside, self).rows(table, after=after, limit=limit))


def _verify_beside(folder: Path, clock: Callable[[], Stamp], work: Work) -> Verdict:
    with closing(Beside(folder, clock, work)) as reader, closing(reader.journal):
        return verify(reader, head=read_head(folder / "bell"))


def test_verifying_beside_a_writer_does_not_mistake_its_work_for_tampering(
    record: Path, clock: Callable[[], Stamp]
) -> None:
    ends = iter((OPEN, None, None))

    def work(journal: Journal, _table: str, read: Callable[[], Rows]) -> Rows:
        """Whenever a table was read to its end, the writer settles, accepts and goes on."""
        found = read()
        if not found:
            message = next(ends, None)
            settled = [Draft(e.MessageSettled(message=message, outcome="no_reply"))] if message else []
            journal.append(*settled, accepted(77 if message else 78), writer=US)
        return found

    verdict = _verify_beside(record, clock, work)
    assert verdict.good, verdict.finding


def test_a_message_that_comes_and_goes_while_the_words_are_read_is_no_finding(
    record: Path, clock: Callable[[], Stamp]
) -> None:
    came: list[int] = []

    def work(journal: Journal, table: str, read: Callable[[], Rows]) -> Rows:
        """Between the walk and the words a message is accepted, and settled before the walk goes on."""
        if table == "events" or came:
            return read()
        came.append(journal.append(accepted(78), writer=US)[0].seq)
        found = read()
        journal.append(Draft(e.MessageSettled(message=came[0], outcome="no_reply")), writer=US)
        return found

    verdict = _verify_beside(record, clock, work)
    assert verdict.good, verdict.finding
    assert came


# ----------------------------------------------------------------------------------------------------------- the file


@pytest.fixture
def long(folder: Path, clock: Callable[[], Stamp]) -> Path:
    """A closed journal of several pages."""
    journal = Journal(folder, clock)
    journal.append(*[Draft(preflight())] * (2 * PAGE + 7), writer=US)
    journal.close()
    return folder


def test_a_long_record_is_verified_page_by_page(long: Path) -> None:
    assert _verify(long, read_head(long / "bell")).events == 2 * PAGE + 7
    _tamper(long, f"UPDATE events SET mono_ns = 0 WHERE seq = {PAGE + 1}")
    verdict = _verify(long)
    assert (verdict.bad, verdict.events, verdict.last) == (PAGE + 1, PAGE, PAGE)


def test_a_file_with_destroyed_pages_is_a_verdict_and_not_an_error(long: Path) -> None:
    path = long / "journal.db"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    verdict = _verify(long)
    assert verdict.bad is not None
    assert "\n" not in verdict.finding


@pytest.mark.parametrize("table", ["events", "payloads"])
def test_a_table_that_was_dropped_is_a_verdict_and_not_an_error(record: Path, table: str) -> None:
    _tamper(record, "DROP VIEW timeline", f"DROP TABLE {table}")
    assert not _verify(record).good


def test_a_column_of_another_kind_is_found(record: Path) -> None:
    _tamper(
        record,
        "CREATE TABLE loose AS SELECT * FROM events",
        "DROP VIEW timeline",
        "DROP TABLE events",
        "ALTER TABLE loose RENAME TO events",
        "UPDATE events SET epoch = CAST(epoch AS BLOB) WHERE seq = 6",
    )
    assert _verify(record).bad == 6
