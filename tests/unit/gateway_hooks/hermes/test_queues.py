"""Where Hermes would lose a message from its own queues, and what keeps it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.inbox import Inbox
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.turns import Turns

CHAT = "a chat"


@dataclass(eq=False)
class Event:
    """As much of one of Hermes' events as a queue looks at."""

    platform_update_id: int | None


@dataclass
class Runner:
    """As much of Hermes' runner as the queues look at."""

    _queued_events: dict[str, list[Event]] = field(default_factory=dict)


@dataclass(eq=False)
class Adapter:
    """As much of Hermes' adapter."""

    _pending_messages: dict[str, Event] = field(default_factory=dict)


def queues_with(*updates: int) -> tuple[Queues, Runner, Inbox]:
    """Queues of one adapter whose inbox knows these updates."""
    runner, inbox = Runner(), Inbox()
    queues = Queues(runner)
    queues.watch(Adapter(), inbox)
    tickets = [Ticket(n, "telegram", "1", Update(str(u), "text", "7", b"{}"), True) for n, u in enumerate(updates, 1)]
    inbox.accept(tickets, now_s=0.0)
    return queues, runner, inbox


def replace(pending: dict[str, Event], session: str, event: Event) -> None:
    """What Hermes does at its fourth follow-up within one task: whoever is in the slot is gone."""
    pending[session] = event


@pytest.mark.parametrize("newcomer", [11, 12])
def test_whom_hermes_would_throw_out_of_the_slot_of_a_busy_chat_waits_in_the_line_behind_it(newcomer: int) -> None:
    queues, runner, _ = queues_with(11, 12, 13)
    there = Event(23 - newcomer)
    pending = {CHAT: there}
    last = Event(13)
    runner._queued_events[CHAT] = [last] if newcomer == 11 else []
    event = Event(newcomer)
    queues.merging(replace)(pending, CHAT, event)
    waiting = [pending[CHAT], *runner._queued_events[CHAT]]
    assert [each.platform_update_id for each in waiting] == ([11, 12, 13] if newcomer == 11 else [11, 12])


def test_what_hermes_made_itself_and_replaces_does_not_come_back() -> None:
    queues, runner, _ = queues_with(11)
    pending = {CHAT: Event(None)}
    queues.merging(replace)(pending, CHAT, Event(11))
    assert pending[CHAT].platform_update_id == 11
    assert not runner._queued_events


def test_a_message_whose_way_into_the_queue_is_cancelled_by_the_next_one_gets_there_all_the_same() -> None:
    queues, runner, inbox = queues_with(11)
    pending: list[Any] = []

    async def play() -> None:
        turns = Turns(Hold(held=True, green=False), queues, runner, lambda *_: None)
        on_its_way, go_on = asyncio.Event(), asyncio.Event()

        async def handle(event: Any) -> None:
            on_its_way.set()
            await go_on.wait()
            inbox.start("11")
            pending.append(event)

        event = Event(11)
        flush = asyncio.ensure_future(turns.inline(handle)(event))
        await on_its_way.wait()
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
        go_on.set()
        async with asyncio.timeout(5):
            while turns.count():
                await asyncio.sleep(0)
        assert pending == [event]

    asyncio.run(play())


def test_an_event_on_its_way_to_its_turn_is_not_taken_for_one_that_was_dropped() -> None:
    queues, _, inbox = queues_with(11)
    inbox.see("11")
    inbox.carry("11")
    event = Event(11)
    with queues.inside(event):
        with queues.inside(event):
            pass
        assert queues.ids() == {"11"}
    assert queues.ids() == set()


def test_what_waits_behind_a_command_moves_up_when_the_command_is_done() -> None:
    queues, runner, _ = queues_with(11, 12)
    ((adapter, _),) = queues._inboxes.values()
    line = [Event(11), Event(12)]
    runner._queued_events[CHAT] = list(line)
    queues.move_up(CHAT)
    queues.move_up(CHAT)
    assert adapter._pending_messages == {CHAT: line[0]}
    assert runner._queued_events == {CHAT: line[1:]}
    adapter._pending_messages.clear()
    queues.move_up(CHAT)
    assert adapter._pending_messages == {CHAT: line[1]}
    assert not runner._queued_events


def test_a_command_that_ends_makes_room_for_who_waits_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queues, runner, _ = queues_with(11)
    moved: list[str] = []
    turns = Turns(Hold(held=True, green=False), queues, runner, lambda *_: None)
    monkeypatch.setattr(queues, "move_up", moved.append)

    async def play(outcome: str) -> None:
        async def hook(*_: Any) -> None: ...

        async def task(event: Any, _session: str) -> None:
            await turns.hook(hook)("on_processing_complete", event, SimpleNamespace(value=outcome))

        await turns.background(task)(Event(11), CHAT)

    for outcome in ("success", "failure", "cancelled"):
        asyncio.run(play(outcome))
    assert moved == [CHAT, CHAT], "who cancels a turn says what becomes of the others"
