"""A model that says a word beside a tool call, as Hermes sends it out by default: real gateways that end in the middle of that."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.markers import REMARK, STEPS
from tests.e2e.hermes_life import Life, Line, body
from tests.hermes_venv import hermes_venv

WHOLE, KILLED, ENDED = 101, 102, 103
CONFIG = {"display": {"platforms": {"telegram": {"interim_assistant_messages": True}}}}


@dataclass
class Remarks:
    """Three texts that are answered in two steps: one in peace, one by a gateway that is killed, one by one that is told to end."""

    life: Life
    lines: dict[int, Line] = field(default_factory=dict)
    verdict: Verdict | None = None

    async def play(self) -> None:
        """The story."""
        gateway = await self.life.serve()
        self.lines[WHOLE] = self.life.say(WHOLE, STEPS)
        await self.life.answers(self.lines[WHOLE])
        for chat, how in ((KILLED, signal.SIGKILL), (ENDED, signal.SIGTERM)):
            self.life.hold_slow()
            self.lines[chat] = self.life.say(chat, STEPS, slow_s=0.1)
            await self.life.holds(lambda c=chat: REMARK in self.life.sends(c), "the remark is out")  # type: ignore[misc]
            self.life.system.send(gateway, how)
            await self.life.ends(gateway)
            self.life.let_slow_go()
            gateway = await self.life.serve()
            await self.life.answers(self.lines[chat])
        await self.life.quiet()


@pytest.fixture(scope="module")
def remarks(tmp_path_factory: pytest.TempPathFactory) -> Remarks:
    python = str(hermes_venv("0.19.0") / "bin" / "python")
    told = Remarks(Life(tmp_path_factory.mktemp("remarks"), python, config=CONFIG))

    async def play() -> None:
        async with told.life:
            await told.play()
            told.verdict = told.life.verdict()

    asyncio.run(play())
    return told


@pytest.mark.parametrize("chat", [KILLED, ENDED], ids=["killed", "told to end"])
def test_a_turn_that_was_cut_off_after_a_remark_is_begun_again_and_answered_once(remarks: Remarks, chat: int) -> None:
    assert remarks.life.fate(remarks.lines[chat]) == ["answered"]
    assert len(remarks.life.turns(remarks.lines[chat])) == 2
    assert remarks.verdict is not None
    assert not [*remarks.verdict.lost, *remarks.verdict.answered_twice, *remarks.verdict.unasked]


def test_a_remark_goes_out_and_is_no_part_of_the_answer(remarks: Remarks) -> None:
    assert remarks.life.sends(WHOLE)[0] == REMARK
    (turn,) = remarks.life.turns(remarks.lines[WHOLE])
    parts = [r for r in remarks.life.records() if r.type == "REPLY_SENT" and body(r)["turn"] == turn.seq]
    assert len(parts) == 1
