"""``promote``: hand the gateway over to a new one, and show how it goes."""

from __future__ import annotations

import click

from gateway_hooks.commands.durations import duration, duration_or_none
from gateway_hooks.commands.following import interrupted, progress_for, report, wait_until
from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.orders import Operator
from gateway_hooks.runtimes import SAME
from journal.events import HandoffTerms
from replay.times import brief_span as span


@click.command("promote")
@click.option("--runtime", default=SAME, help="A name from HOME/handoff/runtimes.toml.")
@click.option(
    "--bake",
    callback=duration,
    metavar="DURATION",
    default="24h",
    help="How long the old side stands by.",
)
@click.option(
    "--confirm-within",
    "word_within",
    callback=duration_or_none,
    metavar="DURATION",
    help="Roll back unless somebody says 'confirm' by then.",
)
@click.option(
    "--no-way-back", is_flag=True, help="Go on though the old runtime could not read what the new one leaves."
)
@click.option("--dry-run", is_flag=True, help="Look whether it would work; change nothing.")
@click.option("--force", is_flag=True, help="End a gateway that hangs or is gone, and take over without it.")
@click.option("--wait/--no-wait", default=True, help="Stay through the bake, or return when it begins.")
@click.argument("gateway", metavar="[-- COMMAND]", nargs=-1, type=click.UNPROCESSED)
@pass_place
def command(
    place: Place,
    runtime: str,
    bake: float,
    word_within: float | None,
    no_way_back: bool,
    dry_run: bool,
    force: bool,
    wait: bool,
    gateway: tuple[str, ...],
) -> int:
    """Start a new gateway beside the running one and hand over to it."""
    if gateway and not force:
        raise click.UsageError("a COMMAND is for --force only: otherwise the running gateway knows how it was started")
    if force and dry_run:
        raise click.UsageError("--dry-run looks whether a gateway can hand over; what --force does cannot be tried")
    place.require_live()
    from gateway_hooks.commands import findings

    if dry_run:
        return findings.report(place, findings.preflight(place, runtime, way_back=not no_way_back))
    from gateway_hooks import runtimes

    operator = Operator(place.folder, by_force=force)
    handoff = ""
    try:
        named = runtimes.find(place.folder, runtime)
        if not force:
            findings.require_fit(place, runtime, way_back=not no_way_back)
        terms = HandoffTerms(confirm_within_s=word_within, rules=named.health) if named.health or word_within else None
        if force:
            handoff = operator.force(runtime, bake, named.limits, terms, gateway, place.env())
        else:
            handoff = operator.promote(runtime, bake, named.limits, terms)
        return _watch(place, operator, handoff, bake, wait)
    except KeyboardInterrupt:
        return interrupted(operator, handoff, "nothing was asked for", "HANDOFF_REQUESTED")
    finally:
        operator.close()


def _watch(place: Place, operator: Operator, handoff: str, bake: float, wait: bool) -> int:
    if not place.as_json:
        click.echo(f"{handoff}: Ctrl-C leaves it running")
    progress = progress_for(place)
    try:
        state = wait_until(operator, handoff, progress, lambda s: s.head.phase == "baking")
        after = state.head.seq
        if state.head.phase == "baking" and wait:
            state = wait_until(operator, handoff, progress, lambda _: False, after=after)
    finally:
        progress.close()
    report(place, state)
    if state.head.phase == "baking" and not place.as_json:
        within = state.word_within_s
        if within is not None:
            click.echo(f"  it rolls back unless you say 'handoff-journal confirm' within {span(within)}")
        click.echo(
            f"  green serves, blue stands by for {span(bake)}; 'handoff-journal complete' ends that, 'rollback' undoes it"
        )
    return 0 if state.head.phase in ("complete", "baking") else 1
