"""When the journal cannot be written: what goes on, what does not, and how often it is said."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks import without
from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.hanging import Without, may_write
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import Manager
from gateway_hooks.process import System
from journal import events as e
from journal.errors import Busy, DiskTrouble, HandoffError, NoJournal, Tampered
from journal.events import Process
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Stamp, Writer
from journal.store import Journal, Reader
from replay.alone import ServeAlone
from replay.fold import State, state_of
from tests.builders import DIGESTS, GREEN, connected, flushed, health, preflight, process, requested, started
from tests.unit.gateway_hooks.idle import IdleGateway

BLUE, OTHER = process(1), process(9)
NAMES = Pseudonyms(b"k" * 32)
Spoil = Callable[[Journal], None]


def full(journal: Journal) -> None:
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")


def roomy(journal: Journal) -> None:
    journal._connection.execute("PRAGMA max_page_count = 100000")


def removed(journal: Journal) -> None:
    journal.path.rename(journal.folder / "elsewhere")


def tampered(journal: Journal) -> None:
    """Somebody else has appended a row that nobody could have."""
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO events SELECT seq + 1, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, NULL, cause,"
            " body, x'00', x'01' FROM events ORDER BY seq DESC LIMIT 1"
        )


SPOILT = [pytest.param(spoil, id=spoil.__name__) for spoil in (full, removed, tampered)]


class Desk:
    """Blue owns and serves; its inbox is the one under test."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.inbox = Inbox(journal, NAMES, Writer(BLUE, "operator"), bytes, taking=True)
        self.say(BLUE, started())
        self._next = 0

    def say(self, who: Process, *events: e.Event) -> int:
        return self.journal.append(*map(Draft, events), writer=Writer(who, "operator"))[-1].seq

    def accept(self, count: int = 1, size: int = 8) -> tuple[Ticket, ...]:
        first, self._next = self._next, self._next + count
        updates = [Update(str(n), "text", "ada", b"x" * size) for n in range(first, self._next)]
        return self.inbox.accept("telegram", "bot", updates, self._next)


@pytest.fixture
def desk(journal: Journal) -> Desk:
    return Desk(journal)


