"""``doctor``: what is not as it should be in this home."""

from __future__ import annotations

import click

from gateway_hooks.commands import findings
from gateway_hooks.commands.shared import Place, pass_place


@click.command("doctor")
@pass_place
def command(place: Place) -> int:
    """Look at journal, key, modes, gate, gateway, plugin and adapters; change nothing."""
    place.require_home()
    return findings.report(place, findings.doctor(place))
