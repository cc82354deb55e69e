"""How a handoff is told while it runs: one line a step, or a table that fills in on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import click

from journal.record import Record
from replay.fold import State
from replay.telling import step_words
from replay.times import brief_span as span

if TYPE_CHECKING:
    from rich.table import Table


class Progress(Protocol):
    """Where the steps go. ``close`` is called in any case."""

    def step(self, record: Record, state: State) -> None: ...
    def tick(self, state: State) -> None: ...
    def close(self) -> None: ...


class Silent:
    """For ``--json``: the answer at the end is all."""

    def step(self, record: Record, state: State) -> None: ...
    def tick(self, state: State) -> None: ...
    def close(self) -> None: ...


class Plain:
    """One line a step, for pipes and logs."""

    def __init__(self, say: Callable[[str], object] = click.echo) -> None:
        self._say = say

    def step(self, record: Record, state: State) -> None:
        told = tell(record, state)
        if told:
            self._say(told)

    def tick(self, state: State) -> None: ...
    def close(self) -> None: ...


class Live:
    """A table on a terminal; its last line counts the seconds of the phase under way."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        self._rows: list[str] = []
        self._entered_s = time.monotonic()
        self._phase, self._of = "", ""
        self._screen = Screen(console=Console(), get_renderable=self._table, refresh_per_second=8)
        self._screen.start()

    def step(self, record: Record, state: State) -> None:
        told = tell(record, state)
        if told:
            self._rows.append(told)
        if state.head.phase != self._phase:
            self._phase, self._entered_s = state.head.phase, time.monotonic()
            self._of = f" of {span(state.request.bake_s)}" if self._phase == "baking" and state.request else ""

    def tick(self, state: State) -> None: ...

    def close(self) -> None:
        self._phase = ""
        self._screen.stop()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid()
        for row in self._rows:
            table.add_row(Text(row, no_wrap=True, overflow="ellipsis"))
        if self._phase:
            lasted = span(time.monotonic() - self._entered_s)
            table.add_row(Text(f"{'':>12}{self._phase}, for {lasted}{self._of}", style="bold"))
        return table


def tell(record: Record, state: State) -> str | None:
    """A step as one line (``+0.35 s  seq 53  HANDOFF_ACK  ...``), None for what is no step of a handoff."""
    words = step_words(record)
    first = state.steps[0].moment if state.steps else None
    if words is None or first is None or record.seq < first.seq:
        return None
    after = f"+{first.elapsed_s(record.at_ns, record.mono_ns, record.process.boot):.2f} s"
    return f"{after:>10}  seq {record.seq:<6} {record.type:<26} {words}"
