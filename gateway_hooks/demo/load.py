"""The traffic of a demo or a test: a plan as data from a seed, and a player that says it to the Bot API.

The plan holds what a handoff must survive: plain messages over many chats, quick pairs (two texts in one chat within
100 ms, which a gateway merges into one turn), one slow turn that is meant to be in flight during the handoff, and
follow-ups in its chat while it runs. Most chats are idle at any time.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway_hooks.demo.markers import mark

Kind = Literal["plain", "quick", "slow", "follow"]
FIRST_CHAT = 101
PAIR_S = (0.03, 0.1)
_STEP_S = 0.02  # so that what is put in meanwhile is seen in time
_DUE_S = 0.0005  # below this a clock of large numbers may not move at all
_WORDS = ("what about", "please look at", "and then", "remind me of", "once more", "a word on", "how is", "tell me of")


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One text that somebody will write: seconds after the start, where, and what."""

    at_s: float
    chat_id: int
    marker: str
    text: str
    kind: Kind


def plan(
    *,
    messages: int = 60,
    rate: float = 2.0,
    chats: int = 8,
    slow_s: float = 8.0,
    slow_at_s: float | None = None,
    follow_ups: int = 2,
    quick_pairs: int = 4,
    seed: int = 0,
) -> tuple[Item, ...]:
    """Return the traffic in the order in which it is to be said.

    Args:
        messages: How many texts in all, over ``messages / rate`` seconds.
        rate: Texts per second.
        chats: How many chats, ids from `FIRST_CHAT` on; at least 2.
        slow_s: How long the slow turn takes the model, in seconds; 0 plans none, `Player.slow_now` can say one later.
        slow_at_s: When the slow turn is said; a third through when None.
        follow_ups: Texts in the slow turn's chat while it runs.
        quick_pairs: Pairs of texts within `PAIR_S` seconds in one chat.
        seed: The same arguments and seed give the same plan.
    Raises:
        ValueError: More special texts than texts, or fewer than 2 chats.
    """
    special = 2 * quick_pairs + (1 + follow_ups if slow_s > 0 else 0)
    if special > messages or chats < 2:
        raise ValueError(f"{special} special texts do not fit into {messages}, or {chats} chats are fewer than 2")
    dice = random.Random(seed)
    length_s = messages / rate
    slow_from_s = length_s / 3 if slow_at_s is None else slow_at_s
    slots: list[tuple[float, Kind, int]] = [
        ((i + dice.uniform(0.1, 0.9)) * length_s / max(1, messages - special), "plain", i)
        for i in range(messages - special)
    ]
    for pair in range(quick_pairs):
        at_s = dice.uniform(0.0, length_s - PAIR_S[1])
        slots += [(at_s, "quick", pair), (at_s + dice.uniform(*PAIR_S), "quick", pair)]
    if slow_s > 0:
        slots.append((slow_from_s, "slow", 0))
        slots += [(slow_from_s + slow_s * (i + 1) / (follow_ups + 1), "follow", i) for i in range(follow_ups)]
    busy = (slow_from_s - 1.0, slow_from_s + slow_s + 1.0) if slow_s > 0 else None
    return tuple(_items(sorted(slots), chats, slow_s, busy, dice))


def _items(
    slots: Sequence[tuple[float, Kind, int]],
    chats: int,
    slow_s: float,
    busy: tuple[float, float] | None,
    dice: random.Random,
) -> Iterator[Item]:
    """Give every slot a chat, a marker and a text; nobody but follow-ups writes in the slow chat while it is busy."""
    deck: list[int] = []
    pair_chats: dict[int, int] = {}
    for place, (at_s, kind, group) in enumerate(slots, start=1):
        if kind in {"slow", "follow"}:
            chat = 0
        elif kind == "quick" and group in pair_chats:
            chat = pair_chats[group]
        else:
            taken = {0} if busy is not None and busy[0] <= at_s <= busy[1] else set()
            if not set(deck) - taken:
                deck += dice.sample(range(chats), chats)
            chat = next(chat for chat in deck if chat not in taken)
            deck.remove(chat)
            if kind == "quick":
                pair_chats[group] = chat
        yield item(at_s, FIRST_CHAT + chat, f"m{place}", kind, slow_s=slow_s if kind == "slow" else None, dice=dice)


def item(
    at_s: float, chat_id: int, marker: str, kind: Kind, *, slow_s: float | None, dice: random.Random | None = None
) -> Item:
    """Return one text with its mark."""
    words = dice.choice(_WORDS) if dice is not None else _WORDS[0]
    return Item(round(at_s, 4), chat_id, marker, f"{words} {mark(marker, slow_s=slow_s)}", kind)


class Player:
    """Says a plan, text by text.

    Args:
        say: Takes chat and text, such as `BotApi.say`.
        sleep: Waits some seconds.
        clock_s: Monotonic seconds.
    """

    def __init__(
        self,
        say: Callable[[int, str], int],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._sleep = sleep
        self._clock_s = clock_s
        self._start_s = clock_s()
        self._waiting: list[Item] = []
        self._said: list[Item] = []
        self._count = 0

    @property
    def said(self) -> tuple[Item, ...]:
        """What was said so far, in order, with the times at which it was."""
        return tuple(self._said)

    async def play(self, items: Iterable[Item]) -> tuple[Item, ...]:
        """Say all texts when their time has come, those put in meanwhile too, and return what was said."""
        self._start_s = self._clock_s()
        for planned in items:
            heapq.heappush(self._waiting, planned)
            self._count += 1
        while self._waiting:
            ahead_s = self._waiting[0].at_s - self._now_s()
            if ahead_s > _DUE_S:
                await self._sleep(min(ahead_s, _STEP_S))
            else:
                self._speak(heapq.heappop(self._waiting))
        return self.said

    def slow_now(
        self, slow_s: float, *, chat_id: int = FIRST_CHAT, follow_ups: Sequence[float] = (0.5, 1.5)
    ) -> tuple[Item, ...]:
        """Say a slow text at once, while `play` runs, and put in follow-ups that many seconds later.

        Returns:
            The slow text and its follow-ups; a follow-up counts as said only when `play` came to it.
        """
        slow = item(self._now_s(), chat_id, self._next_marker(), "slow", slow_s=slow_s)
        self._speak(slow)
        later = [
            item(slow.at_s + after_s, chat_id, self._next_marker(), "follow", slow_s=None) for after_s in follow_ups
        ]
        for follow in later:
            heapq.heappush(self._waiting, follow)
        return (slow, *later)

    def _next_marker(self) -> str:
        self._count += 1
        return f"m{self._count}"

    def _now_s(self) -> float:
        return self._clock_s() - self._start_s

    def _speak(self, spoken: Item) -> None:
        self._say(spoken.chat_id, spoken.text)
        self._said.append(replace(spoken, at_s=round(self._now_s(), 4)))
