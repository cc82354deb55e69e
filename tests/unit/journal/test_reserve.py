"""The room on the disk that pays for the end of a handoff."""

from __future__ import annotations

from pathlib import Path

from journal.reserve import Reserve
from journal.store import Journal


def test_a_new_journal_has_a_reserve_of_real_blocks(folder: Path, journal: Journal) -> None:
    status = (folder / "reserve").stat()
    assert status.st_size == 2 * 2**20
    assert status.st_blocks * 512 >= status.st_size
    assert status.st_mode & 0o777 == 0o600


def test_it_can_be_given_back_once_and_held_again(folder: Path, journal: Journal) -> None:
    reserve = Reserve(folder)
    assert reserve.give_back()
    assert not reserve.give_back()
    assert reserve.hold()
    assert reserve.hold()
    assert reserve.give_back()


def test_where_it_cannot_stand_nothing_is_left_behind(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "nowhere").hold()
    assert not Reserve(tmp_path, 2**62).hold()
    assert not list(tmp_path.iterdir())
