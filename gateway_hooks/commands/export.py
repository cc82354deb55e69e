"""``export``: a copy of the journal that stands by itself, made while everything runs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Literal

import click

from gateway_hooks.commands.shared import Place, pass_place
from journal.export import Exported, to_csv, to_database, to_lines
from journal.store import Reader
from replay.data import of_record

Form = Literal["journal", "jsonl", "csv"]


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--jsonl", is_flag=True, help="One JSON object a line, as 'log --json' prints them.")
@click.option("--csv", is_flag=True, help="A table of the events, for a spreadsheet.")
@pass_place
def command(place: Place, file: Path, jsonl: bool, csv: bool) -> None:
    """Copy the journal into one new file, consistent, while everything runs."""
    if jsonl and csv:
        raise click.UsageError("a file is --jsonl or --csv, not both: export twice")
    form: Form = "jsonl" if jsonl else "csv" if csv else "journal"
    with closing(place.reader()) as reader:
        made = _write(reader, file, form)
    head = {"seq": made.seq, "hash": made.hash.hex()} if made.events else None
    if place.as_json:
        place.emit({"file": str(file), "form": form, "events": made.events, "head": head})
        return
    click.echo(f"{file}: {made.events} events")
    if made.events:
        click.echo(f"head      {made.seq}:{made.hash.hex()}")


def _write(reader: Reader, file: Path, form: Form) -> Exported:
    if form == "jsonl":
        return to_lines(reader, file, lambda record: json.dumps(of_record(record)))
    return to_csv(reader, file) if form == "csv" else to_database(reader, file)
