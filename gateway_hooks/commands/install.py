"""``install``: a journal for this home, the plugin enabled in its ``config.yaml``, and its systemd unit when that is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway_hooks.commands import units
from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.process import System
from journal.errors import DiskTrouble, NothingHere
from journal.store import create

if TYPE_CHECKING:
    from gateway_hooks.hermes.install import Change


@click.command("install")
@click.option(
    "--systemd", is_flag=True, help="Put 'handoff-journal run' in front of the gateway in its systemd unit, too."
)
@click.option("--unit", metavar="NAME", help="The unit, when it is not called as Hermes calls it.")
@click.option(
    "--print", "only_print", is_flag=True, help="With --systemd: show what would be written, and write nothing."
)
@pass_place
def command(place: Place, systemd: bool, unit: str | None, only_print: bool) -> None:
    """Make a journal in this home and enable the plugin in its config.yaml."""
    if (unit or only_print) and not systemd:
        raise click.UsageError("--unit and --print go with --systemd")
    config = require_config(place)
    change = planned(place.home, on=True)  # looked at before anything is made
    plan = units.planned(place, unit) if systemd else None
    if plan and only_print:
        show(place, plan)
        return
    new = not place.journal_path.exists()
    if not new and place.journal_path.stat().st_size:
        place.reader().close()  # what stands there already must be a journal
    create(place.folder, at_ns=System().now().at_ns)
    backup = carried_out(change)
    written = units.write(plan.files) if plan else []
    if place.as_json:
        place.emit(
            {
                "journal": str(place.journal_path),
                "journal_created": new,
                "config": str(config),
                "config_changed": backup is not None,
                "backup": str(backup) if backup else None,
                "unit": [{"path": str(path), "changed": path in written} for path in plan.files] if plan else [],
            }
        )
        return
    click.echo(f"journal   {place.journal_path}, {'created' if new else 'there already'}")
    click.echo(f"plugin    enabled in {config}" + (f", before that {backup}" if backup else " already"))
    for path in plan.files if plan else ():
        click.echo(f"unit      {path}, {'written' if path in written else 'there already'}")
    if plan:
        click.echo(f"next      {plan.told} daemon-reload && {plan.told} restart {plan.places.name}")
        click.echo("          once; 'handoff-journal doctor' checks it")
    else:
        click.echo(
            "next      start the gateway again, once, so that it takes its seat; 'handoff-journal doctor' checks it"
        )


def show(place: Place, plan: units.Planned) -> None:
    """What would be written, as it would stand there."""
    if place.as_json:
        place.emit({"unit": [{"path": str(path), "text": text} for path, text in plan.files.items()]})
        return
    click.echo("\n".join(f"# {path}\n{text}" for path, text in plan.files.items()), nl=False)


def require_config(place: Place) -> Path:
    """The path of the home's config.yaml.

    Raises:
        NothingHere: This is no Hermes home.
        click.UsageError: Another journal is named than the one that the plugin of this home looks for.
    """
    place.require_home()
    if os.path.realpath(place.journal_path) != os.path.realpath(place.home / "handoff" / "journal.db"):
        raise click.UsageError(
            f"the plugin of {place.home} looks for its journal at {place.home}/handoff/journal.db only: leave --journal out"
        )
    path = place.home / "config.yaml"
    if not path.is_file():
        raise NothingHere(
            f"there is no config.yaml in {place.home}", hint="set Hermes up there first, or name its home: --home DIR"
        )
    return path


def planned(home: Path, *, on: bool) -> Change | None:
    """What enabling or disabling the plugin would change; None when nothing.

    Raises:
        GatewayFault: config.yaml is not what Hermes reads.
        DiskTrouble: It cannot be read.
    """
    from gateway_hooks.hermes import install

    try:
        return install.planned(home, on=on)
    except OSError as error:
        raise DiskTrouble(f"cannot read {home / 'config.yaml'}: {error.strerror}", hint="check its mode") from error


def carried_out(change: Change | None) -> Path | None:
    """Write it; where the text from before is kept, None when there was nothing to do. Raises ``DiskTrouble``."""
    from gateway_hooks.hermes import install

    if change is None:
        return None
    try:
        install.carry_out(change)
    except OSError as error:
        raise DiskTrouble(f"cannot write {change.path}: {error.strerror}", hint="check its mode") from error
    return change.backup
