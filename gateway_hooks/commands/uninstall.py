"""``uninstall``: the plugin disabled, its systemd drop-in gone; the journal stays."""

from __future__ import annotations

from contextlib import closing

import click

from gateway_hooks.commands import units
from gateway_hooks.commands.install import carried_out, planned, require_config
from gateway_hooks.commands.shared import Place, pass_place
from journal.errors import IllegalTransition
from replay.fold import state_of


@click.command("uninstall")
@click.option("--unit", metavar="NAME", help="The systemd unit, when it is not called as Hermes calls it.")
@pass_place
def command(place: Place, unit: str | None) -> None:
    """Disable the plugin in this home's config.yaml; the journal is kept."""
    config = require_config(place)
    kept = place.journal_path if place.journal_path.is_file() else None
    if kept:
        with closing(place.reader()) as reader:
            head = state_of(reader).head
        if head.open:
            raise IllegalTransition(
                f"{head.handoff} is open, in phase {head.phase}", hint="end it first: 'complete' or 'rollback'"
            )
    backup = carried_out(planned(place.home, on=False))
    where, gone = units.remove(place, unit)
    if place.as_json:
        place.emit(
            {
                "config": str(config),
                "config_changed": backup is not None,
                "backup": str(backup) if backup else None,
                "journal": str(kept) if kept else None,
                "unit": [str(path) for path in gone],
            }
        )
        return
    click.echo(f"plugin    disabled in {config}" + (f", before that {backup}" if backup else " already"))
    click.echo(f"journal   kept: {kept}" if kept else "journal   there is none")
    for path in gone:
        click.echo(f"unit      {path} is gone")
    if gone:
        told = units.Planned(where, {}).told
        click.echo(f"          {told} daemon-reload")
    click.echo("next      start the gateway again, once, so that it runs without the plugin")
