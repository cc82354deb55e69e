from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from journal import events as e
from journal import schema
from journal.bell import Bell, read_head
from journal.chain import GENESIS
from journal.errors import (
    Busy,
    DiskTrouble,
    IllegalTransition,
    KeyConflict,
    NewerJournal,
    NoJournal,
    NotAJournal,
    Refused,
    StaleEpoch,
    Tampered,
    Unusable,
)  # fmt: skip
from journal.gate import Gate
from journal.head import Head, advance
from journal.record import Draft, Stamp
from journal.store import PAGE, Journal, Reader, create, read_key
from journal.verify import verify
from tests.builders import (
    BLUE,
    OPERATOR,
    WAIT_S,
    Child,
    accepted,
       connected,
    flushed,
    handed_over,
    health,
    preflight,
    requested,
    started,
    writer,
)  # fmt: skip

SERVE = (Draft(started()), Draft(connected()))
NOTE = Draft(preflight())
US, THEM = writer(BLUE), writer(OPERATOR)


def _reader(journal: Journal) -> Reader:
    return Reader(journal.path)


def _rows(journal: Journal) -> tuple[int, int]:
    with sqlite3.connect(f"{journal.path.as_uri()}?mode=ro", uri=True) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("events", "payloads")]
    connection.close()
    return counts[0], counts[1]


# ------------------------------------------------------------------------------------------------------------- the folder


def test_a_journal_is_for_its_owner_alone(folder: Path) -> None:
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (folder, *folder.iterdir())}
    files = dict.fromkeys(("journal.db", "key", "gate", "reserve"), 0o600)
    assert modes == {"handoff": 0o700, "bell": 0o700, **files}
    assert len(read_key(folder)) == 32


def test_nobody_gets_between_what_was_seen_under_the_gate_and_what_is_said_of_it(journal: Journal) -> None:
    with closing(Journal(journal.folder, journal._clock, deadline_s=0.1)) as rival:

        def seen(head: Head) -> list[Draft]:
            with pytest.raises(Busy):
                rival.append(NOTE, writer=THEM)
            return [NOTE] if head.seq == 2 else []

        rival.append(*SERVE, writer=US)
        receipts = journal.append_after(seen, writer=THEM)
        assert [receipt.seq for receipt in receipts] == [3]
        assert read_head(journal.folder / "bell") == (3, receipts[0].hash)
        assert rival.append(NOTE, writer=THEM)[0].seq == 4


def test_what_goes_wrong_under_the_gate_goes_through_and_leaves_nothing(journal: Journal) -> None:
    def wrong(_head: Head) -> list[Draft]:
        raise IllegalTransition("seen too late")

    with pytest.raises(IllegalTransition, match="seen too late"):
        journal.append_after(wrong, writer=THEM)
    with pytest.raises(IllegalTransition):
        journal.append_after(lambda _: [NOTE, Draft(e.ProcessExited())], writer=THEM)
    assert _rows(journal) == (0, 0)
    assert journal.append(NOTE, writer=THEM)[0].seq == 1


def test_creating_again_changes_nothing(folder: Path, clock: Callable[[], Stamp]) -> None:
    journal = Journal(folder, clock)
    journal.append(*SERVE, writer=US)
    journal.close()
    key = read_key(folder)
    create(folder, at_ns=2)
    journal = Journal(folder, clock)
    assert (journal.head.seq, read_key(folder)) == (2, key)
    journal.close()


def test_a_key_that_was_put_back_with_something_behind_it_is_not_written_over(folder: Path) -> None:
    key = read_key(folder)
    (folder / "key").write_bytes(key + b"\n")
    create(folder, at_ns=2)
    with pytest.raises(NoJournal, match="damaged"):
        read_key(folder)
    assert (folder / "key").read_bytes() == key + b"\n"


