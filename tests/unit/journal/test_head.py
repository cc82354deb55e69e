from __future__ import annotations

from dataclasses import replace

import pytest

from journal import events as e
from journal.head import AT_REST, TRANSITIONS, Head, Message, Turn, advance, effects, verdict, verdicts
from journal.record import Record
from tests.builders import BLUE, EXAMPLES, GREEN, SESSION, Book, lost


def _record(seq: int, event: e.Event) -> Record:
    return Record(seq, None, event.TYPE, event.V, "blue", BLUE, 0, 0, 0, None, None, "", b"", b"hash")


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_the_fold_believes_whatever_stands_in_the_journal(event: e.Event) -> None:
    """Also what no law would have admitted, and what speaks of rows that were cut off."""
    head = advance(Head(), _record(41, event), event)
    assert (head.seq, head.hash) == (41, b"hash")


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_what_an_event_changes_does_not_depend_on_its_hash(event: e.Event) -> None:
    head = Book().reach("ack").head
    expected = advance(head, _record(head.seq + 1, event), event)
    assert replace(head, hash=b"hash", **effects(head, event, head.seq + 1, BLUE)) == expected


def test_a_head_is_never_changed_in_place() -> None:
    book = Book().reach("idle")
    message = book.accept()
    before = book.head
    kept = (dict(before.messages), dict(before.turns), dict(before.connected), before.watchers)
    turn = book.turn(message)
    book.say(BLUE, e.ReplyIntended(turn=turn, part=0))
    book.say(GREEN, lost("blue", BLUE))
    assert (dict(before.messages), dict(before.turns), dict(before.connected), before.watchers) == kept


def test_every_step_leads_to_another_phase_than_it_came_from() -> None:
    for phases, _, to in TRANSITIONS.values():
        assert to not in phases


def test_a_handoff_is_open_until_it_has_ended_one_way_or_the_other() -> None:
    assert {"idle", "complete", "rolled_back", "failed"} == AT_REST
    for phase in ("idle", "requested", "baking", "rolled_back"):
        assert Book().reach(phase).head.open == (phase not in AT_REST)


def test_a_process_is_found_on_its_side() -> None:
    head = Book().reach("ack").head
    assert (head.side_of(BLUE), head.side_of(GREEN), head.owning) == ("blue", "green", BLUE)
    assert head.side_of(BLUE.model_copy(update={"started": 77})) is None


@pytest.mark.parametrize(
    ("kind", "attempts", "intended", "sent", "of", "due"),
    [
        ("text", 1, (), (), None, None),
        ("text", 2, (), (), None, "abandoned"),
        ("command", 1, (), (), None, "abandoned"),
        ("text", 2, (0,), (0,), None, "ambiguous"),
        ("text", 2, (0,), (0,), 1, "answered"),
        ("text", 1, (0, 1), (0, 1), 2, "answered"),
        ("text", 1, (0,), (0,), 2, "ambiguous"),
        ("text", 1, (0, 1), (0,), 2, "ambiguous"),
        ("command", 1, (0,), (), 1, "ambiguous"),
    ],
)
def test_the_verdict_on_a_message_whose_process_died(
    kind: str, attempts: int, intended: tuple[int, ...], sent: tuple[int, ...], of: int | None, due: str | None
) -> None:
    turn = Turn(BLUE, (1,), SESSION, frozenset(intended), frozenset(sent), of)
    assert verdict(Message("c", kind, 2, attempts), turn) == due


def test_the_verdicts_foretold_are_those_that_the_loss_brings() -> None:
    book = Book().reach("idle")
    free, ambiguous, command = book.accept(1), book.accept(2), book.accept(3, kind="command")
    for message in (free, command):
        book.turn(message)
    turn = book.turn(ambiguous)
    book.say(BLUE, e.ReplyIntended(turn=turn, part=0))
    foretold = verdicts(book.head, BLUE)
    assert foretold == {ambiguous: "ambiguous", command: "abandoned"}
    assert verdicts(book.head, GREEN) == {}
    book.say(GREEN, lost("blue", BLUE))
    assert {s: m.due for s, m in book.head.messages.items() if m.due} == foretold
