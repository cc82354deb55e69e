"""``doctor``: what is not as it should be in this home."""

from __future__ import annotations

import click

from gateway_hooks.commands import findings
from gateway_hooks.commands.shared import Place, pass_place


@click.command("doctor")
@click.option(
    "--runtime", metavar="NAME", default="same", help="Of which runtime to ask whether it could serve as green."
)
@pass_place
def command(place: Place, runtime: str) -> int:
    """Look at journal, key, modes, gate, gateway, plugin, adapters and what a promote would find; change nothing."""
    place.require_home()
    return findings.report(place, findings.doctor(place, runtime))