def test_a_creation_that_was_cut_short_is_finished(tmp_path: Path, clock: Callable[[], Stamp]) -> None:
    folder = tmp_path / "handoff"
    folder.mkdir()
    (folder / "journal.db").touch()
    with pytest.raises(NotAJournal):
        Journal(folder, clock)
    create(folder, at_ns=1)
    Journal(folder, clock).close()


def test_what_is_missing_is_never_created_on_the_way(tmp_path: Path, clock: Callable[[], Stamp]) -> None:
    for attempt in (
        lambda: Journal(tmp_path, clock),
        lambda: Reader(tmp_path / "journal.db"),
        lambda: read_key(tmp_path),
    ):
        with pytest.raises(NoJournal):
            attempt()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough" * 200])
def test_a_file_that_is_no_journal_is_refused(folder: Path, clock: Callable[[], Stamp], content: bytes) -> None:
    (folder / "journal.db").write_bytes(content)
    with pytest.raises(NotAJournal):
        Journal(folder, clock)
    with pytest.raises(NotAJournal):
        Reader(folder / "journal.db")


def _raw(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "journal.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_another_programs_database_is_refused(folder: Path, clock: Callable[[], Stamp]) -> None:
    _raw(folder, "PRAGMA application_id = 1")
    with pytest.raises(NotAJournal):
        Journal(folder, clock)


def test_a_journal_of_a_later_schema_is_refused(folder: Path, clock: Callable[[], Stamp]) -> None:
    _raw(folder, f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(NewerJournal):
        Journal(folder, clock)
    with pytest.raises(NewerJournal):
        Reader(folder / "journal.db")


def _insert(folder: Path, type_: str, version: int, body: str) -> None:
    values = f"1, NULL, '{type_}', {version}, 'blue', 1, 1, 'b', 0, 0, 0, NULL, NULL, '{body}', x'00', x'01'"
    _raw(folder, f"INSERT INTO events VALUES ({values})")


def test_a_journal_that_cannot_be_opened_leaves_no_descriptor_behind(folder: Path, clock: Callable[[], Stamp]) -> None:
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(NewerJournal):
            Journal(folder, clock)
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


def test_a_long_record_is_folded_without_the_gate(
    folder: Path, clock: Callable[[], Stamp], monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = []
    catch_up = Journal._catch_up

    def beside_another(journal: Journal) -> Head:
        with closing(Gate(folder / "gate", deadline_s=0.0)) as gate, gate.held():
            folds.append(journal)
        return catch_up(journal)

    monkeypatch.setattr(Journal, "_catch_up", beside_another)
    journal = Journal(folder, clock)
    assert folds == [journal]
    journal.close()


def test_an_event_of_a_later_version_stops_reader_and_writer(folder: Path, clock: Callable[[], Stamp]) -> None:
    _insert(folder, "HANDOFF_ACK", 2, "{}")
    with pytest.raises(NewerJournal, match="seq 1"):
        Journal(folder, clock)
    with pytest.raises(NewerJournal, match="seq 1"):
        Reader(folder / "journal.db").records()


def test_a_body_that_does_not_fit_is_tampering(folder: Path, clock: Callable[[], Stamp]) -> None:
    _insert(folder, "HANDOFF_ACK", 1, "{}")
    with pytest.raises(Tampered) as caught:
        Journal(folder, clock)
    assert caught.value.seq == 1


# ------------------------------------------------------------------------------------------------------------- appending


def test_what_was_appended_is_read_back(journal: Journal) -> None:
    receipts = journal.append(*SERVE, accepted(key=True), writer=US)
    records = _reader(journal).records()
    assert [(r.seq, r.hash, r.type) for r in records] == [
        (x.seq, x.hash, t)
        for x, t in zip(receipts, ("PROCESS_STARTED", "ADAPTER_CONNECTED", "MESSAGE_ACCEPTED"), strict=True)
    ]
    first = records[0]
    assert (first.event, first.process, first.role, first.epoch, first.prev) == (started(), BLUE, "blue", 1, GENESIS)
    assert records[1].prev == first.hash
    assert _reader(journal).payload(3) == accepted().payload


def test_an_event_belongs_to_the_handoff_that_it_is_said_in(journal: Journal) -> None:
    journal.append(*SERVE, Draft(requested("h7")), Draft(flushed()), writer=US)
    assert [r.handoff for r in _reader(journal).records()] == [None, None, "h7", "h7"]


def test_several_events_are_appended_all_or_none(journal: Journal) -> None:
    journal.append(*SERVE, writer=US)
    before, rows = journal.head, _rows(journal)
    with pytest.raises(IllegalTransition):
        journal.append(NOTE, accepted(), Draft(e.HandoffActive(turns=0)), writer=US)
    assert (journal.head, _rows(journal)) == (before, rows)
    assert journal.append(NOTE, writer=US)[0].seq == before.seq + 1


def test_an_append_is_checked_against_what_others_have_appended(folder: Path, clock: Callable[[], Stamp]) -> None:
    one, two = Journal(folder, clock), Journal(folder, clock)
    one.append(*SERVE, writer=US)
    assert two.head.seq == 0
    two.append(accepted(), writer=US)
    with pytest.raises(IllegalTransition):
        one.append(Draft(started()), writer=THEM)
    one.append(NOTE, writer=THEM)
    assert [r.seq for r in _reader(one).records()] == [1, 2, 3, 4]
    assert one.head == two.catch_up()
    one.close()
    two.close()


def test_a_refusal_on_an_old_head_is_looked_at_again(folder: Path, clock: Callable[[], Stamp]) -> None:
    one, two = Journal(folder, clock), Journal(folder, clock)
    one.append(*SERVE, writer=US)
    two.append(Draft(health()), writer=US)  # refused on two's empty head, admitted on the real one
    one.close()
    two.close()


def test_the_head_kept_in_memory_is_the_fold_of_what_stands(journal: Journal) -> None:
    journal.append(*SERVE, accepted(), Draft(requested()), writer=US)
    with pytest.raises(StaleEpoch):
        journal.append(accepted(2), writer=THEM)
    head = Head(hash=GENESIS)
    for record in _reader(journal).records():
        head = advance(head, record, record.event)
    assert journal.head == head


@pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000])
def test_a_body_of_more_than_64_kib_is_refused(journal: Journal, size: int) -> None:
    finding = e.PreflightFinding(code="é" * 100, severity="ok", text="é" * 200)
    event = e.PreflightChecked(findings=(finding,) * (size // 600))
    with pytest.raises(Refused, match="bytes"):
        journal.append(Draft(event), writer=THEM)
    assert journal.head.seq == 0


def test_pages_join_without_gap_or_overlap(journal: Journal) -> None:
    journal.append(*[NOTE] * (2 * PAGE + 1), writer=THEM)
    assert [r.seq for r in _reader(journal).all()] == list(range(1, 2 * PAGE + 2))
    assert [r.seq for r in _reader(journal).records(after=7, limit=2)] == [8, 9]
    assert _reader(journal).last_seq() == 2 * PAGE + 1


# ------------------------------------------------------------------------------------------------------------------- keys


def test_the_same_key_with_the_same_body_returns_the_first_receipt(journal: Journal) -> None:
    draft = Draft(preflight(), key="k")
    first, second = journal.append(draft, writer=THEM) + journal.append(draft, writer=US)
    assert (second.seq, second.hash, first.known, second.known) == (first.seq, first.hash, False, True)
    assert _rows(journal) == (1, 0)


def test_a_message_that_is_delivered_again_is_the_same_though_its_salt_differs(journal: Journal) -> None:
    journal.append(*SERVE, writer=US)
    (first,) = journal.append(accepted(key=True), writer=US)
    again, other = journal.append(accepted(key=True, salt=bytes(16)), accepted(2, key=True), writer=US)
    assert (again.seq, again.known, other.known) == (first.seq, True, False)
    assert _rows(journal) == (4, 2)
    assert _reader(journal).payload(first.seq) == accepted().payload


def test_the_same_key_twice_in_one_append_stands_once(journal: Journal) -> None:
    draft = Draft(preflight(), key="k")
    first, second = journal.append(draft, draft, writer=THEM)
    assert (first.seq, second.seq, second.known) == (1, 1, True)


@pytest.mark.parametrize("other", [health(), e.PreflightChecked(findings=())])
def test_the_same_key_with_another_body_is_a_conflict(journal: Journal, other: e.Event) -> None:
    journal.append(*SERVE, Draft(preflight(), key="k"), writer=US)
    with pytest.raises(KeyConflict, match="seq 3"):
        journal.append(NOTE, Draft(other, key="k"), writer=US)
    assert journal.head.seq == 3


def test_a_key_is_found_though_another_process_wrote_it(folder: Path, clock: Callable[[], Stamp]) -> None:
    one, two = Journal(folder, clock), Journal(folder, clock)
    draft = Draft(preflight(), key="k")
    one.append(draft, writer=THEM)
    assert two.append(draft, writer=THEM)[0].known
    one.close()
    two.close()


# ------------------------------------------------------------------------------------------------------- nothing is changed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = '{}' WHERE seq = 1",
        "UPDATE events SET seq = 9 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 1",
        "REPLACE INTO events SELECT 3, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body,"
        " prev, hash FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 9, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, NULL, cause, body,"
        " prev, hash FROM events WHERE seq = 2",
        "INSERT OR IGNORE INTO events SELECT * FROM events WHERE seq = 1",
    ],
)
def test_no_statement_changes_removes_or_replaces_an_event(journal: Journal, statement: str) -> None:
    journal.append(Draft(preflight()), Draft(preflight(), key="k"), writer=THEM)
    connection = sqlite3.connect(journal.path)
    before = connection.execute("SELECT * FROM events").fetchall()
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.rollback()
    assert connection.execute("SELECT * FROM events").fetchall() == before
    connection.close()


# ------------------------------------------------------------------------------------------------------- words are erased


def test_words_go_with_the_event_that_ends_their_use(journal: Journal) -> None:
    journal.append(*SERVE, accepted(1), accepted(2), handed_over(), writer=US)
    reader = _reader(journal)
    journal.append(Draft(e.MessageSettled(message=3, outcome="refused")), writer=US)
    assert reader.payload(3) is None
    assert reader.payload(4) is not None
    journal.append(Draft(e.WatcherAdopted(handed_over=5)), writer=US)
    assert reader.payload(5) is None
    assert verify(reader, head=(journal.head.seq, journal.head.hash)).good
    reader.close()


_ERASER = """
import sys; from pathlib import Path
from journal.store import Journal, Stamp; from journal.record import Draft; from journal import events as e
from journal import schema
from tests.builders import *
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1)); us = writer(BLUE)
journal.append(Draft(started()), Draft(connected()), accepted(words=b"xyzzy-the-secret" * 400), writer=us)
print("accepted", flush=True); input()
journal.append(Draft(e.MessageSettled(message=3, outcome="refused")), writer=us)
if sys.argv[2] == "other": print("settled", flush=True); input(); import os; os._exit(0)
print("tidy" if journal.tidy() else "busy", flush=True); input()
"""


def _files_with(folder: Path, words: bytes) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file() and words in p.read_bytes())


