"""What is done to the journal under a whole running gateway: it goes on, says so once, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway_hooks.process import System
from journal.store import create
from tests.e2e.bad_day import Day, a_day, refused_start

CANNOT = "THE JOURNAL CANNOT BE WRITTEN"
GOES_ON = "the gateway goes on without it"
"""The last word on it: who waits for the first may read the log between the two."""


def forge(path: Path) -> None:
    """Append a row as somebody would who can write the file and knows nothing of the chain."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO events SELECT seq + 1, handoff, type, v, role, pid, started, boot, epoch, at_ns, mono_ns, NULL, cause,"
            " body, x'00', x'01' FROM events ORDER BY seq DESC LIMIT 1"
        )


def test_a_forged_row_stops_the_writing_once_and_the_gateway_serves_on(tmp_path: Path) -> None:
    async def day_of_forgery() -> None:
        async with a_day(tmp_path) as day:
            await day.chat(2)
            good = (await day.settled()).head.seq
            forge(day.path)
            await day.chat(3)
            await day.complains(GOES_ON)
            said = day.complaints()
            assert [CANNOT in line for line in said] == [True, False], said
            assert f"seq {good + 1} is not chained" in said[0]
            await day.chat(5)
            assert day.complaints() == said, "once"
            assert day.system.probe(day.gateway) == "running"
            assert day.last_seq() == good + 1, "nothing was chained to it"
            code, _, err = await day.type("verify")
            assert (code, f"first bad seq {good + 1}: " in err) == (5, True)
            code, _, err = await day.type("promote")
            assert (code, len(err.splitlines())) == (5, 1)
            day.everybody_was_answered_once()
            assert await day.end() == 0
            code, told = await asyncio.to_thread(refused_start, day.rig.home)
            assert (code, f"seq {good + 1} is not chained" in told, len(told.splitlines())) == (5, True, 1)

    asyncio.run(day_of_forgery())


@pytest.mark.parametrize("way", ["unlinked", "replaced"])
def test_a_journal_that_was_taken_away_is_missed_once_and_served_without(tmp_path: Path, way: str) -> None:
    async def day_of_loss() -> None:
        async with a_day(tmp_path) as day:
            await day.chat(2)
            seq = (await day.settled()).head.seq
            kept = day.handoff / "kept"
            day.path.rename(kept)
            if way == "replaced":
                create(tmp_path / "other", at_ns=1)
                shutil.copy(tmp_path / "other" / "journal.db", day.path)
            await day.chat(4)
            await day.complains(GOES_ON)
            said = day.complaints()
            assert [CANNOT in line for line in said] == [True, False], said
            assert "was removed or replaced" in said[0]
            assert day.path.exists() == (way == "replaced"), "it never starts a fresh one"
            if way == "unlinked":
                code, _, err = await day.type("promote")
                assert (code, len(err.splitlines())) == (3, 1)
            await day.end()
            assert day.complaints() == said
            kept.rename(day.path)
            day.rig.start()
            await day.chat()
            await day.settled()
            day.everybody_was_answered_once()
            assert day.verdict().good
            assert day.last_seq() > seq

    asyncio.run(day_of_loss())


def test_a_gate_and_a_bell_that_were_deleted_come_back_and_both_sides_meet_there(tmp_path: Path) -> None:
    async def day_of_tidying() -> None:
        async with a_day(tmp_path) as day:
            await day.chat()
            (day.handoff / "gate").unlink()
            shutil.rmtree(day.handoff / "bell")
            await day.chat(2)
            code, out, err = await day.type("promote", "--no-wait", "--bake", "1h", "--json")
            assert (code, json.loads(out)["outcome"]) == (0, "baking"), err
            (day.handoff / "gate").unlink()
            shutil.rmtree(day.handoff / "bell")
            await day.chat(2)
            assert (await day.type("complete"))[0] == 0
            await day.chat()
            await day.settled()
            day.everybody_was_answered_once()
            assert day.verdict().good
            assert day.complaints() == []

    asyncio.run(day_of_tidying())


# ------------------------------------------------------------------------------------------------------------ the disk


@contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """A real disk of 3 MB at ``place`` where one may be mounted; whether it is one."""
    place.mkdir(parents=True)
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m,mode=700", "tmpfs", str(place)], capture_output=True)
    try:
        yield told.returncode == 0
    finally:
        if told.returncode == 0:
            subprocess.run(["umount", "-l", str(place)], check=True)


class Fullness:
    """Fills the disk and gives it back; where there is none of its own, a limit on the size of files stands in for it."""

    def __init__(self, day: Day, real: bool) -> None:
        self._day, self._real = day, real
        self._ballast = day.handoff / "ballast"

    def fill(self) -> None:
        if not self._real:
            self._limit((self._day.handoff / "journal.db-wal").stat().st_size)
            return
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def give_back(self) -> None:
        if self._real:
            self._ballast.unlink()
        else:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for process in self._day.system.carrying("HANDOFF_JOURNAL_RIG", str(self._day.rig.folder)):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_on_a_full_disk_the_gateway_goes_on_without_and_comes_back(tmp_path: Path) -> None:
    async def day_of_want() -> None:
        with small_disk(tmp_path / "home" / "handoff") as real:
            async with a_day(tmp_path) as day:
                disk = Fullness(day, real)
                await day.chat(3)
                await day.settled()
                disk.fill()
                await day.chat(6, text="x" * 8000)
                await day.complains(GOES_ON)
                said = day.complaints()
                assert [CANNOT in line for line in said] == [True, False], said
                if real:
                    code, _, err = await day.type("promote", "--no-wait")
                    assert (code, len(err.splitlines())) == (74, 1), err
                disk.give_back()
                await day.complains("the journal can be written again")
                before = day.last_seq()
                await day.chat(3)
                await day.settled()
                day.everybody_was_answered_once()
                assert day.last_seq() > before + 10
                assert day.verdict().good
                assert len(day.complaints()) == 3

    asyncio.run(day_of_want())


# ------------------------------------------------------------------------------------------- descriptors, clocks, words


