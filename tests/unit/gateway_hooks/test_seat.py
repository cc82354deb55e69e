"""Taking a seat: what stands in the record by then, and what does not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway_hooks import seat
from journal.store import Reader, create
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
