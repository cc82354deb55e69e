"""Where the kernel has no inotify watch, or no instance, left for this user: refused by the kernel itself, in a user namespace."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from gateway_hooks.demo.rig import Rig
from replay.check import check
from tests.builders import ROOT, Child
from tests.e2e.test_keeper import Kept, promote

LIMITS = ["max_inotify_watches", "max_inotify_instances"]
_WAITER = """
import os, sys, threading; from pathlib import Path
from tests.e2e.namespace import limit, limited
limited(sys.argv[1], 0)
import journal.tail as tail
tail.AGAIN_S = 0.0
def held(): return len(os.listdir("/proc/self/fd")), threading.active_count()
before = held()
bell = tail.Doorbell(Path(sys.argv[2]))
for _ in range(50):
    bell.wait(0)
after = held()
limit(sys.argv[1], 10)
bell.wait(0)
print(*before, *after, flush=True)
bell.wait(1e9)
print("heard", flush=True)
"""


@pytest.mark.parametrize("limit", LIMITS)
def test_a_doorbell_that_the_kernel_refuses_holds_nothing_open_and_hears_once_it_may(
    tmp_path: Path, limit: str
) -> None:
    with Child(_WAITER, limit, str(tmp_path)) as waiter:
        descriptors, threads, *after = waiter.line().split()
        assert after == [descriptors, threads]
        (tmp_path / "rung").touch()
        assert waiter.line() == "heard"


def test_a_gateway_under_its_keeper_hands_over_without_inotify(tmp_path: Path) -> None:
    async def life() -> None:
        async with Rig(tmp_path, "reference") as rig:
            limited = (sys.executable, str(ROOT / "tests" / "e2e" / "namespace.py"), "limited", f"{LIMITS[1]}=0")
            home = Kept(rig, rig.start(keeper=("--steady", "0s"), under=limited))
            blue = await home.served()
            await promote(rig, bake_s=0.5)
            green = await home.served(lambda s: s.head.phase == "complete" and s.head.blue is None)
            assert green != blue
            assert "PROCESS_LOST" not in [record.type for record in rig.records()]
            assert check(rig.records()).differences == ()

    asyncio.run(life())
