"""``confirm``: green is good."""

from __future__ import annotations

import click

from gateway_hooks.commands.rollback import order
from gateway_hooks.commands.shared import Place, pass_place


@click.command("confirm")
@pass_place
def command(place: Place) -> int:
    """Say that the new side is good: 'promote --confirm-within' does not roll back any more."""
    return order(place, "confirm", False, frozenset())
