"""An outage so long that Hermes tears its Telegram adapter down and builds another: real gateways, with and without a handoff."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.run import LIMITS
from gateway_hooks.hanging import SAMPLE_S
from journal.events import HealthSampled
from tests.e2e.hermes_life import JOBS, PLUGIN, Life, Line
from tests.hermes_venv import hermes_venv

BUSY, WORN, WORN_AGAIN, LAST = 101, 102, 103, 104
TORN = "queued for background reconnection"
LONG_S = 120.0
WATCHED_S = 12.0
"""When Hermes' watcher has begun to look, the turn in flight still runs: its first look comes 10 s after the start."""
METHODS = ("getUpdates", "getMe", "deleteWebhook")


@dataclass
class Outage:
    """Twice an adapter is torn down: once over a turn in flight with a follow-up, once before a handoff that comes to nothing."""

    life: Life
    lines: dict[str, Line] = field(default_factory=dict)
    polls_while_deaf: set[int] = field(default_factory=set)
    verdict: Verdict | None = None

    async def play(self) -> None:
        """The story."""
        life, said = self.life, self.lines
        blue = await life.serve()
        said["in flight"] = life.say(BUSY, slow_s=WATCHED_S + 3.0)
        await life.asked(said["in flight"])
        said["behind"] = life.say(BUSY)
        await life.confirmed(said["behind"])
        said["worn"] = life.say(WORN, "worn out")
        await life.asked(said["worn"])
        await life.answers(*said.values())
        await life.quiet()
        assert life.log_of(0).count(TORN) == 1
        for method in METHODS:
            life.bot.faults.fail_next(method, 502, calls=100_000)
        said["worn again"] = life.say(WORN_AGAIN, "worn out")
        await life.holds(lambda: life.log_of(0).count(TORN) == 2, "Hermes queues its adapter for reconnection")
        await asyncio.to_thread(life._order, lambda operator: operator.promote("same", 60, LIMITS))
        state = await life.until(lambda s: s.head.phase == "rolled_back", "green gives up", timeout_s=LONG_S)
        back = state.head.seq
        await life.until(lambda s: bool(self._sampled(back)), "blue gives a sample", timeout_s=LONG_S)
        self.polls_while_deaf = self._sampled(back)
        life.bot.faults._refusals.clear()
        said["last"] = life.say(LAST)
        await life.answers(said["last"], said["worn again"])
        await life.quiet()
        assert life.read().head.owning == blue

    def _sampled(self, after: int) -> set[int]:
        """The counts of clean polls in blue's samples since."""
        events = [record.event for record in self.life.records() if record.seq > after and record.role == "blue"]
        return {count for event in events if isinstance(event, HealthSampled) for count in event.polls.values()}


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    python = str(hermes_venv("0.19.0") / "bin" / "python")
    env = {"HERMES_GATEWAY_PLATFORM_CONNECT_TIMEOUT": "2", SAMPLE_S: "1"}
    life = Life(tmp_path_factory.mktemp("outage"), python, plugins=(PLUGIN, JOBS), env=env)
    told = Outage(life)

    async def play() -> None:
        async with life:
            await told.play()
            told.verdict = life.verdict()

    asyncio.run(play())
    return told


def test_a_blue_whose_adapter_was_torn_down_polls_again_after_a_rollback(outage: Outage) -> None:
    assert outage.life.fate(outage.lines["last"]) == ["answered"]
    assert outage.polls_while_deaf == {0}


@pytest.mark.parametrize("name", ["in flight", "behind", "worn", "worn again"])
def test_what_was_on_its_way_when_hermes_replaced_its_adapter_is_answered_once(outage: Outage, name: str) -> None:
    assert outage.life.fate(outage.lines[name]) == ["answered"]
    assert outage.verdict is not None
    assert not outage.verdict.lost
    assert not outage.verdict.answered_twice
