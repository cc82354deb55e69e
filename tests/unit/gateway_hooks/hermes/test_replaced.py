"""An adapter that Hermes has torn down: who polls in its place, what becomes of what waited for it, and what is said meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.hermes import gateway as hermes
from gateway_hooks.hermes import telegram
from gateway_hooks.hermes.accounts import Accounts
from gateway_hooks.hermes.gateway import HermesGateway
from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.others import Others
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.telegram import Telegram
from gateway_hooks.hermes.turns import FRAME, Frame, Turns
from gateway_hooks.inbox import Inbox as Ledger
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal
from tests.builders import connected, process, started

CHAT = "a chat"
BLUE = Writer(process(1), "operator")


@dataclass(eq=False)
class Event:
    """As much of one of Hermes' events as a queue looks at."""

    platform_update_id: int | None


@dataclass(eq=False)
class Updater:
    """The library's poll."""

    running: bool = False
    _last_update_id: int = 0


@dataclass(eq=False)
class App:
    """The library's Application."""

    running: bool = True
    updater: Updater = field(default_factory=Updater)
    update_queue: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    bot: Any = None


class Adapter:
    """As much of Hermes' Telegram adapter. ``polling`` is what happens when it begins to poll."""

    platform = "telegram"

    def __init__(self, polling: Callable[[], None] = lambda: None) -> None:
        self.config = SimpleNamespace(token="7:secret")
        self.has_fatal_error = False
        self.said: list[str] = []
        self._app: App | None = App()
        self._pending_messages: dict[str, Event] = {}
        self._pending_text_batches: dict[str, Event] = {}
        self._send_path_degraded = False
        self._begin = polling

    def _text_batch_key(self, _: Event) -> str:
        return CHAT

    async def _start_polling_resilient(self, **_: Any) -> bool:
        self._begin()
        return True

    async def send(self, text: str) -> bool:
        if self._app is not None:
            self.said.append(text)
        return self._app is not None

    def tear_down(self) -> None:
        """What Hermes does after an error that the adapter's own recovery gives up."""
        self.has_fatal_error = True
        self._send_path_degraded = True
        self._pending_text_batches.clear()
        self._app = None


class Scene:
    """A gateway that holds its adapters: the runner's part that makes one, and one that it has made."""

    def __init__(self, polling: Callable[[], None] = lambda: None) -> None:
        self.hold = Hold(held=True, green=False)
        self.hold.covered.add("telegram")
        self.runner = SimpleNamespace(adapters={}, _queued_events={})
        self.queues = Queues(self.runner)
        self.turns = Turns(self.hold, self.queues, self.runner, lambda *_: None)
        self.accounts = Accounts(self.hold)
        self.adapter = self.made(Adapter(polling))

    def made(self, adapter: Adapter) -> Adapter:
        """Have the runner make an adapter that stands."""
        make = self.accounts.creating(self.queues, self.turns)(lambda *_: adapter)
        make("telegram", adapter.config)
        account = self.account(adapter)
        account._tapped = adapter._app
        return adapter

    def account(self, adapter: Adapter) -> Telegram:
        """What we know of an adapter."""
        return next(each for each in self.accounts._all if each.adapter is adapter)

    def accepted(self, *updates: int) -> None:
        """These were fetched, and they wait in queues of Hermes."""
        account = self.account(self.adapter)
        account.inbox.accept(
            [Ticket(n, "telegram", "7", Update(str(n), "text", CHAT, b'"%d"' % n), True) for n in updates], now_s=0.0
        )
        for n in updates:
            account.inbox.see(str(n))
            account.inbox.carry(str(n))


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates are made by nothing but their text."""
    modules = {"telegram": SimpleNamespace(Update=SimpleNamespace(de_json=lambda data, _: data))}
    monkeypatch.setattr(telegram, "module", modules.__getitem__)


def fed(adapter: Adapter) -> list[str]:
    """What was put before an adapter's handlers."""
    assert adapter._app is not None
    queue = adapter._app.update_queue
    return [queue.get_nowait() for _ in range(queue.qsize())]


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story()

    asyncio.run(bounded())


# --------------------------------------------------------------------------- taking the adapters