def test_erased_words_are_gone_from_every_file_once_it_was_tidied(folder: Path) -> None:
    with Child(_ERASER, str(folder), "self") as eraser:
        assert eraser.line() == "accepted"
        assert _files_with(folder, b"xyzzy") == ["journal.db-wal"]
        eraser.go()
        assert eraser.line() == "tidy"
        assert _files_with(folder, b"xyzzy") == []


_TIDIER = """
import sys; from pathlib import Path
from journal.store import Journal; from journal.record import Stamp
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1))
print("tidy" if journal.tidy() else "busy", flush=True); input()
"""


def test_a_successor_tidies_what_a_dead_process_has_erased(folder: Path) -> None:
    with Child(_ERASER, str(folder), "other") as eraser:
        eraser.go()
        eraser.go()
        eraser.wait()
    assert "journal.db-wal" in _files_with(folder, b"xyzzy")
    with Child(_TIDIER, str(folder)) as successor:
        assert successor.line() == "tidy"
        assert _files_with(folder, b"xyzzy") == []


def test_tidying_waits_for_nobody_and_says_so(journal: Journal) -> None:
    journal.append(*SERVE, accepted(), Draft(e.MessageSettled(message=3, outcome="refused")), writer=US)
    busy = sqlite3.connect(f"{journal.path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    busy.execute("BEGIN")
    busy.execute("SELECT count(*) FROM events").fetchone()
    assert not journal.tidy()
    busy.execute("COMMIT")
    busy.close()
    assert journal.tidy()
    assert (journal.folder / "journal.db-wal").stat().st_size == 0


# ------------------------------------------------------------------------------------------------------ several processes

_WRITER = """
import sys; from pathlib import Path
from journal.store import Journal; from journal.record import Draft, Stamp; from tests.builders import *
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1), deadline_s=60); me = writer(process(int(sys.argv[2])))
print("ready", flush=True); input()
for n in range(int(sys.argv[3])):
    (receipt,) = journal.append(Draft(preflight(), key=f"{sys.argv[2]}:{n}"), writer=me)
    if sys.argv[4] == "tell": print(receipt.seq, flush=True)
"""


def test_four_processes_append_without_gap_loss_or_double(folder: Path) -> None:
    writers = [Child(_WRITER, str(folder), str(n), "500", "quiet") for n in range(1, 5)]
    for one in writers:
        assert one.line() == "ready"
    for one in writers:
        one.go()
    for one in writers:
        with one:
            assert one.wait(6 * WAIT_S) == 0
    reader = Reader(folder / "journal.db")
    records = list(reader.all())
    assert [r.seq for r in records] == list(range(1, 2001))
    assert {r.key for r in records} == {f"{p}:{n}" for p in range(1, 5) for n in range(500)}
    assert read_head(folder / "bell") == (2000, records[-1].hash)
    assert verify(reader, head=read_head(folder / "bell")).good
    reader.close()


def test_what_was_acknowledged_survives_a_writer_that_is_killed(folder: Path, clock: Callable[[], Stamp]) -> None:
    with Child(_WRITER, str(folder), "1", "1000000", "tell") as one:
        one.go()
        assert one.line() == "ready"
        told = [int(one.line()) for _ in range(60)]
        told += [int(line) for line in one.kill()]
    journal = Journal(folder, clock)
    seqs = [r.seq for r in _reader(journal).all()]
    assert seqs[: len(told)] == told
    assert len(seqs) <= len(told) + 1
    journal.append(NOTE, writer=THEM)
    assert verify(_reader(journal), head=read_head(folder / "bell")).good
    journal.close()


_FORGETFUL = """
import sys; from pathlib import Path
from journal import store; from journal.gate import Gate; from journal.record import Draft, Stamp; from tests.builders import *
journal = store.Journal(Path(sys.argv[1]), lambda: Stamp(1, 1))
journal.append(Draft(preflight()), writer=writer(OPERATOR))
real = Gate.held
def spy(self, *a): print("gate", (Path(sys.argv[1]) / "journal.db-wal").exists(), flush=True); return real(self, *a)
Gate.held = spy
"""


def test_a_process_that_forgets_to_close_does_so_under_the_gate(folder: Path) -> None:
    with Child(_FORGETFUL, str(folder)) as forgetful:
        assert forgetful.line() == "gate True"
        forgetful.wait()
    assert not (folder / "journal.db-wal").exists()


# ------------------------------------------------------------------------------------------------------ under our feet


def test_a_journal_that_was_removed_is_not_started_afresh(journal: Journal) -> None:
    journal.path.rename(journal.folder / "elsewhere")
    with pytest.raises(NoJournal):
        journal.append(NOTE, writer=THEM)
    assert not journal.path.exists()
    (journal.folder / "elsewhere").rename(journal.path)
    assert journal.append(NOTE, writer=THEM)[0].seq == 1, "nothing was written while it was away"


def test_a_journal_that_was_replaced_is_not_written(journal: Journal, tmp_path: Path) -> None:
    create(tmp_path / "other", at_ns=1)
    shutil.copy(tmp_path / "other" / "journal.db", journal.folder / "new")
    (journal.folder / "new").rename(journal.path)
    with pytest.raises(NoJournal):
        journal.append(NOTE, writer=THEM)


def test_a_journal_that_is_removed_during_an_append_is_noticed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Journal._insert

    def write(self: Journal, *args: object) -> object:
        journal.path.rename(journal.folder / "elsewhere")
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "_insert", write)
    with pytest.raises(NoJournal):
        journal.append(NOTE, writer=THEM)


