"""Cut the power: ``python -m tests.power [--cuts N] [--events N] [--seed N]``. Needs strace.

A run of the journal is recorded, the disk is rebuilt as it may stand after any moment of it, and the journal on it is opened. What was
acknowledged before must be there. The same with ``synchronous=NORMAL`` must lose some, or the whole thing proves nothing.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway_hooks.process import System
from journal.bell import read_head
from journal.errors import HandoffError
from journal.record import Draft, Writer
from journal.store import Journal, Reader, create
from journal.verify import verify
from tests.builders import ROOT, preflight
from tests.power.disk import Disk, Op, lay
from tests.power.trace import COMMAND, STRACE, operations


@dataclass(slots=True)
class Outcome:
    """How many cuts, how many of them lost an acknowledged event or broke something else, and in which ways."""

    cuts: int = 0
    with_acks: int = 0
    lost: int = 0
    broken: Counter[str] = field(default_factory=Counter)


def record(folder: Path, *, events: int, synchronous: str) -> tuple[list[Op], str]:
    """Run the workload under strace. Returns its operations, and the folder above the journal's."""
    folder.mkdir(parents=True)
    home, acks, out = folder / "home", folder / "acks", folder / "trace"
    home.mkdir()
    command = [*COMMAND, "-o", str(out), sys.executable, "-m", "tests.power.workload"]
    subprocess.run([*command, str(home / "handoff"), str(acks), str(events), synchronous], check=True, cwd=ROOT)
    with out.open(encoding="ascii") as lines:
        return operations(lines, str(home), str(acks)), str(home)


def cut(ops: list[Op], root: str, folder: Path, *, cuts: int, seed: int) -> Outcome:
    """Rebuild the disk after so many moments of the run, spread evenly, each time with other dice, and judge each."""
    dice, outcome, disk = random.Random(seed), Outcome(), Disk(root)
    said: dict[int, str] = {}
    created = False
    done = 0
    for n, op in enumerate(ops):
        if op.kind == "say":
            words = [line.split() for line in op.data.decode().splitlines()]
            created = created or ["created"] in words
            said |= {int(line[1]): line[2] for line in words if line[0] == "ack"}
        disk.do(op)
        due = cuts * (n + 1) // len(ops)
        under_way = [
            later
            for later in ops[n + 1 : n + 9]
            if later.begin < op.end and later.kind in ("write", "truncate", "extend")
        ]
        while done < due:
            done += 1
            place = folder / "left"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            lay(disk.left(dice, under_way), place)
            outcome.cuts += 1
            outcome.with_acks += bool(said)
            _judge(place / "handoff", said, created, outcome)
    return outcome


def _judge(folder: Path, said: dict[int, str], created: bool, outcome: Outcome) -> None:
    system = System()
    try:
        if not created:
            create(folder, at_ns=1)
        head = read_head(folder / "bell")
        key = (folder / "key").read_bytes()
        if len(key) != 32 or key == bytes(32):
            outcome.broken["the key of the pseudonyms is gone"] += 1
        with closing(Reader(folder / "journal.db")) as reader:
            stands = {record.seq: record.hash.hex() for record in reader.all()}
            verdict = verify(reader, head=head)
        lost = [seq for seq, hash_ in said.items() if stands.get(seq) != hash_]
        outcome.lost += bool(lost)
        if not verdict.good and not lost:
            outcome.broken[verdict.finding] += 1
        with closing(sqlite3.connect(folder / "journal.db")) as connection:
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
            if found != "ok":
                outcome.broken[f"integrity_check: {found}"] += 1
        journal = Journal(folder, system.now)
        journal.append(Draft(preflight()), writer=Writer(system.me(), "operator"))
        journal.close()
    except (HandoffError, OSError, sqlite3.Error) as error:
        outcome.lost += bool(said)
        outcome.broken[f"{type(error).__name__}: {str(error).replace(str(folder), 'FOLDER')}"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1500)
    parser.add_argument("--events", type=int, default=60, help="appends of each of the two processes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = parser.parse_args()
    if shutil.which(STRACE) is None:
        print("strace is missing: 'make power' installs it, or: apt-get install strace")
        return 1
    print(f"seed {given.seed}")
    good = True
    with tempfile.TemporaryDirectory(prefix="handoff-power-") as temporary:
        for synchronous in ("FULL", "NORMAL"):
            ops, root = record(Path(temporary) / synchronous, events=given.events, synchronous=synchronous)
            kinds = Counter(op.kind for op in ops)
            outcome = cut(ops, root, Path(temporary), cuts=given.cuts, seed=given.seed)
            print(
                f"synchronous={synchronous}: {kinds['write']} writes, {kinds['sync']} syncs, {kinds['say']} acknowledgements; "
                f"{outcome.cuts} cuts, {outcome.with_acks} of them after the first; {outcome.lost} lost an acknowledged event"
            )
            for what, times in outcome.broken.most_common():
                print(f"    {times} times: {what}")
            good = (
                good
                and (outcome.lost == 0) == (synchronous == "FULL")
                and (not outcome.broken or synchronous != "FULL")
            )
    print("as promised" if good else "NOT as promised")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
