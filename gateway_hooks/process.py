"""The only module that touches pids, signals and spawning, and reads the clock.

A process is named by pid, start time and boot, so that a reused pid is never mistaken for it; it is signalled through a pidfd whose
start time was compared after it was opened.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from journal.errors import HandoffError
from journal.events import Process
from journal.record import Stamp

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

Liveness = Literal["running", "stopped", "dead"]
ROLE = "HANDOFF_JOURNAL_ROLE"
"""Environment variable that tells a process that it was spawned as green."""
FORCED = "HANDOFF_JOURNAL_FORCED"
"""Environment variable that tells a green that an operator has spawned it in the place of a blue that cannot."""
ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
PASSED_ON = (*ENDS, signal.SIGHUP, signal.SIGUSR1)
"""The signals that a small parent passes on; those in ``ENDS`` are for everybody, and for itself."""
REAPED_S = 1.0
"""A dead process tells how it ended once its last thread is gone: milliseconds."""
_PR_SET_CHILD_SUBREAPER = 36


class Unseen(HandoffError):
    """A process cannot be looked at, for want of descriptors perhaps. Never take that for its death."""

    exit_code = 74


class World(Protocol):
    """The operating system as a value: what a manager needs of it. Tests swap it."""

    def now(self) -> Stamp: ...
    def me(self) -> Process: ...
    def identify(self, pid: int) -> Process | None: ...
    def probe(self, process: Process) -> Liveness: ...
    def end(self, process: Process) -> None: ...
    def exit_code(self, process: Process, *, wait_s: float = 0.0) -> int | None: ...
    def watch(self, process: Process, gone: Callable[[], None]) -> None: ...
    def spawn_green(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Process: ...


class System:
    """The real one."""

    def __init__(self) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._children: dict[Process, subprocess.Popen[bytes]] = {}  # not by pid: a reaped one's is free for another

    def now(self) -> Stamp:
        """UTC nanoseconds for people, the monotonic clock for deadlines."""
        return Stamp(time.time_ns(), time.monotonic_ns())

    def me(self) -> Process:
        """This very process."""
        started = _stat(os.getpid())
        assert started is not None
        return Process(pid=os.getpid(), started=started[1], boot=self._boot)

    def identify(self, pid: int) -> Process | None:
        """The incarnation that has this pid now, or None."""
        found = _stat(pid)
        return Process(pid=pid, started=found[1], boot=self._boot) if found else None

    def probe(self, process: Process) -> Liveness:
        """Whether that very incarnation lives; a zombie is dead (and reaped, if ours), a traced process counts as stopped."""
        found = _stat(process.pid)
        if process.boot != self._boot or found is None or found[1] != process.started or found[0] in "ZX":
            self.exit_code(process)
            return "dead"
        return "stopped" if found[0] in "Tt" else "running"

    def end(self, process: Process) -> None:
        """SIGKILL that very incarnation, and wait up to 5 s until it is gone.

        Raises:
            HandoffError: It lives on (another user's, or in an uninterruptible wait).
        """
        fd = _pidfd(process)
        if fd is None:
            return
        try:
            if self.probe(process) != "dead":
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                if not select.select([fd], [], [], 5.0)[0]:
                    raise HandoffError(
                        f"process {process.pid} does not end", hint="look at what it waits for in the kernel"
                    )
        except PermissionError as error:
            raise HandoffError(f"may not end process {process.pid}", hint="run both sides as the same user") from error
        finally:
            self.exit_code(process)
            os.close(fd)

    def send(self, process: Process, number: int) -> None:
        """Send that very incarnation a signal; nothing happens when it is gone."""
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(process.pid)
            try:
                if self.probe(process) != "dead":
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)

    def freeze(self, process: Process) -> None:
        """SIGSTOP that very incarnation; nothing happens when it is gone."""
        self.send(process, signal.SIGSTOP)

    def watch(self, process: Process, gone: Callable[[], None]) -> None:
        """Call ``gone`` from a thread of its own once that incarnation has ended, reaped if ours. Look now and then, too."""
        try:
            fd = _pidfd(process)
        except Unseen:  # looking now and then is all that is left
            return
        if fd is None:
            gone()
            return

        def wait() -> None:
            try:
                with suppress(Unseen):
                    if self.probe(process) != "dead":
                        select.select([fd], [], [])
                    self.exit_code(process, wait_s=REAPED_S)
            finally:
                os.close(fd)
            gone()

        threading.Thread(target=wait, name=f"pidfd-{process.pid}", daemon=True).start()

    def spawn(
        self, command: Sequence[str], env: Mapping[str, str], log: Path, *, folder: Path | None = None
    ) -> Process:
        """Start a fresh interpreter in a session of its own; its output is appended to ``log`` (0600).

        Raises:
            HandoffError: It could not be started, or ended before it could be named.
        """
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                child = subprocess.Popen(
                    list(command), env=dict(env), stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, start_new_session=True,
                    cwd=folder,
                )  # fmt: skip
            finally:
                os.close(fd)
        except OSError as error:
            raise HandoffError(f"cannot start {command[0]}: {error.strerror}", hint="check the command") from error
        process = self.identify(child.pid)
        if process is None:
            raise HandoffError(f"{command[0]} ended at once", hint=f"look at {log}")
        self._children[process] = child
        return process

    def spawn_green(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        """Start green: a live process, never a fork of this one, that knows its role by its environment."""
        process = self.spawn(command, {**env, ROLE: "green"}, log)
        self.watch(process, lambda: None)  # reaps it: nobody looks at one that has said goodbye, or was never named
        return process

    def carrying(self, variable: str, value: str) -> list[Process]:
        """Every living process of this user that was started with that environment variable, or by one that was."""
        wanted = os.fsencode(f"{variable}={value}")
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    process = self.identify(int(entry.name))
                    found += [process] if process and self.probe(process) != "dead" else []
        return found

    def exit_code(self, process: Process, *, wait_s: float = 0.0) -> int | None:
        """How a process that this one spawned has ended (negative: by that signal), or None when it has not, or is not ours."""
        child = self._children.get(process)
        if child is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            return child.wait(wait_s)
        return None

    def ask_to_end(self, process: Process, *, wait_s: float) -> bool:
        """SIGTERM that very incarnation; True when it was gone within ``wait_s``."""
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self.exit_code(process)
            return True
        try:
            if self.probe(process) != "dead":
                signal.pidfd_send_signal(fd, signal.SIGTERM)
                return bool(select.select([fd], [], [], wait_s)[0])
            return True
        finally:
            self.exit_code(process)
            os.close(fd)


def drain(pipe: int) -> None:
    """Let somebody go on reading a pipe whose reader is about to exit, so that who writes into it does not die of that."""
    subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def argv() -> list[str]:
    """How this very process was started, with the interpreter's full path first."""
    return [sys.executable, *_words(Path("/proc/self/cmdline"))[1:]]


def belongings(process: Process) -> tuple[list[str], dict[str, str], Path]:
    """How another process of this user was started: (command line, environment, the folder it works in).

    Raises:
        HandoffError: It is gone, or another user's.
    """
    place = Path(f"/proc/{process.pid}")
    try:
        env = dict(word.split("=", 1) for word in _words(place / "environ") if "=" in word)
        return _words(place / "cmdline"), env, (place / "cwd").readlink()
    except OSError as error:
        raise HandoffError(
            f"cannot look at process {process.pid}: {error.strerror}", hint="run this as the gateway's user"
        ) from error


def _words(path: Path) -> list[str]:
    return [os.fsdecode(word) for word in path.read_bytes().split(b"\0")[:-1]]


def when_asked_to_end(loop: AbstractEventLoop, call: Callable[[], object], *, ctrl_c: bool = False) -> None:
    """Have the loop call it at SIGTERM and SIGHUP, and at SIGINT too with ``ctrl_c``, instead of dying on the spot."""
    for number in _unignored(signal.SIGTERM, signal.SIGHUP, *((signal.SIGINT,) if ctrl_c else ())):
        loop.add_signal_handler(number, call)


def _unignored(*numbers: signal.Signals) -> list[signal.Signals]:
    """Without those that were ignored when this process started: ``nohup`` means that, for us and for our children. TERM is heard
    whatever was left behind: nobody could end us otherwise."""
    return [n for n in numbers if n == signal.SIGTERM or signal.getsignal(n) != signal.SIG_IGN]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C and Ctrl-Z off until what must not be cut in half is done: an append under the gate.

    By handlers, not by a mask: a signal to the process is delivered to whichever thread does not block it, and a watcher of the
    doorbell is such a thread. Only the main thread may set handlers; elsewhere nothing has to be put off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: waiting.append(n)) for number in (signal.SIGINT, signal.SIGTSTP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(waiting):
            signal.raise_signal(late)


class Family:
    """What a small parent is: it starts children, inherits those of its children, reaps them all, and is told of signals.

    One for a process, made and used in its main thread. Nothing that it needs is imported later than this module.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (*_unignored(*PASSED_ON), signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the number comes through the pipe
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._heard: list[int] = []

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start a child in a session of its own, with our output.

        Raises:
            HandoffError: It could not be started.
        """
        try:
            null = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            pid = os.posix_spawnp(
                command[0], list(command), dict(env), file_actions=null, setsid=True, setsigdef=[signal.SIGPIPE]
            )
        except OSError as error:
            raise HandoffError(f"cannot start {command[0]}: {error.strerror}", hint="check the command") from error
        process = self._system.identify(pid)  # even one that has ended stands there until it is reaped
        assert process is not None
        return process

    def reap(self) -> dict[Process, int]:
        """The children that have ended since, ours and inherited ones: exit code, or minus the signal that ended it."""
        ended = {}
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                process = self._system.identify(found.si_pid)
                code = os.waitstatus_to_exitcode(os.waitpid(found.si_pid, 0)[1])
                if process is not None:
                    ended[process] = code
        return ended

    def heard(self) -> list[int]:
        """The signals of ``PASSED_ON`` that came since, in order."""
        numbers, self._heard = self._heard, []
        return numbers

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal comes, a child ends or ``poke`` is called, at most ``timeout_s``."""
        select.select([self._read], [], [], timeout_s)
        with suppress(BlockingIOError):
            self._heard += [number for number in os.read(self._read, 4096) if number in PASSED_ON]

    def poke(self) -> None:
        """Wake the waiter, from any thread."""
        with suppress(BlockingIOError):
            os.write(self._write, b"\0")


def become(command: Sequence[str], env: Mapping[str, str]) -> None:
    """Go on as another program under the same pid. Returns only when that was not possible."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], list(command), dict(env))


def output_of(
    command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None, good: Sequence[int] = (0,)
) -> str:
    """What a short command prints on stdout and stderr.

    Raises:
        HandoffError: It could not be started, did not end in time, or failed; the message is its last line.
    """
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
            env=dict(env) if env is not None else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise HandoffError(f"{command[0]} did not answer within {timeout_s:g} s") from error
    except OSError as error:
        raise HandoffError(f"cannot start {command[0]}: {error.strerror}") from error
    said = (done.stdout + done.stderr).strip()
    if done.returncode not in good:
        raise HandoffError(said.rsplit("\n", 1)[-1] or f"{command[0]} ended with exit code {done.returncode}")
    return said


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, start time in clock ticks since boot) of a pid, or None when there is none.

    Raises:
        Unseen: It cannot be looked at.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")  # a name may be cut in the middle of a letter
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise _unseen(pid, error) from error
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def _pidfd(process: Process) -> int | None:
    """A descriptor of whoever has that pid now, or None when nobody has. Raises ``Unseen``."""
    try:
        return os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise _unseen(process.pid, error) from error


def _unseen(pid: int, error: OSError) -> Unseen:
    return Unseen(f"cannot look at process {pid}: {error.strerror}", hint="raise the limit of open files")