def test_a_journal_that_lost_its_tail_takes_nothing_more(journal: Journal) -> None:
    journal.append(NOTE, NOTE, NOTE, writer=THEM)
    with sqlite3.connect(journal.path) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
        connection.execute("DELETE FROM events WHERE seq = 3")
    connection.close()
    with pytest.raises(Unusable):
        journal.append(NOTE, writer=THEM)


def test_a_lock_that_is_never_given_back_is_disk_trouble(journal: Journal) -> None:
    journal._connection.execute("PRAGMA busy_timeout = 10")
    rude = sqlite3.connect(journal.path, isolation_level=None)
    rude.execute("BEGIN IMMEDIATE")
    with pytest.raises(DiskTrouble, match="locked"):
        journal.append(NOTE, writer=THEM)
    rude.execute("ROLLBACK")
    rude.close()
    assert journal.append(NOTE, writer=THEM)[0].seq == 1


def test_a_full_disk_is_disk_trouble_and_leaves_nothing_behind(journal: Journal) -> None:
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskTrouble, match="full"):
        journal.append(*[NOTE] * 500, writer=THEM)
    journal._connection.execute("PRAGMA max_page_count = 100000")
    assert _rows(journal) == (0, 0)
    assert journal.append(NOTE, writer=THEM)[0].seq == 1


