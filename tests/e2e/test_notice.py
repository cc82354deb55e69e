"""Real Hermes tells its home channel of a handoff: one message, edited up to its last word, whoever serves by then."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway_hooks.demo.hermes_home import HOME_CHAT
from gateway_hooks.demo.load import FIRST_CHAT
from gateway_hooks.demo.run import LIMITS
from tests.e2e.hermes_life import Life
from tests.hermes_venv import hermes_venv

LONG_S = 120.0
PATIENT = LIMITS.model_copy(update={"silent_s": 30.0})


def notices(life: Life) -> dict[int, list[str]]:
    """What stood in each message about a handoff in the home channel, from its first text to its last; each began as a send."""
    texts: dict[int, list[str]] = {}
    for call in life.bot.log.calls:
        if call.chat_id == HOME_CHAT and call.message_id and (call.text or "").startswith("Handoff to"):
            if call.method.lower().startswith("send"):
                assert call.message_id not in texts
                texts[call.message_id] = []
            texts[call.message_id].append(call.text or "")
    return texts


async def promoted(life: Life) -> None:
    await asyncio.to_thread(life._order, lambda operator: operator.promote("same", 600.0, PATIENT))
    state = await life.until(
        lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=LONG_S
    )
    assert state.head.phase == "baking", state.rollback or state.failure
    await life.holds(lambda: said(life, "the old one stands by until"), "the bake is told", timeout_s=LONG_S)


def said(life: Life, words: str) -> bool:
    return any(words in texts[-1] for texts in notices(life).values() if texts)


async def two_handoffs(folder: Path) -> tuple[list[list[str]], bool, bool]:
    """One that is completed and one whose green is killed: what each notice said, and what else was made of them."""
    async with Life(folder, str(hermes_venv("0.19.0") / "bin" / "python")) as life:
        await life.serve()
        await life.answers(life.say(FIRST_CHAT))
        await promoted(life)
        await life.complete()
        await life.holds(lambda: said(life, "complete, the new gateway stays"), "the end is told", timeout_s=LONG_S)
        await life.until(lambda s: s.head.blue is None, "the old one has left", timeout_s=LONG_S)
        await promoted(life)
        green = life.read().head.green
        assert green is not None
        life.system.end(green)
        await life.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=LONG_S)
        await life.holds(lambda: said(life, "rolled back, the old"), "the rollback is told", timeout_s=LONG_S)
        line = life.say(FIRST_CHAT + 1)
        await life.answers(line, timeout_s=60)
        await life.quiet(timeout_s=60)
        verdict = life.verdict()
        kept = (life.journal / "notice.json").stat().st_mode & 0o077
        return list(notices(life).values()), verdict.kept, kept == 0


def test_a_handoff_is_one_message_in_the_home_channel_and_a_rollback_tells_its_reason(tmp_path: Path) -> None:
    told, good, private = asyncio.run(two_handoffs(tmp_path))
    assert len(told) == 2, told
    assert told[0][-1] == "Handoff to the same runtime: complete, the new gateway stays."
    assert len(told[0]) > 2, "it went along with the handoff"
    assert told[1][-1].startswith(
        "Handoff to the same runtime: rolled back, the old gateway serves. Why: the new gateway died"
    )
    assert "signal 9" in told[1][-1]
    assert (good, private) == (True, True)
