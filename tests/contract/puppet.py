"""A puppet in place of the manager and the journal, for the process of a gateway under test.

``take`` is handed to the gateway where ``gateway_hooks.seat.take`` stands otherwise. It gives out a ledger in memory that records
every call, and opens a Unix socket behind which the test pulls the strings: every method of the gateway's port, and what the
ledger is to do. One request a connection, one line of JSON each way.
"""

from __future__ import annotations

import itertools
import json
import socketserver
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from gateway_hooks.gateway import Gateway, SettledAs, Ticket, TurnOutcome, Update, Watcher
from gateway_hooks.process import ROLE
from journal import errors
from journal.events import Side

SOCKET = "CONTRACT_SOCKET"
"""Environment variable that says where the strings hang."""
HOLD_S = 120.0
"""No call of the ledger is held for longer, whatever the test forgot."""
_GIVEN: dict[str, TypeAdapter[Any]] = {
    "take_up": TypeAdapter(Ticket),
    "adopt": TypeAdapter(tuple[Watcher, ...]),
}


@dataclass
class _Turn:
    messages: list[int]
    intended: set[int] = field(default_factory=set)
    lost: bool = False


class PuppetLedger:
    """``gateway_hooks.gateway.Ledger`` in memory: it keeps the journal's law, and can be told to refuse, to wait and to put off.

    An update (its number and its stamp) that is accepted again has the number that it had, and is not to be dispatched.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._entries: list[dict[str, Any]] = []
        self._orders: dict[str, deque[str]] = defaultdict(deque)
        self._held: dict[str, threading.Event] = {}
        self._disowned = False
        self._numbers = itertools.count(1)
        self._known: dict[tuple[str, ...], int] = {}
        self._taken: set[int] = set()
        self._settled: set[int] = set()
        self._turns: dict[int, _Turn] = {}

    # ---- the port

    def accept(
        self, platform: str, account: str, updates: Sequence[Update], next_offset: int | None
    ) -> tuple[Ticket, ...]:
        with self._recorded("accept", updates=[update.update_id for update in updates]) as entry:
            order = self._next_order("accept")
            self._owned()
            tickets = tuple(self._ticket(platform, account, update, order != "put off") for update in updates)
            entry["tickets"] = to_jsonable_python(tickets)
            return tickets

    def start(self, messages: Sequence[int], session: str) -> int:
        with self._recorded("start", messages=list(messages), session=session) as entry:
            if self._next_order("start") == "AlreadyTaken":
                self._taken.update(messages)
            self._owned()
            if self._taken & set(messages):
                raise errors.AlreadyTaken("the puppet's: held or settled")
            self._taken.update(messages)
            entry["turn"] = turn = next(self._numbers)
            self._turns[turn] = _Turn(list(messages))
            return turn

    def join(self, turn: int, message: int) -> None:
        with self._recorded("join", turn=turn, messages=[message]):
            if message in self._taken:
                raise errors.AlreadyTaken("the puppet's: held or settled")
            self._holds(turn).messages.append(message)
            self._taken.add(message)

    def intend(self, turn: int, part: int, of: int | None = None) -> None:
        with self._recorded("intend", turn=turn, part=part):
            if self._next_order("intend") == "LostHold" and turn in self._turns:
                self._turns[turn].lost = True
            held = self._holds(turn)
            if part in held.intended:
                raise errors.Refused("the puppet's: intended already")
            if self._settled.issuperset(held.messages):
                raise errors.IllegalTransition("the puppet's: everything of this turn is settled")
            held.intended.add(part)

    def sent(self, turn: int, part: int, reference: str | None) -> None:
        with self._recorded("sent", turn=turn, part=part, reference=reference):
            if part not in self._holds(turn).intended:
                raise errors.IllegalTransition("the puppet's: never intended")

    def finish(self, turn: int, outcome: TurnOutcome) -> None:
        with self._recorded("finish", turn=turn, outcome=outcome) as entry:
            held = self._holds(turn)
            entry["messages"] = [message for message in held.messages if message not in self._settled]
            self._settled.update(held.messages)
            del self._turns[turn]

    def settle(self, message: int, outcome: SettledAs) -> None:
        with self._recorded("settle", messages=[message], outcome=outcome):
            if message in self._settled:
                raise errors.AlreadyTaken("the puppet's: settled")
            self._settled.add(message)
            self._taken.add(message)

    def _ticket(self, platform: str, account: str, update: Update, dispatch: bool) -> Ticket:
        key = (platform, account, update.update_id, update.stamp)
        if key in self._known:
            return Ticket(self._known[key], platform, account, update, dispatch=False)
        self._known[key] = next(self._numbers)
        return Ticket(self._known[key], platform, account, update, dispatch)

    def _owned(self) -> None:
        if self._disowned:
            raise errors.StaleEpoch("the puppet's: this process does not own the adapters")

    def _holds(self, turn: int) -> _Turn:
        held = self._turns.get(turn)
        if held is None or held.lost:
            raise errors.LostHold("the puppet's: this turn is not held")
        return held

    # ---- what the test tells it

    def order(self, call: str, what: str) -> None:
        """The next ``call`` is answered so: ``put off`` (accept), ``AlreadyTaken`` (start), ``LostHold`` (intend), ``DiskTrouble``."""
        with self._changed:
            self._orders[call].append(what)

    def disown(self) -> None:
        """From now on the adapters are another's."""
        self._disowned = True

    def hold(self, call: str) -> None:
        """Let every ``call`` wait, recorded as begun."""
        with self._changed:
            self._held.setdefault(call, threading.Event())

    def release(self, call: str) -> None:
        """Let go on what ``hold`` keeps."""
        with self._changed:
            event = self._held.pop(call, None)
        if event is not None:
            event.set()

    def relent(self) -> None:
        """Forget all that was told; the adapters are ours."""
        with self._changed:
            self._orders.clear()
            calls = list(self._held)
        self._disowned = False
        for call in calls:
            self.release(call)

    def record(self, seen: int, wait_s: float) -> dict[str, Any]:
        """Everything that was called, once there is more than in version ``seen``, at the latest after ``wait_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen, wait_s)
            return {"version": self._version, "entries": [dict(entry) for entry in self._entries]}

    # ---- behind it

    @contextmanager
    def _recorded(self, call: str, **known: Any) -> Iterator[dict[str, Any]]:
        entry = {"call": call, "began_ns": time.monotonic_ns(), **known}
        with self._changed:
            self._entries.append(entry)
            held = self._held.get(call)
            self._note()
        if held is not None:
            held.wait(HOLD_S)
        with self._changed:
            try:
                yield entry
            except errors.HandoffError as error:
                entry["raised"] = type(error).__name__
                raise
            finally:
                entry["ended_ns"] = time.monotonic_ns()
                self._note()

    def _next_order(self, call: str) -> str:
        order = self._orders[call].popleft() if self._orders[call] else ""
        if order == "DiskTrouble":
            raise errors.DiskTrouble("the puppet's: the disk is full")
        return order

    def _note(self) -> None:
        self._version += 1
        self._changed.notify_all()


class PuppetSeat:
    """A process's place, as the test has given it out: blue serves, green waits."""

    def __init__(self, side: Side, gateway: Gateway, strings: Path) -> None:
        self.role: Side = side
        self.serving = side == "blue"
        self.ledger = PuppetLedger()
        self._gateway = gateway
        self._strings = strings
        self._server: socketserver.BaseServer | None = None

    def running(self) -> None:
        """The gateway's loop runs: from now on the strings can be pulled. Idempotent."""
        if self._server is None:
            self._server = _serve(self._strings, {"gateway": self._gateway, "ledger": self.ledger})

    def leaving(self) -> None:
        """The gateway was asked to stop."""

    def ended(self) -> None:
        """The gateway has stopped cleanly: cut the strings."""
        if self._server is not None:
            self._server.shutdown()


def take(home: Path, gateway: Gateway, env: Mapping[str, str]) -> PuppetSeat:
    """What a gateway calls in place of ``gateway_hooks.seat.take``."""
    return PuppetSeat("green" if env.get(ROLE) == "green" else "blue", gateway, Path(env[SOCKET]))


def _serve(path: Path, targets: Mapping[str, object]) -> socketserver.BaseServer:
    class Pull(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(json.dumps(_pull(targets, json.loads(self.rfile.readline()))).encode() + b"\n")

    bound = path.with_suffix(".new")
    server = socketserver.ThreadingUnixStreamServer(str(bound), Pull)
    server.daemon_threads = True
    bound.rename(path)  # who sees it there may pull: a socket that is bound and does not listen yet refuses
    threading.Thread(target=server.serve_forever, args=(0.05,), name="strings", daemon=True).start()
    return server


def _pull(targets: Mapping[str, object], asked: Mapping[str, Any]) -> dict[str, Any]:
    name, given = asked["do"], asked["given"]
    method: Callable[..., Any] = getattr(targets[asked["on"]], name)
    try:
        value = method(*(_GIVEN[name].validate_python(each) if name in _GIVEN else each for each in given))
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)}
    return {"value": to_jsonable_python(value)}
