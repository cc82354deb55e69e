"""The port, implemented within a real Hermes gateway.

Built when the plugin is registered, before there is a runner; armed when the runner stands and its loop runs (`arm`). From
then on the manager's thread drives it; everything that touches Hermes hops onto the gateway's loop and has a bound.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from gateway_hooks.gateway import (
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
from gateway_hooks.hermes.accounts import Accounts, Offsets, warm_way
from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.hop import Hop, nimble
from gateway_hooks.hermes.internals import loaded, module, version, wrap
from gateway_hooks.hermes.internals import runner as current_runner
from gateway_hooks.hermes.notice import HomeChannel
from gateway_hooks.hermes.others import Others
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.recoverers import Recoverers
from gateway_hooks.hermes.sessions import Sessions
from gateway_hooks.hermes.telegram import PLATFORM
from gateway_hooks.hermes.turns import Turns, aside, streaming
from gateway_hooks.hermes.warm import Guards, Start
from gateway_hooks.hermes.warmth import Warmth
from gateway_hooks.hermes.watchers import Watchers

WARM_WITHIN_S = 60.0
JANITOR_S = 1.0


class HermesGateway(Gateway):
    """One gateway process. ``on_armed`` is called on the loop's thread once, when everything below works."""

    def __init__(self, home: Path, *, green: bool, serving: bool, on_armed: Callable[[], None]) -> None:
        self.home = home
        self.hold = Hold(held=serving, green=green)
        self._on_armed = on_armed
        self._warm = threading.Event()
        self._warmth = Warmth(home / "handoff")
        self._runner: Any = None
        self._hop = Hop(self.hold)
        self._served = False
        self._accounts = Accounts(self.hold)
        self.channel = HomeChannel(self.hold, self._hop)
        self._guards = Guards(self.hold, home, self.arm)

    @property
    def ledger(self) -> Ledger:
        return self.hold.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self.hold.ledger = ledger

    # ---- who it is

    def identity(self) -> Identity:
        config = getattr(self._runner, "config", None) or self._configured()
        return Identity("hermes", version(), self._accounts.infos(config))

    def _configured(self) -> Any:
        """The gateway's configuration, before it has a runner."""
        try:
            return module("gateway.config").load_gateway_config()
        except Exception as error:
            log.warning("Hermes' configuration could not be read yet: %s", error)
            return None

    def preflight(self) -> tuple[Finding, ...]:
        ways = seams.way_findings(self.identity().adapters)
        return (*seams.findings(), *self._accounts.findings(), *ways, *self._schema())

    def _schema(self) -> tuple[Finding, ...]:
        """Which schema of ``state.db`` this Hermes writes: another Hermes that opens the file may migrate it under its feet."""
        number = getattr(module("hermes_state"), "SCHEMA_VERSION", None)
        return (Finding("hermes.schema", "ok", f"hermes-agent {version()} writes state.db with schema {number}"),)

    # ---- sessions

    def load(self) -> tuple[Flushed, ...]:
        self._wait_warm()
        self._warmth.take()
        flushed = self._sessions.load()
        self._hop.wait_for(self._accounts.warm_up(), 10.0)
        return flushed

    def _wait_warm(self) -> None:
        if not self._warm.wait(WARM_WITHIN_S):
            raise GatewayFault("Hermes did not come up to its first poll in time", hint="look into its log")

    def flush(self) -> tuple[Flushed, ...]:
        self._armed()
        if self.hold.held:
            self._warmth.leave()
        return self._sessions.flush()

    # ---- the adapters

    def pause(self) -> Offsets:
        with nimble():
            return self._hop.wait_for(self._pause(), 30.0)

    def connect(self) -> Offsets:
        self._armed()
        self._wait_warm()
        with nimble():
            return self._hop.wait_for(self._connect(), 30.0)

    def turns(self) -> int:
        return self._turns.count() + chores.running_jobs(self._runner) if self._runner is not None else 0

    def take_up(self, ticket: Ticket) -> None:
        if ticket.platform != PLATFORM:
            raise GatewayFault(f"no adapter here takes a message of {ticket.platform}", hint="its adapter has no inbox")
        self._hop.soon(lambda: self._accounts.feed(ticket))

    def watchers(self) -> tuple[Watcher, ...]:
        self._armed()
        return self._watchers.pending()

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        self._hop.wait_for(self._adopt(watchers), 10.0)

    # ---- health and end

    def sample(self) -> Health:
        return self._hop.wait_for(self._sample(time.monotonic()), 5.0)

    def end(self) -> None:
        self._armed()
        self._hop.soon(lambda: self._hop.keep(self._leave()))

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
        self._runner = self.channel.runner = runner
        hold.loop = asyncio.get_running_loop()
        if warm_way(PLATFORM):
            hold.covered.add(PLATFORM)
        self._queues = Queues(runner)
        self._sessions = Sessions(runner, hold)
        self._turns = Turns(hold, self._queues, runner, self._sessions.forget_attempt)
        self._watchers = Watchers(runner, hold)
        self._recoverers = Recoverers(runner, hold, self.home)
        chores.restrain(runner, hold)
        self._others = Others(runner, hold)
        Start(runner, hold, self._others, self._reached)
        turns = self._turns
        wrap(runner, "_create_adapter", self._accounts.creating(self._queues, self._turns))
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
            wrap(consumer, "run", streaming)
            wrap(consumer, "_send_commentary", aside)
        self._hop.keep(self._janitor())
        self._on_armed()

    async def _pause(self) -> Offsets:
        self.hold.set(False)
        offsets = self._accounts.let_go()
        self._queues.empty()
        self._guards.release()
        await self._others.disconnect(self._accounts.adapters)
        self._watchers.park()
        await self.hold.written()
        return offsets

    async def _connect(self) -> Offsets:
        self.hold.set(True)
        self._runner._startup_restore_in_progress = False
        try:
            # A green that never polled gives up, for blue can; whoever has nobody behind it goes on with what stands.
            fallen = await self._accounts.take(self._runner, whole=self.hold.green and not self._served)
        except Exception as error:
            self.hold.set(False)
            raise GatewayFault(f"Telegram could not be polled: {error}", hint="the other side should go on") from error
        self._served = True
        self._hop.keep(self._settle_in())
        for adapter in fallen:
            self._hop.keep(self._others.replace(adapter))
        return self._accounts.offsets()

    async def _settle_in(self) -> None:
        """The rest of connecting, after the first poll is out."""
        self._accounts.after_taking()
        runner = self._runner
        await self._others.connect()
        self._recoverers.take_marker()
        self._watchers.resume()
        self._watchers.recover()
        await self._guards.claim()
        update = getattr(runner, "_update_runtime_status", None)
        if callable(update) and runner._running:
            update("running")

    async def _adopt(self, watchers: Sequence[Watcher]) -> None:
        self._watchers.adopt(watchers)

    async def _sample(self, asked: float) -> Health:
        began = time.monotonic()
        await asyncio.sleep(0)
        lag = max(began - asked, time.monotonic() - began)
        return Health(
            loop_lag_ms=lag * 1000.0,
            turns=self.turns(),
            waiting=self._accounts.waiting,
            answered=self._turns.answered,
            errors=self._turns.errors,
            rss_mb=_rss_mb(),
            polls={**self._connected_generally(), **self._accounts.polls},
        )

    def _connected_generally(self) -> dict[str, int]:
        """Adapters whose polls we do not see, as one clean poll each while they are connected."""
        connected = {
            str(getattr(platform, "value", platform))
            for platform in self._runner.adapters
            if not self._others.waits(platform)
        }
        general = [each for each in self.identity().adapters if each.way == "general"]
        return {f"{each.platform}:{each.account}": 1 for each in general if each.platform in connected}

    async def _janitor(self) -> None:
        while True:
            await asyncio.sleep(JANITOR_S)
            if self.hold.starting:
                try:
                    await self._accounts.tend(self._queues, self._turns)
                except Exception:
                    log.exception("what Hermes dropped could not be looked after; the next look comes")

    def _interrupting(self, original: Callable[[str], None]) -> Callable[[str], None]:
        def interrupt(reason: str) -> None:
            self._turns.doom()
            original(reason)

        return interrupt

    def _stopping(self, original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Around ``stop()``: an owner stops as Hermes does; who holds nothing leaves without a trace."""

        async def stop(**options: Any) -> None:
            self.on_leaving()
            if self.hold.held:
                self.hold.stopping = True
                self._accounts.let_go()
                await self._accounts.let_go_is_over()
                await original(**options)
                await asyncio.to_thread(self.on_ended)
            else:
                await self._leave()

        return stop

    async def _leave(self) -> None:
        if self.hold.held:
            await self._pause()
        await leaving.leave(self._runner, self._watchers, self.on_ended)

    def on_leaving(self) -> None:
        """Replaced by the plugin: the runner was asked to stop, and begins to."""

    def on_ended(self) -> None:
        """Replaced by the plugin: the runner has stopped cleanly."""

    def _reached(self) -> None:
        self._recoverers.keep_marker()
        self._accounts.feed_early()
        self._warm.set()

    # ---- hopping

    def _armed(self) -> None:
        if self._runner is None:
            raise GatewayFault("Hermes' runner does not stand yet", hint="wait until the gateway's loop runs")


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
