"""The machine of a simulation: processes whose threads run one at a time, a clock, an operating system, doorbells.

Each process is a thread that carries on until it passes a point at which the scheduler takes over; its gateway's loop is stepped from
outside. ``SIGKILL`` unwinds the thread from wherever it stands, ``SIGSTOP`` leaves it there.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway_hooks import runtimes, seat
from gateway_hooks.manager import Manager
from gateway_hooks.process import ROLE
from journal import events as e
from journal.errors import HandoffError
from journal.events import Process
from journal.head import TRANSITIONS
from journal.record import Stamp
from replay import decide as d
from replay.fold import State, state_of
from tests.sim.gateway import SimGateway
from tests.sim.memory import MemoryJournal

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation


NOTICED_S = 7.0
"""A call onto a loop that hangs takes five."""


class Killed(BaseException):
    """Unwinds the thread of a process that was killed. Nothing may catch it."""


class Actor:
    """A process with a thread. ``status``: running, stopped, dead. ``until_ns`` is what it waits for, None when it can go on."""

    def __init__(self, sim: Simulation, name: str) -> None:
        self.sim = sim
        sim.pids += 1
        self.name = name
        self.process = Process(pid=100 + sim.pids, started=sim.mono_ns // 10_000_000, boot=sim.boot)
        self.status = "running"
        self.world = SimWorld(self)
        self.until_ns: int | None = None
        self.rung_ns: int | None = None
        self.at = "boot"
        self.over = False
        self.turn = threading.Lock()
        self.turn.acquire()
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def live(self) -> None:
        """What the process does."""
        raise NotImplementedError

    def _run(self) -> None:
        self.turn.acquire()
        try:
            if self.status == "dead":
                raise Killed
            self.live()
        except Killed:
            pass
        except BaseException:
            self.sim.trouble(f"{self.name} broke:\n{traceback.format_exc()}")
        finally:
            self.over = True
            self.sim.back.release()

    def resume(self) -> None:
        """Let the thread go on, until it parks or ends. Called by the scheduler."""
        self.until_ns = self.rung_ns = None
        self.sim.inside = self
        self.turn.release()
        self.sim.back.acquire()
        self.sim.inside = None

    def _park(self) -> None:
        self.sim.back.release()
        self.turn.acquire()
        if self.status == "dead":
            raise Killed

    def point(self, stage: str, what: str) -> None:
        """Somewhere between two effects: others may go on here, and whatever was planned for this point happens."""
        if self.status == "dead":
            raise Killed
        self.at = f"{stage} {what}"
        self.sim.passes(self, stage, what)
        if self.status == "dead":
            raise Killed
        if self.sim.inside is self and (self.status == "stopped" or self.sim.switches()):
            self._park()

    def sleep(self, seconds: float) -> None:
        """Sleep, or wait for a bell that does not ring."""
        if self.status == "dead":
            raise Killed
        if self.sim.inside is not self:  # a step of the loop: the scheduler's own time goes on
            self.sim.mono_ns += int(seconds * 1e9)
            return
        self.at = f"sleep {seconds:g}"
        self.until_ns = self.sim.mono_ns + int(seconds * 1e9)
        self._park()

    def wait_for_gate(self, deadline_s: float) -> None:
        """Queue at the gate; the holder lets go, dies, or is late."""
        end_ns = self.sim.mono_ns + int(deadline_s * 1e9)
        while self.sim.disk.holder is not None and self.sim.mono_ns < end_ns:
            if self.sim.inside is not self:
                return
            self.until_ns = min(end_ns, self.sim.mono_ns + 50_000_000)
            self.at = "gate"
            self._park()

    def ready(self) -> bool:
        """Whether its thread can go on now."""
        now = self.sim.mono_ns
        return not self.over and (
            self.until_ns is None or now >= self.until_ns or (self.rung_ns is not None and now >= self.rung_ns)
        )

    def wakes_ns(self) -> int | None:
        """When its thread goes on by itself."""
        if self.over or self.until_ns is None:
            return None
        return self.until_ns if self.rung_ns is None else min(self.until_ns, self.rung_ns)

    @property
    def side(self) -> str | None:
        head = self.sim.book.head
        return head.side_of(self.process) or ("green" if head.expected_green == self.process else None)


class Proc(Actor):
    """One gateway process. ``parent`` is who has started it."""

    def __init__(self, sim: Simulation, env: Mapping[str, str], parent: Actor | None = None) -> None:
        self.env, self.parent = dict(env), parent
        self.place: seat.Seat | None = None
        self.exit_code: int | None = None
        self.died_ns = 0
        self.rash = ""
        self.hindered_ns = 0
        super().__init__(sim, f"P{sim.pids + 1}")
        self.gateway = SimGateway(self)
        sim.procs.append(self)

    def live(self) -> None:
        self.gateway.memory = dict(self.sim.said)
        try:
            self.place = seat.take(self.sim.home, self.gateway, self.env)
        except HandoffError as error:
            self.sim.log(f"{self.name} does not start: {error}")
            self.leave(error.exit_code)
            return
        self.gateway.ledger = self.place.ledger
        self.sim.log(f"{self.name} is {self.place.role}" + (", serving" if self.place.serving else ""))
        self.gateway.starting = False
        if self.place.serving:
            self.gateway.take_hold()
        self.place._manager.run()

    def leave(self, code: int = 0) -> None:
        """Exit, as far as the operating system is concerned."""
        if self.status == "dead":
            return
        if self.place is not None:
            self.place._manager._over.set()
        self.exit_code = code
        self.sim.log(f"{self.name} exits with {code}")
        self.sim.end(self)


class SimManager(Manager):
    """The real one, of a process that may be rash; what it says has to have been decided in the phase in which it stands."""

    def __init__(self, proc: Proc, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._proc = proc

    def step(self) -> bool:
        """Do what somebody rash would do, if it is time for that; else what was decided."""
        how, self._proc.rash = self._proc.rash, ""
        if how:
            self._state = state_of(self._reader, self._state)
        head = self._state.head
        me = head.side_of(self._writer.process)
        if how == "connect" and me:
            return self._act(d.Connect(), me)
        if how == "serve" and me == "blue":
            return self._act(d.Serve(head.flushed_seq), me)
        if how == "ack" and me == "green":
            self._say(e.HandoffAck(flushed_seq=head.flushed_seq, digests=dict(self._seen.loaded)))
            return True
        return super().step()

    def _decide(self, *events: e.Event) -> None:
        phase_seq, me = self._state.head.phase_seq, self._writer.process
        super()._decide(*events)
        records = self._proc.sim.disk.records
        mine = next(r for r in reversed(records) if r.process == me and r.type == events[0].TYPE)
        since = next((r.seq for r in reversed(records[: mine.seq - 1]) if r.type in TRANSITIONS), 0)
        if since != phase_seq:
            self._proc.sim.trouble(
                f"{self._proc.name} says {mine.type} in the phase of seq {since}, decided in that of {phase_seq}"
            )


class SimBell:
    """``journal.tail.Doorbell``: rings when the simulation says so."""

    def __init__(self, proc: Actor) -> None:
        self._proc = proc

    def wait(self, timeout_s: float) -> None:
        self._proc.sleep(timeout_s * self._proc.sim.lateness())

    def poke(self) -> None:
        """From another thread: it wakes the waiter."""
        self._proc.rung_ns = self._proc.sim.mono_ns

    def close(self) -> None:
        """Nothing to let go of."""


class SimWorld:
    """``gateway_hooks.process.World`` of one process."""

    def __init__(self, proc: Actor) -> None:
        self._proc, self._sim = proc, proc.sim

    def now(self) -> Stamp:
        return self._sim.now()

    def me(self) -> Process:
        return self._proc.process

    def identify(self, pid: int) -> Process | None:
        return next((p.process for p in self._sim.procs if p.process.pid == pid and p.status != "dead"), None)

    def probe(self, process: Process) -> str:
        found = self._sim.find(process)
        return found.status if found else "dead"

    def exit_code(self, process: Process, *, wait_s: float = 0.0) -> int | None:
        found = self._sim.find(process)
        return found.exit_code if found is not None and found.parent is self._proc else None

    def end(self, process: Process) -> None:
        self._proc.point("end", "")
        found = self._sim.find(process)
        if found is not None and found.status == "dead" and self._sim.mono_ns - found.died_ns > NOTICED_S * 1e9:
            self._sim.trouble(f"{self._proc.name} ends {found.name}, which has been dead for long")
        if found is not None and found.status != "dead":
            self._sim.log(f"{self._proc.name} ends {found.name}")
            self._sim.end(found)
        self._proc.point("ended", "")

    def watch(self, process: Process, gone: Callable[[], None]) -> None:
        self._sim.watched.append((process, gone, self._proc))

    def spawn_green(self, _command: Sequence[str], env: Mapping[str, str], _log: Path) -> Process:
        green = Proc(self._sim, {**env, ROLE: "green"}, self._proc)
        self._sim.log(f"{self._proc.name} spawns {green.name}")
        self._proc.point("spawned", "")
        return green.process


def open_journal(sim: Simulation, folder: Path, _clock: object, *, deadline_s: float = 10.0) -> MemoryJournal:
    """What ``Journal(folder, clock)`` gives in the process that asks."""
    proc = sim.inside
    assert proc is not None
    return MemoryJournal(
        sim.disk,
        folder,
        sim.now,
        process=proc.process,
        point=proc.point,
        wait=proc.wait_for_gate,
        deadline_s=deadline_s,
    )


def spawn(sim: Simulation, state: State) -> Process:
    """What blue does to start green."""
    proc = sim.inside
    assert isinstance(proc, Proc)
    for finding in proc.gateway.preflight():
        raise HandoffError(finding.text)
    request = state.request
    assert request is not None
    return proc.world.spawn_green([], {**proc.env, runtimes.RUNTIME: request.runtime}, Path())
