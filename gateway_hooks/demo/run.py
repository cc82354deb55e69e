"""The demo: traffic, a handoff in the middle of it, perhaps a kill, and the figures judged from the platform's own log."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from gateway_hooks.demo.judge import Verdict, judge
from gateway_hooks.demo.knowable import unknowable
from gateway_hooks.demo.load import FIRST_CHAT, Item, Player, plan
from gateway_hooks.demo.markers import answered, mark, markers
from gateway_hooks.demo.model import Model
from gateway_hooks.demo.rig import GatewayName, Kill, Rig
from gateway_hooks.orders import Operator
from journal.errors import HandoffError
from journal.events import Limits, MessageSettled
from journal.head import AT_REST
from journal.record import Record
from replay.fold import State

Outcome = Literal["complete", "rolled_back", "failed"]
Say = Callable[[str], None]
BOOT_S = 60.0
LIMITS = Limits(sample_s=0.5, silent_s=5.0, frozen_s=1.0, requested_s=20.0, init_s=60.0, ack_s=10.0, active_s=15.0)


@dataclass(frozen=True, slots=True)
class Options:
    """What to play. ``rate`` is messages per second, ``slow_s`` how long the slow turn takes, ``bake_s`` the bake.

    ``across``: the model takes that long from the handoff on, so that the slow turn is certainly in flight then. The reference
    gateway has no model.
    """

    gateway: GatewayName = "reference"
    messages: int = 60
    rate: float = 4.0
    slow_s: float = 4.0
    bake_s: float = 3.0
    kill: Kill | None = None
    rollback_in_bake: bool = False
    seed: int = 0
    python: str | None = None
    limits: Limits = LIMITS
    across: bool = False


@dataclass(frozen=True, slots=True)
class Messages:
    """Counts from the stand-in's own log."""

    sent: int
    answered: int
    lost: int
    answered_twice: int
    ambiguous: int


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a run. ``gap_ms``: longest time in which nobody polled; ``handoff_ms``: REQUESTED to CONFIRM without
    green's boot, None when there was no CONFIRM; ``events`` in the journal."""

    outcome: Outcome
    messages: Messages
    gap_ms: float
    handoff_ms: float | None
    events: int
    journal: str
    blue_exit_code: int | None

    @property
    def good(self) -> bool:
        return self.messages.lost == 0 and self.messages.answered_twice == 0

    def as_json(self) -> str:
        """One object, as ``docs/json-output.md`` describes it; blue's exit code is for tests."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "blue_exit_code"}, indent=2)


async def run(folder: Path, options: Options, say: Say = lambda _: None) -> tuple[Report, Verdict, State, list[Record]]:
    """Play the demo in ``folder`` and judge it.

    Raises:
        HandoffError: It did not even come to a handoff.
    """
    rig = Rig(folder, options.gateway, python=options.python or sys.executable)
    rig.model = Model(sleep=lambda seconds: _slowly(rig, options, seconds))
    async with rig:
        kept = options.kill is not None and options.kill.side == "both"
        say(f"starting the {options.gateway} gateway (blue){' with its keeper' if kept else ''}")
        first = rig.start(keeper=() if kept else None)
        state = await rig.until(
            lambda s: s.head.owning is not None and bool(s.head.connected), "the gateway serves", timeout_s=BOOT_S
        )
        blue = state.head.owning or first
        await rig.bot.until(lambda calls: any(c.method == "getUpdates" for c in calls), timeout_s=BOOT_S)
        await _warm_up(rig)
        from_ns = time.monotonic_ns()
        traffic = _plan(options)
        slow = next((item for item in traffic if item.kind == "slow"), traffic[len(traffic) // 3])
        player = Player(rig.bot.say)
        playing = asyncio.create_task(player.play(traffic))
        await _until(lambda: any(i.marker == slow.marker for i in player.said) or playing.done(), timeout_s=120)
        await asyncio.sleep(0.4)  # the slow turn is in the model's hands by then
        if options.kill:
            rig.kill_at(options.kill)
        handoff = await asyncio.to_thread(_promote, rig, options)
        say(f"promoting: handoff {handoff}")
        if options.rollback_in_bake:
            await rig.until(lambda s: s.head.phase == "baking", "the bake", timeout_s=BOOT_S)
            await asyncio.sleep(options.bake_s / 2)
            await asyncio.to_thread(_roll_back, rig)
        await rig.until(lambda s: s.head.phase in AT_REST, "the handoff ends", timeout_s=2 * BOOT_S + options.bake_s)
        await playing
        say("the handoff is over; waiting for the last answers")
        verdict = await _settled(rig, from_ns, timeout_s=BOOT_S + options.slow_s)
        code = None
        if rig.read().head.phase == "complete" and not options.kill:
            code = await asyncio.to_thread(rig.system.exit_code, blue, wait_s=30)
        state, records = rig.read(), rig.records()
        return _report(rig, verdict, state, records, code), verdict, state, records


def _plan(options: Options) -> tuple[Item, ...]:
    """Few messages have no room for everything that is special."""
    follow_ups = 2 if options.messages >= 3 else 0
    pairs = max(0, min(4, (options.messages - 1 - follow_ups) // 4))
    return plan(
        messages=options.messages,
        rate=options.rate,
        slow_s=options.slow_s,
        follow_ups=follow_ups,
        quick_pairs=pairs,
        seed=options.seed,
    )


def _promote(rig: Rig, options: Options) -> str:
    operator = Operator(rig.journal)
    try:
        return operator.promote("same", options.bake_s, options.limits)
    finally:
        operator.close()


async def _slowly(rig: Rig, options: Options, seconds: float) -> None:
    """What a slow turn takes the model."""
    if options.across:
        await rig.until(lambda s: s.step("HANDOFF_ACTIVE") is not None, "the handoff", timeout_s=2 * BOOT_S)
    await asyncio.sleep(seconds)


def _roll_back(rig: Rig) -> None:
    operator = Operator(rig.journal)
    try:
        operator.rollback()
    finally:
        operator.close()


async def _until(holds: Callable[[], bool], *, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.02)


async def _warm_up(rig: Rig) -> None:
    """The first turn of a process imports for seconds; no figure should speak of that."""
    rig.bot.say(FIRST_CHAT, f"good morning {mark('m0')}")
    await rig.bot.until(lambda calls: any("m0" in answered(c.text or "") for c in calls), timeout_s=BOOT_S)
    await rig.until(lambda s: not s.head.messages and not s.head.turns, "the first answer", timeout_s=BOOT_S)


async def _settled(rig: Rig, from_ns: int, *, timeout_s: float) -> Verdict:
    """Judge again until nothing is missing and nothing is open, or the time is up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while True:
        state, records = rig.read(), rig.records()
        said = [s for s in rig.bot.log.said if s.at_ns >= from_ns]
        calls = [c for c in rig.bot.log.calls if c.begin_ns >= from_ns]
        unknown = unknowable(records, said, calls, rig.hurt)
        reported = ambiguous_markers(rig, records)
        verdict = judge(said, calls, reported=reported, unknowable=unknown, end_ns=time.monotonic_ns())
        done = not verdict.lost and not state.head.messages and not state.head.turns
        if done or loop.time() > end:
            return verdict
        await asyncio.sleep(0.1)