def test_the_bells_head_never_goes_back(folder: Path, clock: Callable[[], Stamp]) -> None:
    one, two = Journal(folder, clock), Journal(folder, clock)
    draft = Draft(preflight(), key="k")
    one.append(draft, writer=THEM)
    two.append(NOTE, NOTE, writer=THEM)
    one.append(draft, writer=THEM)  # known: one's own head is an old one
    assert read_head(folder / "bell") == (3, two.head.hash)
    one.close()
    two.close()


def test_the_bell_rings_once_the_gate_is_free(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken, or freezes this process at that sign, must not meet a gate that is held."""
    held: list[bool] = []
    monkeypatch.setattr(Bell, "ring", lambda *_: held.append(journal.gate._mutex.locked()))
    journal.append(NOTE, writer=THEM)
    assert held == [False]


def test_a_new_journal_does_not_inherit_the_head_of_an_old_one(journal: Journal, clock: Callable[[], Stamp]) -> None:
    journal.append(NOTE, NOTE, writer=THEM)
    journal.path.rename(journal.folder / "old")
    create(journal.folder, at_ns=1)
    assert read_head(journal.folder / "bell") is None


def test_a_key_that_is_cut_short_is_refused_and_a_creation_that_was_is_finished(folder: Path, tmp_path: Path) -> None:
    (folder / "key").write_bytes(b"short")
    with pytest.raises(NoJournal, match="damaged"):
        read_key(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "key").touch()
    create(tmp_path / "other", at_ns=1)
    assert len(read_key(tmp_path / "other")) == 32


def test_a_key_file_that_was_lost_is_said(folder: Path) -> None:
    (folder / "key").unlink()
    with pytest.raises(NoJournal, match="key"):
        read_key(folder)
