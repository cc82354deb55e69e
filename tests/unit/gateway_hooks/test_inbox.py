"""The ledger that gateways write with: what goes to dispatch, what waits, what is taken up, and how a turn ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.inbox import PATIENCE, Inbox
from journal import events as e
from journal.errors import AlreadyTaken, Busy, DiskTrouble, LostHold, StaleEpoch
from journal.events import Process
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal, Reader
from replay.check import check
from tests.builders import process, started

BLUE, GREEN = process(1), process(2)
NAMES = Pseudonyms(b"k" * 32)


class Desk:
    """Two inboxes over one journal, blue's and green's; blue owns."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.blue, self.green = (self._inbox(who) for who in (BLUE, GREEN))
        self.say(BLUE, started())

    def _inbox(self, who: Process) -> Inbox:
        return Inbox(self.journal, NAMES, Writer(who, "operator"), bytes, taking=True)

    def say(self, who: Process, *events: e.Event) -> int:
        return self.journal.append(*map(Draft, events), writer=Writer(who, "operator"))[-1].seq

    def accept(
        self,
        number: int,
        chat: str = "ada",
        *,
        inbox: Inbox | None = None,
        stamp: str = "",
        kind: e.UpdateKind = "text",
    ) -> Ticket:
        update = Update(str(number), kind, chat, f"words {number}".encode(), stamp)
        return (inbox or self.blue).accept("telegram", "bot", [update], number + 1)[0]

    def hand_over(self) -> None:
        """The shortest legal way from blue to green."""
        self.say(BLUE, e.HandoffRequested(handoff="h1", runtime="same", bake_s=1.0))
        self.say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
        seq = self.say(BLUE, e.SessionFlushed(part="routing", count=0, digest="ab" * 32))
        self.say(GREEN, started("green", serving=False), e.HandoffAck(flushed_seq=seq, digests={"routing": "ab" * 32}))
        self.say(BLUE, e.HandoffActive(turns=0))

    def taken_up(self, inbox: Inbox) -> list[int]:
        fed: list[int] = []
        with closing(Reader(self.journal.path)) as reader:
            inbox.take_up(self.journal.head, reader, lambda ticket: fed.append(ticket.message))
        return fed

    def outcome(self, message: int) -> str:
        with closing(Reader(self.journal.path)) as reader:
            settled = [r.event for r in reader.all() if isinstance(r.event, e.MessageSettled)]
        (found,) = [event.outcome for event in settled if event.message == message]
        return found


@pytest.fixture
def desk(journal: Journal) -> Desk:
    return Desk(journal)


def test_an_update_goes_to_dispatch_once_however_often_it_is_delivered(desk: Desk) -> None:
    first, again = desk.accept(7), desk.accept(7)
    assert (first.dispatch, again.dispatch) == (True, False)
    assert first.message == again.message


def test_a_text_does_not_overtake_an_album_that_is_still_being_gathered(desk: Desk) -> None:
    album = [desk.accept(1, kind="album"), desk.accept(2, kind="album")]
    text, elsewhere = desk.accept(3), desk.accept(4, "bob")
    later = desk.accept(5, kind="album")
    assert [t.dispatch for t in (*album, text, elsewhere, later)] == [True, True, False, True, False]
    assert desk.taken_up(desk.blue) == []
    desk.blue.start([t.message for t in album], "s")
    assert desk.taken_up(desk.blue) == [text.message, later.message]


def test_what_is_taken_up_is_fed_one_kind_after_the_other(desk: Desk) -> None:
    desk.blue.let_go()
    kinds: tuple[e.UpdateKind, ...] = ("album", "album", "text", "text", "other")
    came = [desk.accept(n, kind=kind).message for n, kind in enumerate(kinds)]
    desk.blue.take_hold()
    for at in (slice(0, 2), slice(2, 4), slice(4, 5)):
        assert desk.taken_up(desk.blue) == came[at]
        desk.blue.finish(desk.blue.start(came[at], "s"), "no_reply")


