"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def at(at_ns: int) -> str:
    """UTC to the millisecond: ``2026-11-21 08:08:48.123``."""
    moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}"


def span(seconds: float) -> str:
    """A time for people: ``7.2 ms``, ``0.4 s``, ``12 s``, ``3 min``, ``24 h``, ``30 days``."""
    if seconds < 0.1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    days = seconds / 86400
    if days <= 2:
        return f"{seconds / 3600:.4g} h"
    return f"{f'{days:.1f}'.removesuffix('.0')} days" if days < 10 else f"{days:.0f} days"


def brief_span(seconds: float) -> str:
    """The same, never in milliseconds: ``0.4 s``, ``12 s``, ``3 min``, ``24 h``, ``30 days``."""
    return f"{seconds:.1f} s" if seconds < 0.1 else span(seconds)
