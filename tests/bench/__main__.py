"""``make bench``: every figure of the README's table, measured in one run beside what it is compared with.

Writes ``build/bench.json`` and prints the table. It never fails for a figure: the machine may be busy, a person judges.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import appending, gateways, reading, waking
from tests.bench.workload import fill, opened
from tests.builders import ROOT

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """What a key must reach: at ``least`` or at most (``least`` False); ``next`` is the goal after the first."""

    first: float
    next: float
    least: bool = False

    def met(self, value: float, goal: float) -> bool:
        return value >= goal if self.least else value <= goal


TARGETS = {
    "append_single_ratio": Target(0.88, 0.95, least=True),
    "append_64_ratio": Target(0.50, 0.70, least=True),
    "fair_share": Target(0.40, 0.45, least=True),
    "tail_p50_ratio": Target(1.3, 1.2),
    "tail_late": Target(0, 0),
    "replay_ratio": Target(1.0, 0.9),
    "replay_rss_mb": Target(100, 100),
    "verify_ratio": Target(1.4, 1.2),
    "status_startup_ratio": Target(14, 8),
    "hermes_gap_ratio": Target(0.10, 0.03),
    "hermes_tax_ratio": Target(1.05, 1.02),
}
"""By key, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. ``events`` long is the journal that is read, ``lone`` events wake a tail."""

    events: int = 1_000_000
    lone: int = 2_000
    appends: int = 200
    rounds: int = 15
    saturated_s: float = 3.0
    messages: int = 40
    hermes: bool = False


def measure(folder: Path, size: Size, only: str = "") -> Iterator[Figures]:
    """The figures, group by group; ``only`` names what a key must contain."""
    groups: list[tuple[tuple[str, ...], Callable[[], Figures]]] = [
        (("append_single_ratio",), lambda: {"append_single_ratio": _append(folder / "single", size, 1)}),
        (("append_64_ratio",), lambda: {"append_64_ratio": _append(folder / "batches", size, 64)}),
        (("fair_share",), lambda: {"fair_share": _fair(folder / "fair", size)}),
        (("tail_p50_ratio", "tail_late"), lambda: waking.wake(folder / "tail", events=size.lone)),
        (("replay_ratio", "replay_rss_mb", "verify_ratio"), lambda: _read(folder / "long", size)),
        (("status_startup_ratio",), lambda: {"status_startup_ratio": _status(folder / "home", size)}),
    ]
    if size.hermes:
        groups += [
            (("hermes_gap_ratio",), lambda: {"hermes_gap_ratio": _gap(folder / "gap", size)}),
            (("hermes_tax_ratio",), lambda: {"hermes_tax_ratio": _tax(folder / "tax", size)}),
        ]
    for keys, run in groups:
        if any(only in key for key in keys):
            yield run()


def _append(folder: Path, size: Size, batch: int) -> dict[str, Any]:
    folder.mkdir()
    return appending.ratio(folder, size=batch, appends=max(1, size.appends // (batch // 8 or 1)), rounds=size.rounds)


def _fair(folder: Path, size: Size) -> dict[str, Any]:
    return appending.fair_share(folder, seconds=size.saturated_s, rounds=min(3, size.rounds))


def _read(folder: Path, size: Size) -> Figures:
    fill(folder, size.events)
    path, rounds = folder / "journal.db", min(3, size.rounds)
    return {
        **reading.replayed(path, rounds=rounds),
        "verify_ratio": reading.verified(path, rounds=rounds),
    }


def _status(home: Path, size: Size) -> dict[str, Any]:
    with opened(home / "handoff"):
        pass
    return reading.status_startup(home, rounds=size.rounds)


def _gap(folder: Path, size: Size) -> dict[str, Any]:
    return gateways.gap(folder, messages=size.messages, rounds=min(3, size.rounds))


def _tax(folder: Path, size: Size) -> dict[str, Any]:
    return gateways.tax(folder, messages=size.messages)


def table(figures: Figures) -> list[str]:
    """One line a key: what it must reach, what was measured, whether that is so, and what stands behind it."""
    lines = [f"{'key':<22}{'target':>9}{'next':>9}{'measured':>10}  "]
    for key, target in TARGETS.items():
        if key not in figures:
            continue
        value = figures[key]["value"]
        sign = ">=" if target.least else "<="
        verdict = "pass" if target.met(value, target.first) else "FAIL"
        rest = ", ".join(f"{name} {number}" for name, number in figures[key].items() if name != "value")
        lines.append(f"{key:<22}{sign:>3}{target.first:>6g}{sign:>3}{target.next:>6g}{value:>10.3f}  {verdict}  {rest}")
    return lines


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    usual = Size()
    words = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--events", type=int, default=usual.events, help="length of the journal that is read")
    words.add_argument("--lone", type=int, default=usual.lone, help="lone events that wake a tail")
    words.add_argument("--appends", type=int, default=usual.appends, help="appends a round")
    words.add_argument("--rounds", type=int, default=usual.rounds)
    words.add_argument("--saturated-s", type=float, default=usual.saturated_s, help="how long two processes append")
    words.add_argument("--messages", type=int, default=usual.messages, help="messages that a Hermes gateway answers")
    words.add_argument("--hermes", action="store_true", help="with real Hermes gateways too: minutes more")
    words.add_argument("--only", default="", help="only keys that contain this")
    words.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="where the figures go")
    given = words.parse_args(arguments)
    size = Size(
        given.events, given.lone, given.appends, given.rounds, given.saturated_s, given.messages, given.hermes
    )  # fmt: skip
    figures: Figures = {}
    before = machine()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_on_disk(given.json.parent)) as folder:
        for found in measure(Path(folder), size, given.only):
            figures |= found
    print("\n".join(table(figures)))
    given.json.write_text(json.dumps({"machine": before, "figures": figures}, indent=2) + "\n")
    return 0


def _on_disk(folder: Path) -> Path:
    """Where the figures go: a real disk, which a folder for temporary files may not be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
