"""One notice per handoff in a chat: posted by whoever owns the adapters, edited by whoever owns them next.

Which message it is stands in a file beside the journal, locked while somebody posts or edits, so that two sides neither post twice
nor write over a newer text. It is a courtesy: what fails here is logged, and touches nothing else.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from replay.fold import State
from replay.notice import Notice, notice

log = logging.getLogger("handoff_journal.notices")
LOOK_S = 0.3
LOCK_S = 10.0
TRIES = 6
"""How often a text is tried; a newer one begins anew."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A message in a chat."""

    platform: str
    chat: str
    message: str


class Channel(Protocol):
    """Where notices go. Called from the notices' own thread; may raise anything."""

    def mine(self) -> bool:
        """Whether this process may speak there now."""

    def post(self, text: str) -> Posted | None:
        """Post it; None where there is no such chat, or nobody wants to be told."""

    def edit(self, posted: Posted, text: str) -> None:
        """Change it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file says: which handoff the last notice is of, where it stands, and how it reads."""

    handoff: str = ""
    text: str = ""
    posted: Posted | None = None


class Notices(threading.Thread):
    """Follows the state of one process, and speaks while the adapters are its own."""

    def __init__(self, folder: Path, state: Callable[[], State], channel: Channel) -> None:
        super().__init__(name="handoff-notices", daemon=True)
        self._path, self._state, self._channel = folder / "notice.json", state, channel
        self._past: str | None = None
        self._done: Notice | None = None
        self._failed = 0
        self._again_s = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        """Until ``stop``."""
        while not self._over.wait(LOOK_S):
            self.look(time.monotonic())

    def stop(self) -> None:
        """Say nothing more."""
        self._over.set()

    def look(self, now_s: float) -> None:
        """Bring the notice up to date, if it is ours to do and due."""
        state = self._state()
        if not state.head.seq:  # nobody has read the record yet
            return
        said = notice(state)
        if self._past is None:  # what was over before this process came is old news, unless its notice says otherwise
            self._past = said.handoff if said and said.final else ""
        if said is None or said == self._done or not self._channel.mine():
            return
        if self._failed and now_s < self._again_s:
            return
        try:
            self._tell(said)
            self._done, self._failed = said, 0
        except Exception as error:
            self._failed += 1
            self._again_s = now_s + 2.0**self._failed
            log.warning("the notice in the home channel could not be brought up to date: %s", error)
            if self._failed >= TRIES:
                self._done, self._failed = said, 0

    def _tell(self, said: Notice) -> None:
        with self._kept() as (kept, keep):
            if not self._channel.mine():
                raise TimeoutError("another process serves now")
            if kept.handoff != said.handoff:
                if said.handoff != self._past:
                    keep(Kept(said.handoff, said.text, self._post(said, keep)))
            elif kept.text != said.text:
                if kept.posted is not None:
                    self._channel.edit(kept.posted, said.text)
                keep(Kept(said.handoff, said.text, kept.posted))

    def _post(self, said: Notice, keep: Callable[[Kept], None]) -> Posted | None:
        """Post it. What was refused or timed out may be there all the same: it is tried once more, and then left."""
        try:
            return self._channel.post(said.text)
        except Exception:
            if self._failed:
                keep(Kept(said.handoff, said.text))
            raise

    @contextmanager
    def _kept(self) -> Iterator[tuple[Kept, Callable[[Kept], None]]]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

        def keep(kept: Kept) -> None:
            line = json.dumps(asdict(kept)).encode() + b"\n"
            os.pwrite(fd, line, 0)  # over the old one: who is killed before it is cut has left a whole first line
            os.ftruncate(fd, len(line))
            os.fsync(fd)

        try:
            self._lock(fd)
            yield _read(os.pread(fd, 1 << 16, 0)), keep
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        """Wait until the other side has done, or is gone; one that is stopped in the middle holds nobody up for ever."""
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    return
                self._over.wait(0.05)


def _read(data: bytes) -> Kept:
    """What was kept, in the first line; nothing where a crash has cut it short."""
    try:
        said = json.loads(data.partition(b"\n")[0])
        posted = Posted(**said["posted"]) if said["posted"] else None
        return Kept(str(said["handoff"]), str(said["text"]), posted)
    except (ValueError, KeyError, TypeError):
        return Kept()
