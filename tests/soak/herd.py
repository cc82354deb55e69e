"""Many processes write one journal beside two tails; some are killed, some stopped while they hold the gate. Then: what stands?

``python -m tests.soak.herd --events 25000`` is the whole of it, ``make soak-journal``; the ordinary tests run a small one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from journal.bell import read_head
from journal.store import Reader, create
from journal.verify import verify
from tests.builders import ROOT
from tests.soak.member import DEADLINE_S

WOUNDS = ("die in the transaction", "die before the bell", "stop in the transaction")
LATE_S = 1.5
"""What a busy machine may add to the gate's deadline before an append gives up."""
STILL_S = 60.0
"""When nothing was appended for so long, the herd stands still, and that is a finding."""


@dataclass(slots=True)
class Outcome:
    """What was done, as it was counted when it happened, and what came of it.

    ``wrong`` is empty when every promise held, ``late`` when those about time did, which a busy machine may break by itself.

    ``wounds`` are those that the writers noted before they dealt them to themselves, and ``killed from outside`` the other kills.
    ``longest_wait_s`` is one attempt's wait in vain, ``longest_delay_s`` all that such a wait cost an append.
    """

    events: int = 0
    acknowledged: int = 0
    killed: int = 0
    wounds: dict[str, int] = field(default_factory=dict)
    longest_wait_s: float = 0.0
    longest_delay_s: float = 0.0
    checkpoints: dict[str, int] = field(default_factory=dict)
    largest_wal_mb: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


class _Member:
    """One writer, or tail, and its successors: whoever was killed is started again where its acknowledgements end."""

    def __init__(self, role: str, folder: Path, name: str, count: int, wounds: dict[int, str]) -> None:
        self.role, self.folder, self.name, self.count, self.wounds = role, folder, name, count, wounds
        self.out = folder.parent / f"{name}.out"
        self.out.touch()
        self.killed = 0
        self.ended = False
        self.process = self._start(0)

    def _start(self, first: int) -> subprocess.Popen[bytes]:
        wounds = json.dumps({n: how for n, how in self.wounds.items() if n >= first})
        words = [self.role, str(self.folder), self.name, str(first), str(self.count), str(self.out), wounds]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-m", "tests.soak.member", *words], env=env, cwd=ROOT)

    def look(self) -> None:
        """Start it again when it was killed. Each wound is dealt once."""
        code = self.process.poll()
        if code is None or self.ended:
            return
        if code == 0:
            self.ended = True
            return
        first = max((n for n, _ in self.acknowledged()), default=-1) + 1
        self.killed += 1
        if code != -9:
            raise AssertionError(f"{self.name} ended with {code}")
        for n, *_ in self.notes("w "):
            self.wounds.pop(int(n), "")
        self.process = self._start(first)

    def notes(self, kind: str) -> list[list[str]]:
        lines = self.out.read_text().split("\n")[:-1]
        return [line.split()[1:] for line in lines if line.startswith(kind)]

    def acknowledged(self) -> list[tuple[int, int]]:
        return [(int(n), int(seq)) for n, seq in self.notes("a ")]


