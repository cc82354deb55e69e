"""Waking: how soon another process has an event in hand, against a watchdog that watches a file; and how many come late."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from queue import Empty
from statistics import median
from time import monotonic_ns
from typing import Any

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from journal.bell import Bell
from journal.record import Draft
from journal.store import Reader
from journal.tail import Tail
from tests.bench.workload import BEGIN, US, Bare, beginning, drafts, opened, rows
from tests.builders import Child, preflight

LATE_S = 1.0
"""An event that was not seen by then is late: the tail's timer is set so that it never helps."""
NEVER_S = 3600.0
_TAIL = "import sys; from tests.bench.waking import tail; tail(*sys.argv[1:])"
_WATCH = "import sys; from tests.bench.waking import watch; watch(*sys.argv[1:])"


def tail(folder: str, after: str) -> None:
    """In a process of its own: follow the journal and print when each event was in hand, and which."""
    path = Path(folder)
    with closing(Reader(path / "journal.db")) as reader:
        followed = Tail(reader, path / "bell", after=int(after), timer_s=NEVER_S)
        print("ready", flush=True)
        for record in followed:
            print(monotonic_ns(), record.seq, flush=True)


class _Print(FileSystemEventHandler):
    def __init__(self) -> None:
        self.rung = threading.Event()

    def on_modified(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self.rung.set()


def watch(folder: str) -> None:
    """In a process of its own: watch a folder, as little as watchdog needs, and print when its waiting thread woke."""
    handler, observer = _Print(), Observer()
    observer.schedule(handler, folder)
    observer.start()
    print("ready", flush=True)
    while True:
        handler.rung.wait()
        handler.rung.clear()
        print(monotonic_ns(), flush=True)


class _Timed(Bell):
    """The bell, and when it began to ring: the commit is over, and not what is measured."""

    began_ns = 0

    def ring(self, seq: int, digest: bytes) -> None:
        self.began_ns = monotonic_ns()
        super().ring(seq, digest)


def wake(folder: Path, *, events: int) -> dict[str, dict[str, Any]]:
    """Lone events and lone rings of a bare doorbell by turns; the next comes when the last was seen."""
    (folder / "bare").mkdir(parents=True)
    bare = os.open(folder / "bare" / "bell", os.O_RDWR | os.O_CREAT, 0o600)
    encoded = rows(folder / "encoded", list(drafts(events)))
    ours, theirs, late = [], [], 0
    note = Draft(preflight())
    with opened(folder / "ours") as journal, closing(Bare(folder / "bare.db", beginning(folder / "encoded"))) as plain:
        journal._bell = bell = _Timed(folder / "ours" / "bell")
        with (
            Child(_TAIL, str(folder / "ours"), str(len(BEGIN))) as follower,
            Child(_WATCH, str(folder / "bare")) as watcher,
        ):
            assert follower.line() == watcher.line() == "ready"
            for row in encoded:
                plain.insert([row])  # a doorbell rings after a commit
                began = monotonic_ns()
                os.pwrite(bare, b"%-86d" % began, 0)
                theirs.append(int(watcher.line()) - began)
                (receipt,) = journal.append(note, writer=US)
                seen = _seen(follower, receipt.seq)
                if seen is None:
                    late += 1
                else:
                    ours.append(seen - bell.began_ns)
                threading.Event().wait(0.001)  # lone: nothing of the last one is under way any more
    os.close(bare)
    value = median(ours) / median(theirs) if ours else float("inf")
    return {
        "tail_p50_ratio": {
            "value": value, "ours_ms": _ms(ours, 0.5), "ours_p99_ms": _ms(ours, 0.99), "bare_ms": _ms(theirs, 0.5),
            "bare_p99_ms": _ms(theirs, 0.99), "events": events,
        },
        "tail_late": {"value": late, "events": events},
    }  # fmt: skip


def _seen(follower: Child, seq: int) -> int | None:
    """When the tail had that event; None when it did not within ``LATE_S``. What was late before is passed over."""
    try:
        while True:
            at_ns, number = map(int, follower.line(LATE_S).split())
            if number == seq:
                return at_ns
    except Empty:
        return None


def _ms(times_ns: list[int], quantile: float) -> float | None:
    return round(sorted(times_ns)[int(quantile * (len(times_ns) - 1))] / 1e6, 3) if times_ns else None