def ambiguous_markers(rig: Rig, records: list[Record]) -> set[str]:
    """The demo's marks of the messages that the journal settled as ambiguous."""
    settled = {
        r.event.message for r in records if isinstance(r.event, MessageSettled) and r.event.outcome == "ambiguous"
    }
    updates = {str(json.loads(r.body)["update_id"]).split(".")[0] for r in records if r.seq in settled}
    return {m for said in rig.bot.log.said if str(said.update_id) in updates for m in markers(said.text)}


def _report(rig: Rig, verdict: Verdict, state: State, records: list[Record], code: int | None) -> Report:
    phase = state.head.phase
    if phase not in ("complete", "rolled_back", "failed"):
        raise HandoffError(f"the handoff ended in phase {phase}", hint=f"look at {rig.folder}")
    counts = Messages(
        len(verdict.sent), len(verdict.answered), len(verdict.lost), len(verdict.answered_twice), len(verdict.ambiguous)
    )
    return Report(
        phase,
        counts,
        round(verdict.gap_ms, 1),
        handoff_ms(state, records),
        len(records),
        str(rig.journal / "journal.db"),
        code,
    )


def handoff_ms(state: State, records: list[Record]) -> float | None:
    """Milliseconds from HANDOFF_REQUESTED to HANDOFF_CONFIRM, without the time that green took to boot."""
    requested, confirm, init = (state.step(f"HANDOFF_{name}") for name in ("REQUESTED", "CONFIRM", "INIT"))
    if requested is None or confirm is None or init is None:
        return None
    started = next((r for r in records if r.type == "PROCESS_STARTED" and r.seq > init.moment.seq), None)
    boot = started.mono_ns - init.moment.mono_ns if started else 0
    return round((confirm.moment.mono_ns - requested.moment.mono_ns - boot) / 1e6, 1)
