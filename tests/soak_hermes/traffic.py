"""What people write during a soak: a plan as data from a seed, with everything in it that Hermes treats in a way of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway_hooks.demo.load import FIRST_CHAT

Kind = Literal["text", "pair", "slow", "behind", "steps", "album", "edit", "command", "press"]
SHARES: dict[Kind, float] = {
    "text": 0.67, "pair": 0.08, "slow": 0.03, "steps": 0.05, "album": 0.05, "edit": 0.04, "command": 0.05, "press": 0.03,
}  # fmt: skip
"""How often each comes up. Of a pair and an album two messages come, of a slow one perhaps another that waits behind it."""
PAIR_S = (0.02, 0.12)
BEHIND_S = (0.3, 1.2)
SLOW_S = (1.0, 3.0)
QUICK_S = (None, None, 0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that somebody will do: seconds after the start, where, and what its answer repeats.

    ``slow_s`` is how long the model takes over it; one that goes by steps is remarked upon before that. Of an album two photos come at
    once, the other with words about ``second``: Hermes answers both together, or one by one when it was slow to fetch them.
    """

    at_s: float
    chat: int
    kind: Kind
    marker: str
    slow_s: float | None = None
    second: str = ""

    @property
    def number(self) -> int:
        """How many messages come."""
        return 2 if self.second else 1


def plan(*, messages: int, chats: int, rate: float, seed: int) -> tuple[Line, ...]:
    """So many messages over so many chats, ``rate`` a second on average, in the order in which they are to be written."""
    dice = random.Random(seed)
    lines: list[Line] = []
    at_s, left = 0.0, messages
    while left > 0:
        at_s += dice.expovariate(rate)
        new = list(_lines(at_s, FIRST_CHAT + dice.randrange(chats), dice, messages - left))
        new = new if sum(line.number for line in new) <= left else [Line(at_s, new[0].chat, "text", new[0].marker)]
        left -= sum(line.number for line in new)
        at_s = at_s + (sum(line.number for line in new) - 1) / rate
        lines += new
    return tuple(sorted(lines, key=lambda line: line.at_s))


def _lines(at_s: float, chat: int, dice: random.Random, before: int) -> Iterator[Line]:
    (kind,) = dice.choices(list(SHARES), list(SHARES.values()))
    marker, next_marker = f"m{before + 1}", f"m{before + 2}"
    if kind == "slow":
        yield Line(at_s, chat, "slow", marker, slow_s=round(dice.uniform(*SLOW_S), 1))
        if dice.random() < 0.5:
            yield Line(at_s + dice.uniform(*BEHIND_S), chat, "behind", next_marker)
    elif kind == "steps":
        yield Line(at_s, chat, "steps", marker, slow_s=round(dice.uniform(*SLOW_S), 1))
    elif kind == "pair":
        yield Line(at_s, chat, "pair", marker, slow_s=dice.choice(QUICK_S))
        yield Line(at_s + dice.uniform(*PAIR_S), chat, "pair", next_marker)
    elif kind == "album":
        yield Line(at_s, chat, "album", marker, second=next_marker)
    else:
        yield Line(at_s, chat, kind, marker, slow_s=dice.choice(QUICK_S) if kind == "text" else None)
