"""A gateway that serves nobody and does what it is told, for tests of what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway_hooks.gateway import Finding, Flushed, Health, Identity, Ticket, Watcher


class IdleGateway:
    """The port, with nothing behind it. ``fed`` is what it was given to answer, ``lag_ms`` what it measures."""

    def __init__(self) -> None:
        self.fed: list[Ticket] = []
        self.ended = False
        self.lag_ms = 0.1

    def identity(self) -> Identity:
        return Identity("idle", "1", ())

    def preflight(self) -> tuple[Finding, ...]:
        return ()

    def load(self) -> tuple[Flushed, ...]:
        return ()

    def flush(self) -> tuple[Flushed, ...]:
        return ()

    def pause(self) -> Mapping[str, int | None]:
        return {}

    def connect(self) -> Mapping[str, int | None]:
        return {}

    def turns(self) -> int:
        return 0

    def take_up(self, ticket: Ticket) -> None:
        self.fed.append(ticket)

    def watchers(self) -> tuple[Watcher, ...]:
        return ()

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        return

    def sample(self) -> Health:
        return Health(self.lag_ms, 0, 0, 0, 0, 80.0)

    def end(self) -> None:
        self.ended = True
