"""Follow the journal: watchdog on the bell's folder wakes, a slow timer is the net, ``seq > cursor`` is the truth."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from journal.record import Record

if TYPE_CHECKING:
    from journal.reader import Reader

TIMER_S = 1.0
"""How long an event whose bell never rang can stay unseen."""
AGAIN_S = 60.0
"""After so much waiting a kernel that had no watch left for us is asked again; twice as much each time, up to ``RARELY_S``."""
RARELY_S = 24 * 3600.0


class Doorbell(FileSystemEventHandler):
    """Watches the bell's folder. ``wait`` returns at a ring, at ``poke``, or when its time is up; it never says why.

    Where the kernel has no watch, descriptor or thread left for it, the timer alone carries it: neither making nor waiting raises.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rung = threading.Event()
        self._observer: Any = None
        self._inode: int | None = None
        self._refused_s = self._rest_s = 0.0
        self._arm()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, on its thread."""
        if event.event_type == "deleted" and event.src_path == str(self._folder):
            self._inode = None  # its successor may get the very same number
            self._rung.set()
        elif event.event_type in ("modified", "created", "moved"):
            self._rung.set()

    def poke(self) -> None:
        """Wake the waiter from another thread."""
        self._rung.set()

    def wait(self, timeout_s: float) -> None:
        """Sleep until something may be new, at most ``timeout_s``."""
        if self._arm():  # what rang there before nobody heard
            return
        if not self._rung.wait(timeout_s):
            self._rest_s -= timeout_s
        self._rung.clear()

    def _arm(self) -> bool:
        """Watch the folder that stands there now; a replaced folder has another inode. True when it is watched only from now on."""
        try:
            inode = self._folder.stat().st_ino
        except OSError:
            return False
        if inode == self._inode or self._rest_s > 0:
            return False
        self.close()
        self._inode = None
        try:
            self._observer = Observer()
            self._observer.daemon = True
            self._observer.schedule(self, str(self._folder))
            self._inode = inode  # before the first event: the folder's end sets it back
            self._observer.start()
            self._refused_s = 0.0
        except (OSError, RuntimeError) as error:
            self.close()
            self._inode = None
            if not isinstance(error, FileNotFoundError):  # that one is back in a moment
                # a limit stays, and older watchdogs leave their descriptors open each time
                self._refused_s = min(2 * self._refused_s or AGAIN_S, RARELY_S)
                self._rest_s = self._refused_s
        return self._inode == inode

    def close(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        if observer is not None:
            # one that has not begun has descriptors too, but no thread to wait for
            with suppress(OSError, RuntimeError):
                observer.stop()
                observer.join(timeout=2)


class Tail:
    """Every record after ``after``, once and in order, for ever. Iterate it, or ``async for`` over it."""

    def __init__(self, reader: Reader, folder: Path, *, after: int = 0, timer_s: float = TIMER_S) -> None:
        self._reader = reader
        self._bell = Doorbell(folder)
        self._cursor = after
        self._timer_s = timer_s
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Record]:
        while not self._closed.is_set():
            page = self._reader.records(after=self._cursor)
            for record in page:
                self._cursor = record.seq
                yield record
            if not page:
                self._bell.wait(self._timer_s)

    async def __aiter__(self) -> AsyncIterator[Record]:
        while not self._closed.is_set():
            page = await asyncio.to_thread(self._reader.records, after=self._cursor)
            for record in page:
                self._cursor = record.seq
                yield record
            if not page:
                await asyncio.to_thread(self._bell.wait, self._timer_s)

    def close(self) -> None:
        """End the iteration at its next wake-up, and stop watching."""
        self._closed.set()
        self._bell.poke()
        self._bell.close()
