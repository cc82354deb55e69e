"""``run``: keep a gateway running, as the one process that a service manager or a container watches."""

from __future__ import annotations

import logging

import click

from gateway_hooks.commands.durations import duration
from gateway_hooks.commands.shared import Place, pass_place

LEAST_HUNG_S = 5.0


def _hung(context: click.Context, parameter: click.Parameter, value: str) -> float:
    seconds = duration(context, parameter, value)
    if 0 < seconds < LEAST_HUNG_S:
        raise click.BadParameter(
            f"{value} is too short to tell a busy gateway from one that hangs: {LEAST_HUNG_S:g}s at least"
        )
    return seconds


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--steady",
    callback=duration,
    metavar="DURATION",
    default="30s",
    help="A gateway that lived shorter than this has not started well.",
)
@click.option(
    "--hung",
    callback=_hung,
    metavar="DURATION",
    default="5m",
    help="A gateway at rest that has given no health sample for so long, and could have, is ended and started again; 0s: never.",
)
@click.argument("gateway", metavar="COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_place
def command(place: Place, steady: float, hung: float, gateway: tuple[str, ...]) -> int:
    """Start a gateway and keep one serving: through its death, and through every handoff."""
    from gateway_hooks.keeper import Keeper
    from gateway_hooks.process import Family, System

    place.require_live(keyless=place.folder == place.home / "handoff")  # a home whose key is lost is kept all the same
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("watchdog").setLevel(logging.WARNING)
    system = System()
    keeper = Keeper(place.folder, gateway, place.env(), system, Family(system), steady_s=steady, hung_s=hung)
    return keeper.run()
