"""What is recorded: two processes that append, erase, empty the write-ahead log, close and open again; one by several threads at once.

``python -m tests.power.workload FOLDER ACKS EVENTS FULL|NORMAL`` creates the journal and starts the second one itself. Whatever
``append`` has returned is written to ``ACKS``, a line each: ``ack SEQ HASH``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway_hooks.process import System
from journal import events as e
from journal.record import Draft, Receipt, Writer
from journal.store import Journal, create
from tests.builders import DIGEST, accepted, preflight

TIDY_EVERY, REOPEN_EVERY, TOGETHER_EVERY = 9, 23, 5
THREADS = 3
"""Of the second process: they append at once, and share transactions as it comes."""


def opened(folder: Path, system: System, synchronous: str) -> Journal:
    journal = Journal(folder, system.now)
    if synchronous != "FULL":
        journal._connection.execute(f"PRAGMA synchronous = {synchronous}")
    return journal


def work(folder: Path, acks: int, events: int, synchronous: str, name: str) -> None:
    """Append ``events`` times: the first process owns, and accepts and settles messages; the second is an operator of many threads."""
    system = System()
    first = name == "first"
    writer = Writer(system.me(), "blue" if first else "operator")
    journal = opened(folder, system, synchronous)
    started = e.ProcessStarted(side="blue", serving=True, gateway="none", version="1", runtime="same")
    waiting: list[int] = []

    def append(*drafts: Draft) -> tuple[Receipt, ...]:
        receipts = journal.append(*drafts, writer=writer)
        os.write(acks, b"".join(f"ack {r.seq} {r.hash.hex()}\n".encode() for r in receipts))
        return receipts

    with ThreadPoolExecutor(THREADS) as threads:
        for n in range(events):
            drafts = [Draft(preflight(), key=f"{name}:{n}:{m}") for m in range(3 if n % TOGETHER_EVERY == 0 else 1)]
            if first and n == 0:
                drafts.insert(0, Draft(started))
            elif first and n % 2 and waiting:
                drafts.append(Draft(e.MessageSettled(message=waiting.pop(0), outcome="no_reply")))
            elif first:
                drafts.append(accepted(n, words=os.urandom(700), key=True))
            receipts = append(*drafts)
            waiting += [r.seq for r, d in zip(receipts, drafts, strict=True) if isinstance(d.event, e.MessageAccepted)]
            if not first:
                list(threads.map(append, (Draft(preflight(), key=f"{name}:{n}:at once:{m}") for m in range(THREADS))))
            if n % TIDY_EVERY == TIDY_EVERY - 1:
                journal.tidy()
            if n % REOPEN_EVERY == REOPEN_EVERY - 1:
                journal.close()
                journal = opened(folder, system, synchronous)
    journal.close()


def main(folder: str, path: str, events: str, synchronous: str, name: str = "first") -> None:
    assert len(DIGEST) == 64
    acks = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if name != "first":
        work(Path(folder), acks, int(events), synchronous, name)
        return
    create(Path(folder), at_ns=1)
    os.write(acks, b"created\n")
    again = [sys.executable, "-m", "tests.power.workload", folder, path, events, synchronous, "second"]
    second = subprocess.Popen(again)
    work(Path(folder), acks, int(events), synchronous, name)
    assert second.wait() == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
