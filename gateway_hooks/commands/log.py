"""``log``: the events of a journal, one line each, and those that come while one watches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from gateway_hooks.commands.durations import duration
from gateway_hooks.commands.shared import Place, pass_place
from journal.events import MODELS
from journal.record import Record
from journal.store import Reader
from replay.data import of_record
from replay.render import record_line
from replay.timeline import read

LAST = 2**63 - 1
"""No seq is larger: SQLite counts no further."""


@dataclass(frozen=True, slots=True)
class Since:
    """Where to begin: at a seq, or at the first event of a time (UTC nanoseconds)."""

    seq: int = 0
    at_ns: int = 0


def since(context: click.Context, parameter: click.Parameter, value: str | None) -> Since:
    """Callback of ``--since``: a seq, a time in ISO form (UTC when it names no zone), or how long ago (``10m``)."""
    if value is None:
        return Since()
    if value.isdecimal():
        if len(value) > len(str(LAST)) or int(value) > LAST:
            raise click.BadParameter(f"no journal comes to a seq of {len(value)} digits")
        return Since(seq=int(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        try:
            ago_s = duration(context, parameter, value)
        except click.BadParameter:
            what = f"{value!r} is no seq, no time such as 2026-11-21T08:30, and not how long ago, such as 10m"
            raise click.BadParameter(what) from None
        return Since(at_ns=time.time_ns() - int(ago_s * 1e9))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Since(at_ns=int(moment.timestamp() * 1e9))


def types(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    """Callback of ``--type``: every event type that begins so; all of them without one."""
    known = {type_ for type_, _ in MODELS}
    for value in values:
        if not any(type_.startswith(value.upper()) for type_ in known):
            raise click.BadParameter(f"no event type begins with {value!r}; docs/events.md lists them")
    return frozenset(t for t in known if not values or any(t.startswith(v.upper()) for v in values))


@click.command("log")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--type", "wanted", multiple=True, metavar="TYPE", callback=types, help="Only these types; HANDOFF_ names a family."
)
@click.option(
    "--handoff", metavar="ID", help="Only from this handoff's request to the next one's; its beginning suffices."
)
@click.option("--since", "begin", metavar="SEQ|TIME", callback=since, help="A seq, a time, or how long ago (10m).")
@pass_place
def command(place: Place, follow: bool, wanted: frozenset[str], handoff: str | None, begin: Since) -> None:
    """Print the events, one a line; with --json one object a line."""
    with closing(place.reader()) as reader:
        chosen = read(reader.all()).select(handoff) if handoff is not None else None
        after = max(begin.seq, chosen.first if chosen else 1, 1) - 1
        try:
            for record in _from(_records(place, reader, after, follow), begin):
                if chosen and record.handoff != chosen.id:  # the next one's request
                    break
                if record.type in wanted:
                    click.echo(json.dumps(of_record(record)) if place.as_json else record_line(record))
        except KeyboardInterrupt:
            return


def _records(place: Place, reader: Reader, after: int, follow: bool) -> Iterable[Record]:
    if not follow:
        return reader.all(after=after)
    from journal.tail import Tail

    return Tail(reader, place.folder / "bell", after=after)


def _from(records: Iterable[Record], begin: Since) -> Iterator[Record]:
    """Everything from the first record of that time on; order is the seq, never the clock."""
    begun = False
    for record in records:
        begun = begun or record.at_ns >= begin.at_ns
        if begun:
            yield record
