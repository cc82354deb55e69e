"""The Telegram adapters of one runner: made, let go and taken together, and what the journal gives back fed to the right one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

from gateway_hooks.gateway import AdapterInfo, Finding, Ticket
from gateway_hooks.hermes import seams
from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.telegram import PLATFORM, Telegram
from gateway_hooks.hermes.turns import Turns

Offsets = Mapping[str, int | None]


class Accounts:
    """All methods but those that say who we are run on the gateway's loop."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._all: list[Telegram] = []
        self._early: list[Ticket] = []

    # ---- who we are

    def infos(self, config: Any) -> tuple[AdapterInfo, ...]:
        """Every adapter that the configuration enables, those that stand first."""
        infos = [each.info for each in self._all]
        known = {PLATFORM} if infos else set()
        for platform, settings in dict(getattr(config, "platforms", None) or {}).items():
            name = str(getattr(platform, "value", platform))
            if name not in known and getattr(settings, "enabled", False):
                infos.append(AdapterInfo(name, _account(settings), "warm" if warm_way(name) else "general"))
        return tuple(infos)

    def findings(self) -> tuple[Finding, ...]:
        """What the adapters lack of what we need."""
        return tuple(finding for each in self._all for finding in seams.adapter_findings(each.adapter))

    @property
    def waiting(self) -> int:
        """Updates that are here and were not started."""
        return sum(each.waiting for each in self._all) + len(self._early)

    @property
    def polls(self) -> dict[str, int]:
        """Clean polls since the last connect, by adapter; none of an adapter that was torn down."""
        return {each.name: each.polls if each.standing else 0 for each in self._all}

    @property
    def adapters(self) -> set[int]:
        """The ``id`` of each adapter object."""
        return {id(each.adapter) for each in self._all}

    # ---- made by Hermes

    def creating(self, queues: Queues, turns: Turns) -> Callable[[Any], Callable[[Any, Any], Any]]:
        """Around ``_create_adapter``: one of ours takes the place of the one that had the same token, and takes up what that one had
        not started."""

        def make(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            def create(platform: Any, config: Any) -> Any:
                adapter = original(platform, config)
                name = str(getattr(platform, "value", platform))
                if adapter is not None and name == PLATFORM and name in self._hold.covered:
                    new = Telegram(adapter, self._hold, queues, turns, self.feed_early)
                    for old in [each for each in self._all if each.info.account == _account(config)]:
                        self._all.remove(old)
                        self._early += old.inbox.unstarted()
                        queues.retire(old.adapter)
                        old.successor = new
                        turns.keep(old.end_callbacks())
                    self._all.append(new)
                return adapter

            return create

        return make

    # ---- letting go, taking over

    def let_go(self) -> Offsets:
        """Poll no more. Returns the next offsets."""
        self._early.clear()
        return {each.name: each.let_go() for each in self._all}

    async def let_go_is_over(self) -> None:
        """Wait until the library has put its polls away."""
        for each in self._all:
            await each.let_go_is_over()

    async def take(self, runner: Any, *, whole: bool) -> tuple[Any, ...]:
        """Begin to poll. Returns the adapters that cannot and must be replaced; with ``whole`` that is an error, and it is raised."""
        fallen = [each for each in self._all if not each.standing]
        if whole and fallen:
            raise RuntimeError("the Application was not built, or was torn down")
        standing = [each for each in self._all if each not in fallen]
        for each in standing:
            runner.adapters.setdefault(each.adapter.platform, each.adapter)
        outcomes = await asyncio.gather(*(each.take() for each in standing), return_exceptions=not whole)
        for each, outcome in zip(standing, outcomes, strict=True):
            if isinstance(outcome, Exception):
                log.error("an adapter that stood could not be polled and is replaced: %s", outcome)
                fallen.append(each)
        return tuple(each.adapter for each in fallen)

    def after_taking(self) -> None:
        """What need not stand between the old poll and the new one."""
        for each in self._all:
            if each.standing:
                each.after_taking()

    def offsets(self) -> Offsets:
        """Where each account has read to."""
        return {each.name: each.offset for each in self._all}

    async def warm_up(self) -> None:
        """Open the connections that the first polls will use."""
        await asyncio.gather(*(each.warm_up() for each in self._all))

    # ---- fed by the journal

    def feed(self, ticket: Ticket) -> None:
        """Hand a message to its account's handlers; a gateway that starts is told what to take up before its adapters stand."""
        account = next((each for each in self._all if each.info.account == ticket.account), None)
        if account is not None and account.ready:
            account.feed(ticket)
        else:
            self._early.append(ticket)

    def feed_early(self) -> None:
        """Try again what came before its adapter stood."""
        early, self._early = self._early, []
        for ticket in early:
            self.feed(ticket)

    async def tend(self, queues: Queues, turns: Turns) -> None:
        """Feed what was thrown away between poll and handler, and what Hermes dropped from its own queues; settle what it drops for
        good."""
        self.feed_early()
        waiting = queues.ids()
        for each in self._all:
            each.feed_unseen()
            if not each.ready:  # what its queues have lost is fed to the adapter that takes its place
                continue
            for update_id in each.inbox.strays(waiting):
                if each.feed_dropped(update_id):
                    log.warning("Hermes dropped a message from its own queue; it is fed again")
                    continue
                log.error("Hermes dropped a message from its own queue again and again; it is settled as abandoned")
                for message in each.inbox.drop(update_id):
                    await turns.write("settle", message, "abandoned")


def warm_way(platform: str) -> bool:
    """Whether we know how this platform changes hands within milliseconds, set up as it is."""
    return platform == PLATFORM and not os.environ.get("TELEGRAM_WEBHOOK_URL", "").strip()


def _account(settings: Any) -> str:
    """A bot's id, which is the first half of a Telegram token; other tokens are all secret."""
    bot, colon, _ = str(getattr(settings, "token", "") or "").partition(":")
    return bot if colon and bot.isdigit() else "default"
