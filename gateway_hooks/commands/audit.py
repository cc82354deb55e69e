"""``audit``: what happened in a handoff, what it cost, and on which evidence; on the terminal, as JSON, or as a page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.commands.verify import TRUST, kept_head
from gateway_hooks.commands.writing import replace
from gateway_hooks.side_by_side import among_processes
from journal.errors import Tampered
from journal.verify import verify
from replay.audit import audit
from replay.check import check
from replay.data import of_audit, of_check
from replay.prose import audit_text


@click.command("audit")
@click.argument("handoff", required=False)
@click.option(
    "--html",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as one page that needs no network.",
)
@pass_place
def command(place: Place, handoff: str | None, file: Path | None) -> int:
    """Say what happened in a handoff, the last one unless one is named.

    Exit code 1 when it was rolled back or failed, when a message suffered, or when the record differs from what had to be decided;
    5 when the record was tampered with.
    """
    head = kept_head(place)
    with closing(place.reader()) as reader:
        chain = verify(reader, head=head, split=among_processes)
        if chain.bad is not None:
            raise Tampered(chain.finding, seq=chain.bad, hint=TRUST)
        found = audit(reader.all, handoff)
        checked = check(reader.all()).within(found.handoff.first, found.handoff.last)
        if file is not None:
            from replay.html.page import Proofs, page

            replace(file, page(found, reader.all, Proofs(chain.finding, checked, place.journal_path.name)))
    if place.as_json:
        more = {"html": str(file)} if file else {}
        place.emit({**of_audit(found), "check": of_check(checked), "chain": chain.finding, **more})
    elif file is not None:
        click.echo(
            f"{file}: {found.handoff.id} {found.outcome.replace('_', ' ')}, {file.stat().st_size // 1024 + 1} kB"
        )
    else:
        click.echo(audit_text(found, checked, chain.finding))
    return 0 if found.good and checked.first is None else 1
