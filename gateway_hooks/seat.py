"""Take a seat: what a starting gateway process finds in the journal, and what that makes of it.

Spawned as green, it waits warm. Otherwise it settles the dead, stands aside when a living process owns the adapters, and takes the
seat that the record leaves: an interrupted handoff goes on from there by the ordinary decisions.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from gateway_hooks import runtimes, wording
from gateway_hooks.gateway import Gateway
from gateway_hooks.hanging import IDLE_SAMPLE_S, SAMPLE_S
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import Manager
from gateway_hooks.notifying import OWN
from gateway_hooks.process import FORCED, ROLE, System, argv, become
from gateway_hooks.settling import free_gate_of, settle
from gateway_hooks.surroundings import watched
from journal import events as e
from journal.errors import Busy, HandoffError, Refused
from journal.events import Process, Side
from journal.head import Head
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal, Reader, read_key
from journal.tail import Doorbell
from replay.fold import State

log = logging.getLogger("handoff_journal")
GATE_S = 3.0
"""How long a gateway waits for the gate before it looks whether its holder is stopped."""
NAMED_S = 30.0
"""How long a spawned process waits for the word that names it."""
_GREEN: tuple[Side, bool] = ("green", False)


class StandAside(HandoffError):
    """A living process owns the adapters: this one must not start."""

    exit_code = 75


class Seat:
    """A process's place in the handoff. ``serving``: connect as usual; otherwise wait until the manager says connect."""

    def __init__(
        self, side: Side, serving: bool, ledger: Inbox, manager: Manager, journal: Journal, keep: Callable[[], None]
    ) -> None:
        self.role = side
        self.serving = serving
        self.ledger = ledger
        self._manager = manager
        self._journal = journal
        self._keep = keep

    def state(self) -> State:
        """What the record said when the manager looked last."""
        return self._manager._state

    def running(self) -> None:
        """The gateway's loop runs: start the manager. Idempotent."""
        if not self._manager.is_alive():
            self._manager.start()

    def leaving(self) -> None:
        """The process was asked to end, and begins to: the manager decides nothing more. At once, from any thread."""
        self._manager.leaving = True

    def ended(self) -> None:
        """The gateway has stopped cleanly: stop the manager. A blue that has handed over, and that nobody has asked to end, may go on
        as the keeper: no return then."""
        self._manager.stop()
        if self._manager.is_alive():
            self._manager.join(timeout=5)
        if self._manager.handed_over and not self._manager.leaving:
            self._keep()


def take(home: Path, gateway: Gateway, env: Mapping[str, str]) -> Seat:
    """Take a seat for this process.

    Args:
        home: HERMES_HOME; its ``handoff`` folder holds the journal.
        gateway: What the manager will drive.
        env: The process's environment; ``HANDOFF_JOURNAL_ROLE=green`` marks a process that blue has spawned.
    Raises:
        NoJournal: Nothing is installed in that home.
        StandAside: Another process serves.
        HandoffError: The journal cannot be used; run the gateway without it, or not at all.
    """
    system = System()
    folder = home / "handoff"
    freed: list[Process] = []
    journal = _opened(folder, system, freed)
    with ExitStack() as undo:  # what can fail is made before anything is said
        reader = undo.enter_context(closing(Reader(journal.path)))
        bell = undo.enter_context(closing(Doorbell(folder / "bell")))
        taken = _taken(home, gateway, env, system, journal, reader, bell, freed)
        undo.pop_all()
    return taken


def _taken(
    home: Path,
    gateway: Gateway,
    env: Mapping[str, str],
    system: System,
    journal: Journal,
    reader: Reader,
    bell: Doorbell,
    freed: list[Process],
) -> Seat:
    folder = journal.folder
    found = journal.head
    me = system.me()
    spawned = env.get(ROLE) == "green"
    names = Pseudonyms(read_key(folder))
    identity = gateway.identity()
    runtime = env.get(runtimes.RUNTIME, runtimes.SAME)
    if spawned:
        try:
            _until_named(journal, me, forced=FORCED in env)
        except StandAside:
            _tell_of(freed, journal, me)
            raise
    while True:
        dead = [] if spawned else _dead(journal.catch_up(), system)
        head = journal.catch_up()  # what the dead said last stands before what is said of them
        drafts = [
            draft
            for side, process in dead
            for draft in settle(head, side, process, "ended_stopped" if process in freed else "died")
        ]
        side, serving = _GREEN if spawned else _free_seat(head, system)
        writer = Writer(me, side)
        started = e.ProcessStarted(
            side=side, serving=serving, gateway=identity.kind, version=identity.version, runtime=runtime
        )
        drafts.append(Draft(started))
        if not spawned and head.open:
            drafts.append(Draft(e.HandoffResumed(phase=head.phase)))
        if serving:
            drafts += map(Draft, wording.claims(names, identity))
        try:
            journal.append(*drafts, writer=writer)
            break
        except Busy as error:
            freed.append(free_gate_of(system, error))
        except Refused:  # somebody was faster: look again, unless nothing has moved
            if journal.catch_up().seq == head.seq:
                raise
    beside = [p for h in (found, head) for p in (h.blue, h.green) if p not in (None, h.process(side))]
    read = (
        serving and not head.watchers and not beside
    )  # else what the other side has said since we loaded is read first
    inbox = Inbox(journal, names, writer, os.urandom, taking=read)

    def spawn(state: State) -> Process:
        return _spawn(state, system, gateway, folder, env)

    manager = Manager(
        journal, gateway, inbox, system, writer, spawn, polling=serving, freed=freed[-1] if freed else None,
        reader=reader, bell=bell, idle_sample_s=_seconds(env.get(SAMPLE_S, "")),
    )  # fmt: skip
    log.info("took the seat of %s, %s", side, "serving" if serving else "waiting")
    is_main = not spawned and watched(env)
    return Seat(side, serving, inbox, manager, journal, lambda: _go_on_as_keeper(home, env) if is_main else None)


