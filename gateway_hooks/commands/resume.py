"""``resume``: finish or undo what was interrupted, and say what was found and done."""

from __future__ import annotations

from typing import Any

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.resuming import Found, Resume
from replay.boot import SIDES


@click.command("resume")
@pass_place
def command(place: Place) -> int:
    """Finish or undo what was interrupted, and say what was found and done."""
    place.require_live()
    place.reader().close()
    resume = Resume(place.folder)
    try:
        found = resume.run()
    finally:
        resume.close()
    if place.as_json:
        place.emit(answer(found))
    else:
        click.echo("\n".join(lines(found)))
    return 0 if found.start is None or found.keeper is not None else 1


def answer(found: Found) -> dict[str, Any]:
    """As ``--json`` prints it."""
    return {
        "handoff": found.before.head.handoff,
        "found": {"phase": found.before.head.phase, "owner": found.before.head.owner, **found.sides},
        "did": [{"what": what, "seq": seq} for what, seq in found.did],
        "phase": found.after.head.phase,
        "start": {"side": found.start.side, "runtime": found.start.runtime} if found.start else None,
        "keeper": found.keeper,
    }


def lines(found: Found) -> list[str]:
    """The same for people."""
    head, after = found.before.head, found.after.head
    what = f"{head.handoff} in phase {head.phase}" if head.handoff else "no handoff yet"
    told = [f"found  {what}; " + ", ".join(f"{side}: {_WORDS[found.sides[side]]}" for side in SIDES)]
    told += [f"did    {deed}  (seq {seq})" for deed, seq in found.did] or ["did    nothing"]
    if found.start is None:
        goes_on = f"{after.handoff} goes on by itself, in phase {after.phase}" if after.open else "a gateway serves"
        return [*told, f"now    {goes_on}"]
    who = f"{found.start.side} has to be started (runtime {found.start.runtime})"
    if found.serves:
        who = f"{after.owner} serves on until {found.start.side} was started (runtime {found.start.runtime})"
    if found.keeper is not None:
        return [*told, f"now    {who}: its keeper, process {found.keeper}, does that"]
    nobody = who if found.serves else f"nobody serves; {who}"
    if found.stopped is not None:
        return [*told, f"now    {nobody}: its keeper, process {found.stopped}, is stopped: kill -CONT {found.stopped}"]
    return [*told, f"now    {nobody}: handoff-journal run -- COMMAND"]


_WORDS = {"none": "nobody", "running": "runs", "stopped": "is stopped", "dead": "is dead"}
