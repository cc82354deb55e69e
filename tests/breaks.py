"""Each promise of the record broken on purpose, in a copy of the project: a test must notice. ``python -m tests.breaks`` does it.

A break that no longer applies, since the code has changed, is a failure too: write it anew. ``docs/guarantees.md`` lists them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.builders import ROOT

WITHIN_S = 600
JOURNAL, HOOKS = "tests/unit/journal", "tests/unit/gateway_hooks"


@dataclass(frozen=True)
class Break:
    """``old`` becomes ``new`` in ``file``, and ``tests`` (a pytest node, a file, or a module to run) must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


BREAKS = (
    Break("no gate", "journal/gate.py", "fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", "tests/soak"),
    Break(
        "the bell rings before the commit",
        "journal/store.py", '            run("COMMIT")\n        except (Refused, sqlite3.IntegrityError):',
        "            self._bell.ring(head.seq, head.hash)\n"
        '            __import__("time").sleep(0.02)\n            run("COMMIT")\n            self._bell.ring = lambda *_: None\n'
        "        except (Refused, sqlite3.IntegrityError):",
        f"{JOURNAL}/test_tail.py::test_each_append_wakes_the_tail",
    ),
    Break(
        "an observer that the kernel refuses is dropped as it is", "journal/tail.py",
        "            self.close()\n            self._inode = None\n            if not",
        "            self._inode = None\n            if not",
        f"{JOURNAL}/test_tail.py",
    ),
    Break(
        "acknowledged before the commit", "journal/store.py",
        'run = self._connection.execute\n        run("BEGIN IMMEDIATE")\n        try:\n            for draft in drafts:',
        'run = self._connection.execute\n        if self._connection.in_transaction:\n            run("COMMIT")\n'
        '        run("BEGIN IMMEDIATE")\n        try:\n            for draft in drafts:\n                owed = run\n'
        '                run = lambda sql, *more: None if sql == "COMMIT" else owed(sql, *more)',
        "tests/property/test_append.py",
    ),
    Break(
        "a refused append leaves its first events", "journal/store.py",
        'except (Refused, sqlite3.IntegrityError):\n            run("ROLLBACK")',
        'except (Refused, sqlite3.IntegrityError):\n            run("COMMIT")',
        "tests/property/test_append.py",
    ),
    Break(
        "a key is not looked up", "journal/store.py",
        "        if draft.key is None:\n            return None", "        return None",
        "tests/property/test_append.py",
    ),
    Break(
        "closing checkpoints outside of the gate", "journal/store.py",
        "with suppress(Busy), self._line.alone(), self.gate.held():", "with suppress(Busy), self._line.alone():",
        f"{JOURNAL}/test_checkpoints.py",
    ),
    Break(
        "tidying checkpoints outside of the gate", "journal/store.py",
        "with self._line.alone(), translated(self.path), self.gate.held():",
        "with self._line.alone(), translated(self.path):", f"{JOURNAL}/test_checkpoints.py",
    ),
    Break(
        "SQLite checkpoints by itself", "journal/store.py", "wal_autocheckpoint = 0", "wal_autocheckpoint = 10",
        f"{JOURNAL}/test_checkpoints.py",
    ),
    Break(
        "the interpreter's end closes what is open", "journal/trouble.py",
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))", "pass", f"{JOURNAL}/test_checkpoints.py",
    ),
    Break(
        "a stopped holder of the gate is left alone", "gateway_hooks/settling.py",
        "    process = world.identify(holder) if holder else None\n", "    process = None\n", "tests/soak",
    ),
    Break(
        "waiting for the gate has no deadline", "journal/gate.py", "self._done.wait(limit)",
        "self._done.wait(limit + 5)",
        "-m tests.soak.herd --events 1000 --wounds 3",
    ),
    Break(
        "another file is not noticed", "journal/store.py", "if self._identity() != self._inode:", "if False:",
        f"{JOURNAL}/test_store.py",
    ),
    Break(
        "a row that does not follow is believed", "journal/store.py",
        "if record.prev != head.hash and (head.seq or record.seq == 1):", "if False:",
        f"{HOOKS}/test_degraded.py",
    ),
    Break("verify does not compare hashes", "journal/walk.py", "if now != digest:", "if False:", f"{HOOKS}/test_tampering.py"),
    Break("verify does not follow the chain", "journal/walk.py", "if prev != hash_:", "if False:", f"{JOURNAL}/test_verify.py"),
    Break(
        "verify forgets the words that another process saw", "journal/walk.py", "self.words.update(part.words)", "pass",
        f"{HOOKS}/test_side_by_side.py",
    ),
    Break(
        "verify does not count", "journal/walk.py", "if last is not None and seq != last + 1:", "if False:",
        f"{HOOKS}/test_tampering.py",
    ),
    Break(
        "verify does not ask the bell", "gateway_hooks/commands/verify.py", "given = given or kept_head(place)", "pass",
        f"{HOOKS}/test_tampering.py",
    ),
    Break(
        "words are not erased", "journal/store.py", "if erased is not None:", "if False:", f"{HOOKS}/test_erasure.py",
    ),
    Break(
        "erased words stay in the log beside the file", "journal/store.py", "wal_checkpoint(TRUNCATE)",
        "wal_checkpoint(RESTART)",
        f"{HOOKS}/test_erasure.py",
    ),
    Break(
        "erased words stay in the file's free pages",
        "journal/store.py", '"secure_delete = ON", ', '"secure_delete = OFF", ',
        f"{JOURNAL}/test_store.py",
    ),
    Break("equal words have equal digests", "gateway_hooks/inbox.py", "self.entropy(16))", "bytes(16))", f"{HOOKS}/test_erasure.py"),
    Break(
        "a process that cannot be looked at is dead", "gateway_hooks/process.py",
        "except (FileNotFoundError, ProcessLookupError):\n        return None", "except OSError:\n        return None",
        f"{HOOKS}/test_process.py",
    ),
    Break(
        "a folder of others is written", "journal/store.py", "        require_private(folder)\n", "",
        f"{HOOKS}/test_bad_places.py",
    ),
    Break(
        "a newer schema is read as if it were ours", "journal/trouble.py", "if version > schema.VERSION:", "if False:",
        f"{HOOKS}/test_bad_places.py",
    ),
    Break(
        "what the system refuses is unexpected", "gateway_hooks/cli.py", "    except OSError as error:",
        "    except ZeroDivisionError as error:",
        f"{HOOKS}/test_bad_places.py",
    ),
    Break(
        "a page that leads back is followed", "journal/trouble.py", "if rows and rows[-1][0] <= after:", "if False:",
        f"{HOOKS}/test_bad_input.py::test_a_page_that_leads_back_is_not_followed_in_a_circle",
    ),
    Break(
        "a handoff goes on without the journal", "gateway_hooks/inbox.py",
        "return head.owning == self._writer.process and not head.open", "return True", f"{HOOKS}/test_degraded.py",
    ),
    Break(
        "the gateway stops with its journal", "gateway_hooks/inbox.py",
        "return head.owning == self._writer.process and not head.open", "return False", f"{HOOKS}/test_degraded.py",
    ),
    Break(
        "a lost journal is complained of at each message", "gateway_hooks/degraded.py",
        "if self.last is None or self._said:",
        "if self.last is None:", f"{HOOKS}/test_degraded.py",
    ),
    Break(
        "an export replaces what stands there", "journal/export.py", "if os.path.lexists(self._target):", "if False:",
        f"{JOURNAL}/test_export.py",
    ),
    Break(
        "who shares a transaction with a refused one keeps what it wrote",
        "journal/store.py", 'run("ROLLBACK TO request")', "pass",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "a group is as large as the line", "journal/store.py", "group += self._line.take(GROUP)\n                stamp",
        "group += self._line.take(10**9)\n                stamp", f"{JOURNAL}/test_group.py",
    ),
    Break(
        "each of a line waits in vain for itself", "journal/store.py", "if isinstance(error, Busy):", "if False:",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "all of a group get the very same error", "journal/store.py",
        "error if request is first else twin(error)", "error",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "who is interrupted as it is called keeps its turn", "journal/group.py",
        "            if request.leads:\n                self.leave()\n", "            pass\n",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "who is interrupted in the line stays there", "journal/group.py", "self._waiting.remove(request)", "pass",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "who wants the journal alone is taken into a group", "journal/group.py", "if request.writer is None:",
        "if False:",
        f"{JOURNAL}/test_group.py",
    ),
    Break(
        "the log is emptied of erased words only", "journal/store.py",
        "self._head.seq - self._tidied < TIDY_EVENTS", "True",
        f"{JOURNAL}/test_checkpoints.py",
    ),
    Break(
        "words must be text", "gateway_hooks/inbox.py", 'update.payload.decode("utf-8", "surrogateescape")',
        "update.payload.decode()",
        f"{HOOKS}/test_bad_input.py",
    ),
    Break(
        "what the disk refuses is acknowledged", "journal/store.py", "raise explained(error, self.path) from error",
        "if not self.__dict__.pop('_told', False):\n"
        "                    self._told = True\n"
        "                    return (Receipt(self._head.seq + 1, self._head.hash),) * len(drafts)\n"
        "                raise explained(error, self.path) from error", f"{HOOKS}/test_bad_input.py",
    ),
    Break(
        "a gate that was deleted is held on to", "journal/gate.py", "os.fstat(self._fd).st_nlink == 0", "False",
        f"{JOURNAL}/test_gate.py",
    ),
    Break(
        "a bell that was deleted is rung on", "journal/bell.py", "if 0 <= now_ns - self._looked_ns < LOOK_NS:",
        "if True:",
        f"{JOURNAL}/test_bell.py",
    ),
    Break(
        "a follower begins where it likes", "gateway_hooks/commands/log.py", 'place.folder / "bell", after=after)',
        'place.folder / "bell")', f"{HOOKS}/test_log_follow.py",
    ),
    Break(
        "a follower prints what it has printed", "journal/tail.py",
        "            for record in page:\n                self._cursor = record.seq\n                yield record\n"
        "            if not page:\n                self._bell.wait",
        "            for record in page:\n                self._cursor = max(self._cursor, record.seq - 1)\n"
        "                yield record\n"
        "            if not page:\n                self._bell.wait",
        f"{HOOKS}/test_log_follow.py",
    ),
    Break(
        "nothing is kept back of the disk", "journal/reserve.py", "os.posix_fallocate(fd, 0, self._size)\n", "",
        f"{JOURNAL}/test_reserve.py",
    ),
    Break(
        "a snapshot of another record is believed", "journal/snapshot.py",
        "ON e.seq = s.seq AND e.hash = s.hash", "ON e.seq = s.seq", f"{JOURNAL}/test_snapshot.py",
    ),
    Break(
        "a whole gateway: the reserve is not given back", "gateway_hooks/without.py",
        "and self._reserve.give_back():", "and False:",
        "tests/e2e/test_disk.py::test_on_a_full_disk_the_reserve_pays_for_the_way_back_and_blue_serves_on",
    ),
    Break(
        "a whole gateway: without descriptors it fills its log", "gateway_hooks/manager.py",
        "        except (HandoffError, OSError) as error:\n            self._decide(",
        "        except HandoffError as error:\n            self._decide(",
        "tests/e2e/test_bad_days.py::test_a_gateway_out_of_descriptors_loses_nothing_and_refuses_a_handoff",
    ),
    Break(
        "a whole gateway: deadlines follow the wall clock", "gateway_hooks/process.py",
        "return Stamp(time.time_ns(), time.monotonic_ns())", "return Stamp(time.time_ns(), time.time_ns())",
        "tests/e2e/test_bad_days.py::test_a_clock_that_jumps_by_years_changes_nothing_in_a_handoff",
    ),
    Break(
        "a whole gateway: a forged row is appended to", "journal/store.py",
        "if record.prev != head.hash and (head.seq or record.seq == 1):", "if False:",
        "tests/e2e/test_bad_days.py::test_a_forged_row_stops_the_writing_once_and_the_gateway_serves_on",
    ),
    Break(
        "a whole gateway: nobody tidies", "gateway_hooks/manager.py", "            self._journal.tidy()\n",
        "            pass\n",
        "tests/e2e/test_bad_days.py::test_whatever_people_write_is_answered_and_stands_nowhere_once_it_is_quiet",
    ),
)  # fmt: skip