def _seconds(told: str) -> float:
    """How often a keeper wants a sample; our own measure where it says nothing that makes sense."""
    try:
        return min(max(float(told), 0.2), IDLE_SAMPLE_S)
    except ValueError:
        return IDLE_SAMPLE_S


def _go_on_as_keeper(home: Path, env: Mapping[str, str]) -> None:
    """Whoever watches this pid would take our end for the end of the service, and end green with us: keep green from here."""
    front = [sys.executable, "-P", "-m", "gateway_hooks.cli", "--home", str(home.resolve()), "run", "--"]
    log.warning("handed over; this process is watched and goes on as the keeper")
    become([*front, *argv()], env)
    log.error("this process cannot go on as the keeper: it ends, and whoever watches it may end green too")


def _tell_of(freed: list[Process], journal: Journal, me: Process) -> None:
    """Whom an orphan had to end stands in the record as ended: nobody else knows why it is gone."""
    head = journal.catch_up()
    for side in ("blue", "green"):
        process = head.process(side)
        if process is not None and process in freed:
            journal.append(*settle(head, side, process, "ended_stopped"), writer=Writer(me, "green"))


def _opened(folder: Path, system: System, freed: list[Process]) -> Journal:
    while True:
        try:
            return Journal(folder, system.now, deadline_s=GATE_S)
        except Busy as error:
            freed.append(free_gate_of(system, error))


def _until_named(journal: Journal, me: Process, *, forced: bool) -> None:
    """Wait until GREEN_SPAWNED names this process. Whoever spawned it and died before it could say so leaves an orphan.

    Raises:
        StandAside: It will not be named any more.
    """
    parent, deadline = os.getppid(), time.monotonic() + NAMED_S
    while (head := journal.catch_up()).expected_green != me:
        waited = time.monotonic() > deadline or os.getppid() != parent
        asked = forced or head.phase == "requested"  # by force it is asked for and named in one append
        if waited or not asked or head.expected_green is not None:
            raise StandAside(
                "no handoff waits for this process", hint="it was started as green and ends; promote again"
            )
        time.sleep(0.02)


def _dead(head: Head, system: System) -> list[tuple[Side, Process]]:
    seats: list[tuple[Side, Process | None]] = [("blue", head.blue), ("green", head.green or head.expected_green)]
    return [(side, p) for side, p in seats if p is not None and system.probe(p) == "dead"]


def _free_seat(head: Head, system: System) -> tuple[Side, bool]:
    """The seat for a process that nobody spawned: (side, whether it serves at once)."""

    def lives(side: Side) -> bool:
        process = head.process(side)
        return process is not None and system.probe(process) != "dead"

    owner = head.process(head.owner)
    if lives("blue") and lives("green"):
        raise StandAside("both sides of a handoff are alive", hint="look at 'handoff-journal status'")
    if owner is not None and lives(head.owner):
        if head.owner == "green" and head.phase == "rolling_back" and not lives("blue"):
            return "blue", False
        raise StandAside(f"process {owner.pid} serves this home", hint="promote it instead, or stop it first")
    side: Side = "blue" if head.phase in ("active", "rolling_back") else head.owner
    if lives(side) or (head.phase == "baking" and lives("blue")):
        raise StandAside(
            "the other side is alive and about to act", hint="look at 'handoff-journal status', or end it first"
        )
    return side, side == head.owner


def _spawn(state: State, system: System, gateway: Gateway, folder: Path, env: Mapping[str, str]) -> Process:
    bad = [f for f in gateway.preflight() if f.severity == "error"]
    if bad:
        raise HandoffError(f"preflight: {bad[0].text}", hint=f"{bad[0].code}; run 'handoff-journal doctor'")
    request = state.request
    assert request is not None
    runtime = runtimes.find(folder, request.runtime)
    mine = env.get(runtimes.RUNTIME, runtimes.SAME)
    name = (
        mine if runtime.name == runtimes.SAME else runtime.name
    )  # the same as ours keeps our name: who starts it again needs it
    extra = {**runtime.env, runtimes.RUNTIME: name}
    plain = {name: value for name, value in env.items() if name not in (FORCED, *OWN)}
    return system.spawn_green(runtime.argv(argv()), {**plain, **extra}, folder / f"{request.handoff}.green.log")
