"""``audit``: what happened in a handoff, what it cost, and on which evidence; on the terminal, as JSON, or as a page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from gateway_hooks.commands import revealing
from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.commands.verify import TRUST, kept_head
from gateway_hooks.commands.writing import replace
from gateway_hooks.side_by_side import among_processes
from journal.errors import Tampered
from journal.folder import read_key
from journal.pseudonyms import Pseudonyms
from journal.reader import Reader
from journal.verify import verify
from replay.audit import Audit, audit
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
@click.option("--reveal", is_flag=True, help="Say whose chats the messages that suffered belong to.")
@pass_place
def command(place: Place, handoff: str | None, file: Path | None, reveal: bool) -> int:
    """Say what happened in a handoff, the last one unless one is named.

    Exit code 1 when it was rolled back or failed, when a message suffered, or when the record differs from what had to be decided;
    5 when the record was tampered with.
    """
    if reveal and file is not None:
        raise click.UsageError(
            "--reveal is for the terminal and --json: a page is made to be passed on, and names nobody"
        )
    names = Pseudonyms(read_key(place.folder)) if reveal else None
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
        revealed = _revealed(place, reader, found, names) if names else {}
    if place.as_json:
        more: dict[str, Any] = {"html": str(file)} if file else {"chats": revealed} if reveal else {}
        place.emit({**of_audit(found), "check": of_check(checked), "chain": chain.finding, **more})
    elif file is not None:
        click.echo(
            f"{file}: {found.handoff.id} {found.outcome.replace('_', ' ')}, {file.stat().st_size // 1024 + 1} kB"
        )
    else:
        click.echo(audit_text(found, checked, chain.finding))
        for message, of in revealed.items():
            click.echo(
                f"message {message} came from {of['name'] or 'a chat that Hermes has no session for'} ({of['chat']})"
            )
    return 0 if found.good and checked.first is None else 1


def _revealed(place: Place, reader: Reader, found: Audit, names: Pseudonyms) -> dict[int, dict[str, str | None]]:
    suffered = (f.facts["message"] for f in found.findings if f.code in ("lost", "doubled", "ambiguous", "abandoned"))
    return revealing.whose(reader, (int(str(message)) for message in suffered), revealing.chats(place.home, names))