def test_an_adapter_that_was_torn_down_does_not_keep_its_gateway_from_serving() -> None:
    async def story() -> None:
        scene = Scene()
        scene.adapter.tear_down()
        assert await scene.accounts.take(scene.runner, whole=False) == (scene.adapter,)
        assert not scene.runner.adapters, "nobody sends through it"

    play(story)


def test_a_green_that_never_polled_says_that_it_cannot() -> None:
    async def story() -> None:
        scene = Scene()
        scene.adapter.tear_down()
        with pytest.raises(RuntimeError):
            await scene.accounts.take(scene.runner, whole=True)

    play(story)


def test_an_adapter_whose_poll_does_not_begin_is_replaced_as_if_it_had_been_torn_down() -> None:
    def polling() -> None:
        raise RuntimeError("no poll today")

    async def story() -> None:
        scene = Scene(polling)
        assert await scene.accounts.take(scene.runner, whole=False) == (scene.adapter,)

    play(story)


def test_an_adapter_that_was_torn_down_has_no_clean_polls() -> None:
    scene = Scene()
    scene.account(scene.adapter).polls = 5
    assert scene.accounts.polls == {"telegram:7": 5}
    scene.adapter.tear_down()
    assert scene.accounts.polls == {"telegram:7": 0}


def test_a_poll_that_had_ended_by_an_error_is_put_away_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class InvalidToken(Exception):
        """Stands for the library's: the one error over which its poll ends by itself, and which ``stop`` raises once more."""

    class Ended(Updater):
        async def stop(self) -> None:
            self.running = False
            raise InvalidToken("the token was revoked")

    async def story() -> None:
        scene = Scene()
        account = scene.account(scene.adapter)
        assert scene.adapter._app is not None
        scene.adapter._app.updater = Ended(running=True)
        scene.accounts.let_go()
        await scene.accounts.let_go_is_over()  # before the gateway stops, say
        assert account._ending is None
        assert await scene.accounts.take(scene.runner, whole=True) == ()

    play(story)
    assert "the token was revoked" in caplog.text


# --------------------------------------------------------------------------- what waited for it


def test_what_waits_behind_a_turn_is_fed_once_to_the_adapter_that_takes_the_place_of_the_one_torn_down() -> None:
    async def story() -> None:
        scene = Scene()
        scene.accepted(11, 12)
        old = scene.adapter
        old._pending_messages[CHAT] = Event(11)
        scene.runner._queued_events[CHAT] = [Event(12), Event(None)]
        old.tear_down()
        new = scene.made(Adapter())
        assert not old._pending_messages, "the task that still runs over there would run it too"
        assert [each.platform_update_id for each in scene.runner._queued_events[CHAT]] == [None]
        assert scene.accounts.waiting == 2
        await scene.accounts.tend(scene.queues, scene.turns)
        assert fed(new) == ["11", "12"]
        assert scene.queues.whose(Event(11))[0] is scene.account(new).inbox
        await scene.accounts.tend(scene.queues, scene.turns)
        assert not fed(new)

    play(story)


def test_what_lay_in_a_batch_of_an_adapter_that_was_torn_down_is_not_given_up_before_there_is_another() -> None:
    async def story() -> None:
        scene = Scene()
        scene.accepted(11)
        scene.adapter.tear_down()
        for _ in range(20):
            await scene.accounts.tend(scene.queues, scene.turns)
        new = scene.made(Adapter())
        await scene.accounts.tend(scene.queues, scene.turns)
        assert fed(new) == ["11"]

    play(story)


def test_what_comes_while_no_adapter_stands_is_fed_to_the_next() -> None:
    async def story() -> None:
        scene = Scene()
        scene.adapter.tear_down()
        scene.accounts.feed(Ticket(1, "telegram", "7", Update("11", "text", CHAT, b'"11"'), True))
        new = scene.made(Adapter())
        await scene.accounts.tend(scene.queues, scene.turns)
        assert fed(new) == ["11"]

    play(story)


@pytest.mark.parametrize("lets_go", [False, True])
def test_a_turn_that_outlives_its_adapter_answers_through_the_next_one(lets_go: bool) -> None:
    async def story() -> None:
        scene = Scene()
        old = scene.adapter
        FRAME.set(Frame(CHAT, turn=5))
        old.tear_down()
        if lets_go:
            scene.accounts.let_go()
        sending = asyncio.ensure_future(old.send("an answer"))
        await asyncio.sleep(0)
        new = scene.made(Adapter())
        assert await sending
        assert new.said == ["an answer"]

    play(story)


