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
    return link_said(
        prev, seq, handoff, named(type_, version), said(role, process), epoch, at_ns, mono_ns, key, cause, body
    )  # fmt: skip


def named(type_: str, version: int) -> str:
    """The part of a link that says what: the same for all events of a type."""
    return f"{len(type_)}:{type_},{version}"


def said(role: str, process: Process) -> str:
    """The part of a link that says who: the same for row after row."""
    return f"{len(role)}:{role},{process.pid},{process.started},{len(process.boot)}:{process.boot}"


def link_said(
    prev: bytes,
    seq: int,
    handoff: str | None,
    what: str,
    who: str,
    epoch: int,
    at_ns: int,
    mono_ns: int,
    key: str | None,
    cause: int | None,
    body: str,
) -> bytes:
    """``link`` for whoever has ``named`` and ``said`` at hand."""
    handoff = "-" if handoff is None else f"{len(handoff)}:{handoff}"
    key = "-" if key is None else f"{len(key)}:{key}"
    digest = _FRESH.copy()  # a third of the time of a new one
    digest.update(prev)
    digest.update(f"{seq},{handoff},{what},{who},{epoch},{at_ns},{mono_ns},{key},{cause},{len(body)}:{body}".encode())
    return digest.digest()


_FRESH = hashlib.sha256()