def test_a_command_and_whatever_comes_during_a_turn_wait_for_nothing(desk: Desk) -> None:
    album = desk.accept(1, kind="album")
    assert desk.accept(2, kind="command").dispatch
    assert desk.accept(3, kind="callback").dispatch
    desk.blue.start([album.message], "s")
    assert desk.accept(4, kind="album").dispatch
    assert desk.accept(5).dispatch


def test_one_number_with_two_stamps_is_two_messages(desk: Desk) -> None:
    assert desk.accept(7, stamp="monday").message != desk.accept(7, stamp="tuesday").message


def test_what_comes_in_while_we_have_let_go_waits_and_is_taken_up_later(desk: Desk) -> None:
    desk.blue.let_go()
    ticket = desk.accept(1)
    assert not ticket.dispatch
    assert desk.taken_up(desk.blue) == []
    desk.blue.take_hold()
    assert desk.taken_up(desk.blue) == [ticket.message]
    assert desk.taken_up(desk.blue) == [], "once"


def test_what_was_dispatched_and_not_started_before_letting_go_is_taken_up_again(desk: Desk) -> None:
    ticket = desk.accept(1)
    desk.blue.let_go()
    desk.blue.take_hold()
    assert desk.taken_up(desk.blue) == [ticket.message]


def test_what_is_taken_up_is_what_came_in(desk: Desk) -> None:
    desk.blue.let_go()
    desk.accept(1, "ada")
    desk.blue.take_hold()
    fed: list[Ticket] = []
    with closing(Reader(desk.journal.path)) as reader:
        desk.blue.take_up(desk.journal.head, reader, fed.append)
    assert fed[0].update == Update("1", "text", "ada", b"words 1")
    assert (fed[0].platform, fed[0].account) == ("telegram", "bot")


def test_a_chat_whose_turn_the_other_side_runs_waits_until_its_words_were_read(desk: Desk) -> None:
    turn = desk.blue.start([desk.accept(1, "ada").message], "ada")
    desk.hand_over()
    held, free = desk.accept(2, "ada", inbox=desk.green), desk.accept(3, "bob", inbox=desk.green)
    assert (held.dispatch, free.dispatch) == (False, True)
    assert not desk.green.unread(desk.journal.head)
    desk.blue.finish(turn, "answered")
    assert desk.green.unread(desk.journal.head)
    assert desk.taken_up(desk.green) == []
    desk.green.read(desk.journal.head)
    assert desk.taken_up(desk.green) == [held.message]


def test_a_later_message_of_a_chat_does_not_overtake_one_that_waits(desk: Desk) -> None:
    desk.blue.let_go()
    earlier = desk.accept(1, "ada")
    desk.blue.take_hold()
    later, other = desk.accept(2, "ada"), desk.accept(3, "bob")
    assert (later.dispatch, other.dispatch) == (False, True)
    assert desk.taken_up(desk.blue) == [earlier.message, later.message]


def test_who_does_not_own_the_adapters_accepts_and_starts_nothing(desk: Desk) -> None:
    waiting = desk.accept(1)
    desk.hand_over()
    with pytest.raises(StaleEpoch):
        desk.accept(2)
    with pytest.raises(StaleEpoch):
        desk.blue.start([waiting.message], "ada")
    assert desk.green.start([waiting.message], "ada")


def test_a_message_is_started_once(desk: Desk) -> None:
    message = desk.accept(1).message
    desk.blue.start([message], "ada")
    with pytest.raises(AlreadyTaken):
        desk.blue.start([message], "ada")


def test_a_merged_turn_settles_its_first_message_as_answered_and_the_others_as_merged(desk: Desk) -> None:
    one, two, three = (desk.accept(n).message for n in (1, 2, 3))
    turn = desk.blue.start([one, two], "ada")
    desk.blue.join(turn, three)
    desk.blue.intend(turn, 1, 1)
    desk.blue.sent(turn, 1, "99")
    desk.blue.finish(turn, "answered")
    assert [desk.outcome(m) for m in (one, two, three)] == ["answered", "merged", "merged"]
    assert not desk.journal.head.turns


