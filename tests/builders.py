"""What tests build events with: processes, writers, one example of every event, and a book of law without a store."""

from __future__ import annotations

import os
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from journal import events as e
from journal.chain import GENESIS
from journal.events import Phase, Process, Role
from journal.head import Head, advance
from journal.law import check, role_of
from journal.pseudonyms import seal
from journal.record import Draft, Record, Writer

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
"""Bound of every wait; never asserted on."""

ACCOUNT = "a_" + "0" * 16
CHAT = "c_" + "1" * 16
SESSION = "s_" + "2" * 16
DIGEST = "ab" * 32
DIGESTS = {"routing": DIGEST}
SALT = bytes(range(16))


def process(number: int) -> Process:
    """The incarnation with that number; different numbers, different processes."""
    return Process(pid=1000 + number, started=number, boot="a-boot")


BLUE, GREEN, LATER, OPERATOR, KEEPER = (process(n) for n in range(1, 6))


def writer(who: Process, role: Role = "operator") -> Writer:
    return Writer(who, role)


def accepted(
    number: int = 1, *, words: bytes = b"hello", salt: bytes = SALT, kind: e.UpdateKind = "text", key: bool = False
) -> Draft:
    """An accepted message with its words; ``key`` gives it the key of its update."""
    payload, digest = seal(words, salt)
    event = e.MessageAccepted(
        platform="telegram", account=ACCOUNT, chat=CHAT, kind=kind, update_id=str(number), digest=digest
    )
    return Draft(event, key=f"telegram:{ACCOUNT}:{number}" if key else None, payload=payload)


def handed_over(words: bytes = b"watch pid 7") -> Draft:
    """A watcher for the successor, with its details."""
    payload, digest = seal(words, SALT)
    return Draft(e.WatcherHandedOver(watcher="w_" + "3" * 16, digest=digest), payload=payload)


def started(side: e.Side = "blue", *, serving: bool = True) -> e.ProcessStarted:
    return e.ProcessStarted(side=side, serving=serving, gateway="reference", version="1", runtime="same")


def connected(platform: str = "telegram") -> e.AdapterConnected:
    return e.AdapterConnected(platform=platform, account=ACCOUNT)


def paused(platform: str = "telegram") -> e.AdapterPaused:
    return e.AdapterPaused(platform=platform, account=ACCOUNT)


def flushed(part: str = "routing", digest: str = DIGEST) -> e.SessionFlushed:
    return e.SessionFlushed(part=part, count=1, digest=digest)


def health() -> e.HealthSampled:
    return e.HealthSampled(loop_lag_ms=0.5, turns=0, waiting=0, answered=0, errors=0, rss_mb=80.0)


def requested(handoff: str = "h1") -> e.HandoffRequested:
    return e.HandoffRequested(handoff=handoff, runtime="same", bake_s=60.0)


def lost(side: e.Side, who: Process) -> e.ProcessLost:
    return e.ProcessLost(side=side, process=who, how="died")


def rollback(phase: Phase) -> e.HandoffRollback:
    return e.HandoffRollback(phase=phase, reason="operator")


def preflight() -> e.PreflightChecked:
    return e.PreflightChecked(findings=(e.PreflightFinding(code="disk", severity="ok", text="enough"),))


EXAMPLES: tuple[e.Event, ...] = (
    requested(),
    e.HandoffTerms(confirm_within_s=600.0, rules={"memory": e.RuleLimits(floor=1024.0)}),
    e.HandoffInit(green=GREEN),
    e.HandoffAck(flushed_seq=1, digests=DIGESTS),
    e.HandoffActive(turns=0),
    e.HandoffSeized(reason="silent"),
    e.HandoffConfirm(samples=(1,)),
    e.BakeConfirmed(),
    e.HandoffCompleteRequested(),
    e.HandoffComplete(sample=1),
    rollback("ack"),
    e.HandoffFailed(reason="spawn"),
    e.HandoffResumed(phase="ack"),
    e.BlueServing(flushed_seq=1, digests=DIGESTS),
    preflight(),
    e.GreenSpawned(green=GREEN),
    started(),
    e.ProcessExited(),
    lost("green", GREEN),
    connected(),
    e.AdapterOffset(platform="telegram", account=ACCOUNT, next_offset=7),
    paused(),
    e.AdapterLost(platform="telegram", account=ACCOUNT, reason="network"),
    accepted().event,
    e.TurnStarted(messages=(1,), session=SESSION),
    e.TurnJoined(turn=2, message=1),
    e.ReplyIntended(turn=2, part=0),
    e.ReplySent(turn=2, part=0),
    e.TurnFinished(turn=2, outcome="answered"),
    e.MessageSettled(message=1, outcome="answered"),
    flushed(),
    handed_over().event,
    e.WatcherAdopted(handed_over=1),
    health(),
    e.DivergenceDetected(rule="silence", measured=20.0, limit=15.0, evidence=(1,)),
)
"""One of every type, in the order of the vocabulary."""


