"""getUpdates as the original server does it: long polls that park, and the quarrel of two who poll with one token.

Source of the rules: ``Client::process_get_updates_query``, ``do_get_updates``, ``long_poll_wakeup`` and
``fail_query_conflict`` of github.com/tdlib/telegram-bot-api. Four of them surprise:

- A poll that finds updates is answered at once and disturbs nobody. Only a poll that parks ends an older parked one,
  with 409. Had the newer one been answered, the older goes on waiting.
- The first 409 is sent at once; one that falls within 3 s of it is sent 3 s late.
- A short poll (``timeout`` below 3) that repeats the offset of a poll begun less than 3 s ago waits up to 3 s. This
  is what a library's last, confirming poll meets when it stops in a quiet moment.
- Any poll that repeats the offset of a poll begun less than 0.5 s ago gets one update at most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from gateway_hooks.demo.shapes import Json, failure
from gateway_hooks.demo.updates import UpdateQueue

CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
MAX_TIMEOUT_S = 50.0
WAKE_S = 0.001
REPEAT_S = 0.5


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """What a poll gets: HTTP status and body, and the ids that were handed over."""

    status: int
    body: Json
    update_ids: tuple[int, ...] = ()


class Polling:
    """The parked poll of one bot, if any, over its queue.

    Args:
        queue: Where the updates stand.
        short_poll_floor_s: The 3 s of the third rule above; 0 turns it and the fourth off.
        conflict_spacing_s: The 3 s of the second rule; 0 turns it off.
        clock_s: Monotonic seconds.
    """

    def __init__(
        self,
        queue: UpdateQueue,
        *,
        short_poll_floor_s: float = 3.0,
        conflict_spacing_s: float = 3.0,
        clock_s: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._floor_s = short_poll_floor_s
        self._spacing_s = conflict_spacing_s
        self._clock_s = clock_s
        self._parked: asyncio.Future[bool] | None = None
        self._previous: tuple[int, float] | None = None
        self._conflict_free_at_s = 0.0

    @property
    def parked(self) -> bool:
        """Whether a poll is waiting now."""
        return self._parked is not None

    def wake(self) -> None:
        """Answer the parked poll from the queue; to be called after updates were put, and to let a poll end early."""
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(True)

    async def poll(self, offset: int | None, *, limit: int = 100, timeout_s: float = 0.0) -> PollAnswer:
        """Answer one getUpdates, waiting up to `timeout_s` (at most 50) for an update.

        A poll that is cancelled because its client went away leaves the place free.
        """
        since_s = self._since_same(offset or 0)
        timeout_s = min(max(0.0, timeout_s), MAX_TIMEOUT_S)
        if since_s < self._floor_s:
            timeout_s = max(timeout_s, self._floor_s)
            limit = 1 if since_s < REPEAT_S else limit
        updates = self._queue.take(offset, limit)
        if not updates and timeout_s > 0:
            if not await self._park(timeout_s):
                await self._space_conflicts()
                return PollAnswer(409, failure(409, CONFLICT))
            updates = self._queue.take(offset, limit)
        return PollAnswer(200, {"ok": True, "result": updates}, tuple(update["update_id"] for update in updates))

    def _since_same(self, offset: int) -> float:
        """Return the seconds since a poll with this very offset began, if that was the last one; note this one."""
        now_s, previous = self._clock_s(), self._previous
        self._previous = (offset, now_s)
        return now_s - previous[1] if previous is not None and previous[0] == offset else math.inf

    async def _park(self, timeout_s: float) -> bool:
        """Wait for an update or the timeout; False when a newer poll took the place."""
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(False)
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._parked = place
        try:
            done, _ = await asyncio.wait({place}, timeout=timeout_s)
            if not done:
                return True
            if place.result():
                await asyncio.sleep(WAKE_S)
            return place.result()
        finally:
            if self._parked is place:
                self._parked = None

    async def _space_conflicts(self) -> None:
        now_s = self._clock_s()
        if now_s < self._conflict_free_at_s:
            await asyncio.sleep(self._spacing_s)
        else:
            self._conflict_free_at_s = now_s + self._spacing_s