def test_a_part_whose_sending_was_never_confirmed_makes_the_turn_ambiguous(desk: Desk) -> None:
    message = desk.accept(1).message
    turn = desk.blue.start([message], "ada")
    desk.blue.intend(turn, 1)
    desk.blue.finish(turn, "answered")
    assert desk.outcome(message) == "ambiguous"


def test_a_turn_one_of_whose_messages_was_settled_before_can_still_be_finished(desk: Desk) -> None:
    one, two = desk.accept(1).message, desk.accept(2).message
    turn = desk.blue.start([one, two], "ada")
    desk.blue.settle(two, "refused")
    desk.blue.finish(turn, "answered")
    assert (desk.outcome(one), desk.outcome(two)) == ("answered", "refused")


def test_who_lost_the_turn_is_told_before_it_sends(desk: Desk) -> None:
    turn = desk.blue.start([desk.accept(1).message], "ada")
    desk.hand_over()
    desk.say(GREEN, e.ProcessLost(side="blue", process=BLUE, how="ended_silent"))
    with pytest.raises(LostHold):
        desk.blue.intend(turn, 1)


def test_a_gate_that_is_held_is_waited_for_and_its_holder_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    append, refused = desk.journal.append, [Busy("held", holder=4711)] * 2
    told: list[int | None] = []
    desk.blue.on_busy = told.append

    def sometimes(*drafts: Draft, writer: Writer) -> object:
        if refused:
            raise refused.pop()
        return append(*drafts, writer=writer)

    monkeypatch.setattr(desk.journal, "append", sometimes)
    assert desk.accept(1).dispatch
    assert told == [4711, 4711]


def test_patience_with_the_gate_has_an_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Writer] = []

    def never(*_: Draft, writer: Writer) -> object:
        tried.append(writer)
        raise Busy("held", holder=None)

    monkeypatch.setattr(desk.journal, "append", never)
    with pytest.raises(Busy):
        desk.accept(1)
    assert len(tried) == PATIENCE


def test_words_of_a_chat_stand_in_no_event(desk: Desk, folder: Path) -> None:
    desk.accept(1, "+491701234567")
    with closing(Reader(folder / "journal.db")) as reader:
        assert "491701234567" not in "".join(record.body for record in reader.all())


def test_of_a_batch_that_may_not_start_what_is_free_comes_back(desk: Desk) -> None:
    held, free = desk.accept(1).message, desk.accept(2).message
    desk.blue.start([held], "ada")
    with pytest.raises(AlreadyTaken):
        desk.blue.start([held, free], "ada")
    assert desk.taken_up(desk.blue) == [free]


