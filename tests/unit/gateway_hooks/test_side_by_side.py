from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks import side_by_side
from gateway_hooks.side_by_side import among_processes
from journal.record import Draft, Stamp
from journal.store import Journal, Reader
from journal.verify import Verdict, verify
from journal.walk import Part, Walk
from tests.builders import BLUE, accepted, connected, preflight, started, writer
from tests.unit.journal.test_verify import _tamper as tamper

HALF = 300


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Two cores, and a part for each where a record has 600 events; the parts that were taken over from another process."""
    found: list[Part] = []
    join = Walk.join

    def noted(walk: Walk, part: Part) -> bool:
        found.append(part)
        return join(walk, part)

    monkeypatch.setattr(Walk, "join", noted)
    monkeypatch.setattr(side_by_side, "LEAST", HALF)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    return found


@pytest.fixture
def long(folder: Path, clock: Callable[[], Stamp]) -> Path:
    """A closed journal of 600 events, a message open at each end."""
    journal = Journal(folder, clock)
    filler = [Draft(preflight())] * (2 * HALF - 4)
    journal.append(Draft(started()), Draft(connected()), accepted(1), *filler, accepted(2), writer=writer(BLUE))
    journal.close()
    return folder


def _verdict(folder: Path) -> Verdict:
    with closing(Reader(folder / "journal.db")) as reader:
        found = verify(reader, head=None, split=among_processes)
        assert found == verify(reader, head=None)
        return found


def test_a_second_process_walks_the_second_half(long: Path, joined: list[Part]) -> None:
    assert _verdict(long).good
    (part,) = joined
    assert (part.after, part.until, list(part.words), part.gone) == (HALF, 2 * HALF, [2 * HALF], [])


@pytest.mark.parametrize("seq", [1, HALF, HALF + 1, 2 * HALF])
def test_what_is_wrong_in_any_part_is_found_by_the_one_who_asked(long: Path, joined: list[Part], seq: int) -> None:
    tamper(long, f"UPDATE events SET mono_ns = 0 WHERE seq = {seq}")
    assert _verdict(long).bad == seq
    assert not joined


def test_where_no_process_can_be_started_one_walks_it_all(
    long: Path, joined: list[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert _verdict(long).good
    assert not joined
