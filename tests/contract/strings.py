"""The test's end of the strings: a gateway process as a value, its port and what it told its ledger."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from gateway_hooks.gateway import Finding, Flushed, GatewayFault, Health, Identity, Ticket, Watcher
from gateway_hooks.process import System
from journal.events import Process, Side

T = TypeVar("T")
WAIT_S = 60.0
"""Nothing that a test waits for takes longer."""
LOOK_S = 0.02
"""How often a thing is looked at that does not say when it changes."""
_IDENTITY = TypeAdapter(Identity)
_FINDINGS = TypeAdapter(tuple[Finding, ...])
_FLUSHED = TypeAdapter(tuple[Flushed, ...])
_OFFSETS = TypeAdapter(dict[str, int | None])
_WATCHERS = TypeAdapter(tuple[Watcher, ...])
_HEALTH = TypeAdapter(Health)


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of the ledger. Times are of the machine's monotonic clock, so they compare with the wire log's.

    ``messages`` of a finish are those that it settled. ``ended_ns`` is None while the call is under way.
    """

    call: str
    began_ns: int
    ended_ns: int | None = None
    raised: str = ""
    updates: tuple[str, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    messages: tuple[int, ...] = ()
    session: str = ""
    turn: int | None = None
    part: int | None = None
    reference: str | None = None
    outcome: str = ""


class Record(tuple[Entry, ...]):
    """Everything that a gateway told its ledger, in the order in which the calls began."""

    def tickets(self, marker: str) -> list[Ticket]:
        """What was given out for the message with a marker, once for each time it was accepted."""
        mark = f"[{marker}".encode()
        return [ticket for entry in self for ticket in entry.tickets if mark in ticket.update.payload]

    def about(self, marker: str) -> list[Entry]:
        """All calls that speak of the message with a marker, refused ones included."""
        numbers = {ticket.message for ticket in self.tickets(marker)}
        turns = {e.turn for e in self if e.call in ("start", "join") and numbers & set(e.messages)} - {None}
        return [
            e for e in self if e.turn in turns or numbers & {*e.messages, *(ticket.message for ticket in e.tickets)}
        ]

    def calls(self, marker: str) -> list[str]:
        """The names of those calls, refused ones left out."""
        return [entry.call for entry in self.about(marker) if not entry.raised]

    def ends(self, marker: str) -> list[Entry]:
        """What closed the message with a marker."""
        numbers = {ticket.message for ticket in self.tickets(marker)}
        return [
            e
            for e in self
            if e.call in ("finish", "settle") and e.ended_ns and not e.raised and numbers & set(e.messages)
        ]


_RECORD = TypeAdapter(tuple[Entry, ...])


class Player:
    """A gateway process on its strings: ``gateway_hooks.gateway.Gateway``, from afar, and the hands on its ledger."""

    def __init__(self, side: Side, process: Process, strings: Path, log: Path, system: System) -> None:
        self.side = side
        self.process = process
        self.log = log
        self.born_ns = time.monotonic_ns()
        self.connected = side == "blue"
        self._strings = strings
        self._system = system

    # ---- the port

    def identity(self) -> Identity:
        return _IDENTITY.validate_python(self._gateway("identity"))

    def preflight(self) -> tuple[Finding, ...]:
        return _FINDINGS.validate_python(self._gateway("preflight"))

    def load(self) -> tuple[Flushed, ...]:
        return _FLUSHED.validate_python(self._gateway("load"))

    def flush(self) -> tuple[Flushed, ...]:
        return _FLUSHED.validate_python(self._gateway("flush"))

    def pause(self) -> Mapping[str, int | None]:
        offsets = _OFFSETS.validate_python(self._gateway("pause"))
        self.connected = False
        return offsets

    def connect(self) -> Mapping[str, int | None]:
        self.connected = True
        return _OFFSETS.validate_python(self._gateway("connect"))

    def turns(self) -> int:
        return int(self._gateway("turns"))

    def take_up(self, ticket: Ticket) -> None:
        self._gateway("take_up", ticket)

    def watchers(self) -> tuple[Watcher, ...]:
        return _WATCHERS.validate_python(self._gateway("watchers"))

    def adopt(self, watchers: Sequence[Watcher]) -> None:
        self._gateway("adopt", watchers)

    def sample(self) -> Health:
        return _HEALTH.validate_python(self._gateway("sample"))

    def end(self) -> None:
        self._gateway("end")

    # ---- its ledger

    def order(self, call: str, what: str) -> None:
        """See ``PuppetLedger.order``."""
        self._pull("ledger", "order", call, what)

    def disown(self) -> None:
        """See ``PuppetLedger.disown``."""
        self._pull("ledger", "disown")

    def hold(self, call: str) -> None:
        """See ``PuppetLedger.hold``."""
        self._pull("ledger", "hold", call)

    def release(self, call: str) -> None:
        """See ``PuppetLedger.release``."""
        self._pull("ledger", "release", call)

    def relent(self) -> None:
        """See ``PuppetLedger.relent``."""
        self._pull("ledger", "relent")

    def record(self) -> Record:
        """What it told its ledger so far."""
        return self.until(lambda record: True, "a record")

    def until(self, holds: Callable[[Record], object], what: str) -> Record:
        """Wait until what it told its ledger satisfies a condition, and return that."""
        version, end = -1, time.monotonic() + WAIT_S
        while True:
            found = self._pull("ledger", "record", version, max(0.0, end - time.monotonic()))
            version, record = found["version"], Record(_RECORD.validate_python(found["entries"]))
            if holds(record):
                return record
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {WAIT_S:g} s\n{self.story(record)}")

    def until_idle(self) -> None:
        """Wait until no turn is in flight. It is asked whenever the ledger was told something, and now and then."""
        version, end = -1, time.monotonic() + WAIT_S
        while self.turns():
            if time.monotonic() > end:
                raise AssertionError(f"turns in flight: not within {WAIT_S:g} s\n{self.story(self.record())}")
            version = self._pull("ledger", "record", version, LOOK_S)["version"]

    # ---- the process

    @property
    def alive(self) -> bool:
        return self._system.probe(self.process) != "dead"

    def exit_code(self) -> int | None:
        """How the process has ended, waiting a bounded time for it."""
        return self._system.exit_code(self.process, wait_s=WAIT_S)

    def stand(self) -> None:
        """Wait until the strings can be pulled."""
        end = time.monotonic() + WAIT_S
        while not self._strings.exists():
            if self._system.exit_code(self.process, wait_s=LOOK_S) is not None or time.monotonic() > end:
                raise AssertionError(f"{self.side} does not stand\n{self.story(Record())}")

    def kill(self) -> None:
        """End that very process, if it lives."""
        self._system.end(self.process)

    def story(self, record: Record) -> str:
        """The last words of the process, for a failure's message."""
        log = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return "\n".join([f"-- {self.side}, its ledger:", *map(repr, record[-15:]), "-- its log:", *log])

    def _gateway(self, name: str, *given: object) -> Any:
        return self._pull("gateway", name, *given)

    def _pull(self, target: str, name: str, *given: object) -> Any:
        asked = json.dumps({"on": target, "do": name, "given": to_jsonable_python(given)}).encode()
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(WAIT_S + 5)
            line.connect(str(self._strings))
            line.sendall(asked + b"\n")
            answer = json.loads(line.makefile("rb").readline())
        if "raised" in answer:
            raise GatewayFault(f"{self.side}.{name}: {answer['raised']}: {answer['message']}")
        return answer["value"]


def due(ticket: Ticket) -> Ticket:
    """The ticket as it comes back when it is due."""
    return replace(ticket, dispatch=True)
