"""Settle the dead: what one append says about a process that is certainly gone, and who has to be ended before anybody can say it."""

from __future__ import annotations

import logging

from gateway_hooks.process import World
from journal import events as e
from journal.errors import Busy
from journal.events import Process, Side
from journal.head import Head, verdicts
from journal.record import Draft

log = logging.getLogger("handoff_journal")
WORD_S = 10.0
"""How long the word of somebody at the keyboard waits for the gate."""


def settle(head: Head, side: Side, process: Process, how: str) -> list[Draft]:
    """PROCESS_LOST, and a MESSAGE_SETTLED for each message that nobody may start again.

    Args:
        head: The head that the append will be checked against.
        side: Where the dead process sat.
        process: Which incarnation.
        how: ``died``, or why it was ended: see ``journal.events.ProcessLost``.
    """
    lost = e.ProcessLost(side=side, process=process, how=how)  # type: ignore[arg-type]
    drafts = [Draft(lost, key=f"lost:{process.boot}:{process.pid}:{process.started}")]
    for seq, outcome in verdicts(head, process).items():
        drafts.append(Draft(e.MessageSettled(message=seq, outcome=outcome)))
    return drafts


def free_gate(world: World, holder: int | None) -> Process | None:
    """End the holder of the journal's gate when it is stopped: it holds SQLite's lock too, so nothing goes on before.

    Args:
        world: The operating system.
        holder: The pid that the gate's file names.
    Returns:
        The process that was ended, or None when the holder is merely slow.
    """
    process = world.identify(holder) if holder else None
    if process is None or process == world.me() or world.probe(process) != "stopped":
        return None
    log.error("process %d is stopped and holds the journal's gate: ended", process.pid)
    world.end(process)
    return process


def free_gate_of(world: World, busy: Busy) -> Process:
    """The same of who is named by what could not be done; raises that again where nobody was ended."""
    process = free_gate(world, busy.holder)
    if process is None:
        raise busy
    return process
