"""The port, implemented within a real Hermes gateway.

Built when the plugin is registered, before there is a runner; armed when the runner stands and its loop runs (`arm`). From
then on the manager's thread drives it; everything that touches Hermes hops onto the gateway's loop and has a bound.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway_hooks.gateway import (
    AdapterInfo,
    Finding,
    Flushed,
    Gateway,
    GatewayFault,
    Health,
    Identity,
    Ledger,
    Ticket,
    Watcher,
)
from gateway_hooks.hermes import chores, leaving, seams
from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import loaded, module, version, wrap
from gateway_hooks.hermes.internals import runner as current_runner
from gateway_hooks.hermes.others import Others
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.recoverers import Recoverers
from gateway_hooks.hermes.sessions import Sessions
from gateway_hooks.hermes.telegram import PLATFORM, Telegram
from gateway_hooks.hermes.turns import STREAM, Turns
from gateway_hooks.hermes.warm import Guards, Start
from gateway_hooks.hermes.warmth import Warmth
from gateway_hooks.hermes.watchers import Watchers

T = TypeVar("T")
Offsets = Mapping[str, int | None]
WARM_WITHIN_S = 60.0
JANITOR_S = 1.0
SWITCH_S = 0.0002


class HermesGateway(Gateway):
    """One gateway process. ``on_armed`` is called on the loop's thread once, when everything below works."""

    def __init__(self, home: Path, *, green: bool, serving: bool, on_armed: Callable[[], None]) -> None:
        self.home = home
        self.hold = Hold(held=serving, green=green)
        self._on_armed = on_armed
        self._warm = threading.Event()
        self._warmth = Warmth(home / "handoff")
        self._runner: Any = None
        self._telegrams: list[Telegram] = []
        self._guards = Guards(self.hold, home, self.arm)
        self._started_at_s = time.monotonic()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._early: list[Ticket] = []

    @property
    def ledger(self) -> Ledger:
        return self.hold.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self.hold.ledger = ledger

    # ---- who it is

    def identity(self) -> Identity:
        infos = [telegram.info for telegram in self._telegrams]
        known = {PLATFORM} if infos else set()
        config = getattr(self._runner, "config", None) or self._configured()
        for platform, settings in dict(getattr(config, "platforms", None) or {}).items():
            name = str(getattr(platform, "value", platform))
            if name not in known and getattr(settings, "enabled", False):
                infos.append(AdapterInfo(name, _account(settings), "warm" if self._warm_way(name) else "general"))
        return Identity("hermes", version(), tuple(infos))

    def _configured(self) -> Any:
        """The gateway's configuration, before it has a runner."""
        try:
            return module("gateway.config").load_gateway_config()
        except Exception as error:
            log.warning("Hermes' configuration could not be read yet: %s", error)
            return None

    @staticmethod
    def _warm_way(platform: str) -> bool:
        return platform == PLATFORM and not os.environ.get("TELEGRAM_WEBHOOK_URL", "").strip()

    def preflight(self) -> tuple[Finding, ...]:
        adapters = [finding for each in self._telegrams for finding in seams.adapter_findings(each.adapter)]
        return (*seams.findings(), *adapters, *seams.way_findings(self.identity().adapters), *self._schema())

    def _schema(self) -> tuple[Finding, ...]:
        """Which schema of ``state.db`` this Hermes writes: another Hermes that opens the file may migrate it under its feet."""
        number = getattr(module("hermes_state"), "SCHEMA_VERSION", None)
        return (Finding("hermes.schema", "ok", f"hermes-agent {version()} writes state.db with schema {number}"),)

    # ---- sessions

    def load(self) -> tuple[Flushed, ...]:
        if not self._warm.wait(WARM_WITHIN_S):
            raise GatewayFault("Hermes did not come up to its first poll in time", hint="look into its log")
        self._warmth.take()
        flushed = self._sessions.load()
        self._on_loop(self._warm_up(), 10.0)
        return flushed

    def flush(self) -> tuple[Flushed, ...]:
        self._armed()
        if self.hold.held:
            self._warmth.leave()
        return self._sessions.flush()

    # ---- the adapters

    def pause(self) -> Offsets:
        with _nimble():
            return self._on_loop(self._pause(), 30.0)

    def connect(self) -> Offsets:
        self._armed()
        if not self._warm.wait(WARM_WITHIN_S):
            raise GatewayFault("Hermes did not come up to its first poll in time", hint="look into its log")
        with _nimble():
            return self._on_loop(self._connect(), 30.0)

    def turns(self) -> int:
        return self._turns.count() + chores.running_jobs(self._runner) if self._runner is not None else 0

    def take_up(self, ticket: Ticket) -> None:
        if ticket.platform != PLATFORM:
            raise GatewayFault(f"no adapter here takes a message of {ticket.platform}", hint="its adapter has no inbox")
        self._loop().call_soon_threadsafe(self._feed, ticket)

    def _feed(self, ticket: Ticket) -> None:
        telegram = next((each for each in self._telegrams if each.info.account == ticket.account), None)
        if telegram is not None and telegram.ready:
            telegram.feed(ticket)
        else:
            self._early.append(ticket)  # a gateway that starts is told what to take up before its adapters stand

    def _feed_early(self) -> None:
        early, self._early = self._early, []
        for ticket in early:
            self._feed(ticket)

    def watchers(self) -> tuple[Watcher, ...]:
        self._armed()
        return self._watchers.pending()

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        self._on_loop(self._call(lambda: self._watchers.adopt(watchers)), 10.0)

    # ---- health and end

    def sample(self) -> Health:
        asked = time.monotonic()
        return self._on_loop(self._sample(asked), 5.0)

    def end(self) -> None:
        self._armed()
        self._loop().call_soon_threadsafe(lambda: self._keep(self._leave()))

    def abandon(self) -> None:
        """There will be no seat: Hermes runs as if we were not there."""
        self._guards.disarm()
        self.hold.set(True)

    # ---- on the loop

    def arm(self) -> None:
        """The runner stands, its loop runs, and nothing of ``start()`` has happened: put our hands in."""
        runner, hold = current_runner(), self.hold
        if runner is None:
            log.error("the runner was not found; this gateway runs as if handoff-journal were not there")
            return
        self._runner = runner
        hold.loop = asyncio.get_running_loop()
        if self._warm_way(PLATFORM):
            hold.covered.add(PLATFORM)
        self._queues = Queues(runner)
        self._turns = Turns(hold, self._queues, runner)
        self._sessions = Sessions(runner, hold)
        self._watchers = Watchers(runner, hold)
        self._recoverers = Recoverers(runner, hold, self.home)
        chores.restrain(runner, hold)
        self._others = Others(runner)
        Start(runner, hold, self._others, self._reached)
        turns = self._turns
        wrap(runner, "_create_adapter", self._creating)
        wrap(runner, "_handle_message", turns.door)
        wrap(runner, "_handle_active_session_busy_message", turns.busy)
        wrap(runner, "_promote_queued_event", turns.promote)
        wrap(runner, "_run_agent", turns.run_agent)
        wrap(runner, "_interrupt_and_clear_session", turns.clearing)
        wrap(runner, "_interrupt_running_agents", self._interrupting)
        wrap(runner, "stop", self._stopping)
        for name in ("gateway.run", "gateway.platforms.base"):
            wrap(module(name), "merge_pending_message_event", self._queues.merging)
        consumer = getattr(loaded("gateway.stream_consumer"), "GatewayStreamConsumer", None)
        if consumer is not None:
            wrap(consumer, "run", _streaming)
        self._keep(self._janitor())
        self._on_armed()

    async def _pause(self) -> Offsets:
        hold = self.hold
        hold.set(False)
        self._early.clear()
        offsets = {each.name: each.let_go() for each in self._telegrams}
        self._queues.empty()
        self._guards.release()
        await self._others.disconnect({id(each.adapter) for each in self._telegrams})
        self._watchers.park()
        return offsets

    async def _connect(self) -> Offsets:
        hold, runner = self.hold, self._runner
        hold.set(True)
        runner._startup_restore_in_progress = False
        for each in self._telegrams:
            runner.adapters.setdefault(each.adapter.platform, each.adapter)
        try:
            await asyncio.gather(*(each.take() for each in self._telegrams))
        except Exception as error:
            hold.set(False)
            raise GatewayFault(f"Telegram could not be polled: {error}", hint="the other side should go on") from error
        self._keep(self._settle_in())
        return {each.name: each.offset for each in self._telegrams}

    async def _settle_in(self) -> None:
        """The rest of connecting, after the first poll is out."""
        for each in self._telegrams:
            each.after_taking()
        runner = self._runner
        await self._others.connect()
        self._recoverers.take_marker()
        self._watchers.resume()
        await self._guards.claim()
        update = getattr(runner, "_update_runtime_status", None)
        if callable(update) and runner._running:
            update("running")

    async def _warm_up(self) -> None:
        await asyncio.gather(*(each.warm_up() for each in self._telegrams))

    async def _sample(self, asked: float) -> Health:
        began = time.monotonic()
        await asyncio.sleep(0)
        lag = max(began - asked, time.monotonic() - began)
        return Health(
            loop_lag_ms=lag * 1000.0,
            turns=self.turns(),
            waiting=sum(each.waiting for each in self._telegrams),
            answered=self._turns.answered,
            errors=self._turns.errors,
            rss_mb=_rss_mb(),
            polls={each.name: each.polls for each in self._telegrams},
        )

    async def _janitor(self) -> None:
        """Feeds what was thrown away between poll and handler, and settles what Hermes dropped from its own queues."""
        while True:
            await asyncio.sleep(JANITOR_S)
            if not self.hold.held or self.hold.stopping:
                continue
            self._feed_early()
            waiting = self._queues.ids()
            for each in self._telegrams:
                each.feed_unseen()
                for update_id in each.inbox.strays(waiting):
                    log.warning("Hermes dropped a message from its own queue; it is settled as abandoned")
                    for message in each.inbox.drop(update_id):
                        await self._turns.write("settle", message, "abandoned")

    def _creating(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def create(platform: Any, config: Any) -> Any:
            adapter = original(platform, config)
            name = str(getattr(platform, "value", platform))
            if adapter is not None and name == PLATFORM and name in self.hold.covered:
                old = [each for each in self._telegrams if each.info.account == str(config.token).partition(":")[0]]
                for each in old:
                    self._telegrams.remove(each)
                    self._queues.forget(each.adapter)
                self._telegrams.append(Telegram(adapter, self.hold, self._queues, self._turns))
            return adapter

        return create

    def _interrupting(self, original: Callable[[str], None]) -> Callable[[str], None]:
        def interrupt(reason: str) -> None:
            self._turns.doom()
            original(reason)

        return interrupt

    def _stopping(self, original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Around ``stop()``: an owner stops as Hermes does; who holds nothing leaves without a trace."""

        async def stop(**options: Any) -> None:
            if self.hold.held:
                self.hold.stopping = True
                for each in self._telegrams:
                    each.let_go()
                    await each.let_go_is_over()
                await original(**options)
                await asyncio.to_thread(self.on_ended)
            else:
                await self._leave()

        return stop

    async def _leave(self) -> None:
        if self.hold.held:
            await self._pause()
        await leaving.leave(self._runner, self._watchers, self.on_ended)

    def on_ended(self) -> None:
        """Replaced by the plugin: the runner has stopped cleanly."""

    def _reached(self) -> None:
        self._recoverers.keep_marker()
        self._feed_early()
        self._warm.set()

    # ---- hopping

    def _armed(self) -> None:
        if self._runner is None:
            raise GatewayFault("Hermes' runner does not stand yet", hint="wait until the gateway's loop runs")

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self.hold.loop
        if loop is None or loop.is_closed():
            raise GatewayFault("the gateway's loop does not run", hint="the process is starting or ending")
        return loop

    def _on_loop(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop())
        except GatewayFault:
            work.close()
            raise
        try:
            return future.result(seconds)
        except TimeoutError as error:
            future.cancel()
            raise GatewayFault(f"the gateway's loop did not answer within {seconds:g} s") from error

    @staticmethod
    async def _call(work: Callable[[], T]) -> T:
        return work()

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextmanager
def _nimble() -> Iterator[None]:
    """Let the loop's thread in between working threads sooner: what happens now happens while nobody polls."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _streaming(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def run(self: Any) -> Any:
        token = STREAM.set(True)
        try:
            return await original(self)
        finally:
            STREAM.reset(token)

    return run


def _account(settings: Any) -> str:
    """A bot's id, which is the first half of a Telegram token; other tokens are all secret."""
    bot, colon, _ = str(getattr(settings, "token", "") or "").partition(":")
    return bot if colon and bot.isdigit() else "default"


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