def run(folder: Path, *, events: int, writers: int = 4, tails: int = 2, wounds: int = 6, seed: int = 0) -> Outcome:
    """Let ``writers`` append ``events`` each, with ``wounds`` for each of them and as many kills from outside, and judge it."""
    dice, began, outcome = random.Random(seed), time.monotonic(), Outcome(events=writers * events)
    create(folder, at_ns=1)
    herd = []
    for w in range(writers):
        places = dice.sample(range(events // 20, events - events // 20), wounds)
        herd.append(_Member("write", folder, f"w{w}", events, {n: WOUNDS[i % 3] for i, n in enumerate(sorted(places))}))
    watching = [_Member("tail", folder, f"t{t}", writers * events, {}) for t in range(tails)]
    left, next_kill = writers * wounds, 0
    last, moved = 0, time.monotonic()
    try:
        while not all(m.ended for m in (*herd, *watching)):
            threading.Event().wait(0.05)
            try:
                for member in (*herd, *watching):
                    member.look()
            except AssertionError as error:
                outcome.wrong.append(str(error))
                break
            wal = folder / "journal.db-wal"
            if wal.exists():
                outcome.largest_wal_mb = max(outcome.largest_wal_mb, round(wal.stat().st_size / 2**20, 1))
            with closing(Reader(folder / "journal.db")) as reader:
                seq = reader.last_seq()
            if seq != last:
                last, moved = seq, time.monotonic()
            if time.monotonic() - moved > STILL_S:
                outcome.wrong.append(f"nothing moves any more at seq {seq}")
                break
            done = seq / (writers * events)
            if left and done > next_kill / (writers * wounds + 1):
                alive = [m for m in herd if not m.ended and m.process.poll() is None]
                if alive:
                    dice.choice(alive).process.kill()
                    left, next_kill = left - 1, next_kill + 1
    finally:
        for member in (*herd, *watching):
            member.process.kill()
            member.process.wait()
    outcome.seconds = round(time.monotonic() - began, 1)
    _judge(folder, herd, watching, outcome)
    return outcome


def _judge(folder: Path, herd: list[_Member], watching: list[_Member], outcome: Outcome) -> None:
    wrong = outcome.wrong
    with closing(Reader(folder / "journal.db")) as reader:
        keys = {record.seq: record.key for record in reader.all()}
        verdict = verify(reader, head=read_head(folder / "bell"))
    if list(keys) != list(range(1, outcome.events + 1)):
        wrong.append(f"{len(keys)} seqs, not 1 to {outcome.events} without gap")
    twice = [key for key, times in Counter(keys.values()).items() if times > 1]
    missing = {f"{m.name}:{n}" for m in herd for n in range(m.count)} - set(keys.values())
    wrong += [f"{len(what)} events {how}" for what, how in ((twice, "stand twice"), (missing, "are missing")) if what]
    for member in herd:
        acknowledged = member.acknowledged()
        outcome.acknowledged += len(acknowledged)
        lost = [(n, seq) for n, seq in acknowledged if keys.get(seq) != f"{member.name}:{n}"]
        if lost:
            wrong.append(f"{len(lost)} acknowledged events of {member.name} are not where they were said to be")
        outcome.killed += member.killed
        for _, *how in member.notes("w "):
            outcome.wounds[" ".join(how)] = outcome.wounds.get(" ".join(how), 0) + 1
        outcome.checkpoints[member.name] = len(member.notes("c"))
        waits = [float(wait) for (wait,) in member.notes("b ")]
        outcome.longest_wait_s = max([outcome.longest_wait_s, *waits])
        delays = [round(float(delay) / int(times), 3) for delay, times in member.notes("d ")]
        outcome.longest_delay_s = max([outcome.longest_delay_s, *delays])
    outcome.wounds["killed from outside"] = outcome.killed - sum(outcome.wounds.values())
    if outcome.longest_wait_s > DEADLINE_S + LATE_S:
        outcome.late.append(f"somebody waited {outcome.longest_wait_s} s for the gate, the deadline is {DEADLINE_S} s")
    if outcome.longest_delay_s > DEADLINE_S + LATE_S:
        outcome.late.append(
            f"a wait in vain cost an append {outcome.longest_delay_s} s, the deadline is {DEADLINE_S} s"
        )
    idle = [name for name, times in outcome.checkpoints.items() if not times]
    if idle:
        wrong.append(f"{', '.join(idle)} never emptied the log")
    for member in watching:
        seen = [line.split() for line in member.out.read_text().splitlines()]
        if [(int(seq), key) for seq, key in seen] != [(seq, str(key)) for seq, key in keys.items()]:
            wrong.append(f"{member.name} did not see each event once and in order")
    if not verdict.good:
        wrong.append(verdict.finding)
    with closing(sqlite3.connect(f"{(folder / 'journal.db').as_uri()}?mode=ro", uri=True)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        wrong.append(f"integrity_check: {found}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=25_000, help="for each of the four writers")
    parser.add_argument("--wounds", type=int, default=12, help="for each of them, and as many kills from outside")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handoff-soak-") as folder:
        outcome = run(Path(folder) / "handoff", events=given.events, wounds=given.wounds, seed=given.seed)
    print(json.dumps({"seed": given.seed, "sqlite": sqlite3.sqlite_version, **asdict(outcome)}, indent=2))
    return 1 if outcome.wrong or outcome.late else 0


if __name__ == "__main__":
    sys.exit(main())