def test_one_that_comes_back_is_not_fed_behind_one_that_was_said_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = desk.accept(1).message, desk.accept(2).message

    def full(*_: object, **__: object) -> None:
        raise DiskTrouble("full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        with pytest.raises(DiskTrouble):
            desk.blue.start([first], "s")
    desk.blue.trouble.over()
    assert desk.taken_up(desk.blue) == [], "the second one is about to begin"
    assert not desk.accept(1).dispatch, "nor by the platform, which hands it over again"
    with pytest.raises(AlreadyTaken):
        desk.blue.start([second], "s")
    assert desk.taken_up(desk.blue) == [first, second]


def test_a_message_that_could_not_join_a_turn_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = desk.blue.start([desk.accept(1).message], "ada")
    late = desk.accept(2).message

    def full(*_: Draft, writer: Writer) -> object:
        raise DiskTrouble("full")

    with monkeypatch.context() as disk:
        disk.setattr(desk.journal, "append", full)
        with pytest.raises(DiskTrouble):
            desk.blue.join(turn, late)
    desk.accept(3, "bob")  # the journal can be written again
    assert desk.taken_up(desk.blue) == [late]


Gate = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Somebody holds the gate for as long as this lasts."""

    @contextmanager
    def hold() -> Iterator[None]:
        def never(*_: Draft, writer: Writer) -> object:
            raise Busy("held", holder=None)

        with monkeypatch.context() as gate:
            gate.setattr(desk.journal, "append", never)
            yield

    return hold


def test_a_turn_whose_end_met_a_held_gate_keeps_no_chat_from_the_other_side(desk: Desk, held: Gate) -> None:
    turn = desk.blue.start([desk.accept(1, "ada").message], "ada")
    with held():
        desk.blue.finish(turn, "answered")
    assert desk.journal.head.turns
    desk.blue.pay()
    desk.hand_over()
    assert desk.accept(2, "ada", inbox=desk.green).dispatch
    desk.say(BLUE, e.ProcessExited())


def test_what_is_owed_is_paid_in_its_order_and_what_is_anothers_by_then_is_forgotten(desk: Desk, held: Gate) -> None:
    one, two, three = (desk.accept(n, chat) for n, chat in ((1, "ada"), (2, "bob"), (3, "eve")))
    turns = [desk.blue.start([ticket.message], "s") for ticket in (one, two)]
    with held():
        desk.blue.finish(turns[1], "no_reply")
        desk.blue.settle(three.message, "refused")
        desk.blue.finish(turns[0], "answered")
        with pytest.raises(Busy):
            desk.blue.pay()
    desk.say(BLUE, e.MessageSettled(message=three.message, outcome="no_reply"))
    desk.blue.pay()
    with closing(Reader(desk.journal.path)) as reader:
        ended = [r.event.turn for r in reader.all() if isinstance(r.event, e.TurnFinished)]
    assert ended == [turns[1], turns[0]]
    assert [desk.outcome(t.message) for t in (one, two, three)] == ["answered", "no_reply", "no_reply"]


def test_what_is_owed_waits_for_a_held_gate_but_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = desk.blue.start([desk.accept(1).message], "ada")
    tried: list[Writer] = []

    def never(*_: Draft, writer: Writer) -> object:
        tried.append(writer)
        raise Busy("held", holder=None)

    monkeypatch.setattr(desk.journal, "append", never)
    desk.blue.finish(turn, "answered")
    assert len(tried) == PATIENCE
    with pytest.raises(Busy):
        desk.blue.pay()
    assert len(tried) == PATIENCE + 1, "the loop that pays has other things to do"


def test_what_is_settled_is_not_fed_while_that_cannot_be_written(desk: Desk, held: Gate) -> None:
    ticket = desk.accept(1)
    with held():
        with pytest.raises(Busy):
            desk.blue.start([ticket.message], "ada")
        desk.blue.settle(ticket.message, "no_reply")
        assert desk.taken_up(desk.blue) == []


def test_a_message_does_not_overtake_one_of_its_chat_that_could_not_be_started(desk: Desk, held: Gate) -> None:
    first, second, other = desk.accept(1, "ada"), desk.accept(2, "ada"), desk.accept(3, "bob")
    with held(), pytest.raises(Busy):
        desk.blue.start([first.message], "ada")
    with pytest.raises(AlreadyTaken):
        desk.blue.start([second.message], "ada")
    assert desk.blue.start([other.message], "bob")
    assert desk.taken_up(desk.blue) == [first.message, second.message]
    assert desk.blue.start([first.message], "ada")
    assert desk.blue.start([second.message], "ada")


def test_turns_that_a_gateway_has_forgotten_are_closed_as_if_it_had_died(desk: Desk) -> None:
    said, doubtful, silent = (desk.accept(n, str(n)).message for n in (1, 2, 3))
    turns = [desk.blue.start([message], "s") for message in (said, doubtful, silent)]
    desk.blue.intend(turns[0], 1, 1)
    desk.blue.sent(turns[0], 1, "77")
    desk.blue.intend(turns[1], 1, 1)
    desk.hand_over()
    theirs = desk.green.start([desk.accept(4, "4", inbox=desk.green).message], "s")
    desk.blue.close()
    assert list(desk.journal.head.turns) == [theirs]
    assert [desk.outcome(m) for m in (said, doubtful, silent)] == ["answered", "ambiguous", "abandoned"]
    desk.say(BLUE, e.ProcessExited())
    with closing(Reader(desk.journal.path)) as reader:
        assert not [d for d in check(list(reader.all())).differences if d.field == "settled"]
