"""Times as people write them: ``24h``, ``10m``, ``90s``, ``1.5h``, ``2d``."""

from __future__ import annotations

import re

import click

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_S = 30 * UNITS_S["d"]
_FORM = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def duration_or_none(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The same where none need be given; one that is given is longer than nothing."""
    seconds = duration(context, parameter, value) if value is not None else None
    if seconds == 0:
        raise click.BadParameter("it must be longer than nothing")
    return seconds


def duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Callback of an option: a number and a unit; seconds come out, at most 30 days."""
    found = _FORM.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration: a number and s, m, h or d, such as 24h or 90s")
    seconds = float(found.group(1)) * UNITS_S[found.group(2)]
    if seconds > LONGEST_S:
        raise click.BadParameter(f"{value} is longer than {LONGEST_S / UNITS_S['d']:.0f} days")
    return seconds
