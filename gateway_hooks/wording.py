"""What a gateway says of itself, in the words of the journal: clear accounts become pseudonyms here."""

from __future__ import annotations

from gateway_hooks.gateway import Flushed, Health, Identity, Watcher
from journal import events as e
from journal.errors import HandoffError
from journal.pseudonyms import Pseudonyms, seal
from journal.record import Draft


def adapter(names: Pseudonyms, clear: str) -> str:
    """``platform:account`` with the account as a pseudonym."""
    platform, account = clear.split(":", 1)
    return f"{platform}:{names.of('a', account)}"


def claims(names: Pseudonyms, identity: Identity) -> list[e.AdapterConnected]:
    """A claim on each adapter that a gateway has."""
    return [e.AdapterConnected(platform=a.platform, account=names.of("a", a.account)) for a in identity.adapters]


def paused(name: str, offset: int | None) -> e.AdapterPaused:
    """That an adapter, by its name in the journal, is not polled any more."""
    platform, account = name.split(":", 1)
    return e.AdapterPaused(platform=platform, account=account, next_offset=offset)


def handed_over(names: Pseudonyms, watcher: Watcher, salt: bytes) -> Draft:
    """A watcher for the successor, with its details sealed. ``salt``: 16 random bytes."""
    payload, digest = seal(watcher.payload, salt)
    return Draft(e.WatcherHandedOver(watcher=names.of("w", watcher.name), digest=digest), payload=payload)


def flushed(part: Flushed) -> e.SessionFlushed:
    """That a part was brought to disk."""
    return e.SessionFlushed(part=part.part, count=part.count, digest=part.digest)


def sampled(names: Pseudonyms, h: Health) -> e.HealthSampled:
    """A health sample."""
    return e.HealthSampled(
        loop_lag_ms=h.loop_lag_ms,
        turns=h.turns,
        waiting=h.waiting,
        answered=h.answered,
        errors=h.errors,
        rss_mb=h.rss_mb,
        polls={adapter(names, clear): count for clear, count in h.polls.items()},
    )


def ended(code: int | None) -> str:
    """How a process ended, as its parent knows it: ``exit code 74``, ``signal 9``; empty when nobody told us."""
    if code is None:
        return ""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def line(error: HandoffError | OSError) -> str:
    """One line for the log: what is wrong, and what may be done."""
    return error.line() if isinstance(error, HandoffError) else f"{error}; out of descriptors, or of disk?"
