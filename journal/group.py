"""Group commit: the threads of a process that want to append at once share one transaction, in the order in which they came.

Who finds nobody there goes ahead at once, and pays one lock for it. Who comes meanwhile waits in line; whoever leaves calls the
first of the line to lead, and the leader writes for all who wait by then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from journal.record import Draft, Receipt, Writer


class Request:
    """What one caller wants appended, and what came of it. Without a writer it wants the journal for itself."""

    __slots__ = ("drafts", "error", "leads", "receipts", "wake", "writer")

    def __init__(self, drafts: tuple[Draft, ...] = (), writer: Writer | None = None) -> None:
        self.drafts = drafts
        self.writer = writer
        self.receipts: tuple[Receipt, ...] = ()
        self.error: Exception | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()

    def outcome(self) -> tuple[Receipt, ...]:
        """The receipts, or the error that was its own."""
        if self.error is not None:
            raise self.error
        return self.receipts


class Line:
    """Who may write now, and who waits. ``free`` is taken by whoever writes; it is handed on, never let go, while somebody waits."""

    def __init__(self) -> None:
        self.free = threading.Lock()
        self._waiting: deque[Request] = deque()

    def wait(self, request: Request) -> bool:
        """Stand in line until it is this one's turn to lead (True), or somebody has served it (False)."""
        self._waiting.append(request)
        if self.free.acquire(blocking=False):  # whoever held it has left without seeing us
            self.leave()
        try:
            request.wake.acquire()
        except BaseException:
            self._withdraw(request)
            raise
        return request.leads

    def _withdraw(self, request: Request) -> None:
        try:
            self._waiting.remove(request)
        except ValueError:  # called already: the turn must not be lost
            request.wake.acquire()
            if request.leads:
                self.leave()

    def take(self, drafts: int) -> list[Request]:
        """Those who wait now and can be served together, the first ones first, up to so many drafts. For the leader alone."""
        taken: list[Request] = []
        while drafts > 0 and self._waiting:
            try:
                request = self._waiting.popleft()
            except IndexError:
                break
            if request.writer is None:
                self._waiting.appendleft(request)
                break
            taken.append(request)
            drafts -= len(request.drafts)
        return taken

    def put_back(self, requests: list[Request]) -> None:
        """Let those wait on whom the leader did not serve."""
        self._waiting.extendleft(reversed(requests))

    def leave(self) -> None:
        """Call the first of the line to lead; let the next comer go ahead when nobody waits."""
        while True:
            try:
                first = self._waiting.popleft()
            except IndexError:
                self.free.release()
                if not self._waiting or not self.free.acquire(blocking=False):
                    return
                continue
            first.leads = True
            first.wake.release()
            return

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one, in the order of the line."""
        if not self.free.acquire(blocking=False):
            self.wait(Request())
        try:
            yield
        finally:
            self.leave()
