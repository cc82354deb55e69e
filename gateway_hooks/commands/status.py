"""``status``: one screen about now. It starts fast: nothing is imported for looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.process import System
from journal.events import Side
from journal.head import AT_REST
from journal.record import Stamp
from replay.fold import State, state_of
from replay.times import brief_span as span

SIDES: tuple[Side, Side] = ("blue", "green")


@click.command("status")
@click.option(
    "--metrics",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a text file for Prometheus.",
)
@pass_place
def command(place: Place, metrics: Path | None) -> None:
    """Show who serves, which handoff is open, and what became of the last one."""
    reader = place.reader()
    try:
        state = state_of(reader)
    finally:
        reader.close()
    system = System()
    found = describe(state, system)
    if metrics is not None:
        from gateway_hooks.commands.metrics import exposition
        from gateway_hooks.commands.writing import replace

        replace(metrics, exposition(state, found, system.now(), system.me().boot), mode=0o644)
    if place.as_json:
        place.emit({**found, "journal": str(place.journal_path)})
    elif metrics is None:
        click.echo("\n".join(lines({**found, "journal": str(place.journal_path)})))


def describe(state: State, system: System) -> dict[str, Any]:
    """The facts that ``status`` shows, as ``--json`` prints them; ``journal`` is added by the caller."""
    head, now, boot = state.head, system.now(), system.me().boot
    entered = state.entered
    return {
        "phase": head.phase,
        "phase_s": round(state.lasted_s(entered, now, boot), 1) if entered else None,
        "handoff": head.handoff,
        "bake_s": state.request.bake_s if state.request else None,
        "confirm_left_s": _confirm_left_s(state, now, boot),
        "owner": head.owner,
        "epoch": head.epoch,
        "sides": {side: _side(state, side, system) for side in SIDES},
        "adapters": {
            adapter: {"side": head.side_of(process), "pid": process.pid}
            for adapter, process in sorted(head.connected.items())
        },
        "turns": {
            side: sum(1 for t in head.turns.values() if t.holder == head.process(side)) for side in SIDES
        },
        "messages": {
            "accepted": state.accepted,
            "open": len(head.messages),
            "ambiguous": state.settled.get("ambiguous", 0),
            "abandoned": state.settled.get("abandoned", 0),
        },
        "outcome": why(state) if head.handoff else None,
        "events": head.seq,
    }  # fmt: skip


def _confirm_left_s(state: State, now: Stamp, boot: str) -> float | None:
    """In how long the bake rolls back for want of somebody's word, below zero when it is about to; None when it needs none."""
    if state.head.phase != "baking" or state.word_within_s is None or state.entered is None:
        return None
    return round(state.word_within_s - state.lasted_s(state.entered, now, boot), 1)


def _side(state: State, side: Side, system: System) -> dict[str, Any] | None:
    """None when nobody sits there: it never did, has said goodbye, or was settled."""
    process = state.head.process(side) or (state.head.expected_green if side == "green" else None)
    if process is None:
        return None
    started = state.started.get(side)
    return {
        "pid": process.pid,
        "is": system.probe(process),
        "gateway": started.gateway if started else None,
        "version": started.version if started else None,
        "runtime": started.runtime if started else None,
    }


def why(state: State) -> dict[str, Any]:
    """How the last handoff ended, or ``open``; for what reason, and on which evidence (seqs)."""
    phase = state.head.phase
    outcome = phase if phase in AT_REST else "open"
    reason: str | None = None
    detail, evidence = "", list[int]()
    if state.failure is not None:
        reason, detail = state.failure.reason, state.failure.detail
    elif state.rollback is not None:
        reason, detail, evidence = state.rollback.reason, state.rollback.detail, list(state.rollback.evidence)
    return {"outcome": outcome, "reason": reason, "detail": detail, "evidence": evidence}


def lines(found: dict[str, Any]) -> list[str]:
    """The screen."""
    since = f", for {span(found['phase_s'])}" if found["phase_s"] is not None else ""
    bake = f" of {span(found['bake_s'])}" if found["phase"] == "baking" else ""
    if found["confirm_left_s"] is not None:
        bake += f"; rolls back in {span(max(0.0, found['confirm_left_s']))} unless confirmed"
    rows = [
        ("phase", f"{found['phase']}{since}{bake}"),
        ("owner", f"{found['owner']}, epoch {found['epoch']}"),
        *((side, _side_line(found["sides"][side])) for side in SIDES),
        ("adapters", "; ".join(_adapter_line(a, of) for a, of in found["adapters"].items()) or "none connected"),
        ("turns", ", ".join(f"{found['turns'][side]} in {side}" for side in SIDES)),
        ("messages", ", ".join(f"{count} {what}" for what, count in found["messages"].items())),
        ("handoff", _handoff_line(found["handoff"], found["outcome"])),
        ("journal", f"{found['journal']}, {found['events']} events"),
    ]
    return [f"{name:<10}{text}" for name, text in rows]


def _side_line(side: dict[str, Any] | None) -> str:
    if side is None:
        return "nobody"
    what = f", {side['gateway']} {side['version']}, runtime {side['runtime']}" if side["gateway"] else ""
    return f"process {side['pid']}, {side['is']}{what}"


def _adapter_line(adapter: str, of: dict[str, Any]) -> str:
    return f"{adapter} with {of['side'] or of['pid']}"


def _handoff_line(handoff: str | None, outcome: dict[str, Any] | None) -> str:
    if handoff is None or outcome is None:
        return "none yet"
    reason = f": {outcome['reason']}" if outcome["reason"] else ""
    detail = f" ({outcome['detail']})" if outcome["detail"] else ""
    evidence = f", see seq {', '.join(map(str, outcome['evidence']))}" if outcome["evidence"] else ""
    return f"{handoff} {outcome['outcome'].replace('_', ' ')}{reason}{detail}{evidence}"