def test_a_gateway_out_of_descriptors_loses_nothing_and_refuses_a_handoff(tmp_path: Path) -> None:
    async def day_of_want() -> None:
        async with a_day(tmp_path) as day:
            await day.chat(2)
            await day.settled()
            hard = resource.prlimit(day.gateway.pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(day.gateway.pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open stays open
            waiting = [day.ask(chat=700 + n) for n in range(12)]
            code, out, err = await day.type("promote", "--json")
            assert (code, err) == (1, "")
            assert (json.loads(out)["outcome"], json.loads(out)["reason"]) == ("failed", "spawn")
            assert day.system.probe(day.gateway) == "running"
            resource.prlimit(day.gateway.pid, resource.RLIMIT_NOFILE, (hard, hard))
            await day.answer(*waiting)
            await day.settled()
            day.everybody_was_answered_once()
            assert day.verdict().good
            assert (await day.type("promote", "--no-wait", "--bake", "1h"))[0] == 0

    asyncio.run(day_of_want())


JUMPING = """
import pathlib, time
_time_ns, _by = time.time_ns, pathlib.Path({path!r})
def jumped():
    try: return _time_ns() + int(_by.read_text() or 0) * 10**9
    except OSError: return _time_ns()
time.time_ns = jumped
time.time = lambda: jumped() / 1e9
"""


def test_a_clock_that_jumps_by_years_changes_nothing_in_a_handoff(tmp_path: Path) -> None:
    by = tmp_path / "by"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(JUMPING.format(path=str(by)))

    async def day_of_jumps() -> None:
        async with a_day(tmp_path, more={"PYTHONPATH": str(tmp_path / "site")}) as day:
            await day.chat()
            year = 365 * 24 * 3600
            for jump in (3 * year, -5 * year):
                by.write_text(str(jump))
                code, out, err = await day.type("promote", "--no-wait", "--bake", "1h", "--json")
                assert (code, json.loads(out)["outcome"]) == (0, "baking"), err
                by.write_text(str(-jump))
                await day.chat(2)
                assert (await day.type("complete"))[0] == 0
            await day.settled()
            day.everybody_was_answered_once()
            assert day.verdict().good
            records = day.rig.records()
            ages = {round((r.at_ns - time.time_ns()) / 1e9 / year) for r in records}
            assert {-5, -3, 0, 3, 5} <= ages, "the clock did jump"
            assert [r.seq for r in records] == list(range(1, len(records) + 1))
            for words in (["replay", "--check"], ["audit"], ["verify"], ["status"], ["log", "--type", "HANDOFF_"]):
                code, out, err = await day.type(*words)
                assert (code, err) == (0, ""), (words, out)

    asyncio.run(day_of_jumps())


SECRETS = ("xyzzy", "+49170555", "AAsecret-token")


def holding(folder: Path, *words: str) -> list[str]:
    """The files in which one of the words stands. Read by another process, since opening a file here drops SQLite's locks."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("reference.db")):
        content = subprocess.run(["cat", str(path)], capture_output=True, check=True).stdout
        if any(word.encode(code) in content for word in words for code in ("utf-8", "utf-16-le", "utf-16-be")):
            found.append(path.name)
    return found


def test_whatever_people_write_is_answered_and_stands_nowhere_once_it_is_quiet(tmp_path: Path) -> None:
    """10 MB, lone surrogates, NUL and what looks like JSON's NaN; secrets among them; with a handoff in the middle."""
    odd = ["x" * 10_000_000, "\ud83d alone \udc00", "nul \x00 byte", "NaN Infinity \u2028", "ü" * 4000]

    async def day_of_words() -> None:
        async with a_day(tmp_path) as day:
            await day.answer(*(day.ask(f"{' '.join(SECRETS)} {text}", chat=800 + n) for n, text in enumerate(odd)))
            (code, out, err), *_ = await asyncio.gather(
                day.type("promote", "--no-wait", "--bake", "1h"), day.chat(3, text=" ".join(SECRETS))
            )
            assert code == 0, err
            await day.chat(2, text=" ".join(SECRETS))
            await day.settled()
            end = time.monotonic() + 60
            while holding(day.rig.home, *SECRETS):
                assert time.monotonic() < end, holding(day.rig.home, *SECRETS)
                await asyncio.sleep(0.5)
            day.everybody_was_answered_once()
            told = "".join(path.read_text() for path in tmp_path.glob("*.log")) + out + err
            for words in (["status"], ["log"], ["replay"], ["replay", "--check"], ["audit"], ["verify"], ["doctor"]):
                for as_json in ([], ["--json"]):
                    told += "".join((await day.type(*words, *as_json))[1:])
            assert (await day.type("export", str(tmp_path / "copy.db")))[0] == 0
            assert [word for word in SECRETS if word in told] == []
            assert holding(tmp_path / "home", *SECRETS) == []
            assert "copy.db" not in holding(tmp_path, *SECRETS)
            assert "Traceback" not in day.log()
            assert day.verdict().good

    asyncio.run(day_of_words())


# ------------------------------------------------------------------------------------------------------------ at the start


def _bad(handoff: Path, kind: str) -> None:
    match kind:
        case "no journal":
            (handoff / "journal.db").unlink()
        case "empty":
            (handoff / "journal.db").write_bytes(b"")
        case "not a journal":
            (handoff / "journal.db").write_text("something else\n" * 100)
        case "newer":
            with closing(sqlite3.connect(handoff / "journal.db")) as connection:
                connection.execute("PRAGMA user_version = 99")
        case "world-writable":
            handoff.chmod(0o777)
        case "no key":
            (handoff / "key").unlink()


@pytest.mark.parametrize(
    ("kind", "code"),
    [("no journal", 3), ("empty", 5), ("not a journal", 5), ("newer", 5), ("world-writable", 5), ("no key", 3)],
)
def test_a_gateway_does_not_start_on_a_bad_journal_and_says_why_in_a_line(tmp_path: Path, kind: str, code: int) -> None:
    create(tmp_path / "handoff", at_ns=1)
    _bad(tmp_path / "handoff", kind)
    found, told = refused_start(tmp_path)
    assert (found, len(told.splitlines())) == (code, 1), told
    assert System().carrying("HANDOFF_JOURNAL_RIG", str(tmp_path)) == []
