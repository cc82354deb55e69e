"""``install``: a journal for this home, and the plugin enabled in its ``config.yaml``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.process import System
from journal.errors import DiskTrouble, NothingHere
from journal.store import create


@click.command("install")
@pass_place
def command(place: Place) -> None:
    """Make a journal in this home and enable the plugin in its config.yaml."""
    config = require_config(place)
    new = not place.journal_path.exists()
    if not new and place.journal_path.stat().st_size:
        place.reader().close()  # what stands there already must be a journal
    create(place.folder, at_ns=System().now().at_ns)
    backup = switch(place.home, on=True)
    if place.as_json:
        place.emit(
            {
                "journal": str(place.journal_path),
                "journal_created": new,
                "config": str(config),
                "config_changed": backup is not None,
                "backup": str(backup) if backup else None,
            }
        )
        return
    click.echo(f"journal   {place.journal_path}, {'created' if new else 'there already'}")
    click.echo(f"plugin    enabled in {config}" + (f", before that {backup}" if backup else " already"))
    click.echo("next      start the gateway again, once, so that it takes its seat; 'handoff-journal doctor' checks it")


def require_config(place: Place) -> Path:
    """The path of the home's config.yaml. Raises ``NothingHere`` when this is no Hermes home."""
    place.require_live()
    path = place.home / "config.yaml"
    if not path.is_file():
        raise NothingHere(
            f"there is no config.yaml in {place.home}", hint="set Hermes up there first, or name its home: --home DIR"
        )
    return path


def switch(home: Path, *, on: bool) -> Path | None:
    """Enable or disable the plugin; the path of the backup when anything was changed."""
    from gateway_hooks.hermes import install

    try:
        changed = install.install(home) if on else install.uninstall(home)
    except OSError as error:
        raise DiskTrouble(f"cannot write {home / 'config.yaml'}: {error.strerror}", hint="check its mode") from error
    return home / install.BACKUP if changed else None
