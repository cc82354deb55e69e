"""Every world that can come about, breadth first, and from each the way out."""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from journal.chain import GENESIS
from journal.errors import Refused
from journal.head import Head
from replay.fold import State
from tests.model.acting import _sit
from tests.model.around import moves
from tests.model.book import Rules
from tests.model.watch import good, unsafe
from tests.model.world import Poll, Proc, Size, World, key, number

BREAKS = "it breaks:"
_BROKEN = (AttributeError, NameError, TypeError, ValueError, KeyError, Refused)
"""What a mutant may do that the product never does."""


@dataclass(frozen=True)
class Found:
    """A counterexample: what is wrong, and the shortest schedule that leads there."""

    wrong: str
    schedule: tuple[str, ...]


@dataclass(frozen=True)
class Explored:
    """How far it went. ``whole`` is False when the bound on worlds cut it short."""

    worlds: int
    steps: int
    depth: int
    found: Found | None
    whole: bool = True


def beginning(rules: Rules, size: Size) -> World:
    """A gateway serves, nothing has happened, every message waits at the platform."""
    n = size.messages
    state = State(head=Head(hash=GENESIS))
    born = Proc(number(0), "starting", polls=(Poll(),) * size.adapters)
    w = World(state, (born,), (None,) * n, (None,) * n, (0,) * size.adapters, (0,) * n, (0,) * n, 0, 1, size)
    return _sit(rules, w, born, False)


Look = Callable[[Callable[[], tuple[str, ...]], World], None]


def explore(
    rules: Rules,
    size: Size,
    *,
    start: World | None = None,
    bound: int | None = None,
    told: Callable[[int, int], None] | None = None,
    live: bool = True,
    look: Look | None = None,
) -> Explored:
    """Look at every world within ``size``; stop at the first that is unsafe, then look for those without a way out.

    Args:
        rules: The product, or a mutation.
        size: How much there is, and what may go wrong how often.
        bound: Give up after so many worlds.
        told: Is called now and then with (worlds, depth).
        live: Whether to look for a way out at all.
        start: Where to begin, if not at the beginning.
        look: Is called for every world once its steps are known, with what gives the schedule that leads there.
    """
    start = start or beginning(rules, size)
    numbers = {_mark(start): 0}
    came, how, goods = array("q", [-1]), [""], bytearray([good(start)])
    ways_from, ways_to = array("l"), array("l")
    labels: dict[str, str] = {}
    todo, steps, depth = deque([(0, start, 0)]), 0, 0

    def schedule(n: int) -> tuple[str, ...]:
        out = []
        while n > 0:
            out.append(how[n])
            n = came[n]
        return tuple(reversed(out))

    while todo:
        n, w, depth = todo.popleft()
        try:
            following = list(moves(rules, w))
        except _BROKEN as error:
            broken = Found(f"{BREAKS} {type(error).__name__}", schedule(n))
            return Explored(len(numbers), steps, depth, broken)
        if look:
            look(partial(schedule, n), w)
        for label, after, way in following:
            steps += 1
            mark = _mark(after)
            m = numbers.get(mark)
            if m is None:
                m = numbers[mark] = len(numbers)
                came.append(n)
                how.append(labels.setdefault(label, label))
                goods.append(good(after))
                wrong = unsafe(after)
                if wrong:
                    return Explored(len(numbers), steps, depth + 1, Found(wrong, schedule(m)))
                todo.append((m, after, depth + 1))
                if told and m % 10_000 == 0:
                    told(m, depth)
            if way and live:
                ways_from.append(n)
                ways_to.append(m)
        if bound and len(numbers) > bound:
            return Explored(len(numbers), steps, depth, None, whole=False)
    stuck = _stuck(len(numbers), ways_from, ways_to, goods) if live else None
    found = Found("no way out without a thaw or an operator", schedule(stuck)) if stuck is not None else None
    return Explored(len(numbers), steps, depth, found)


def _mark(w: World) -> bytes:
    return hashlib.blake2b(key(w).encode(), digest_size=12).digest()


def _stuck(count: int, ways_from: array[int], ways_to: array[int], goods: bytearray) -> int | None:
    """The first world from which no good one can be reached; worlds are numbered in the order of their distance."""
    first, following = array("l", [-1] * count), array("l", [-1] * len(ways_to))
    for edge, to in enumerate(ways_to):
        following[edge] = first[to]
        first[to] = edge
    saved = bytearray(goods)
    todo = [n for n in range(count) if goods[n]]
    while todo:
        edge = first[todo.pop()]
        while edge >= 0:
            n = ways_from[edge]
            if not saved[n]:
                saved[n] = 1
                todo.append(n)
            edge = following[edge]
    return next((n for n in range(count) if not saved[n]), None)


def replayed(rules: Rules, size: Size, schedule: tuple[str, ...]) -> Iterator[World]:
    """The worlds along a schedule. Raises ``Impossible`` where a step cannot be taken."""
    w = beginning(rules, size)
    yield w
    for label in schedule:
        following = {name: after for name, after, _ in moves(rules, w)}
        if label not in following:
            raise Impossible(label)
        w = following[label]
        yield w


class Impossible(Exception):
    """A step of a schedule cannot be taken there."""


def breaks(rules: Rules, w: World) -> str:
    """How the rules themselves fail in this world; empty when they do not."""
    try:
        list(moves(rules, w))
    except _BROKEN as error:
        return f"{BREAKS} {type(error).__name__}"
    return ""
