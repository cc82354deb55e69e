"""A process of the herd: ``python -m tests.soak.member write|tail FOLDER NAME FIRST COUNT OUT WOUNDS``.

A writer appends events ``NAME:FIRST`` to ``NAME:COUNT - 1`` one by one and notes in ``OUT`` what was acknowledged. ``WOUNDS`` is a
JSON object from an event's number to what befalls this process there: ``die in the transaction``, ``die before the bell``,
``stop in the transaction``. A tail notes every record until it has seen ``COUNT``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gateway_hooks.process import System
from gateway_hooks.settling import free_gate
from journal.bell import Bell
from journal.errors import Busy
from journal.record import Draft, Writer
from journal.store import Journal, Reader
from journal.tail import Tail
from tests.builders import preflight

DEADLINE_S = 1.0
TIDY_EVERY = 100


def write(folder: Path, name: str, first: int, count: int, out: int, wounds: dict[str, str]) -> None:
    """Append, and survive what others do.

    Notes: ``a N SEQ`` acknowledged; ``b SECONDS`` waited in vain; ``c`` emptied the log; ``d SECONDS TIMES`` one append took
    so long, freeing the gate included, after so many waits in vain; ``w N HOW`` is about to be wounded.
    """
    system = System()
    me = system.me()
    writer = Writer(me, "operator")
    now, n = "", first

    def wounded(real: Any, when: str, how: int) -> Any:
        def instead(*arguments: Any) -> Any:
            if now == when:
                os.write(out, f"w {n} {when}\n".encode())
                os.kill(os.getpid(), how)
            return real(*arguments)

        return instead

    Bell.ring = wounded(Bell.ring, "die before the bell", signal.SIGKILL)  # type: ignore[method-assign]
    inside = wounded(Journal._insert, "die in the transaction", signal.SIGKILL)
    Journal._insert = wounded(inside, "stop in the transaction", signal.SIGSTOP)  # type: ignore[method-assign]
    journal = _opened(folder, system, out)
    emptied = journal._tidied
    for n in range(first, count):
        now = wounds.get(str(n), "")
        first_began, times = time.monotonic(), 0
        while True:
            began = time.monotonic()
            try:
                (receipt,) = journal.append(Draft(preflight(), key=f"{name}:{n}"), writer=writer)
                break
            except Busy as error:
                os.write(out, f"b {time.monotonic() - began:.3f}\n".encode())
                times += 1
                free_gate(system, error.holder)
        os.write(out, f"a {n} {receipt.seq}\n".encode())
        if times:
            os.write(out, f"d {time.monotonic() - first_began:.3f} {times}\n".encode())
        if n % TIDY_EVERY == TIDY_EVERY - 1:
            try:
                journal.tidy()
            except Busy as error:
                free_gate(system, error.holder)
            if journal._tidied != emptied:
                emptied = journal._tidied
                os.write(out, b"c\n")
    journal.close()


def _opened(folder: Path, system: System, out: int) -> Journal:
    while True:
        began = time.monotonic()
        try:
            return Journal(folder, system.now, deadline_s=DEADLINE_S)
        except Busy as error:
            os.write(out, f"b {time.monotonic() - began:.3f}\n".encode())
            free_gate(system, error.holder)


def tail(folder: Path, count: int, out: int) -> None:
    """Note ``SEQ KEY`` of every record, in the order in which the tail gives them."""
    following = Tail(Reader(folder / "journal.db"), folder / "bell")
    for record in following:
        os.write(out, f"{record.seq} {record.key}\n".encode())
        if record.seq >= count:
            following.close()


def main(role: str, folder: str, name: str, first: str, count: str, out: str, wounds: str) -> None:
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if role == "tail":
        tail(Path(folder), int(count), fd)
    else:
        write(Path(folder), name, int(first), int(count), fd, json.loads(wounds))


if __name__ == "__main__":
    main(*sys.argv[1:])
