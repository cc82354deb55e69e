"""A small soak with a fresh seed; ``make soak`` is the whole of it. A missing Hermes is a failure."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.soak_hermes.__main__ import soak
from tests.soak_hermes.life import Options


def test_nothing_is_lost_or_answered_twice_when_a_real_gateway_is_killed_while_people_write(tmp_path: Path) -> None:
    options = Options(messages=60, kills=2, chats=12, seed=random.SystemRandom().randrange(1 << 30))
    print(f"seed {options.seed}: make soak ARGS='--messages 60 --kills 2 --chats 12 --seed {options.seed}'")
    outcome = asyncio.run(soak(tmp_path, options, print))
    assert outcome.wrong == []
    assert outcome.kills >= options.kills
    assert outcome.answered >= options.messages / 2
