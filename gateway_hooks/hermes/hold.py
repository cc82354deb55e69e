"""What this process holds at the moment: the adapters or nothing. One per process, read from the loop and from threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from gateway_hooks.gateway import GatewayFault, Ledger, SettledAs

log = logging.getLogger("handoff_journal.hermes")
T = TypeVar("T")


class Hold:
    """Whether we may poll, start turns and write as the gateway.

    ``held`` is False in a green that waits warm and in a blue that has let go. ``stopping`` is True from the moment at which
    a process that holds the adapters was told to stop. ``covered`` names the platforms whose messages the journal knows.
    """

    def __init__(self, *, held: bool, green: bool) -> None:
        self.held = held
        self.green = green
        self.stopping = False
        self.covered: set[str] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._ledger: Ledger | None = None
        self._taken = asyncio.Event()
        self._let_go = asyncio.Event()
        self._writer = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="handoff-ledger")
        self.set(held)

    def set(self, held: bool) -> None:
        """Change what we hold. On the loop's thread, or before the loop runs."""
        self.held = held
        for event, value in ((self._taken, held), (self._let_go, not held)):
            event.set() if value else event.clear()

    @property
    def starting(self) -> bool:
        """Whether a message may be started here now."""
        return self.held and not self.stopping

    @property
    def taken(self) -> asyncio.Event:
        return self._taken

    @property
    def let_go(self) -> asyncio.Event:
        return self._let_go

    @property
    def ledger(self) -> Ledger:
        """What we write with. Raises ``GatewayFault`` before the seat was taken."""
        if self._ledger is None:
            raise GatewayFault("there is no ledger yet", hint="wait until the gateway's loop runs")
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def write(self, call: Callable[..., T], *arguments: Any) -> T:
        """Make one blocking call of the ledger off the loop; calls keep the order in which they were made, and none is withdrawn.

        Who is cancelled while he waits does not hear how it went.
        """
        made = asyncio.get_running_loop().run_in_executor(self._writer, lambda: call(*arguments))
        return await asyncio.shield(made)

    async def written(self) -> None:
        """Wait until every call made so far has returned."""
        await self.write(lambda: None)

    def while_held(self, watcher: Callable[..., Any]) -> Callable[..., Any]:
        """Let one of the gateway's endless watchers run only while the adapters are ours; it starts afresh each time."""

        async def guarded(*arguments: Any, **options: Any) -> Any:
            while True:
                await self.taken.wait()
                work = asyncio.ensure_future(watcher(*arguments, **options))
                gone = asyncio.ensure_future(self.let_go.wait())
                try:
                    await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if work.done():
                        return work.result()
                finally:
                    gone.cancel()
                    if not work.done():
                        work.cancel()
                        await asyncio.gather(work, return_exceptions=True)

        return guarded


async def outlast(work: asyncio.Future[Any]) -> bool:
    """Wait until it is over, however often whoever waits is cancelled meanwhile; True when it came to a result."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    return not work.cancelled() and work.exception() is None


def settle_all(ledger: Ledger, messages: Sequence[int], outcome: SettledAs) -> None:
    """Settle what one event spoke for, in one call: who waits for it may be cancelled. What is refused changes nothing here."""
    for message in messages:
        try:
            ledger.settle(message, outcome)
        except Exception as error:
            log.warning("the ledger refused settle: %s", error)


def join_all(ledger: Ledger, turn: int, messages: Sequence[int]) -> None:
    """The same of what Hermes has steered into a turn: whatever the journal can take of that, it is not to be begun again."""
    for message in messages:
        try:
            ledger.join(turn, message)
        except Exception as error:
            log.warning("the ledger refused join: %s", error)
            settle_all(ledger, (message,), "merged")
