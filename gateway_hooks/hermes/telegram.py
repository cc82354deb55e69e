"""Telegram, the adapter that changes hands within milliseconds.

Blue lets go by ending its poll and nothing else: its Application keeps running, so that turns in flight can send, and so that
it can poll again. Green is connected up to, and not including, its first poll; to take over is to start that poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_hooks.gateway import AdapterInfo, AlreadyTaken, NotOwner, Ticket, Update
from gateway_hooks.hermes import wire
from gateway_hooks.hermes.hold import Hold, log, outlast
from gateway_hooks.hermes.inbox import Inbox
from gateway_hooks.hermes.internals import loaded, module, wrap
from gateway_hooks.hermes.queues import Queues
from gateway_hooks.hermes.turns import FRAME, Turns

PLATFORM = "telegram"
QUIET_S = 0.5
PATH_S = 120.0
"""How long a reply waits for the adapter to find its way to the platform again. Hermes alone gives it up after six seconds."""
LOOK_S = 0.1
LAST = 1 << 20
_webhook_is_gone: contextvars.ContextVar[bool] = contextvars.ContextVar("handoff_no_bootstrap", default=False)


class Telegram:
    """One Telegram adapter of the runner. All methods run on the gateway's loop."""

    def __init__(self, adapter: Any, hold: Hold, queues: Queues, turns: Turns, early: Callable[[], None]) -> None:
        """``early`` feeds what was to be taken up before this adapter stood."""
        self.adapter = adapter
        self._early = early
        self.inbox = Inbox()
        self.polls = 0
        self.successor: Telegram | None = None
        self._hold = hold
        self._queues = queues
        self._turns = turns
        self._tapped: Any = None
        self._on_error: Any = None
        self._begin: Callable[..., Awaitable[bool]] | None = None
        self._housekeeping: Callable[[], Any] | None = None
        self._callbacks: dict[str, int] = {}
        self._ending: asyncio.Task[None] | None = None
        self._locks: tuple[str, str] | None = None
        self._arm()

    @property
    def info(self) -> AdapterInfo:
        token = str(getattr(getattr(self.adapter, "config", None), "token", "") or "")
        return AdapterInfo(PLATFORM, token.partition(":")[0], "warm")

    @property
    def name(self) -> str:
        return f"{self.info.platform}:{self.info.account}"

    @property
    def offset(self) -> int | None:
        return getattr(self._updater, "_last_update_id", None) or None

    @property
    def ready(self) -> bool:
        """Whether the handlers stand, so that updates may be fed."""
        return self._app is not None and self._tapped is self._app

    @property
    def standing(self) -> bool:
        """Whether the Application runs, so that polling may begin. After an error that its own recovery gives up, Hermes tears the
        adapter down, and only another one that takes its place can poll."""
        torn = getattr(self.adapter, "has_fatal_error", False)
        return not torn and self._begin is not None and bool(getattr(self._app, "running", False))

    @property
    def waiting(self) -> int:
        queue = getattr(self._app, "update_queue", None)
        return len(self.inbox) + (queue.qsize() if queue is not None and not len(self.inbox) else 0)

    @property
    def _heir(self) -> Telegram:
        """Whoever stands in this one's place now."""
        return self if self.successor is None else self.successor._heir

    @property
    def _app(self) -> Any:
        return getattr(self.adapter, "_app", None)

    @property
    def _updater(self) -> Any:
        return getattr(self._app, "updater", None)

    # ---- letting go, taking over

    def let_go(self) -> int | None:
        """Poll no more, at once: the poll that is under way is thrown away whatever it brings, and none follows.

        Nothing is awaited, because each turn of a busy loop is time in which nobody polls. Whoever polls next may find our
        last request still parked: the Bot API ends the older one. The library's confirming last poll is left out: the journal
        has what it would confirm, and the Bot API makes a repeated short poll wait up to 3 s.
        """
        adapter, updater = self.adapter, self._updater
        self._fence(True)
        offset = self.offset
        if updater is not None and updater.running and self._ending is None:
            self._ending = asyncio.ensure_future(self._end_polling(updater))
        for name in ("_polling_heartbeat_task", "_polling_error_task", "_polling_progress_verifier_task"):
            task = getattr(adapter, name, None)
            if task is not None and not task.done():
                task.cancel()
            setattr(adapter, name, None)
        adapter._send_path_degraded = False  # turns in flight go on sending
        self._release_lock()
        return offset

    async def let_go_is_over(self) -> None:
        """Wait until the library has put its poll away."""
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _end_polling(self, updater: Any) -> None:
        if hasattr(updater, "_Updater__polling_cleanup_cb"):
            updater._Updater__polling_cleanup_cb = _nothing
        try:
            await wire.within(updater.stop(), 5.0)
        except Exception as error:  # what its poll had ended with, too: it is over all the same
            log.warning("the poll could not be put away: %s", str(error) or "no answer within 5 s")
        finally:
            self._ending = None

    async def take(self) -> None:
        """Begin to poll. Whoever polled before has cleared the webhook and confirmed what it wanted to confirm."""
        updater = self._updater
        if updater is None or self._begin is None or not self.standing:
            raise RuntimeError("Telegram's Application does not stand")
        await self.let_go_is_over()
        if updater.running:
            return
        self._fence(False)
        updater._last_update_id = 0
        self.polls = 0
        token = _webhook_is_gone.set(True)
        try:
            await self._begin(drop_pending_updates=False, error_callback=self._on_error)
        finally:
            _webhook_is_gone.reset(token)
        self.adapter._send_path_degraded = False

    def after_taking(self) -> None:
        """What need not stand between the old poll and the new one."""
        adapter = self.adapter
        self._take_lock()
        heartbeat = getattr(adapter, "_polling_heartbeat_task", None)
        if heartbeat is None or heartbeat.done():
            adapter._polling_heartbeat_task = asyncio.ensure_future(adapter._polling_heartbeat_loop())
        housekeeping, self._housekeeping = self._housekeeping, None
        if housekeeping is not None:
            housekeeping()

    async def warm_up(self) -> None:
        """Open the connection that the first poll will use."""
        if self._app is not None and not self._hold.held:
            with contextlib.suppress(Exception):
                bot = self._app.bot
                await wire.within(bot._request[0].post(url=f"{bot._base_url}/getMe"), 5.0)

    def feed(self, ticket: Ticket) -> None:
        """Put a journaled update before the handlers again."""
        if not self._hold.starting:
            return
        if self.inbox.due(ticket, now_s=time.monotonic()):
            self._put(ticket)

    def feed_unseen(self) -> None:
        """Feed what a poll handed over and the library threw away: any restart of polling within the adapter does that."""
        app = self._app
        if app is None or not self._hold.held or not app.update_queue.empty():
            return
        for ticket in self.inbox.unseen(older_than_s=QUIET_S, now_s=time.monotonic()):
            log.info("feeding an update again that no handler has seen")
            self._put(ticket)

    def feed_dropped(self, update_id: str) -> bool:
        """Feed again what Hermes dropped from its own queue. False when that was done often enough, or nothing is started now."""
        tickets = self.inbox.feed_again(update_id, now_s=time.monotonic()) if self._hold.starting and self._app else ()
        for ticket in tickets:
            self._put(ticket)
        return bool(tickets)

    def _put(self, ticket: Ticket) -> None:
        telegram = module("telegram")
        app = self._app
        app.update_queue.put_nowait(telegram.Update.de_json(json.loads(ticket.update.payload), app.bot))

    # ---- the taps

    async def _fetched(self, updates: tuple[Update, ...], next_offset: int) -> bool:
        hold, info = self._hold, self.info
        if not hold.held:
            return False
        call = hold.write(hold.ledger.accept, info.platform, info.account, updates, next_offset)
        writing: asyncio.Task[tuple[Ticket, ...]] = asyncio.ensure_future(call)
        try:
            tickets = await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(self._came_too_late)
            raise
        except NotOwner as error:
            log.error("polling stops, and what was fetched is forgotten: %s", error)
            hold.set(False)
            self.let_go()
            return False
        except Exception as error:
            log.error("what was fetched could not be journaled, so it is not confirmed: %s", error)
            await asyncio.sleep(QUIET_S)
            return False
        if not hold.held:
            return False
        self.inbox.accept(tickets, now_s=time.monotonic())
        return True

    def _came_too_late(self, writing: asyncio.Task[tuple[Ticket, ...]]) -> None:
        """The library threw a poll away whose batch was on its way to the journal, which gives nobody a message twice: it is kept as
        one that no handler has seen. What the journal never knew comes again."""
        if not writing.cancelled() and writing.exception() is None and self._hold.held:
            self._heir.inbox.accept((t for t in writing.result() if t.message), now_s=time.monotonic())

    async def _before(self, update: Any, _context: Any) -> None:
        """Group -1: the first handler of every update decides whether the others get it."""
        stop = module("telegram.ext").ApplicationHandlerStop
        update_id = str(update.update_id)
        if not self._hold.starting:
            raise stop
        ticket = self.inbox.see(update_id)
        if ticket is None:
            raise stop
        if ticket.update.kind == "callback":
            ledger, lane = self._hold.ledger, f"{PLATFORM}:{ticket.update.chat}"
            opening = asyncio.ensure_future(self._hold.write(ledger.start, (ticket.message,), lane))
            try:
                self._callbacks[update_id] = await asyncio.shield(opening)
            except asyncio.CancelledError:
                if await outlast(opening):
                    self._callbacks[update_id] = opening.result()
                raise
            except (AlreadyTaken, NotOwner) as error:
                self.inbox.drop(update_id)
                raise stop from error

    async def end_callbacks(self) -> None:
        """End what handlers have begun that were cut off with their adapter: no ``_after`` comes for it."""
        while self._callbacks:
            await self._turns.write("finish", self._callbacks.popitem()[1], "cancelled")

    async def _after(self, update: Any, _context: Any) -> None:
        """The last group: an update of which no event came needs no turn."""
        update_id = str(update.update_id)
        turn = self._callbacks.pop(update_id, None)
        if turn is not None:
            self.inbox.drop(update_id)
            await self._turns.write("finish", turn, "no_reply")
        elif self.inbox.place(update_id) == "seen":
            await self._turns.settle_unless_queued(self.inbox, update_id, "no_reply")

    def _tap(self) -> None:
        app = self._app
        if app is None or self._tapped is app:
            return
        handler = module("telegram.ext").TypeHandler
        kind = module("telegram").Update
        wire.tap_polls(app.bot._request[0], self._hold, self._fetched, self._polled)
        wire.tap_sends(app.bot._request[1], self._hold)
        app.add_handler(handler(kind, self._before), group=-1)
        app.add_handler(handler(kind, self._after), group=LAST)
        self._tapped = app

    def _polled(self) -> None:
        self.polls += 1

    # ---- Hermes' adapter, made to wait for us

    def _arm(self) -> None:
        adapter, queues, turns, hold = self.adapter, self._queues, self._turns, self._hold
        queues.watch(adapter, self.inbox)
        wrap(adapter, "_start_polling_resilient", self._polling)
        wrap(adapter, "_start_post_connect_housekeeping", self._later)
        wrap(adapter, "_polling_heartbeat_loop", hold.while_held)
        wrap(adapter, "_acquire_platform_lock", self._locking)
        for recovery in ("_handle_polling_network_error", "_handle_polling_conflict"):
            wrap(adapter, recovery, self._only_held)
        wrap(adapter, "send", self._patient)
        wrap(adapter, "handle_message", turns.inline)
        wrap(adapter, "_process_message_background", turns.background)
        wrap(adapter, "_run_processing_hook", turns.hook)
        by_key = queues.batching(adapter, "_pending_text_batches", adapter._text_batch_key)
        wrap(adapter, "_enqueue_text_event", by_key)
        wrap(
            adapter, "_enqueue_photo_event", queues.batching(adapter, "_pending_photo_batches", lambda *given: given[0])
        )
        wrap(adapter, "_queue_media_group_event", queues.batching_later(adapter, "_media_group_events"))
        wrap(adapter, "_queue_text_debounce", queues.debouncing(adapter))
        bootstrap = getattr(loaded("telegram.ext._updater"), "Updater", None)
        if bootstrap is not None and not hasattr(bootstrap, "handoff_bootstrap"):
            bootstrap.handoff_bootstrap = True
            wrap(bootstrap, "_bootstrap", _bootstrap)

    def _polling(self, original: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        self._begin = original

        async def start_polling(*, drop_pending_updates: bool, error_callback: Any) -> bool:
            del drop_pending_updates  # what came while nobody polled is what we are here for
            self._on_error = error_callback
            self._tap()
            if not self._hold.held:
                return True
            self._early()  # before what this poll brings, which was said later
            begun = await original(drop_pending_updates=False, error_callback=error_callback)
            self.adapter._send_path_degraded = False
            return begun

        return start_polling

    def _patient(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Around ``send``: while polling has trouble Hermes refuses to send at all, and a reply that is given up is lost. A turn that
        outlives its adapter says the rest through the one that took its place."""

        async def send(*arguments: Any, **options: Any) -> Any:
            frame, until = FRAME.get(), time.monotonic() + PATH_S
            while frame is not None and frame.turn is not None and time.monotonic() < until:
                if self._heir.ready and not getattr(self._heir.adapter, "_send_path_degraded", False):
                    break
                await asyncio.sleep(LOOK_S)
            heir = self._heir
            if heir is not self and heir.ready:  # what is sent before our taps are in is not recorded
                return await heir.adapter.send(*arguments, **options)
            return await original(*arguments, **options)

        return send

    def _later(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def housekeeping() -> Any:
            if self._hold.held:
                return original()
            self._housekeeping = original
            return None

        return housekeeping

    def _only_held(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def recover(*arguments: Any) -> Any:
            return await original(*arguments) if self._hold.held else None

        return recover

    def _locking(self, original: Callable[..., bool]) -> Callable[..., bool]:
        def acquire(scope: str, identity: str, *description: Any) -> bool:
            self._locks = (scope, identity)
            return original(scope, identity, *description) if self._hold.held else True

        return acquire

    def _release_lock(self) -> None:
        if self._locks is not None:
            module("gateway.status").release_scoped_lock(*self._locks)
        self.adapter._platform_lock_identity = None

    def _take_lock(self) -> None:
        if self._locks is None:
            return
        scope, identity = self._locks
        taken, other = module("gateway.status").acquire_scoped_lock(scope, identity, metadata={"platform": PLATFORM})
        self.adapter._platform_lock_scope, self.adapter._platform_lock_identity = scope, identity
        if not taken:
            holder = other.get("pid") if isinstance(other, dict) else None
            log.warning("the lock file of the bot's token names process %s; we poll all the same", holder)

    def _fence(self, shut: bool) -> None:
        self.adapter._polling_teardown_started = shut


def _bootstrap(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def bootstrap(self: Any, *arguments: Any, **options: Any) -> Any:
        return None if _webhook_is_gone.get() else await original(self, *arguments, **options)

    return bootstrap


async def _nothing() -> None:
    return None
