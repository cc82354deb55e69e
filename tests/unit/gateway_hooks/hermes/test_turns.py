"""Turns of Hermes over a real journal that cannot be written at the moment that matters, or whose process ends in their midst."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.hermes import wire
from gateway_hooks.hermes.hold import Hold, join_all
from gateway_hooks.hermes.inbox import LOOKS, Inbox
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.turns import FRAME, STREAM, Turns, aside
from gateway_hooks.inbox import Inbox as Ledger
from gateway_hooks.settling import settle
from journal import events as e
from journal.errors import Busy, DiskTrouble, HandoffError
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal, Reader
from tests.builders import connected, process, started

BLUE, LATER = Writer(process(1), "operator"), Writer(process(2), "operator")
TROUBLE = [pytest.param(error, id=type(error).__name__) for error in (Busy("held", holder=None), DiskTrouble("full"))]


async def nothing() -> None:
    pass


class Request:
    """The library's request object; the platform takes whatever comes."""

    async def do_request(self, _url: str) -> tuple[int, bytes]:
        return 200, b'{"ok":true,"result":{"message_id":7}}'


class Chat:
    """One chat of a Hermes that says yes to everything. ``answered`` has update id and turn of what was run.

    ``works`` is what the agent does before it has its answer.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        journal.append(Draft(started()), Draft(connected()), writer=BLUE)
        self.ledger = Ledger(journal, Pseudonyms(b"k" * 32), BLUE, lambda n: b"x" * n, taking=True)
        self.hold = Hold(held=True, green=False)
        self.hold.ledger = self.ledger
        runner = SimpleNamespace(
            _running_agents={}, _queued_events={}, _session_key_for_source=lambda _: "chat", _startup_restore_in_progress=False
        )  # fmt: skip
        self.inbox, queues = Inbox(), Queues(runner)
        self.queues = queues
        self.runner = runner
        queues.watch(SimpleNamespace(_pending_messages={}), self.inbox)
        self.turns = Turns(self.hold, queues, runner, lambda *_: None)
        self.answered: list[tuple[int, int | None]] = []
        self.works: Callable[[], Awaitable[None]] = nothing
        self.door = self.turns.door(self._hermes)
        self._request = Request()
        wire.tap_sends(self._request, self.hold)

    async def _hermes(self, event: Any) -> str:
        frame = FRAME.get()
        assert frame is not None
        self.answered.append((event.platform_update_id, frame.turn))
        await self.works()
        return "reply"

    async def says(self) -> None:
        """Something goes out to the chat."""
        await self._request.do_request("https://api/bot/sendMessage")

    async def remarks(self) -> None:
        """The model says a word beside a tool call, by the consumer of streamed replies."""

        async def send_commentary(_consumer: Any, _text: str) -> bool:
            await self.says()
            return True

        token = STREAM.set(True)
        await aside(send_commentary)(None, "let me look into that first")
        STREAM.reset(token)

    async def is_told_to_stop(self) -> None:
        """As Hermes does it when its process gets SIGTERM: it is marked, then what runs is interrupted."""
        self.hold.stopping = True
        self.turns.doom()

    async def ends_well(self) -> None:
        """Hermes' last call for an event."""
        await self.turns.hook(lambda *_: nothing())("on_processing_complete", None, SimpleNamespace(value="success"))

    def dies(self) -> None:
        """Its process is lost, and another one that serves has settled it."""
        lost = settle(self.journal.catch_up(), "blue", BLUE.process, "died")
        self.journal.append(*lost, Draft(started()), Draft(connected()), writer=LATER)

    def taken_up(self) -> list[int]:
        """What the other process takes up, by update id."""
        fed: list[Ticket] = []
        ledger = Ledger(self.journal, Pseudonyms(b"k" * 32), LATER, lambda n: b"x" * n, taking=True)
        with closing(Reader(self.journal.path)) as reader:
            ledger.take_up(self.journal.head, reader, fed.append)
        return [int(ticket.update.update_id) for ticket in fed]

    def became(self) -> list[str]:
        """As what the messages of the record were settled, in their order."""
        with closing(Reader(self.journal.path)) as reader:
            return [r.event.outcome for r in reader.all() if isinstance(r.event, e.MessageSettled)]

    def comes(self, number: int) -> Ticket:
        """The platform hands a text over, and a handler gets it."""
        update = Update(str(number), "text", "ada", b"{}", "1")
        (ticket,) = self.ledger.accept("telegram", "bot", (update,), number + 1)
        self.inbox.accept([ticket], now_s=0.0)
        self.inbox.see(str(number))
        return ticket

    def runs(self, number: int, *, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Hermes' task for a text, from its begin to its end."""

        async def task(event: Any, _session: str) -> None:
            await self.door(event)
            if meanwhile is not None:
                await meanwhile()

        async def play() -> None:
            event = SimpleNamespace(platform_update_id=number, source=None, text="hello", get_command=lambda: None)
            await self.turns.background(task)(event, "chat")

        asyncio.run(play())

    def fed_again(self) -> list[int]:
        """What the journal feeds and a handler then gets, by update id."""
        fed: list[Ticket] = []
        with closing(Reader(self.journal.path)) as reader:
            self.ledger.take_up(self.journal.head, reader, fed.append)
        due = [ticket for ticket in fed if self.inbox.due(ticket, now_s=1.0)]
        return [int(ticket.update.update_id) for ticket in due if self.inbox.see(ticket.update.update_id)]

    @contextmanager
    def trouble(self, error: HandoffError) -> Iterator[None]:
        """Nothing can be appended."""

        def never(*_: Draft, writer: Writer) -> Any:
            raise error

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(self.journal, "append", never)
            yield


@pytest.fixture
def chat(journal: Journal) -> Chat:
    return Chat(journal)


@pytest.mark.parametrize("error", TROUBLE)
def test_a_message_whose_turn_the_journal_could_not_open_waits_and_is_answered_once(
    chat: Chat, error: HandoffError
) -> None:
    chat.comes(7)
    with chat.trouble(error):
        chat.runs(7)
    assert chat.answered == []
    chat.comes(8)  # the journal can be written again
    assert chat.fed_again() == [7, 8], "in their order, though the second came when the first could not be dispatched"
    for number in (7, 8):
        chat.runs(number)
    assert [number for number, _ in chat.answered] == [7, 8]
    assert all(turn for _, turn in chat.answered)
    assert (chat.fed_again(), chat.journal.head.messages, chat.journal.head.turns) == ([], {}, {})


def test_a_message_that_was_dispatched_behind_one_that_could_not_be_started_does_not_overtake_it(chat: Chat) -> None:
    for number in (7, 8):
        chat.comes(number)
    with chat.trouble(Busy("held", holder=None)):
        chat.runs(7)
    chat.runs(8)
    assert chat.answered == []
    assert chat.fed_again() == [7, 8]


def test_what_the_journal_never_knew_is_answered_without_it(chat: Chat) -> None:
    with chat.trouble(DiskTrouble("full")):
        assert chat.comes(7).message == 0
        chat.runs(7)
    assert chat.answered == [(7, 0)]
    assert chat.fed_again() == []


@pytest.mark.parametrize("first_is_known", [True, False])
def test_of_a_merged_event_only_what_the_journal_never_knew_is_answered_without_it(
    chat: Chat, first_is_known: bool
) -> None:
    known, unknown = (7, 8) if first_is_known else (8, 7)
    chat.comes(known)
    with chat.trouble(DiskTrouble("full")):
        chat.comes(unknown)
        chat.inbox.merge("7", "8")
        chat.runs(7)
        assert chat.answered == []
        tickets = chat.inbox.unseen(older_than_s=0.5, now_s=10**9)
        assert [(t.update.update_id, t.message) for t in tickets] == [(str(unknown), 0)]
        chat.inbox.see(str(unknown))
        chat.runs(unknown)
    assert chat.answered == [(unknown, 0)]
    chat.comes(9)
    assert chat.fed_again() == [known, 9]


def test_what_the_journal_feeds_again_before_its_first_turn_has_ended_is_not_dropped_with_that(chat: Chat) -> None:
    chat.comes(7)

    async def fed() -> None:
        assert chat.fed_again() == [7]

    with chat.trouble(Busy("held", holder=None)):
        chat.runs(7, meanwhile=fed)
    chat.runs(7)
    assert [number for number, _ in chat.answered] == [7]


@pytest.mark.parametrize("error", TROUBLE)
def test_a_message_that_was_steered_into_a_turn_is_not_begun_again_though_that_could_not_be_written(
    chat: Chat, error: HandoffError
) -> None:
    steered = chat.comes(8)
    chat.comes(7)

    async def steers() -> None:
        frame = FRAME.get()
        assert frame is not None
        chat.inbox.drop("8")
        with chat.trouble(error):
            await chat.hold.write(join_all, chat.ledger, frame.turn or 0, [steered.message])

    chat.ledger._dispatched.add(steered.message)
    chat.runs(7, meanwhile=steers)
    assert chat.fed_again() == []
    chat.ledger.pay()
    assert (chat.fed_again(), chat.journal.head.messages) == ([], {})


@pytest.mark.parametrize("steered", [True, False], ids=["steered", "ignored"])
@pytest.mark.parametrize("error", [Busy("held", holder=None), None], ids=["busy", "writable"])
def test_what_one_event_spoke_for_is_told_whole_though_who_tells_it_is_cancelled(
    chat: Chat, error: HandoffError | None, steered: bool
) -> None:
    chat.runner._busy_input_mode = "steer" if steered else ""
    chat.comes(7)
    for number in (8, 9):
        chat.comes(number)
        chat.inbox.carry(str(number))
    chat.inbox.merge("8", "9")
    chat.ledger._dispatched |= set(chat.journal.head.messages)
    event = SimpleNamespace(platform_update_id=8, text="hello")

    async def meanwhile() -> None:
        with chat.trouble(error) if error else nullcontext():
            telling = asyncio.ensure_future(chat.turns._settle_busy(event, chat.inbox, "8", "chat"))
            await asyncio.sleep(0)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await chat.hold.written()
        assert chat.fed_again() == []
        chat.ledger.pay()

    chat.runs(7, meanwhile=meanwhile)
    assert (chat.fed_again(), chat.journal.head.messages) == ([], {})


@pytest.mark.parametrize("error", TROUBLE)
def test_a_turn_whose_end_could_not_be_written_is_ended_later(chat: Chat, error: HandoffError) -> None:
    chat.comes(7)
    trouble = chat.trouble(error)

    async def begins() -> None:
        trouble.__enter__()

    chat.runs(7, meanwhile=begins)
    trouble.__exit__(None, None, None)
    assert chat.turns.count() == 0
    assert chat.journal.head.turns
    chat.ledger.pay()
    assert (chat.journal.head.turns, chat.journal.head.messages) == ({}, {})


# --------------------------------------------------------------------------- turns that are cut off


async def killed() -> None:
    """A process that is killed does nothing more: here its task."""
    raise asyncio.CancelledError


@pytest.mark.parametrize("told", [False, True], ids=["killed", "told to stop"])
def test_a_remark_beside_a_tool_call_is_no_answer_when_the_turn_is_cut_off_after_it(chat: Chat, told: bool) -> None:
    chat.comes(7)

    async def works() -> None:
        await chat.remarks()
        if told:
            await chat.is_told_to_stop()
        else:
            chat.dies()
        await killed()

    chat.works = works
    with suppress(asyncio.CancelledError):
        chat.runs(7)
    if told:
        chat.dies()
    assert (chat.became(), chat.taken_up()) == ([], [7])


@pytest.mark.parametrize("told", [False, True], ids=["killed", "told to stop"])
def test_an_answer_that_is_cut_off_between_its_parts_is_not_good(chat: Chat, told: bool) -> None:
    chat.comes(7)

    async def meanwhile() -> None:
        await chat.says()
        if told:
            await chat.is_told_to_stop()
        else:
            chat.dies()
        await killed()

    with suppress(asyncio.CancelledError):
        chat.runs(7, meanwhile=meanwhile)
    if told:
        chat.dies()
    assert (chat.became(), chat.taken_up()) == (["ambiguous"], [])


def test_an_answer_that_is_out_is_good_though_the_process_was_told_to_stop_meanwhile(chat: Chat) -> None:
    chat.comes(7)

    async def meanwhile() -> None:
        await chat.is_told_to_stop()
        await chat.says()
        await chat.ends_well()

    chat.runs(7, meanwhile=meanwhile)
    assert chat.became() == ["answered"]


def test_what_was_said_of_an_answer_before_the_process_was_told_to_stop_is_not_all_of_it(chat: Chat) -> None:
    chat.comes(7)

    async def streams() -> None:
        STREAM.set(True)
        await chat.says()
        await chat.is_told_to_stop()

    chat.works = streams
    chat.runs(7, meanwhile=chat.ends_well)
    chat.dies()
    assert chat.became() == ["ambiguous"]


def test_a_remark_that_hermes_takes_for_the_answer_is_one(chat: Chat) -> None:
    chat.comes(7)
    chat.works = chat.remarks
    chat.runs(7, meanwhile=chat.ends_well)
    assert chat.became() == ["answered"]


def test_a_message_whose_task_is_cancelled_before_it_begins_is_not_waited_for_as_if_it_were_coming(chat: Chat) -> None:
    chat.comes(7)
    chat.inbox.carry("7")

    async def play() -> None:
        event = SimpleNamespace(platform_update_id=7)
        task = asyncio.ensure_future(chat.turns.background(lambda *_: nothing())(event, "chat"))
        assert chat.queues.holds("7")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
    for _ in range(LOOKS):
        dropped = chat.inbox.strays(chat.queues.ids())
    assert dropped == ("7",), "it is fed again"


def test_a_turn_whose_task_is_cancelled_again_and_again_while_it_is_opened_does_not_stay_open(chat: Chat) -> None:
    chat.comes(7)
    event = SimpleNamespace(platform_update_id=7, source=None, text="hello", get_command=lambda: None)

    async def play() -> None:
        free = threading.Event()
        other = asyncio.ensure_future(chat.hold.write(free.wait, 10))  # another chat, in the one thread that writes
        task = asyncio.ensure_future(chat.turns.background(lambda event, _: chat.door(event))(event, "chat"))
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(task, other, return_exceptions=True)

    asyncio.run(play())
    chat.hold._writer.shutdown()
    assert (chat.answered, chat.journal.head.turns, chat.turns.count()) == ([], {}, 0)


def test_a_turn_whose_task_is_cancelled_while_its_end_is_written_is_not_counted_for_ever(chat: Chat) -> None:
    chat.comes(7)
    free = threading.Event()
    chat.ledger.finish = lambda *_: free.wait(10)  # type: ignore[assignment,method-assign]

    async def play() -> None:
        event = SimpleNamespace(platform_update_id=7, source=None, text="hello", get_command=lambda: None)
        task = asyncio.ensure_future(chat.turns.background(lambda event, _: chat.door(event))(event, "chat"))
        while chat.turns.carrying("chat") is not None or not chat.answered:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        free.set()

    asyncio.run(play())
    assert chat.turns.count() == 0, "a blue that has handed over would wait for it, and never leave"


def test_the_end_of_a_turn_is_written_though_its_task_is_cancelled_while_it_waits_for_that(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.comes(7)
    free, write = threading.Event(), chat.hold.write

    async def meanwhile() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        other = asyncio.ensure_future(write(free.wait, 10))  # another chat's call, in the one thread that writes

        async def written(call: Callable[..., Any], *arguments: Any) -> Any:
            if call == chat.ledger.finish:
                loop.call_soon(task.cancel)
                loop.call_soon(free.set)
            return await write(call, *arguments)

        monkeypatch.setattr(chat.hold, "write", written)
        await asyncio.sleep(0)
        assert not other.done()

    with suppress(asyncio.CancelledError):
        chat.runs(7, meanwhile=meanwhile)
    chat.hold._writer.shutdown()
    assert (chat.journal.head.turns, chat.journal.head.messages) == ({}, {})
