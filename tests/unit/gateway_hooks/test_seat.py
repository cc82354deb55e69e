"""Taking a seat: what stands in the record by then, and what does not."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway_hooks import seat
from journal.record import Draft, Receipt, Writer
from journal.store import Journal, Reader, create
from tests.builders import out_of_descriptors
from tests.unit.gateway_hooks.idle import IdleGateway


@pytest.mark.parametrize("fails", ["Reader", "Doorbell"])
def test_a_process_that_cannot_follow_the_journal_has_said_nothing_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    create(tmp_path / "handoff", at_ns=1)
    monkeypatch.setattr(seat, fails, refuse)
    with pytest.raises(OSError, match="Too many open files"):
        seat.take(tmp_path, IdleGateway(), {})
    reader = Reader(tmp_path / "handoff" / "journal.db")
    assert reader.last_seq() == 0
    reader.close()


def test_all_that_a_seat_needs_has_been_read_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "handoff", at_ns=1)
    append = Journal.append

    def last(journal: Journal, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        receipts = append(journal, *drafts, writer=writer)
        taken.enter_context(out_of_descriptors())
        return receipts

    monkeypatch.setattr(Journal, "append", last)
    with ExitStack() as taken:
        assert seat.take(tmp_path, IdleGateway(), {}).serving
