"""``install``: a journal for this home, the plugin enabled in its ``config.yaml``, and its systemd unit when that is asked for."""

from __future__ import annotations

from pathlib import Path

import click

from gateway_hooks.commands import units
from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.process import System
from journal.errors import DiskTrouble, NothingHere
from journal.store import create


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
    plan = units.planned(place, unit) if systemd else None
    if plan and only_print:
        show(place, plan)
        return
    new = not place.journal_path.exists()
    if not new and place.journal_path.stat().st_size:
        place.reader().close()  # what stands there already must be a journal
    create(place.folder, at_ns=System().now().at_ns)
    backup = switch(place.home, on=True)
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
