"""Events, steps and states in plain text, for a terminal of any kind. An audit is ``replay.prose``'s, JSON is ``replay.data``'s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from journal.events import Process
from journal.head import AT_REST
from journal.record import Record
from replay.check import Checked
from replay.fold import State
from replay.grounds import Difference
from replay.timeline import Handoff, Polled
from replay.times import at, span

WIDTH = 150


def phase_lines(handoff: Handoff) -> list[str]:
    """The phases in order: where, how long, who said so."""
    rows = [
        (
            str(stay.since.seq),
            at(stay.since.at_ns),
            stay.phase,
            span(stay.elapsed_s) if stay.elapsed_s is not None else "",
            f"{stay.type} by {stay.role} (process {stay.process.pid})",
        )
        for stay in handoff.stays
    ]
    return table(rows)


def timeline_text(handoff: Handoff, polled: Iterable[Polled]) -> str:
    """The steps of a handoff, and who polled during it."""
    what = "open" if handoff.open else handoff.phase.replace("_", " ")
    lines = [f"handoff {handoff.id} to runtime {handoff.runtime}: {what}", *phase_lines(handoff)]
    rows = [
        (
            f"{p.since.seq}-{p.until.seq if p.until else ''}",
            p.adapter,
            f"{p.side} (process {p.process.pid}), epoch {p.epoch}",
            p.ended or "",
        )
        for p in polled
    ]
    return "\n".join([*lines, *(["", "who polled", *table(rows)] if rows else [])])


def check_line(checked: Checked) -> str:
    """One line: as decided, or the first difference."""
    if checked.first is None:
        return f"{checked.events} events, each as the law and its decision want it"
    return f"{len(checked.differences)} of {checked.events} events differ; first {difference_text(checked.first)}"


def difference_text(difference: Difference) -> str:
    """Where, in which field, and both sides."""
    return f"seq {difference.seq}, {difference.field}: expected {difference.expected}, recorded {difference.actual}"


def state_text(state: State) -> str:
    """Everything that the record says at one seq, one line a fact."""
    head = state.head
    step = state.steps[-1] if state.steps else None
    rows = [
        ("at", f"seq {head.seq}, {head.hash.hex()}"),
        ("handoff", head.handoff or "none yet"),
        ("phase", f"{head.phase}{f', by {step.type} of {step.role} at seq {step.moment.seq}' if step else ''}"),
        ("owner", f"{head.owner}, epoch {head.epoch}"),
        ("blue", _who(head.blue)),
        ("green", _who(head.green) if head.green else _who(head.expected_green, ", expected")),
        (
            "adapters",
            "; ".join(f"{a} with {head.side_of(p) or p.pid}" for a, p in sorted(head.connected.items())) or "none",
        ),
        ("flushed", f"{', '.join(sorted(head.flushed))} at seq {head.flushed_seq}" if head.flushed_seq else "nothing"),
        (
            "turns",
            ", ".join(f"{n} over {list(t.messages)} in {head.side_of(t.holder)}" for n, t in head.turns.items())
            or "none",
        ),
        ("waiting", ", ".join(str(seq) for seq, m in head.messages.items() if m.turn is None) or "none"),
        (
            "messages",
            ", ".join([f"{state.accepted} accepted", *(f"{n} {o}" for o, n in sorted(state.settled.items()))]),
        ),
        (
            "lost",
            "; ".join(f"{x.side} {x.process.pid} in {x.phase}, seq {x.moment.seq}" for x in state.losses) or "nobody",
        ),
        ("watchers", ", ".join(map(str, sorted(state.watchers))) or "none"),
    ]
    if head.phase not in AT_REST and state.request:
        rows.insert(3, ("bake", span(state.request.bake_s)))
    return "\n".join(f"{name:<10}{text}" for name, text in rows)


def record_line(record: Record) -> str:
    """One event in one line, cut where it is long."""
    body = ", ".join(f"{name} {_brief(value)}" for name, value in json.loads(record.body).items())
    who = f"{record.role} {record.process.pid}"
    line = f"{record.seq:>6}  {at(record.at_ns)}  e{record.epoch:<3} {who:<16} {record.type:<22} {body}"
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} {_brief(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_brief(v) for v in value) + "]"
    text = str(value)
    return text[:12] if isinstance(value, str) and len(text) == 64 else text  # a digest


def _who(process: Process | None, more: str = "") -> str:
    return f"process {process.pid}, started {process.started}{more}" if process else "nobody"


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of one shape as lines, each column as wide as its widest cell."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