class Book:
    """The law and the head, without a store: what is admitted is folded, what is refused raises and changes nothing."""

    def __init__(self) -> None:
        self.head = Head(hash=GENESIS)

    def say(self, who: Process, what: e.Event | Draft, role: Role = "operator", *, epoch: int | None = None) -> int:
        """Append, and return the seq."""
        draft = what if isinstance(what, Draft) else Draft(what, epoch=epoch)
        author = Writer(who, role)
        check(self.head, draft, author)
        self.head = advance(self.head, self._record(draft, author), draft.event)
        return self.head.seq

    def _record(self, draft: Draft, author: Writer) -> Record:
        event, head = draft.event, self.head
        role = role_of(head, author, event)
        return Record(
            head.seq + 1, head.handoff, event.TYPE, event.V, role, author.process, 0, 0, 0, draft.key, None, "", b"", b""
        )  # fmt: skip

    def accept(self, number: int = 1, *, kind: e.UpdateKind = "text") -> int:
        """A message, accepted by the owner."""
        assert self.head.owning is not None
        return self.say(self.head.owning, accepted(number, kind=kind))

    def turn(self, *messages: int) -> int:
        """A turn of the owner."""
        assert self.head.owning is not None
        return self.say(self.head.owning, e.TurnStarted(messages=messages, session=SESSION))

    def reach(self, phase: Phase) -> Book:
        """The plain way to a phase, from nothing: blue serves, green follows; rolling back comes from baking."""
        self.say(BLUE, started())
        self.say(BLUE, connected())
        for name, step in _WAY.items():
            if phase == "failed" and name == "init":
                self.say(BLUE, e.HandoffFailed(reason="preflight"))
            if self.head.phase == phase:
                return self
            if phase in ("rolling_back", "rolled_back") and name == "complete":
                self.say(OPERATOR, rollback("baking"))
                if phase == "rolled_back":
                    self.say(GREEN, paused())
                    seq = self.say(GREEN, flushed())
                    self.say(BLUE, e.BlueServing(flushed_seq=seq, digests=DIGESTS))
                return self
            for who, event in step:
                if isinstance(event, e.HandoffAck):
                    event = e.HandoffAck(flushed_seq=self.head.flushed_seq, digests=DIGESTS)
                self.say(who, event)
        return self


_WAY: dict[str, tuple[tuple[Process, e.Event], ...]] = {
    "requested": ((OPERATOR, requested()),),
    "init": (
        (BLUE, e.GreenSpawned(green=GREEN)),
        (BLUE, e.HandoffInit(green=GREEN)),
        (GREEN, started("green", serving=False)),
    ),
    "ack": ((BLUE, flushed()), (GREEN, e.HandoffAck(flushed_seq=1, digests=DIGESTS))),
    "active": ((BLUE, paused()), (BLUE, e.HandoffActive(turns=0))),
    "baking": ((GREEN, connected()), (GREEN, health()), (GREEN, e.HandoffConfirm(samples=(1,)))),
    "complete": ((BLUE, e.HandoffComplete(sample=1)),),
}


class Child:
    """Another process that runs ``code`` with this project importable. Every wait for it is bounded; leaving ends it."""

    def __init__(self, code: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.pid = self._process.pid
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, timeout_s: float = WAIT_S) -> str:
        """The next line that it prints, without its end; ``queue.Empty`` when there is none in time."""
        line = self._lines.get(timeout=timeout_s)
        assert line is not None, "the child has ended"
        return line.rstrip("\n")

    def go(self) -> None:
        """Let it go on from its ``input()``."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)

    def kill(self) -> list[str]:
        """SIGKILL. What it had printed in whole lines and nobody has read."""
        self._process.kill()
        self.wait()
        rest = []
        while (line := self._lines.get(timeout=WAIT_S)) is not None:
            rest += [line.rstrip("\n")] if line.endswith("\n") else []
        return rest

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(timeout=timeout_s)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.kill()
        self._process.wait(timeout=WAIT_S)
        self._reading.join(WAIT_S)
        assert not self._reading.is_alive(), "a child of the child still runs"
        self._process.stdout.close()


@contextmanager
def out_of_descriptors() -> Iterator[None]:
    """Inside, this process can open nothing more."""
    taken: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