def test_nothing_is_sent_through_the_next_adapter_before_what_it_sends_is_recorded() -> None:
    async def story() -> None:
        scene = Scene()
        old = scene.adapter
        old.tear_down()
        new = scene.made(Adapter())
        scene.account(new)._tapped = None
        assert not await old.send("a notice")
        FRAME.set(Frame(CHAT, turn=5))
        sending = asyncio.ensure_future(old.send("an answer"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not new.said
        scene.account(new)._tapped = new._app
        assert await sending
        assert new.said == ["an answer"]

    play(story)


# --------------------------------------------------------------------------- connected anew


class Runner:
    """As much of Hermes' runner as connects adapters. ``connecting`` is what happens while one connects."""

    def __init__(self, connecting: Callable[[], bool]) -> None:
        self.adapters: dict[str, Any] = {}
        self.delivery_router = SimpleNamespace(adapters=None)
        self.config = SimpleNamespace(platforms={"discord": "settings"})
        self._failed_platforms: dict[str, dict[str, Any]] = {}
        self.disconnected: list[Any] = []
        self.made: list[Any] = []
        self._connecting = connecting

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def _create_adapter(self, platform: str, _: Any) -> Any:
        deaf = {f"set_{what}": lambda _: None for what in SETTERS}
        self.made.append(SimpleNamespace(platform=platform, **deaf))
        return self.made[-1]

    async def _connect_adapter_with_timeout(self, *_: Any, **__: Any) -> bool:
        await asyncio.sleep(0)
        return self._connecting()

    async def _safe_adapter_disconnect(self, adapter: Any, _: str) -> None:
        self.disconnected.append(adapter)


SETTERS = (
    "message_handler", "fatal_error_handler", "session_store", "busy_session_handler", "topic_recovery_fn",
    "authorization_check",
)  # fmt: skip


def test_a_connection_that_stands_when_the_adapters_are_anothers_again_is_put_away_and_made_anew_later() -> None:
    async def story() -> None:
        hold = Hold(held=True, green=False)
        letting_go = [True, False]

        def connecting() -> bool:
            hold.set(not letting_go.pop(0))
            return True

        runner = Runner(connecting)
        others = Others(runner, hold)
        others.put_off(old := object(), "discord")
        runner.adapters["discord"] = old
        await others.connect()
        assert runner.disconnected == runner.made, "both sides would answer"
        assert runner.adapters == {"discord": old}
        assert others.waits("discord")
        hold.set(True)
        await others.connect()
        assert runner.adapters == {"discord": runner.made[1]}
        assert not others.waits("discord")

    play(story)


@pytest.mark.parametrize("answers", [True, False])
def test_an_adapter_that_cannot_poll_is_replaced_at_once_or_left_to_the_watcher_of_hermes(answers: bool) -> None:
    async def story() -> None:
        runner = Runner(lambda: answers)
        others = Others(runner, Hold(held=True, green=False))
        runner._failed_platforms["discord"] = {"next_retry": 1e9}
        await others.replace(old := SimpleNamespace(platform="discord"))
        assert runner.disconnected[0] is old
        assert list(runner.adapters) == ["discord"] * answers
        assert [each["next_retry"] for each in runner._failed_platforms.values()] == [0.0] * (not answers)
        assert not others.waits("discord")

    play(story)


def test_an_adapter_that_the_operator_has_paused_stays_so() -> None:
    async def story() -> None:
        runner = Runner(lambda: True)
        runner._failed_platforms["discord"] = {"paused": True}
        await Others(runner, Hold(held=True, green=False)).replace(SimpleNamespace(platform="discord"))
        assert runner._failed_platforms == {"discord": {"paused": True}}
        assert not runner.made

    play(story)


def test_an_adapter_that_waits_to_be_connected_has_no_clean_polls() -> None:
    others = Others(runner := Runner(lambda: True), Hold(held=True, green=False))
    runner.adapters = {"discord": object(), "slack": object()}
    others.put_off(runner.adapters["discord"], "discord")
    general = [SimpleNamespace(platform=name, account="default", way="general") for name in runner.adapters]
    seen = SimpleNamespace(_runner=runner, _others=others, identity=lambda: SimpleNamespace(adapters=general))
    assert HermesGateway._connected_generally(cast(Any, seen)) == {"slack:default": 1}


# --------------------------------------------------------------------------- the janitor


def test_who_looks_after_what_hermes_drops_looks_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hermes, "JANITOR_S", 0.0)
    looks: list[None] = []

    async def story() -> None:
        again = asyncio.Event()

        async def tend(*_: Any) -> None:
            looks.append(None)
            if len(looks) == 1:
                raise RuntimeError("something unexpected")
            again.set()
            await asyncio.Event().wait()

        accounts = SimpleNamespace(tend=tend)
        seen = SimpleNamespace(hold=Hold(held=True, green=False), _accounts=accounts, _queues=None, _turns=None)
        janitor = asyncio.ensure_future(HermesGateway._janitor(cast(Any, seen)))
        await asyncio.wait({asyncio.ensure_future(again.wait()), janitor}, return_when=asyncio.FIRST_COMPLETED)
        assert not janitor.done()
        janitor.cancel()

    play(story)


def test_what_waited_for_the_adapter_that_was_torn_down_comes_before_what_the_new_one_polls() -> None:
    async def story() -> None:
        scene = Scene()
        scene.accepted(11)
        scene.adapter.tear_down()
        before: list[str] = []
        new = Adapter(lambda: before.extend(fed(new)))
        scene.made(new)
        await new._start_polling_resilient(drop_pending_updates=False, error_callback=None)
        assert before == ["11"]

    play(story)


def test_a_batch_whose_poll_was_thrown_away_while_it_was_journaled_is_fed_from_here(journal: Journal) -> None:
    journal.append(Draft(started()), Draft(connected()), writer=BLUE)
    ledger = Ledger(journal, Pseudonyms(b"k" * 32), BLUE, lambda n: b"x" * n, taking=True)

    async def story() -> None:
        scene, busy = Scene(), threading.Event()
        scene.hold.ledger = ledger
        account, update = scene.account(scene.adapter), Update("11", "text", CHAT, b"11", "1")
        other = asyncio.ensure_future(scene.hold.write(busy.wait, 10))
        await asyncio.sleep(0)
        poll = asyncio.ensure_future(account._fetched((update,), 12))
        await asyncio.sleep(0)
        poll.cancel()  # as the library does with the poll that is under way, whenever polling is begun anew
        await asyncio.gather(poll, return_exceptions=True)
        busy.set()
        await other
        while "11" not in account.inbox:
            await asyncio.sleep(0.01)
        assert [t.update.update_id for t in account.inbox.unseen(older_than_s=0, now_s=10**9)] == ["11"]
        assert await account._fetched((update,), 12), "the platform hands it over again"
        assert account.inbox.see("11") is not None
        assert account.inbox.see("11") is None

    play(story)


@pytest.mark.parametrize("while_it_is_opened", [True, False])
def test_a_press_whose_handlers_were_cut_off_with_their_adapter_does_not_hold_its_chat_for_ever(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, while_it_is_opened: bool
) -> None:
    """For as long as this process lives the next one would leave the chat to it: through the whole bake."""
    journal.append(Draft(started()), Draft(connected()), writer=BLUE)
    ledger = Ledger(journal, Pseudonyms(b"k" * 32), BLUE, lambda n: b"x" * n, taking=True)
    monkeypatch.setattr(telegram, "module", lambda _: SimpleNamespace(ApplicationHandlerStop=RuntimeError))

    async def story() -> None:
        scene, busy = Scene(), threading.Event()
        scene.hold.ledger = ledger
        account = scene.account(scene.adapter)
        assert await account._fetched((Update("11", "callback", CHAT, b"{}", "1"),), 12)
        other = asyncio.ensure_future(scene.hold.write(busy.wait, 10))
        await asyncio.sleep(0)
        handling = asyncio.ensure_future(account._before(SimpleNamespace(update_id=11), None))
        await asyncio.sleep(0)
        if while_it_is_opened:
            handling.cancel()
            await asyncio.sleep(0)
        busy.set()
        await asyncio.gather(handling, other, return_exceptions=True)
        scene.adapter.tear_down()  # the handlers behind ours never come to their end
        scene.made(Adapter())
        await asyncio.sleep(0)
        await scene.hold.written()

    play(story)
    assert (journal.head.turns, journal.head.messages) == ({}, {})
