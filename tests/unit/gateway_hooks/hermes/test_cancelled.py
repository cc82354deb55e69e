"""A turn of Hermes whose task is cancelled wherever it waits, once or again: whatever was done by then, its message ends well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace, coroutine
from typing import Any, Literal

import pytest

from gateway_hooks.hermes import wire
from gateway_hooks.hermes.turns import STREAM
from journal import events as e
from journal.store import Journal, Reader, create
from tests.conftest import Clock
from tests.unit.gateway_hooks.hermes.test_turns import Chat

When = Literal["while", "after"]
"""Whether the cancellation comes while something is waited for, or when that is done and who waited has not heard of it yet."""


class Platform:
    """It takes a message in the midst of a request."""

    def __init__(self) -> None:
        self.took = 0

    async def do_request(self, _url: str) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        self.took += 1
        await asyncio.sleep(0)
        return 200, b'{"ok":true,"result":{"message_id":7}}'


class Task:
    """Runs a coroutine and cancels it at some of its waits, counted from 0; ``waits`` is how many there were.

    ``first`` happens right before the first cancellation.
    """

    def __init__(self, cancelled: Mapping[int, When], first: Callable[[], object]) -> None:
        self._cancelled, self._first = dict(cancelled), first
        self.waits = 0

    @coroutine
    def run(self, work: Any) -> Generator[Any, Any, Any]:
        raised: BaseException | None = None
        while True:
            try:
                waited_for = work.throw(raised) if raised else work.send(None)
            except StopIteration as end:
                return end.value
            self._wait(waited_for, self._cancelled.pop(self.waits, None))
            self.waits += 1
            raised = None
            try:
                yield waited_for
            except BaseException as error:
                raised = error

    def _wait(self, waited_for: asyncio.Future[Any] | None, when: When | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        if when is None:
            return
        if when == "while" or waited_for is None:
            self._cancel(task)
        else:
            waited_for.add_done_callback(lambda _: self._cancel(task))

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self._first()
        self._first = lambda: None
        task.cancel()


class Played:
    """A text that is answered by one message, a streamed one or not, by a gateway that may be told to stop meanwhile."""

    def __init__(self, journal: Journal, cancelled: Mapping[int, When], *, streamed: bool, told: bool) -> None:
        self.chat, self.platform = Chat(journal), Platform()
        self.task = Task(cancelled, self._told if told else lambda: None)
        wire.tap_sends(self.platform, self.chat.hold)
        self.chat._request = self.platform  # type: ignore[assignment]
        self.chat.works = self._streams if streamed else self.chat.works
        self.chat.comes(7)
        asyncio.run(self._play(streamed))
        with closing(Reader(journal.path)) as reader:
            self.intended = any(isinstance(r.event, e.ReplyIntended) for r in reader.all())

    def _told(self) -> None:
        self.chat.hold.stopping = True
        self.chat.turns.doom()

    async def _streams(self) -> None:
        token = STREAM.set(True)
        try:
            await self.chat.says()
        finally:
            STREAM.reset(token)

    async def _play(self, streamed: bool) -> None:
        event = SimpleNamespace(platform_update_id=7, source=None, text="hello", get_command=lambda: None)

        async def answers(event: Any, _session: str) -> None:
            await self.chat.door(event)
            if not streamed:
                await self.chat.says()
            await self.chat.ends_well()

        work = self.chat.turns.background(answers)(event, "chat")
        await asyncio.gather(self.task.run(work), return_exceptions=True)
        await self.chat.hold.written()


@pytest.fixture
def journals(tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Journal]]:
    """An empty one at each call."""
    numbers = count()
    with ExitStack() as stack:

        def journal() -> Journal:
            folder = tmp_path / str(next(numbers))
            create(folder, at_ns=1)
            return stack.enter_context(closing(Journal(folder, clock)))

        yield journal


def cancellations(waits: int) -> Iterator[dict[int, When]]:
    """Every one, and of each the next two waits that follow it."""
    whens: tuple[When, ...] = ("while", "after")
    for one in range(waits):
        for when in whens:
            yield {one: when}
            yield from ({one: when, other: again} for other in (one + 1, one + 2) for again in whens)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_turn_cancelled_wherever_it_waits_leaves_no_message_hanging_and_none_answered_twice(
    journals: Callable[[], Journal], streamed: bool
) -> None:
    waits = Played(journals(), {}, streamed=streamed, told=False).task.waits
    assert waits > 4
    for cancelled in cancellations(waits):
        played = Played(journals(), cancelled, streamed=streamed, told=False)
        chat, took = played.chat, played.platform.took
        assert (chat.turns.count(), chat.journal.catch_up().turns) == (0, {}), cancelled
        became, fed = chat.became(), chat.fed_again()
        assert took <= 1, cancelled
        assert (len(became), fed) in ((1, []), (0, [7])), cancelled
        if took:
            assert became in (["answered"], ["ambiguous"]), cancelled
        elif not played.intended:
            assert became in ([], ["no_reply"]), cancelled


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_turn_cut_off_wherever_it_waits_by_the_end_of_its_process_is_begun_again_if_nothing_of_it_was_announced(
    journals: Callable[[], Journal], streamed: bool
) -> None:
    waits = Played(journals(), {}, streamed=streamed, told=True).task.waits
    assert waits > 4
    for cancelled in cancellations(waits):
        played = Played(journals(), cancelled, streamed=streamed, told=True)
        chat, took = played.chat, played.platform.took
        assert chat.turns.count() == 0, cancelled
        chat.dies()
        became, taken_up = chat.became(), chat.taken_up()
        if played.intended:
            assert (became, taken_up) in ((["answered"], []), (["ambiguous"], [])), cancelled
        else:
            assert (took, became, taken_up) == (0, [], [7]), cancelled
