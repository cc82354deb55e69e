"""Reading: fold and verify a long journal against reading its rows, and how fast ``status`` starts."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from gateway_hooks.side_by_side import among_processes
from journal.chain import link
from journal.events import Process
from journal.parts import Split, undivided
from journal.store import Reader
from journal.verify import verify
from replay.fold import state_of
from tests.bench.workload import BEGIN
from tests.builders import ROOT

ALL = "SELECT * FROM events ORDER BY seq"


def replayed(path: Path, *, rounds: int) -> dict[str, dict[str, Any]]:
    """Fold the journal against ``for row in SELECT: json.loads(body)``, by turns; the peak memory of a process that just folds."""
    found = _apart(replay_here, path, rounds)
    peak = _apart(fold_here, path, 1)
    return {"replay_ratio": found, "replay_rss_mb": peak}


def verified(path: Path, *, rounds: int) -> dict[str, Any]:
    """Verify the journal against reading its rows and hashing them as the chain says, by turns."""
    return _apart(verify_here, path, rounds)


def _apart(what: Callable[[str, str], None], path: Path, rounds: int) -> dict[str, Any]:
    code = f"import sys; from tests.bench.reading import {what.__name__} as run; run(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(rounds)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replay_here(path: str, rounds: str) -> None:
    """Print the figures of folding against reading."""
    print(json.dumps(_against(Path(path), int(rounds), _fold, _loads)))


def verify_here(path: str, rounds: str) -> None:
    """Print the figures of verifying against hashing: as the command does it, and ``alone``, in one process."""
    alone = _against(Path(path), int(rounds), _verify_alone, _hash)
    divided = _against(Path(path), int(rounds), _verify, _hash)
    print(json.dumps({**divided, "alone": round(alone["value"], 3), "cores": len(os.sched_getaffinity(0))}))


def fold_here(path: str, _rounds: str) -> None:
    """Fold once and print the peak of this process's memory."""
    _fold(Path(path))
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    print(json.dumps({"value": int(peak[1]) / 1024}))


def _against(path: Path, rounds: int, ours: Callable[[Path], int], theirs: Callable[[Path], int]) -> dict[str, Any]:
    a: list[float] = []
    b: list[float] = []
    for number in range(rounds):
        pair = [(ours, a), (theirs, b)]
        for run, times in reversed(pair) if number % 2 else pair:
            begin = perf_counter()
            events = run(path)
            times.append(perf_counter() - begin)
    each = [x / y for x, y in zip(a, b, strict=True)]
    return {
        "value": median(each), "ours_s": round(median(a), 3), "theirs_s": round(median(b), 3),
        "least": round(min(each), 3), "most": round(max(each), 3), "rounds": rounds, "events": events,
    }  # fmt: skip


def _fold(path: Path) -> int:
    with closing(Reader(path)) as reader:
        state = state_of(reader)
    return state.head.seq


def _loads(path: Path) -> int:
    count = 0
    with closing(_plain(path)) as connection:
        for row in connection.execute(ALL):
            json.loads(row[13])
            count += 1
    return count


def _verify(path: Path) -> int:
    return _verified(path, among_processes)


def _verify_alone(path: Path) -> int:
    return _verified(path, undivided)


def _verified(path: Path, split: Split) -> int:
    with closing(Reader(path)) as reader:
        verdict = verify(reader, head=None, split=split)
    assert verdict.good, verdict.finding
    return verdict.events


def _hash(path: Path) -> int:
    count, who = 0, Process(pid=1, started=0, boot="")
    with closing(_plain(path)) as connection:
        for row in connection.execute(ALL):
            seq, handoff, type_, v, role, pid, started, boot, epoch, at_ns, mono_ns, key, cause, body, prev, _ = row
            if pid != who.pid or started != who.started or boot != who.boot:
                who = Process.model_construct(pid=pid, started=started, boot=boot)
            link(prev, seq, handoff, type_, v, role, who, epoch, at_ns, mono_ns, key, cause, body)
            count += 1
    return count


def _plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def status_startup(home: Path, *, rounds: int) -> dict[str, Any]:
    """``handoff-journal status`` on a home against ``python -c pass``, whole processes, by turns."""
    command = Path(sys.executable).with_name("handoff-journal")
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(_spent(sys.executable, "-c", "pass"))
        ours.append(_spent(str(command), "--home", str(home), "status"))
    each = [x / y for x, y in zip(ours, theirs, strict=True)]
    return {
        "value": median(each), "ours_ms": round(median(ours) * 1e3, 1), "python_ms": round(median(theirs) * 1e3, 1),
        "least": round(min(each), 2), "most": round(max(each), 2), "rounds": rounds, "events": len(BEGIN),
    }  # fmt: skip


def _spent(*command: str) -> float:
    begin = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    return perf_counter() - begin
