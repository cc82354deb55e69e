from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal.bell import LOOK_NS, Bell, read_head
from journal.tail import Doorbell
from tests.builders import WAIT_S

DIGEST, OTHER = bytes(range(32)), bytes(32)


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    one = Bell(tmp_path / "bell")
    yield one
    one.close()


def test_the_bell_holds_the_head_that_was_rung_last(bell: Bell, tmp_path: Path) -> None:
    for seq, digest in ((7, OTHER), (123456789, DIGEST)):
        bell.ring(seq, digest)
        assert read_head(tmp_path / "bell") == (seq, digest)


def test_a_ring_that_comes_too_late_keeps_the_later_head_and_still_rings(bell: Bell, tmp_path: Path) -> None:
    bell.ring(9, DIGEST)
    doorbell = Doorbell(tmp_path / "bell")
    bell.ring(8, OTHER)
    assert read_head(tmp_path / "bell") == (9, DIGEST)
    assert doorbell._rung.wait(WAIT_S)
    doorbell.close()


@pytest.mark.parametrize("content", [None, b"", b"7", b"7 zz", b"\xff\xfe", b"x " + b"0" * 64])
def test_a_bell_that_cannot_be_read_gives_no_head(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "head").write_bytes(content)
    assert read_head(tmp_path) is None


@pytest.mark.parametrize("way", ["removed", "moved away", "replaced", "its file removed"])
def test_the_bell_rings_where_its_folder_stands_now(bell: Bell, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "bell"
    bell.ring(1, OTHER)
    if way == "removed":
        shutil.rmtree(folder)
    elif way == "its file removed":
        (folder / "head").unlink()
    else:
        folder.rename(tmp_path / "old")
        if way == "replaced":
            folder.mkdir()
    bell.look(LOOK_NS)
    bell.ring(2, DIGEST)
    assert read_head(folder) == (2, DIGEST)


def test_a_moved_bell_is_not_looked_for_at_every_ring(bell: Bell, tmp_path: Path) -> None:
    bell.ring(1, OTHER)
    bell.look(LOOK_NS)
    (tmp_path / "bell").rename(tmp_path / "old")
    bell.look(2 * LOOK_NS - 1)
    bell.ring(2, DIGEST)
    assert read_head(tmp_path / "bell") is None
    bell.look(2 * LOOK_NS)
    bell.ring(3, DIGEST)
    assert read_head(tmp_path / "bell") == (3, DIGEST)
    bell.look(1)  # the clock of another boot
    assert bell._looked_ns == 1


def test_a_bell_that_cannot_be_rung_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Bell(tmp_path / "file" / "bell").ring(1, DIGEST)
    Bell(tmp_path / "no" / "such" / "folder").ring(1, DIGEST)
