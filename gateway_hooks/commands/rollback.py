"""``rollback``: the old side serves again."""

from __future__ import annotations

import click

from gateway_hooks.commands.following import interrupted, progress_for, report, wait_until
from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.orders import Operator

WITHIN_S = 90.0
ORDERS = {
    "rollback": ("HANDOFF_ROLLBACK", "HANDOFF_FAILED"), "complete": ("HANDOFF_COMPLETE_REQUESTED",), "confirm": ("BAKE_CONFIRMED",),
}  # fmt: skip
"""What each order says."""


@click.command("rollback")
@click.option("--wait/--no-wait", default=True, help="Stay until the old side serves.")
@pass_place
def command(place: Place, wait: bool) -> int:
    """Undo the open handoff: the old side serves again."""
    return order(place, "rollback", wait, frozenset({"rolled_back", "failed"}))


def order(place: Place, what: str, wait: bool, good: frozenset[str]) -> int:
    """Give the order, wait for the outcome, and return 0 when it is one of ``good``."""
    place.require_live()
    operator = Operator(place.folder)
    handoff = ""
    try:
        before = operator.journal.catch_up().seq
        orders = {"rollback": operator.rollback, "complete": operator.complete, "confirm": operator.confirm}
        handoff = orders[what]()
        ordered = operator.journal.head.seq  # where it stands; what was ordered before is not said again
        progress = progress_for(place)
        try:
            state = wait_until(
                operator,
                handoff,
                progress,
                lambda s: not wait and s.head.seq >= ordered,
                after=before,
                timeout_s=WITHIN_S,
            )
        finally:
            progress.close()
        report(place, state)
        return 0 if not wait or state.head.phase in good else 1
    except KeyboardInterrupt:
        return interrupted(operator, handoff, "nothing was ordered", *ORDERS[what])
    finally:
        operator.close()
