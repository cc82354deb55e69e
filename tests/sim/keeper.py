"""The keeper of a simulation: the real one, its loop as it is, over a family and a world that are simulated.

``Restarter`` is what there is without it: somebody who looks twice a second, starts a gateway when no owner lives, and ends what is
frozen alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gateway_hooks.keeper import Keeper
from journal.events import Process
from tests.sim.machine import Actor, Proc

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

EVERY_S = 0.5
PATIENCE_S = 2.0
FROZEN_S = 3.0


class SimFamily:
    """``gateway_hooks.process.Family``: the keeper inherits every gateway."""

    def __init__(self, keeper: KeeperProc) -> None:
        self._keeper, self._sim = keeper, keeper.sim
        self._reaped: set[Process] = set()

    def start(self, _command: Sequence[str], env: Mapping[str, str]) -> Process:
        self._keeper.point("spawn", "")
        proc = Proc(self._sim, env, self._keeper)
        self._sim.log(f"keeper starts {proc.name} as {env}")
        return proc.process

    def reap(self) -> dict[Process, int]:
        ended = {
            p.process: p.exit_code for p in self._sim.procs if p.status == "dead" and p.process not in self._reaped
        }
        self._reaped |= ended.keys()
        return {process: code for process, code in ended.items() if code is not None}

    def send(self, process: Process, _number: int) -> None:
        """Nobody here sends signals through the keeper."""

    def heard(self) -> list[int]:
        return []

    def wait(self, timeout_s: float) -> None:
        if timeout_s:
            self._keeper.sleep(timeout_s * self._sim.lateness())

    def poke(self) -> None:
        self._keeper.rung_ns = self._sim.mono_ns


class KeeperProc(Actor):
    """The keeper's process. It is never killed but by a loss of power."""

    def __init__(self, sim: Simulation) -> None:
        self.code: int | None = None
        super().__init__(sim, "keeper")

    def live(self) -> None:
        keeper = Keeper(self.sim.home / "handoff", ["gateway"], {}, self.world, SimFamily(self))  # type: ignore[arg-type]
        self.code = keeper.run()
        self.sim.log(f"keeper leaves with {self.code}")


class Restarter(Actor):
    """A restarter of the plainest kind."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim, "restarter")
        self._wanted_ns: int | None = None
        self._frozen_ns: int | None = None

    def live(self) -> None:
        Proc(self.sim, {}, self)
        while True:
            self.sleep(EVERY_S)
            self._look()

    def _look(self) -> None:
        sim = self.sim
        living = sim.living()
        if living and not any(p.status == "running" for p in living):
            self._frozen_ns = self._frozen_ns or sim.mono_ns
            if sim.mono_ns - self._frozen_ns > FROZEN_S * 1e9:
                for proc in living:
                    sim.log(f"restarter ends {proc.name}, which is frozen")
                    sim.end(proc)
        else:
            self._frozen_ns = None
        if not self._wanted() or any(p.status == "running" and p.place is None for p in living):
            self._wanted_ns = None
            return
        self._wanted_ns = self._wanted_ns or sim.mono_ns
        if sim.mono_ns - self._wanted_ns > PATIENCE_S * 1e9:
            self._wanted_ns = None
            Proc(sim, {}, self)
            sim.log("restarter starts a gateway")

    def _wanted(self) -> bool:
        head = self.sim.book.head
        owner = self.sim.find(head.owning) if head.owning else None
        if owner is None or owner.status == "dead":
            return True
        blue = self.sim.find(head.blue) if head.blue else None
        return head.phase == "rolling_back" and head.owner == "green" and (blue is None or blue.status == "dead")
