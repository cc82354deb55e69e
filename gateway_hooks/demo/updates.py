"""The queue of updates of one bot, with the rules of the original server.

Source of the rules: ``Client::do_get_updates`` of github.com/tdlib/telegram-bot-api. Asking for offset N forgets
everything below N, for ever, whoever asks. No offset, or 0, forgets nothing. A negative offset counts from the end and
forgets what stands before. An offset beyond the end is ignored: the answer starts at the head and forgets nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

Update = dict[str, Any]
MAX_LIMIT = 100


class UpdateQueue:
    """Updates that nobody has confirmed yet, oldest first; ids grow by one.

    Args:
        first_update_id: Id of the first update, at least 1.
    """

    def __init__(self, first_update_id: int = 1) -> None:
        self._pending: deque[Update] = deque()
        self._tail = first_update_id

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def next_update_id(self) -> int:
        """Id that the next update will have."""
        return self._tail

    @property
    def pending(self) -> tuple[int, ...]:
        """Ids that nobody has confirmed, oldest first."""
        return tuple(update["update_id"] for update in self._pending)

    def put(self, kind: str, body: dict[str, Any]) -> int:
        """Append an update such as ``message`` and return its id."""
        update_id = self._tail
        self._tail += 1
        self._pending.append({"update_id": update_id, kind: body})
        return update_id

    def jump_to(self, update_id: int) -> None:
        """Let the numbering go on elsewhere, as the original may after an idle week; drops nothing that is pending.

        Raises:
            ValueError: Something is pending; the original renumbers only when its queue is empty.
        """
        if self._pending:
            raise ValueError(f"{len(self._pending)} updates are pending: numbering may change only on an empty queue")
        self._tail = update_id

    def take(self, offset: int | None, limit: int = MAX_LIMIT) -> list[Update]:
        """Forget what the offset confirms and return up to `limit` updates from it on, without forgetting those."""
        start = self._start(offset or 0)
        while self._pending and self._pending[0]["update_id"] < start:
            self._pending.popleft()
        return [self._pending[i] for i in range(min(max(1, limit), MAX_LIMIT, len(self._pending)))]

    def clear(self) -> int:
        """Forget everything that is pending and return how much that was."""
        dropped = len(self._pending)
        self._pending.clear()
        return dropped

    def _start(self, offset: int) -> int:
        if offset < 0:
            return self._tail + offset
        return offset if offset <= self._tail else 0
