"""The disk in the middle of a handoff, under real processes: full, the journal locked for good,
unlinked or replaced.

No two owners act, what was acknowledged stands, the operator is told, and a runtime serves.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_hooks.demo.markers import answered, mark
from gateway_hooks.demo.rig import Rig
from gateway_hooks.orders import Operator
from journal.events import Limits, Phase, Process
from journal.store import create

LIMITS = Limits(
    sample_s=0.2,
    silent_s=4.0,
    frozen_s=1.0,
    requested_s=20.0,
    init_s=60.0,
    ack_s=10.0,
    active_s=10.0,
    rolling_back_s=2.0,
)
SIZE = 12 * 2**20
Spoil = Callable[[Rig], None]
STRANGERS: list[sqlite3.Connection] = []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "rig" / "home"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], check=True)
    try:
        yield place.parent
    finally:
        while STRANGERS:
            STRANGERS.pop().close()
        subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(rig: Rig) -> None:
    """To the last block, and again whenever somebody has given something back: as a log that runs wild does."""
    with (rig.home / "something.log").open("ab", buffering=0) as file:
        for chunk in (2**16, 2**12, 1):
            try:
                while file.write(b"x" * chunk):
                    pass
            except OSError:
                continue


def _lock(rig: Rig) -> None:
    """Another program writes and never ends; nothing that could be given back helps."""
    stranger = sqlite3.connect(rig.journal / "journal.db", isolation_level=None)
    stranger.execute("PRAGMA busy_timeout = 60000")
    stranger.execute("BEGIN IMMEDIATE")
    STRANGERS.append(stranger)


def _unlink(rig: Rig) -> None:
    for path in rig.journal.glob("journal.db*"):
        path.unlink()


def _replace(rig: Rig) -> None:
    other = rig.folder / "other"
    create(other, at_ns=time.time_ns())
    (rig.home / "new.db").write_bytes((other / "journal.db").read_bytes())
    (rig.home / "new.db").rename(rig.journal / "journal.db")


class Talk:
    """Somebody who writes all the time, each text marked."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._numbers = itertools.count()
        self.said: list[str] = []

    def say(self) -> str:
        n = next(self._numbers)
        self.said.append(f"m{n}")
        self._rig.bot.say(101 + n % 5, f"hello {mark(f'm{n}')}")
        return self.said[-1]

    async def until_answered(self, marker: str, timeout_s: float) -> None:
        await self._rig.bot.until(lambda _: self.answers(marker) > 0, timeout_s=timeout_s)

    def answers(self, marker: str) -> int:
        return sum(marker in answered(c.text or "") for c in self._rig.bot.log.calls if c.outcome == "answered")


async def _play(folder: Path, spoil: Spoil, at: Phase) -> tuple[Rig, Talk, list[Process]]:
    rig = Rig(folder, "reference")
    async with rig:
        blue = rig.start()
        await rig.until(lambda s: s.head.owning == blue and bool(s.head.connected), "blue serves", timeout_s=60)
        talk = Talk(rig)
        await talk.until_answered(talk.say(), 60)
        operator = Operator(rig.journal)
        try:
            await asyncio.to_thread(operator.promote, "same", 600.0, LIMITS)
        finally:
            operator.close()
        await rig.until(lambda s: s.head.phase == at and s.head.green is not None, at, timeout_s=60)
        before = talk.say()
        await talk.until_answered(before, 60)
        stood = rig.records()
        spoil(rig)
        for _ in range(10):
            talk.say()
        await talk.until_answered(talk.said[-1], 60)
        for marker in talk.said:
            await talk.until_answered(marker, 60)
        await talk.until_answered(talk.say(), 60)  # and it goes on
        assert rig.records()[: len(stood)] == stood, "what was acknowledged stands"
        assert [m for m in talk.said if talk.answers(m) != 1] == []
        head = rig.read().head
        living = [p for p in (head.blue, head.green, head.expected_green) if p and rig.system.probe(p) != "dead"]
        return rig, talk, living


def _told(rig: Rig) -> str:
    logs = [*rig.folder.glob("gateway-*.log"), *rig.journal.glob("*.log")]
    return "\n".join(path.read_text() for path in logs)


def test_on_a_full_disk_the_reserve_pays_for_the_way_back_and_blue_serves_on(disk: Path) -> None:
    rig, _, _ = asyncio.run(_play(disk, _fill, "baking"))
    records = rig.records()
    back = next(r for r in records if r.type == "HANDOFF_ROLLBACK")
    assert '"reason":"fault"' in back.body
    assert any(r.type == "BLUE_SERVING" for r in records)
    assert rig.read().head.owner == "blue"
    assert "reserve was given back" in _told(rig)


@pytest.mark.parametrize("spoil", [_lock, _unlink, _replace])
def test_when_nothing_can_be_written_any_more_the_owner_serves_alone(disk: Path, spoil: Spoil) -> None:
    rig, _, living = asyncio.run(_play(disk, spoil, "baking"))
    head = rig.read().head
    assert living == [head.green], "green owned the adapters by the last word, and has ended blue"
    assert "CANNOT BE WRITTEN" in _told(rig)
