"""What the map between updates and events must never lose."""

from __future__ import annotations

from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.hermes.inbox import FEEDS, LOOKS, Inbox


def ticket(number: int, *, dispatch: bool = True) -> Ticket:
    return Ticket(number, "telegram", "7", Update(f"u{number}", "text", "1", b"{}"), dispatch)


def filled(*numbers: int) -> Inbox:
    inbox = Inbox()
    inbox.accept([ticket(number) for number in numbers], now_s=0.0)
    return inbox


def test_an_update_goes_to_the_handlers_once() -> None:
    inbox = filled(1)
    assert inbox.see("u1") == ticket(1)
    assert inbox.see("u1") is None


def test_an_update_that_is_not_due_is_kept_from_the_handlers() -> None:
    inbox = Inbox()
    inbox.accept([ticket(1, dispatch=False)], now_s=0.0)
    assert inbox.see("u1") is None
    assert inbox.due(ticket(1), now_s=1.0)
    assert inbox.see("u1") is not None


def test_what_is_on_its_way_is_not_fed_again() -> None:
    inbox = filled(1)
    assert not inbox.due(ticket(1), now_s=1.0)


def test_a_merged_event_speaks_for_all_its_messages() -> None:
    inbox = filled(1, 2, 3)
    assert inbox.merge("u1", "u2")
    assert inbox.merge("u1", "u3")
    assert inbox.messages("u1") == (1, 2, 3)
    assert inbox.messages("u2") == ()
    assert inbox.drop("u1") == (1, 2, 3)
    assert len(inbox) == 0


def test_merging_into_an_unknown_event_changes_nothing() -> None:
    inbox = filled(1)
    assert not inbox.merge("u9", "u1")
    assert not inbox.merge("u1", "u1")
    assert inbox.messages("u1") == (1,)


def test_throwing_away_spares_what_was_started() -> None:
    inbox = filled(1, 2)
    inbox.start("u1")
    assert inbox.throw_away() == 1
    assert inbox.place("u1") == "started"
    assert "u2" not in inbox


def test_what_no_handler_has_seen_is_found_after_a_quiet_moment() -> None:
    inbox = filled(1, 2)
    inbox.see("u1")
    assert inbox.unseen(older_than_s=0.5, now_s=0.4) == ()
    assert inbox.unseen(older_than_s=0.5, now_s=0.6) == (ticket(2),)


def test_an_event_in_no_queue_counts_as_dropped_only_after_several_looks() -> None:
    inbox = filled(1)
    inbox.carry("u1")
    assert [inbox.strays(set()) for _ in range(LOOKS - 1)] == [()] * (LOOKS - 1)
    assert inbox.strays({"u1"}) == ()
    assert [inbox.strays(set()) for _ in range(LOOKS)][-1] == ("u1",)


def test_what_the_journal_has_given_back_may_have_been_started_before() -> None:
    inbox = filled(1)
    assert inbox.due(ticket(2), now_s=0.0)
    assert [inbox.again(f"u{number}") for number in (1, 2, 3)] == [False, True, False]


def test_what_the_gateway_dropped_is_fed_again_each_message_by_itself_and_not_for_ever() -> None:
    inbox = filled(1, 2)
    for update_id in ("u1", "u2"):
        inbox.see(update_id)
        inbox.carry(update_id)
    inbox.merge("u1", "u2")
    assert inbox.feed_again("u1", now_s=1.0) == (ticket(1), ticket(2))
    assert [inbox.see(update_id) for update_id in ("u1", "u2")] == [ticket(1), ticket(2)]
    for _ in range(FEEDS - 2):
        assert inbox.feed_again("u2", now_s=2.0) == (ticket(2),)
    assert inbox.feed_again("u2", now_s=3.0) == ()
    assert inbox.messages("u2") == (2,), "it is still to be settled"


def test_what_was_started_is_never_fed_again() -> None:
    inbox = filled(1)
    inbox.start("u1")
    assert inbox.feed_again("u1", now_s=1.0) == ()
    assert inbox.feed_again("u9", now_s=1.0) == ()


def test_what_comes_back_while_its_turn_is_being_opened_is_another_than_the_one_that_is_dropped() -> None:
    inbox = filled(1)
    inbox.see("u1")
    first = inbox.start("u1")
    assert inbox.due(ticket(1), now_s=1.0)
    assert inbox.drop("u1", first) == ()
    assert inbox.see("u1") == ticket(1)


def test_of_an_event_without_a_turn_only_what_the_journal_never_knew_is_fed_from_here() -> None:
    inbox = filled(1)
    unknown = Ticket(0, "telegram", "7", Update("u2", "text", "1", b"{}"), True)
    inbox.accept([unknown], now_s=0.0)
    inbox.merge("u1", "u2")
    inbox.give_back("u1", inbox.start("u1"), now_s=1.0)
    assert inbox.place("u1") is None
    assert inbox.unseen(older_than_s=0.5, now_s=2.0) == (unknown,)
