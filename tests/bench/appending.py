"""Appending: one by one and by 64 against bare sqlite3, and what the slower of two saturated processes gets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from gateway_hooks.process import System
from journal.record import Draft
from journal.store import Journal
from tests.bench.workload import US, Bare, Row, beginning, drafts, opened, rows, steady
from tests.builders import Child, preflight, process, writer

T = TypeVar("T")


def ratio(folder: Path, *, size: int, appends: int, rounds: int) -> dict[str, Any]:
    """Throughput of ``size`` events in an append against bare: the median over rounds, which take turns going first.

    Args:
        folder: An empty one.
        size: Events in an append.
        appends: Appends a round, for each of the two.
        rounds: How many.
    """
    events = list(drafts(size * appends * rounds))
    encoded = rows(folder / "encoded", events)
    ours, theirs = [], []
    with (
        opened(folder / "ours", System().now) as journal,
        closing(Bare(folder / "bare.db", beginning(folder / "encoded"))) as bare,
    ):
        for number in range(rounds):
            part = slice(number * size * appends, (number + 1) * size * appends)
            batches, made = _batches(events[part], size), _batches(encoded[part], size)
            if number % 2:
                theirs.append(_bare(bare, made))
                ours.append(_ours(journal, batches))
            else:
                ours.append(_ours(journal, batches))
                theirs.append(_bare(bare, made))
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    count = size * appends
    return {
        "value": median(each),
        "ours_per_s": round(count / median(ours)),
        "bare_per_s": round(count / median(theirs)),
        "least": round(min(each), 3),
        "most": round(max(each), 3),
        "rounds": rounds,
        "events": count * rounds,
    }


def _batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _ours(journal: Journal, batches: list[Sequence[Draft]]) -> float:
    begin = perf_counter()
    for batch in batches:
        journal.append(*batch, writer=US)
    return perf_counter() - begin


def _bare(bare: Bare, batches: list[Sequence[Row]]) -> float:
    begin = perf_counter()
    for batch in batches:
        bare.insert(batch)
    return perf_counter() - begin


_SATURATE = "import sys; from tests.bench.appending import saturate; saturate(*sys.argv[1:])"


def saturate(folder: str, number: str, seconds: str) -> None:
    """In a process of its own: append as fast as it goes, for so long, and print how many stand."""
    us, note, count = writer(process(int(number)), "operator"), Draft(preflight()), 0
    with closing(Journal(Path(folder), steady)) as journal:
        print("ready", flush=True)
        sys.stdin.readline()
        end = perf_counter() + float(seconds)
        while perf_counter() < end:
            journal.append(note, writer=us)
            count += 1
        print(count, flush=True)


def fair_share(folder: Path, *, seconds: float, rounds: int) -> dict[str, Any]:
    """The share of the slower of two processes that append without a pause: the median over rounds."""
    with opened(folder):
        pass
    shares, counts = [], []
    for _ in range(rounds):
        words = [(str(folder), str(number), str(seconds)) for number in (7, 8)]
        with Child(_SATURATE, *words[0]) as one, Child(_SATURATE, *words[1]) as two:
            for child in (one, two):
                assert child.line() == "ready"
            for child in (one, two):
                child.go()
            both = [int(child.line()) for child in (one, two)]
        shares.append(min(both) / sum(both))
        counts.append(sum(both))
    return {
        "value": median(shares), "least": round(min(shares), 3), "most": round(max(shares), 3),
        "per_s": round(median(counts) / seconds), "rounds": rounds,
    }  # fmt: skip
