"""What an upgrade costs without us: Hermes' own ``gateway run --replace``, on the same rig, judged by the same judge."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway_hooks.demo.judge import Verdict, judge
from gateway_hooks.demo.load import Player, plan
from gateway_hooks.demo.rig import Rig
from gateway_hooks.process import System


async def replace(folder: Path, python: str, *, messages: int = 16, rate: float = 2.0) -> Verdict:
    """Start a gateway without the plugin, warm it up, and replace it under traffic."""
    rig = Rig(folder, "hermes", python=python, installed=False)
    async with rig:
        rig.start()
        await rig.bot.until(lambda calls: any(c.method == "getUpdates" for c in calls), timeout_s=60)
        rig.bot.say(101, "warm up [m9999]")
        await rig.bot.until(
            lambda calls: any("[m9999]" in (c.text or "").replace("\\", "") for c in calls), timeout_s=60
        )
        playing = asyncio.create_task(
            Player(rig.bot.say).play(plan(messages=messages, rate=rate, slow_s=0, follow_ups=0))
        )
        await rig.bot.until(lambda calls: sum(c.method == "sendMessage" for c in calls) >= messages // 3, timeout_s=60)
        command, env = rig.command()
        system = System()
        new = system.spawn([*command, "--replace"], env, folder / "replacing.log")
        try:
            await playing
            at_ns = time.monotonic_ns()
            polled = lambda calls: any(c.method == "getUpdates" and c.begin_ns > at_ns for c in calls)  # noqa: E731
            await rig.bot.until(polled, timeout_s=60)
            return judge(rig.bot.log.said, rig.bot.log.calls, end_ns=time.monotonic_ns())
        finally:
            if not await asyncio.to_thread(system.ask_to_end, new, wait_s=10):
                await asyncio.to_thread(system.end, new)
