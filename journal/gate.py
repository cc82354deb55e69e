"""The gate: one writer at a time between processes, in the order in which they came.

``flock`` is fair, where SQLite's own busy handler starves the slower of two writers; and whoever checkpoints holds the gate, so that
a checkpoint never overlaps a commit. The gate's file names its holder. Waiting has a deadline and must not happen on an event loop.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from journal.errors import Busy, DiskTrouble


class Gate:
    """A mutex between the threads of this process, then a ``flock`` between processes."""

    def __init__(self, path: Path, *, deadline_s: float = 10.0) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._mutex = threading.Lock()
        self._name = f"{os.getpid():<20}".encode()
        self._fd = self._open()
        _GATES.add(self)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DiskTrouble(
                f"cannot open the gate {self._path}: {error.strerror}", hint="check the folder"
            ) from error

    def held(self, deadline_s: float | None = None) -> AbstractContextManager[None]:
        """Hold the gate. ``deadline_s`` bounds the wait, the default is the gate's own.

        Raises:
            Busy: It was not free in time; ``holder`` is who had it.
        """
        return _Hold(self, self._deadline_s if deadline_s is None else deadline_s)

    def __enter__(self) -> bool:
        """Hold it by the gate's own deadline. True when somebody else may have held it since we last did."""
        return self._enter(self._deadline_s)

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _enter(self, limit: float) -> bool:
        if not self._mutex.acquire(True, limit):
            raise Busy("another thread of this process holds the journal's gate", hint="try again")
        try:
            return self._lock(limit)
        except BaseException:
            self._mutex.release()
            raise

    def _leave(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def _lock(self, limit: float) -> bool:
        if self._fd < 0 or os.fstat(self._fd).st_nlink == 0:  # deleted under us: meet the others at the new file
            self.close()
            self._fd = self._open()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(limit)
        try:
            if os.pread(self._fd, 20, 0) == self._name:
                return False
            os.pwrite(self._fd, self._name, 0)
        except OSError:
            pass  # a full disk must not leave the lock held, nor keep anybody out
        return True

    def _wait(self, limit: float) -> None:
        """Wait in the kernel's queue, on a descriptor and a thread of its own: ``flock`` knows no deadline."""
        attempt = _Attempt(self._open())
        if not attempt.won(limit):
            holder = self.holder()
            raise Busy(
                f"the journal's gate was not free for {limit:g} s" + (f" (held by process {holder})" if holder else ""),
                holder=holder,
                hint="try again; when that process is stopped, end it",
            )
        os.close(self._fd)
        self._fd = attempt.fd

    def holder(self) -> int | None:
        """The pid of whoever has the lock, by the kernel's word; where that is not to be had, whom the gate's file names.

        Who was stopped between getting the lock and writing its name there is known to the kernel alone.
        """
        if self._fd < 0:
            return None
        held = _locked_by(os.fstat(self._fd))
        text = os.pread(self._fd, 20, 0).strip()
        return held or (int(text) if text.isdigit() else None)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _forget_in_child(self) -> None:
        self.close()
        self._mutex = threading.Lock()
        self._name = f"{os.getpid():<20}".encode()


def _locked_by(status: os.stat_result, locks: Path = Path("/proc/locks")) -> int | None:
    """Who has a ``flock`` on that file (proc_locks(5)); None when nobody has, or the kernel does not say."""
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError):
        for line in locks.read_text().splitlines():
            words = (
                line.split()
            )  # "1: FLOCK  ADVISORY  WRITE 4711 fe:01:137 0 EOF"; who waits has an arrow in the second place
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == file and int(words[4]) > 0:
                return int(words[4])
    return None


class _Hold:
    """One time of holding. A class, since a generator would cost every append as much as the lock itself."""

    __slots__ = ("_gate", "_limit")

    def __init__(self, gate: Gate, limit: float) -> None:
        self._gate = gate
        self._limit = limit

    def __enter__(self) -> None:
        self._gate._enter(self._limit)

    def __exit__(self, *_: object) -> None:
        self._gate._leave()


class _Attempt:
    """One blocking ``flock`` in a thread. Abandoned when the deadline passes: whenever it gets the lock then, it lets it go."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _WAITING.add(fd)
        self._settle = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._got = False
        threading.Thread(target=self._run, name="journal-gate", daemon=True).start()

    def _run(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        with self._settle:
            _WAITING.discard(self.fd)
            if self._abandoned:
                os.close(self.fd)
            else:
                self._got = True
        self._done.set()

    def won(self, limit: float) -> bool:
        self._done.wait(limit)
        with self._settle:
            self._abandoned = not self._got
            return self._got


_GATES: weakref.WeakSet[Gate] = weakref.WeakSet()


_WAITING: set[int] = set()
"""Descriptors that are in the kernel's queue: a child must not keep what they will lock."""


def _forget_all() -> None:
    for fd in _WAITING:
        os.close(fd)
    _WAITING.clear()
    for gate in list(_GATES):
        gate._forget_in_child()


os.register_at_fork(after_in_child=_forget_all)
