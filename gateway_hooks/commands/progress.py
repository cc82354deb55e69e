"""How a handoff is told while it runs: one line a step, or a table that fills in on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from gateway_hooks.commands.status import span
from journal import events as e
from journal.record import Record
from replay.fold import State

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
    event = record.event
    teller = _TELLERS.get(type(event))
    first = state.steps[0].moment if state.steps else None
    if teller is None or first is None or record.seq < first.seq:
        return None
    after = f"+{first.elapsed_s(record.at_ns, record.mono_ns, record.process.boot):.2f} s"
    return f"{after:>10}  seq {record.seq:<6} {record.type:<26} {teller(event, record)}"


def _started(event: e.ProcessStarted, record: Record) -> str:
    doing = "serves" if event.serving else "waits warm"
    return f"{event.side}, process {record.process.pid}, {doing} ({event.gateway} {event.version})"


def _rollback(event: e.HandoffRollback, record: Record) -> str:
    detail = f" ({event.detail})" if event.detail else ""
    evidence = f", see seq {', '.join(map(str, event.evidence))}" if event.evidence else ""
    return f"in {event.phase}, by {record.role}: {event.reason}{detail}{evidence}"


def _failed(event: e.HandoffFailed, record: Record) -> str:
    return f"{event.reason}: {event.detail}" if event.detail else event.reason


def _confirm(event: e.HandoffConfirm, record: Record) -> str:
    return f"green polls and is healthy (seq {', '.join(map(str, event.samples))}); the bake begins"


def _terms(event: e.HandoffTerms) -> str:
    said = [f"rolls back unless confirmed within {span(event.confirm_within_s)}"] if event.confirm_within_s else []
    return "; ".join([*said, *(f"other limits of {rule}" for rule in event.rules)])


_HOW = {
    "died": "died",
    "ended_silent": "was silent and was ended",
    "ended_stopped": "was frozen and was ended",
    "ended_late": "was late and was ended",
}

_TELLERS: dict[type[e.Event], Callable[[Any, Record], str]] = {
    e.HandoffRequested: lambda event, _: f"runtime {event.runtime}, bake {span(event.bake_s)}",
    e.GreenSpawned: lambda event, _: f"green is process {event.green.pid}",
    e.ProcessStarted: _started,
    e.HandoffInit: lambda event, _: "green boots beside blue",
    e.HandoffAck: lambda event, _: f"green has loaded what was flushed up to seq {event.flushed_seq}",
    e.HandoffActive: lambda event, _: f"blue has let go, green owns the adapters; {event.turns} turns stay in flight",
    e.HandoffSeized: lambda event, _: f"green takes the adapters: blue is {event.reason}",
    e.HandoffConfirm: _confirm,
    e.HandoffTerms: lambda event, _: _terms(event),
    e.BakeConfirmed: lambda event, record: f"{record.role} says that green is good",
    e.HandoffCompleteRequested: lambda event, _: "the operator ends the bake",
    e.HandoffComplete: lambda event, record: f"{record.role} says so, on the sample at seq {event.sample}: green stays",
    e.HandoffRollback: _rollback,
    e.HandoffFailed: _failed,
    e.HandoffResumed: lambda event, record: f"process {record.process.pid} found the handoff open in {event.phase}",
    e.BlueServing: lambda event, _: "blue has loaded what green flushed and serves",
    e.ProcessLost: lambda event, _: f"{event.side}, process {event.process.pid}, {_HOW.get(event.how, 'was ended')}",
    e.ProcessExited: lambda event, record: f"{record.role}, process {record.process.pid}, has left",
    e.AdapterConnected: lambda event, record: f"{event.platform}: {record.role} polls",
    e.AdapterPaused: lambda event, record: f"{event.platform}: {record.role} has let go",
    e.AdapterLost: lambda event, record: f"{event.platform}: {event.reason}",
    e.DivergenceDetected: lambda event, _: f"{event.rule}: {event.measured:g}, at most {event.limit:g}",
}
