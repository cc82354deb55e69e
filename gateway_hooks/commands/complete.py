"""``complete``: end the bake before its time."""

from __future__ import annotations

import click

from gateway_hooks.commands.rollback import order
from gateway_hooks.commands.shared import Place, pass_place


@click.command("complete")
@click.option("--wait/--no-wait", default=True, help="Stay until the handoff is complete.")
@pass_place
def command(place: Place, wait: bool) -> int:
    """End the bake of the open handoff: the new side stays, the old one leaves."""
    return order(place, "complete", wait, frozenset({"complete"}))
