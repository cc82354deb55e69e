"""``verify``: is the record what was appended, and all of it?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.side_by_side import among_processes
from journal.bell import read_head
from journal.verify import verify

Head = tuple[int, bytes]
TRUST = "trust nothing after it; compare with an export"


def head(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Head | None:
    """Callback of ``--head``: ``SEQ:HASH``, as every audit prints it."""
    if value is None:
        return None
    seq, _, digest = value.partition(":")
    try:
        found = int(seq), bytes.fromhex(digest)
    except ValueError:
        found = 0, b""
    if found[0] < 1 or len(found[1]) != 32:
        raise click.BadParameter(f"{value!r} is no SEQ:HASH with 64 hex digits, as 'audit' prints it")
    return found


def kept_head(place: Place) -> Head | None:
    """The head that the doorbell beside a live journal keeps; a copy has none."""
    return read_head(place.folder / "bell") if place.journal_path.name == "journal.db" else None


@click.command("verify")
@click.option(
    "--head", "given", metavar="SEQ:HASH", callback=head, help="A head kept elsewhere, that the journal must contain."
)
@pass_place
def command(place: Place, given: Head | None) -> int:
    """Check the hash chain; exit code 5 and the first bad seq when something was altered or removed."""
    given = given or kept_head(place)
    with closing(place.reader()) as reader:
        verdict = verify(reader, head=given, split=among_processes)
    if place.as_json:
        place.emit({**asdict(verdict), "good": verdict.good, "compared": given[0] if given else None})
    elif verdict.good:
        compared = f"; it contains the kept head, seq {given[0]}" if given else "; no kept head to compare with"
        click.echo(
            f"{verdict.finding}: {verdict.events} events{compared}\nhead      {verdict.last or 0}:{verdict.head}"
        )
    else:
        click.echo(f"handoff-journal: first bad seq {verdict.bad}: {verdict.finding}; {TRUST}", err=True)
    return 0 if verdict.good else 5
