"""Settle the dead: what one append says about a process that is certainly gone."""

from __future__ import annotations

from journal import events as e
from journal.events import Process, Side
from journal.head import Head, verdicts
from journal.record import Draft


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
