"""The hash chain: what was altered after the fact is found, and located.

A bare chain cannot see that its tail was removed; whoever keeps a head (the bell, an audit, a person) can.
"""

from __future__ import annotations

import hashlib

from journal.events import Process

GENESIS = hashlib.sha256(b"handoff-journal/1").digest()
"""What the first event is chained to."""


def link(
    prev: bytes,
    seq: int,
    handoff: str | None,
    type_: str,
    version: int,
    role: str,
    process: Process,
    epoch: int,
    at_ns: int,
    mono_ns: int,
    key: str | None,
    cause: int | None,
    body: str,
) -> bytes:
    """SHA-256 over the previous hash and the stored columns, every text length-prefixed, NULL unlike the empty text. 32 bytes."""
    handoff = "-" if handoff is None else f"{len(handoff)}:{handoff}"
    key = "-" if key is None else f"{len(key)}:{key}"
    boot = process.boot
    digest = _FRESH.copy()  # a third of the time of a new one
    digest.update(prev)
    digest.update(
        f"{seq},{handoff},{len(type_)}:{type_},{version},{len(role)}:{role},{process.pid},{process.started},"
        f"{len(boot)}:{boot},{epoch},{at_ns},{mono_ns},{key},{cause},{len(body)}:{body}".encode()
    )
    return digest.digest()


_FRESH = hashlib.sha256()
