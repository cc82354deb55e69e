"""``replay --step``: walk through a handoff, forwards and back, with the state after each step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import click

from journal.record import Record
from replay.fold import State, apply
from replay.html.listing import COUNTS
from replay.render import state_text
from replay.telling import words
from replay.timeline import Handoff
from replay.times import span

WIDTH = 80
MOST = 5000
FORWARD, BACK = frozenset(" nj\r\n") | {"\x1b[C", "\x1b[B"}, frozenset("pbk") | {"\x1b[D", "\x1b[A"}
FIRST, LAST, QUIT = frozenset("g"), frozenset("G"), frozenset("q\x03\x04\x1b")
KEYS = "space next, b back, g first, G last, q quit"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a handoff, the state right after it, and the seconds since the request."""

    record: Record
    state: State
    after_s: float


def steps_of(records: Iterable[Record], handoff: Handoff) -> list[Step]:
    """The steps of a handoff in order, at most ``MOST``. ``records`` begin where the record begins."""
    found: list[Step] = []
    state, begun = State(), handoff.stays[0].since
    for record in records:
        if record.seq > handoff.last or len(found) == MOST:
            break
        state = apply(state, record)
        if record.seq >= handoff.first and record.type in COUNTS:
            after = begun.elapsed_s(record.at_ns, record.mono_ns, record.process.boot)
            found.append(Step(record, state, after))
    return found


def line(step: Step) -> str:
    """A step in one line of at most 80 columns: seq, time, phase and owner after it, what it was."""
    head, record = step.state.head, step.record
    told = f"{record.seq:>6} {f'+{span(step.after_s)}':>9}  {head.phase:<12} {head.owner:<5}  {record.type} {words(record)}"
    return told if len(told) <= WIDTH else f"{told[: WIDTH - 3]}..."


def screen(steps: Sequence[Step], at: int) -> str:
    """One step with everything that holds right after it."""
    step = steps[at]
    top = f"step {at + 1} of {len(steps)}, seq {step.record.seq}, {span(step.after_s)} after the request"
    told = f"{step.record.type} by {step.record.role}, process {step.record.process.pid}: {words(step.record)}"
    body = [top, told, "", *state_text(step.state).splitlines(), "", KEYS]
    return "\n".join(each if len(each) <= WIDTH else f"{each[: WIDTH - 3]}..." for each in body)


def turned(key: str, at: int, count: int) -> int | None:
    """Where a key leads to; None to end. A key without a meaning stays."""
    if key in QUIT:
        return None
    if key in FORWARD:
        return min(at + 1, count - 1)
    if key in BACK:
        return max(at - 1, 0)
    return 0 if key in FIRST else count - 1 if key in LAST else at


def walk(steps: Sequence[Step], key: Callable[[], str] = click.getchar) -> None:
    """By keys on a terminal, one line a step otherwise."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for step in steps:
            click.echo(line(step))
        return
    at: int | None = 0
    while at is not None:
        click.clear()
        click.echo(screen(steps, at))
        try:
            at = turned(key(), at, len(steps))
        except (KeyboardInterrupt, EOFError):
            return
