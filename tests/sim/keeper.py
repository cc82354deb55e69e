"""Whoever starts gateways again: looks twice a second, starts one when no owner lives, ends what is frozen alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.machine import Proc

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

EVERY_S = 0.5
PATIENCE_S = 2.0
FROZEN_S = 3.0


class SimKeeper:
    """A restarter of the plainest kind, that is never killed itself."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.due_ns = sim.mono_ns
        self._wanted_since: int | None = None
        self._frozen_since: int | None = None

    def begin(self) -> None:
        """Start the first gateway."""
        Proc(self.sim, {})

    def due(self) -> bool:
        return self.sim.mono_ns >= self.due_ns

    def look(self) -> None:
        """One look."""
        sim = self.sim
        self.due_ns = sim.mono_ns + int(EVERY_S * 1e9)
        living = sim.living()
        running = [p for p in living if p.status == "running"]
        if living and not running:
            self._frozen_since = self._frozen_since or sim.mono_ns
            if sim.mono_ns - self._frozen_since > FROZEN_S * 1e9:
                for proc in living:
                    sim.log(f"keeper ends {proc.name}, which is frozen")
                    sim.end(proc)
        else:
            self._frozen_since = None
        if not self._wanted() or any(p.status == "running" and p.place is None for p in living):
            self._wanted_since = None
            return
        self._wanted_since = self._wanted_since or sim.mono_ns
        if sim.mono_ns - self._wanted_since > PATIENCE_S * 1e9:
            self._wanted_since = None
            Proc(sim, {})
            sim.log("keeper starts a gateway")

    def _wanted(self) -> bool:
        head = self.sim.book.head
        owner = self.sim.find(head.owning) if head.owning else None
        if owner is None or owner.status == "dead":
            return True
        blue = self.sim.find(head.blue) if head.blue else None
        return head.phase == "rolling_back" and head.owner == "green" and (blue is None or blue.status == "dead")
