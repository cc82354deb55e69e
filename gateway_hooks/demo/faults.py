"""The misfortunes that a test can order from the Bot API: refusals, cut connections, and requests that hang."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from gateway_hooks.demo.shapes import Json, failure

Where = Literal["before", "after"]
_REASONS = {
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    429: "Too Many Requests: retry after {retry_after_s}",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


@dataclass(slots=True)
class Refusal:
    """The next `left` calls of a method get this answer and do nothing."""

    status: int
    left: int
    retry_after_s: int | None

    def body(self) -> Json:
        """Return the answer's body as the original writes it."""
        reason = _REASONS.get(self.status, f"Error {self.status}").format(retry_after_s=self.retry_after_s)
        return failure(self.status, reason, retry_after_s=self.retry_after_s)


class Faults:
    """Orders that wait for the calls they spoil; method names are matched without regard to case."""

    def __init__(self) -> None:
        self._refusals: dict[str, list[Refusal]] = defaultdict(list)
        self._drops = 0
        self._held: dict[tuple[str, Where], asyncio.Event] = {}

    def fail_next(self, method: str, status: int, *, calls: int = 1, retry_after_s: int | None = None) -> None:
        """Answer the next calls of a method with an HTTP status such as 409, 429 or 500, and do nothing for them."""
        wait = 1 if status == 429 and retry_after_s is None else retry_after_s
        self._refusals[method.lower()].append(Refusal(status, calls, wait))

    def drop_next_send(self, sends: int = 1) -> None:
        """Take the next messages, then cut the connection: they stand in the chat and the client was not told."""
        self._drops += sends

    def hold(self, method: str, where: Where = "before") -> None:
        """Keep calls of a method waiting ``before`` they do anything, or ``after``: done, and not answered."""
        self._held.setdefault((method.lower(), where), asyncio.Event())

    def release(self, method: str) -> None:
        """Let the calls go on that `hold` keeps, and all later ones."""
        for where in ("before", "after"):
            event = self._held.pop((method.lower(), where), None)
            if event is not None:
                event.set()

    async def wait(self, method: str, where: Where) -> None:
        """Wait as long as a method is held at this point."""
        event = self._held.get((method.lower(), where))
        if event is not None:
            await event.wait()

    def refusal(self, method: str) -> Refusal | None:
        """Take the next ordered refusal of a method, None when there is none."""
        waiting = self._refusals[method.lower()]
        if not waiting:
            return None
        waiting[0].left -= 1
        return waiting[0] if waiting[0].left > 0 else waiting.pop(0)

    def drops_send(self) -> bool:
        """Take one ordered cut, False when there is none."""
        if self._drops == 0:
            return False
        self._drops -= 1
        return True
