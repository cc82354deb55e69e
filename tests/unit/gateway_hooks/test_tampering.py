"""Whatever somebody does to the record behind the triggers' back, ``verify`` ends with 5 and names the first bad seq."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.cli import main
from journal.export import COLUMNS
from journal.store import Reader
from tests.golden.make import finished

Verify = Callable[..., tuple[int, int | None]]
LAST = 48
OTHER = {
    "handoff": "'other'", "type": "'ADAPTER_LOST'", "role": "'keeper'", "boot": "'x'", "key": "'x'", "cause": "1",
    "body": "body || ' '", "prev": "zeroblob(32)", "hash": "zeroblob(32)",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A home's journal with its bell, closed."""
    handoff = tmp_path / "handoff"
    (handoff / "bell").mkdir(parents=True)
    history = finished()
    history.export(handoff / "journal.db")
    (handoff / "bell" / "head").write_text(f"{history.seq} {history.head.hash.hex()}\n")
    return handoff / "journal.db"


@pytest.fixture
def verify(path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the command on that home: its exit code, and the first bad seq that it names, in words and in JSON."""

    def verifying(*more: str, of: Path = path) -> tuple[int, int | None]:
        where = ["--home", str(of.parent.parent)] if of == path else ["--journal", str(of)]
        code = main(["verify", *where, *more])
        out, err = capsys.readouterr()
        assert main(["verify", *where, *more, "--json"]) == code
        told = json.loads(capsys.readouterr().out)
        assert told["good"] == (code == 0)
        if code:
            assert out == ""
            assert err.startswith(f"handoff-journal: first bad seq {told['bad']}: ")
            assert err.count("\n") == 1
        return code, told["bad"]

    return verifying


def tamper(path: Path, *statements: str) -> None:
    """As somebody would who knows SQL and may write the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("events_no_update", "events_no_delete", "events_in_order"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


def kept(path: Path, seq: int) -> str:
    """SEQ:HASH, as somebody has noted it."""
    with closing(Reader(path)) as reader:
        (record,) = reader.records(after=seq - 1, limit=1)
    return f"{record.seq}:{record.hash.hex()}"


def test_what_nobody_touched_is_good_as_is_its_export(verify: Verify, path: Path, tmp_path: Path) -> None:
    assert verify() == (0, None)
    head = kept(path, LAST)
    assert main(["export", str(tmp_path / "copy.db"), "--home", str(tmp_path)]) == 0
    assert verify(of=tmp_path / "copy.db") == (0, None)
    assert verify("--head", head, of=tmp_path / "copy.db") == (0, None)


@pytest.mark.parametrize("seq", [1, 23, LAST])
@pytest.mark.parametrize("column", [c for c in COLUMNS if c != "seq"])
def test_a_changed_column_is_named_by_its_seq(verify: Verify, path: Path, column: str, seq: int) -> None:
    tamper(path, f"UPDATE events SET {column} = {OTHER.get(column, f'{column} + 1')} WHERE seq = {seq}")
    assert verify() == (5, seq)


def test_a_changed_seq_is_named(verify: Verify, path: Path) -> None:
    tamper(path, f"UPDATE events SET seq = 99 WHERE seq = {LAST}")
    assert verify() == (5, LAST)


@pytest.mark.parametrize("seq", [2, 23, LAST - 1])
@pytest.mark.parametrize("closed", [False, True], ids=["with a gap", "gap closed"])
def test_a_deleted_row_is_named(verify: Verify, path: Path, seq: int, closed: bool) -> None:
    close = (
        f"UPDATE events SET seq = -seq WHERE seq > {seq}",
        "UPDATE events SET seq = -seq - 1 WHERE seq < 0",
    )
    tamper(path, f"DELETE FROM events WHERE seq = {seq}", *(close if closed else ()))
    assert verify() == (5, seq)


@pytest.mark.parametrize("seq", [2, 23, LAST + 1])
def test_an_inserted_row_is_named(verify: Verify, path: Path, seq: int) -> None:
    columns = ", ".join(COLUMNS[1:])
    copied = columns.replace("key", "NULL")
    tamper(
        path,
        f"UPDATE events SET seq = -1000 - seq WHERE seq >= {seq}",
        f"INSERT INTO events (seq, {columns}) SELECT {seq}, {copied} FROM events WHERE seq = 1",
        "UPDATE events SET seq = -999 - seq WHERE seq < -1000",
    )
    assert verify() == (5, seq)


@pytest.mark.parametrize(("one", "two"), [(1, 2), (22, 23), (5, 40)])
def test_rows_in_each_others_place_are_named(verify: Verify, path: Path, one: int, two: int) -> None:
    tamper(
        path,
        f"UPDATE events SET seq = -1 WHERE seq = {one}",
        f"UPDATE events SET seq = {one} WHERE seq = {two}",
        f"UPDATE events SET seq = {two} WHERE seq = -1",
    )
    assert verify() == (5, one)


@pytest.mark.parametrize("left", [0, 1, 30, LAST - 1])
def test_a_removed_tail_is_named_against_the_bell_and_against_a_kept_head(
    verify: Verify, path: Path, left: int
) -> None:
    head = kept(path, LAST)
    tamper(path, f"DELETE FROM events WHERE seq > {left}")
    assert verify() == (5, left + 1)
    (path.parent / "bell" / "head").unlink()
    assert verify("--head", head) == (5, left + 1)


def test_a_kept_head_of_another_record_is_named(verify: Verify, path: Path) -> None:
    assert verify("--head", kept(path, 23)) == (0, None)
    assert verify("--head", "23:" + "ab" * 32) == (5, 23)