def noticed(found: Break) -> str:
    """Break a copy and run the tests there: which of them failed, or why this cannot be said."""
    with tempfile.TemporaryDirectory(prefix="handoff-break-") as folder:
        copy = Path(folder) / "copy"
        left_out = shutil.ignore_patterns(
            ".git", ".venv", "build", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"
        )
        shutil.copytree(ROOT, copy, ignore=left_out)
        path = copy / found.file
        text = path.read_text()
        if text.count(found.old) != 1:
            return f"DOES NOT APPLY: its place stands there {text.count(found.old)} times"
        path.write_text(text.replace(found.old, found.new))
        words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tmp", found.tests]
        if found.tests.startswith("-m "):
            words = found.tests.split()
        try:
            done = subprocess.run(
                [sys.executable, *words],
                cwd=copy, capture_output=True, text=True, timeout=WITHIN_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"NOT NOTICED within {WITHIN_S} s"
    failed = [
        line.split(" - ")[0].removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")
    ]
    if done.returncode == 1 and failed:
        return failed[0]
    if done.returncode == 1 and words[1] != "pytest":
        return " ".join(words[1:2])
    return f"NOT NOTICED: it ended with {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="breaks whose name holds this")
    given = parser.parse_args()
    bad = 0
    for found in BREAKS:
        if given.only in found.name:
            began = time.monotonic()
            told = noticed(found)
            bad += told.startswith(("NOT NOTICED", "DOES NOT APPLY"))
            print(f"{found.name:<55} {time.monotonic() - began:5.1f} s  {told}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
