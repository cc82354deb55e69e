"""Real Hermes gateways: how long nobody polls, promoted or replaced; and what the plugin adds to an answer's time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any

from gateway_hooks.demo.judge import judge
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.markers import answered, mark
from gateway_hooks.demo.rig import Rig
from gateway_hooks.demo.run import Options, run
from tests.e2e.upgrading_today import replace
from tests.hermes_venv import hermes_venv

VERSION = "0.19.0"
WARM = 3
"""Answers before the first that counts: the first turns of a process import for seconds."""


def gap(folder: Path, *, messages: int, rounds: int) -> dict[str, Any]:
    """The longest time in which nobody polls: promote against ``hermes gateway run --replace``, by turns."""
    python = str(hermes_venv(VERSION) / "bin" / "python")
    ours, theirs = [], []
    for number in range(rounds):
        for name in ("promoted", "replaced"):
            (folder / f"{name}-{number}").mkdir(parents=True)
        options = Options("hermes", messages=messages, rate=2.0, slow_s=4.0, bake_s=4.0, python=python)
        report, _, _, _ = asyncio.run(run(folder / f"promoted-{number}", options))
        ours.append(report.gap_ms)
        theirs.append(asyncio.run(replace(folder / f"replaced-{number}", python)).gap_ms)
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "value": median(each), "ours_ms": round(median(ours)), "replace_ms": round(median(theirs)), "rounds": rounds,
        "messages": messages,
    }  # fmt: skip


def tax(folder: Path, *, messages: int) -> dict[str, Any]:
    """From an update to its answer, p50: a gateway with the plugin and a journal, one without, a message to each by turns."""
    return asyncio.run(_tax(folder, messages))


async def _tax(folder: Path, messages: int) -> dict[str, Any]:
    python = str(hermes_venv(VERSION) / "bin" / "python")
    for name in ("with", "without"):
        (folder / name).mkdir(parents=True)
    async with AsyncExitStack() as stack:
        rigs = [
            await stack.enter_async_context(Rig(folder / name, "hermes", python=python, installed=installed))
            for name, installed in (("with", True), ("without", False))
        ]
        for rig in rigs:
            rig.start()
        for rig in rigs:
            await rig.bot.until(lambda calls: any(c.method == "getUpdates" for c in calls), timeout_s=60)
        for number in range(WARM + messages):
            for rig in rigs if number % 2 else reversed(rigs):
                await _ask(rig, f"m{number}")
        waited = [_waited_ms(rig) for rig in rigs]
    ours, theirs = (median(times) for times in waited)
    return {"value": ours / theirs, "ours_ms": round(ours, 1), "without_ms": round(theirs, 1), "messages": messages}


async def _ask(rig: Rig, marker: str) -> None:
    rig.bot.say(FIRST_CHAT, f"what about {mark(marker)}")
    await rig.bot.until(
        lambda calls: any(c.message_id and marker in answered(c.text or "") for c in calls), timeout_s=60
    )


def _waited_ms(rig: Rig) -> list[float]:
    verdict = judge(rig.bot.log.said, rig.bot.log.calls, end_ns=monotonic_ns())
    return [a.waited_ms for a in verdict.answers if int(a.marker[1:]) >= WARM]
