"""How far the model goes: ``SMALL`` at every run of the tests, ``LARGE`` beside the simulation."""

from __future__ import annotations

from tests.model.world import Size

SMALL = (
    Size(messages=1, kills=1, stale=0),
    Size(messages=1, kills=0),
    Size(messages=0, kills=1, orders=1, words=1),
    Size(messages=0, kills=0, freezes=1),
    Size(messages=0, kills=0, slow=1, orders=1),
    Size(messages=0, kills=0, faults=1, divergences=1, adapters=2),
    Size(messages=0, kills=0, handoffs=2),
    Size(messages=0, kills=0, rash=1, stale=0),
    Size(messages=0, kills=0, freezes=1, gates=1, stale=0),
)
LARGE = (
    Size(messages=0, kills=0, handoffs=2, orders=1),
    Size(messages=0, kills=1, freezes=1),
    Size(messages=0, kills=1, freezes=1, gates=1, stale=0),
    Size(messages=0, kills=1, rash=1, stale=0, words=1),
    Size(messages=2, kills=0, sessions=1, stale=0),
    Size(messages=2, adapters=2, kills=0, stale=0),
    Size(messages=1, kills=1),
    Size(messages=1, kills=0, freezes=1),
)


def named(size: Size) -> str:
    """What differs from the plainest size: ``kills=0,freezes=1``."""
    return ",".join(f"{name}={n}" for name, n in size._asdict().items() if n != Size._field_defaults[name]) or "plain"
