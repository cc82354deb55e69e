"""The disk that forgets, without a run: ``make power`` records one with strace and cuts it everywhere."""

from __future__ import annotations

import random

import pytest

from tests.power.disk import Disk, Op
from tests.power.trace import operations

ROOT = "/d"


def left(*ops: Op, seeds: int = 60) -> set[tuple[str, bytes] | None]:
    """Everything that may be left of ``/d/f`` after the operations."""
    found: set[tuple[str, bytes] | None] = set()
    for seed in range(seeds):
        disk = Disk(ROOT)
        for op in ops:
            disk.do(op)
        content = disk.left(random.Random(seed)).get("f")
        found.add(("f", content) if content is not None else None)
    return found


def op(at: int, kind: str, path: str = "/d/f", offset: int = 0, data: bytes = b"") -> Op:
    return Op(kind, path, at, at, offset, data)  # type: ignore[arg-type]


MADE = (op(0, "make"), op(1, "sync", ROOT))


def test_what_was_synced_stays_and_what_was_not_may_go() -> None:
    assert left(*MADE, op(2, "write", data=b"one"), op(3, "sync")) == {("f", b"one")}
    assert left(*MADE, op(2, "write", data=b"one")) == {("f", b""), ("f", b"one")}


def test_a_name_goes_with_its_folder_that_was_not_synced() -> None:
    assert None in left(op(0, "make"), op(1, "write", data=b"one"), op(2, "sync"))
    assert left(*MADE, op(2, "unlink")) == {None, ("f", b"")}
    assert left(*MADE, op(2, "unlink"), op(3, "sync", ROOT)) == {None}


def test_sectors_of_unsynced_writes_survive_each_by_chance() -> None:
    torn = left(*MADE, op(2, "write", data=b"a" * 1024), op(3, "sync"), op(4, "write", data=b"b" * 1024), seeds=300)
    halves = {b"a" * 512, b"b" * 512}
    assert {content for found in torn if found for content in [found[1]]} == {x + y for x in halves for y in halves}


def test_a_sync_that_began_before_the_write_had_ended_does_not_cover_it() -> None:
    late = Op("write", "/d/f", 2, 4, 0, b"one")
    assert ("f", b"") in left(*MADE, late, Op("sync", "/d/f", 3, 5))


def test_calls_that_were_interrupted_in_the_trace_are_put_together() -> None:
    text = '"' + "".join(f"\\x{byte:02x}" for byte in b"one") + '"'
    lines = [
        '7 openat(AT_FDCWD</>, "'
        + "".join(f"\\x{byte:02x}" for byte in b"/d/f")
        + '", O_RDWR|O_CREAT, 0600) = 3</d/f>',
        f"7 pwrite64(3</d/f>, {text}, 3, 512 <unfinished ...>",
        "8 fdatasync(4</d/f>) = 0",
        "7 <... pwrite64 resumed>) = 3",
        f"7 write(5</acks>, {text}, 3) = 3",
        "7 fdatasync(3</d/f>) = -1 EIO (Input/output error)",
    ]
    ops = operations(lines, "/d", "/acks")
    assert [(o.kind, o.begin, o.end, o.offset, o.data) for o in ops] == [
        ("make", 0, 0, 0, b""),
        ("sync", 2, 2, 0, b""),
        ("write", 1, 3, 512, b"one"),
        ("say", 4, 4, 0, b"one"),
    ]


def test_room_that_was_reserved_may_be_there_and_takes_nothing_away() -> None:
    (reserved,) = operations(["7 fallocate(3</d/f>, 0, 0, 4) = 0"], "/d", "/acks")
    assert (reserved.kind, reserved.offset) == ("extend", 4)
    written = (*MADE, op(2, "write", data=b"one"), op(3, "sync"))
    assert left(*written, op(4, "extend", offset=4)) == {("f", b"one"), ("f", b"one\0")}
    assert left(*written, op(4, "extend", offset=2)) == {("f", b"one")}


def test_a_call_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="fallocate"):
        operations(["7 fallocate(3</d/f>, FALLOC_FL_KEEP_SIZE, 0, 100) = 0"], "/d", "/acks")
