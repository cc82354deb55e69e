"""Taking a seat: what stands in the record by then, and what does not."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway_hooks import seat
from gateway_hooks.seat import StandAside
from journal import events as e
from journal.events import Phase, Side
from journal.record import Draft, Receipt, Writer
from journal.store import Journal, Reader, create
from tests.builders import health, out_of_descriptors
from tests.unit.gateway_hooks.homes import Home
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


@pytest.mark.parametrize("phase", ["idle", "requested", "init", "ack", "active", "baking", "rolling_back", "complete"])
@pytest.mark.parametrize("stopped", [False, True], ids=["runs", "is stopped"])
def test_whoever_starts_and_finds_a_living_owner_stands_aside_without_a_word(
    home: Home, phase: Phase, stopped: bool
) -> None:
    come_to(home, phase)
    head = home.journal.catch_up()
    assert (head.phase, head.owning is not None) == (phase, True)
    if stopped and head.owning is not None:
        home.freeze(head.owning)
    with pytest.raises(StandAside) as raised:
        seat.take(home.path, IdleGateway(), {})
    alone = head.process("green" if head.owner == "blue" else "blue") is None
    what = f"process {home.blue.pid} serves this home" if alone else "both sides of a handoff are alive"
    assert (raised.value.exit_code, raised.value.message) == (75, what)
    assert home.state().head.seq == head.seq


@pytest.mark.parametrize(
    ("phase", "side", "serving"),
    [("ack", "blue", True), ("active", "blue", False), ("baking", "green", True), ("rolling_back", "blue", False),
     ("complete", "green", True)],
)  # fmt: skip
def test_whoever_starts_where_both_are_dead_takes_the_seat_that_the_record_leaves(
    home: Home, phase: Phase, side: Side, serving: bool
) -> None:
    come_to(home, phase)
    for process in (home.blue, home.green):
        home.system.end(process)
    place = seat.take(home.path, IdleGateway(), {})
    assert (place.role, place.serving) == (side, serving)
    head = home.journal.catch_up()
    assert head.process(side) == home.system.me()
    assert head.process("blue" if side == "green" else "green") is None
    place.ledger._journal.close()


@pytest.mark.parametrize(("phase", "dead"), [("active", "green"), ("baking", "green"), ("rolling_back", "green")])
def test_beside_a_blue_that_lives_and_is_about_to_act_nobody_takes_greens_place(
    home: Home, phase: Phase, dead: Side
) -> None:
    come_to(home, phase)
    home.system.end(home.green)
    with pytest.raises(StandAside, match="the other side is alive and about to act"):
        seat.take(home.path, IdleGateway(), {})


def come_to(home: Home, phase: Phase) -> None:
    """Both sides live."""
    home.serve()
    if phase == "idle":
        return
    home.request()
    steps = home.steps_to_bake() if phase != "requested" else ()
    for _ in steps:
        if home.journal.catch_up().phase == phase and (phase != "init" or home.journal.head.green):
            return
    if phase == "rolling_back":
        home.say(home.system.me(), e.HandoffRollback(phase="baking", reason="operator"))
    if phase == "complete":
        home.say(home.blue, e.HandoffComplete(sample=home.say(home.green, health())))