@pytest.mark.parametrize("spoil", SPOILT)
def test_without_a_handoff_the_gateway_goes_on_and_says_so_once(
    desk: Desk, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(desk.journal)
    for _ in range(5):
        tickets = desk.accept(3, size=100_000)
        assert [(t.message, t.dispatch) for t in tickets] == [(0, True)] * 3
        turn = desk.inbox.start([t.message for t in tickets], "ada")
        desk.inbox.join(turn, 0)
        desk.inbox.intend(turn, 0, 1)
        desk.inbox.sent(turn, 0, "m1")
        desk.inbox.finish(turn, "answered")
        desk.inbox.settle(0, "refused")
    said = [r.message for r in caplog.records if r.levelno == logging.CRITICAL]
    assert len(said) == 2
    assert "CANNOT BE WRITTEN" in said[0]


@pytest.mark.parametrize("spoil", SPOILT)
def test_while_a_handoff_is_open_nothing_is_confirmed_that_cannot_be_appended(desk: Desk, spoil: Spoil) -> None:
    desk.say(OTHER, requested())
    spoil(desk.journal)
    for _ in range(3):
        with pytest.raises((DiskTrouble, NoJournal, Tampered)):
            desk.accept(3, size=100_000)


def test_a_handoff_of_which_this_process_has_not_read_yet_counts(
    desk: Desk, folder: Path, clock: Callable[[], Stamp]
) -> None:
    operator = Journal(folder, clock)
    operator.append(Draft(requested()), writer=Writer(OTHER, "operator"))
    assert not desk.journal.head.open
    full(desk.journal)
    with pytest.raises(DiskTrouble):
        desk.accept(3, size=100_000)
    operator.close()


def test_who_does_not_own_goes_on_with_nothing(desk: Desk) -> None:
    desk.say(OTHER, e.ProcessLost(side="blue", process=BLUE, how="died"))
    removed(desk.journal)
    with pytest.raises(NoJournal):
        desk.accept()


def test_a_disk_that_has_room_again_is_written_again_and_that_is_said(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    full(desk.journal)
    assert desk.accept(3, size=100_000)[0].message == 0
    roomy(desk.journal)
    (ticket,) = desk.accept()
    assert ticket.message
    assert ticket.dispatch
    assert "written again" in caplog.records[-1].message
    full(desk.journal)
    desk.accept(3, size=100_000)
    assert len([r for r in caplog.records if "CANNOT BE WRITTEN" in r.message]) == 2, "another time, said once more"


def test_a_journal_that_was_gone_is_not_written_before_the_next_start(desk: Desk) -> None:
    removed(desk.journal)
    assert desk.accept()[0].message == 0
    (desk.journal.folder / "elsewhere").rename(desk.journal.path)
    assert desk.accept()[0].message == 0
    with closing(Reader(desk.journal.path)) as reader:
        assert [r.type for r in reader.all()] == ["PROCESS_STARTED"]


def test_what_the_journal_has_already_waits_for_it_and_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (ticket,) = desk.accept()
    fed: list[int] = []

    def never(*_: Draft, writer: Writer) -> object:
        raise DiskTrouble("full")

    with closing(Reader(desk.journal.path)) as reader, monkeypatch.context() as spoilt:
        spoilt.setattr(desk.journal, "append", never)
        with pytest.raises(DiskTrouble):
            desk.inbox.start([ticket.message], "ada")
        desk.inbox.take_up(desk.journal.head, reader, lambda t: fed.append(t.message))
        assert fed == [], "not while it cannot be written"
    with closing(Reader(desk.journal.path)) as reader:
        (later,) = desk.accept()
        assert not later.dispatch, "the earlier one of this chat comes first"
        desk.inbox.take_up(desk.journal.head, reader, lambda t: fed.append(t.message))
    assert fed == [ticket.message, later.message]


def test_a_message_that_joins_a_turn_outside_of_the_journal_is_not_answered_again(desk: Desk) -> None:
    (ticket,) = desk.accept()
    desk.inbox.join(0, ticket.message)
    assert desk.journal.head.messages == {}


# ------------------------------------------------------------------------------------------- the manager beside it


@pytest.fixture
def manager(desk: Desk) -> Iterator[Manager]:
    system = System()
    me = system.me()
    desk.say(BLUE, e.ProcessExited())
    journal = desk.journal
    journal.append(Draft(started()), writer=Writer(me, "blue"))
    inbox = Inbox(journal, NAMES, Writer(me, "blue"), bytes, taking=True)

    def no_green(_: State) -> Process:
        raise HandoffError("not here")

    made = Manager(journal, IdleGateway(), inbox, system, Writer(me, "blue"), no_green, polling=True)
    yield made
    made.stop()
    if made.is_alive():
        made.join(10)


@pytest.mark.parametrize("spoil", [removed, tampered])
def test_the_manager_stops_writing_says_so_once_and_leaves_the_gateway_alone(
    manager: Manager, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(manager._journal)
    manager._seen.sampled_ns = -(10**18)  # the next turn of its loop writes
    manager.start()
    for _ in range(1000):
        if any("goes on without it" in r.getMessage() for r in caplog.records):  # the last word on it
            break
        manager.join(0.02)
    assert manager._inbox.trouble.for_good
    assert manager._inbox.trouble.alone
    said = len(caplog.records)
    for _ in range(20):
        manager._bell.poke()
        manager.join(0.02)
    assert manager.is_alive(), "it waits to be told that the gateway ends"
    assert len(caplog.records) == said
    assert len([r for r in caplog.records if "CANNOT BE WRITTEN" in r.message]) == 1
    assert not manager._gateway.ended  # type: ignore[attr-defined]
    assert manager._reader.last_seq() == (4 if spoil is tampered else 3)


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_comes_while_nothing_is_begun_is_not_confirmed_without_the_journal(desk: Desk, spoil: Spoil) -> None:
    desk.inbox.taking = False  # what another side has said last is not read yet
    spoil(desk.journal)
    with pytest.raises((DiskTrouble, NoJournal, Tampered)):
        desk.accept(3, size=100_000)


@pytest.mark.parametrize("still", [True, False], ids=["held still", "not read yet"])
def test_who_goes_on_without_the_journal_answers_though_nothing_was_begun_when_that_went(
    manager: Manager, still: bool
) -> None:
    inbox = manager._inbox
    if still:
        inbox.hold_still()
    else:
        inbox.taking = False
    removed(manager._journal)
    manager._seen.sampled_ns = -(10**18)
    manager.start()
    for _ in range(1000):
        if inbox.trouble.alone and inbox.taking:
            break
        manager.join(0.02)
    (ticket,) = inbox.accept("telegram", "bot", (Update("1", "text", "ada", b"{}"),), 2)
    assert (ticket.message, ticket.dispatch) == (0, True), "it is confirmed to the platform: nobody else will answer it"


def test_a_side_that_finishes_its_turns_leaves_the_sign_of_the_owner_alone(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file by which an owner tells its keeper that it goes on without the journal is one; only the owner is asked for it."""
    me, journal = manager._writer.process, manager._journal

    def say(who: Process, *events: e.Event) -> int:
        return journal.append(*map(Draft, events), writer=Writer(who, "operator"))[-1].seq

    say(OTHER, requested())
    say(me, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
    say(GREEN, started("green", serving=False))
    say(GREEN, e.HandoffAck(flushed_seq=say(me, flushed()), digests=DIGESTS))
    say(me, e.HandoffActive(turns=1))
    sample = say(GREEN, connected(), health())
    say(GREEN, e.HandoffConfirm(samples=(sample,)))
    say(me, e.HandoffComplete(sample=sample))
    owner = Without(journal.folder, GREEN)
    owner.show(True)
    manager._seen.tried_ns = manager._world.now().mono_ns
    manager._seen.polling = False
    monkeypatch.setattr(manager._world, "probe", lambda _: "running")
    for error in (DiskTrouble("full"), None):
        manager._inbox.trouble.last = error
        manager.step()
        assert not may_write(journal.folder, GREEN)


def test_what_came_to_be_owed_while_the_gateway_let_go_is_paid_before_it_is_anothers_to_settle(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, journal, inbox = manager._writer.process, manager._journal, manager._inbox
    (merged,) = inbox.accept("telegram", "bot", (Update("1", "text", "ada", b"{}"),), 2)
    journal.append(Draft(requested()), writer=Writer(OTHER, "operator"))
    journal.append(*map(Draft, (e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))), writer=Writer(me, "blue"))
    journal.append(Draft(started("green", serving=False)), writer=Writer(GREEN, "green"))
    seq = journal.append(Draft(flushed()), writer=Writer(me, "blue"))[-1].seq
    journal.append(Draft(e.HandoffAck(flushed_seq=seq, digests=DIGESTS)), writer=Writer(GREEN, "green"))
    manager._state = state_of(manager._reader)

    def pause() -> dict[str, int | None]:
        with monkeypatch.context() as held:
            held.setattr(journal, "append", never)
            inbox.settle(merged.message, "merged")  # a turn of this gateway has it
        return {}

    def never(*_: Draft, writer: Writer) -> object:
        raise Busy("held", holder=None)

    monkeypatch.setattr(manager._gateway, "pause", pause)
    manager._let_go(True)
    assert journal.head.owner == "green"
    assert journal.head.messages == {}, "green would begin it again"


def test_a_side_that_has_let_go_says_so_though_it_could_not_at_first(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Green has seized, since blue was silent for a while, and connects once blue has said that it let go."""
    me, journal = manager._writer.process, manager._journal
    journal.append(Draft(connected()), writer=Writer(me, "blue"))
    journal.append(Draft(requested()), writer=Writer(OTHER, "operator"))
    journal.append(*map(Draft, (e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))), writer=Writer(me, "blue"))
    journal.append(Draft(started("green", serving=False)), writer=Writer(GREEN, "green"))
    seq = journal.append(Draft(flushed()), writer=Writer(me, "blue"))[-1].seq
    for event in (e.HandoffAck(flushed_seq=seq, digests=DIGESTS), e.HandoffSeized(reason="silent")):
        journal.append(Draft(event), writer=Writer(GREEN, "green"))
    monkeypatch.setattr(manager._world, "probe", lambda _: "running")
    append, busy = journal.append, [Busy("held", holder=None)]

    def once(*drafts: Draft, writer: Writer) -> object:
        if busy and isinstance(drafts[0].event, e.AdapterPaused):
            raise busy.pop()
        return append(*drafts, writer=writer)

    monkeypatch.setattr(journal, "append", once)
    with pytest.raises(Busy):
        manager.step()
    for _ in range(3):
        manager.step()
    assert journal.head.connected == {}


def test_whom_a_side_has_ended_is_not_said_to_have_died_when_that_can_be_written_only_later(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, journal = manager._writer.process, manager._journal
    journal.append(Draft(requested()), writer=Writer(OTHER, "operator"))
    journal.append(*map(Draft, (e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))), writer=Writer(me, "blue"))
    manager._state = state_of(manager._reader)
    monkeypatch.setattr(manager._world, "end", lambda _: None)

    def never(*_: Draft, writer: Writer) -> object:
        raise Busy("held", holder=None)

    with monkeypatch.context() as held:
        held.setattr(journal, "append", never)
        with pytest.raises(Busy):
            manager._end_peer("green", "ended_late")
    manager._settle("green", "died")
    with closing(Reader(journal.path)) as reader:
        assert [r.event.how for r in reader.all() if isinstance(r.event, e.ProcessLost)] == ["ended_late"]
    assert manager._seen.peer_end == ""


def test_a_word_on_serving_alone_that_comes_after_the_trouble_is_over_does_not_outlast_the_next_append(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, journal = manager._inbox, manager._journal

    def wrote_meanwhile(*_: object) -> ServeAlone:
        inbox.accept("telegram", "bot", (Update("1", "text", "ada", b"{}"),), 2)  # another thread's
        return ServeAlone()

    inbox.trouble.met(DiskTrouble("full"))
    manager._seen.tried_ns = manager._world.now().mono_ns
    monkeypatch.setattr(without, "alone", wrote_meanwhile)
    manager.step()
    assert inbox.accept("telegram", "bot", (Update("2", "text", "ada", b"{}"),), 3)[0].message
    journal.append(Draft(requested()), writer=Writer(OTHER, "operator"))
    removed(journal)
    with pytest.raises(NoJournal):  # green may take over: nothing is confirmed that it cannot know of
        inbox.accept("telegram", "bot", (Update("3", "text", "ada", b"{}"),), 4)


def test_a_sample_that_is_no_number_is_one_line_and_no_traceback(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    manager._gateway.lag_ms = float("nan")  # type: ignore[attr-defined]
    for _ in range(3):
        manager._seen.sampled_ns = -(10**18)
        manager.step()
    assert manager._reader.last_seq() == 3
    (line,) = {r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR}
    assert "loop_lag_ms" in line
    assert all(r.exc_info is None for r in caplog.records)


def test_a_bad_row_at_the_end_is_found_by_the_next_append_and_nothing_is_chained_to_it(desk: Desk) -> None:
    tampered(desk.journal)
    for _ in range(2):
        with pytest.raises(Tampered, match="seq 2 is not chained") as caught:
            desk.say(OTHER, preflight())
        assert caught.value.seq == 2
    with pytest.raises(Tampered):
        desk.journal.catch_up()


@pytest.mark.parametrize("alone", [False, True])
def test_a_turn_that_ends_while_nothing_can_be_written_is_owed_and_its_chat_goes_on(desk: Desk, alone: bool) -> None:
    (ticket,) = desk.accept()
    turn = desk.inbox.start([ticket.message], "ada")
    desk.inbox.intend(turn, 0, 1)
    desk.journal._connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(desk.journal.path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        if alone:
            desk.inbox.trouble.alone = True
            desk.inbox.sent(turn, 0, "m1")
        desk.inbox.finish(turn, "answered")
        with pytest.raises(DiskTrouble):
            desk.inbox.pay()
    assert desk.journal.head.turns
    desk.inbox.pay()
    desk.inbox.pay()
    assert not desk.journal.head.turns
    assert not desk.journal.head.messages


def test_while_the_reserve_is_spent_no_message_is_accepted_before_the_handoff_is_over(desk: Desk) -> None:
    desk.say(OTHER, requested())
    desk.inbox.trouble.met(DiskTrouble("full"))
    desk.inbox.trouble.gave_the_reserve()
    with pytest.raises(DiskTrouble):
        desk.accept()
    desk.say(BLUE, e.HandoffFailed(reason="fault"))
    assert desk.accept()[0].message
