"""Parts of a handoff that are drawn to scale, and where a time lies in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from replay.html.scene import LEAD_S, Scene
from replay.timeline import Stay

SHORT_S = 25.0
"""A story that is no longer fits into one drawing."""
AROUND_S = 1.5
STEPS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
    7200,
    21600,
    86400,
)


@dataclass(frozen=True, slots=True)
class Window:
    """From one second to another, and what is seen in it."""

    name: str
    since_s: float
    until_s: float

    @property
    def length_s(self) -> float:
        return max(self.until_s - self.since_s, 1e-6)

    def x(self, at_s: float) -> float:
        """Where a time lies, in percent of the width, within 0 and 100."""
        return min(100.0, max(0.0, (at_s - self.since_s) / self.length_s * 100))

    def sees(self, since_s: float, until_s: float | None) -> bool:
        """Whether something that lasted is seen."""
        return since_s <= self.until_s and (until_s is None or until_s >= self.since_s)

    def ticks(self) -> Iterator[float]:
        """Round times, at most six."""
        step = next((s for s in STEPS_S if self.length_s / s <= 5.5), 86400.0)
        first, last = math.ceil(self.since_s / step), math.floor(self.until_s / step)
        yield from (round(n * step, 9) for n in range(first, min(last, first + 40) + 1))


def windows(scene: Scene) -> list[Window]:
    """The whole story; and, when it is long, the moments in which the adapters changed hands, enlarged."""
    whole = Window("The whole handoff", -max(LEAD_S, 0.02 * scene.end_s), scene.end_s)
    if whole.length_s <= SHORT_S:
        return [whole]
    found = [whole]
    at = {stay.type: _at(scene, stay) for stay in scene.handoff.stays}
    there = at.get("HANDOFF_CONFIRM", at.get("HANDOFF_ROLLBACK", at.get("HANDOFF_FAILED", scene.end_s)))
    found.append(Window("There: from the request until green was confirmed", -LEAD_S, there + AROUND_S))
    if "HANDOFF_ROLLBACK" in at and "HANDOFF_CONFIRM" in at:
        back = at.get("BLUE_SERVING", at["HANDOFF_ROLLBACK"])
        found.append(Window("Back: around the rollback", at["HANDOFF_ROLLBACK"] - 2 * AROUND_S, back + AROUND_S))
    return [w for w in found if w is whole or w.length_s < 0.8 * whole.length_s]


def _at(scene: Scene, stay: Stay) -> float:
    return scene.handoff.stays[0].since.elapsed_s(stay.since.at_ns, stay.since.mono_ns, stay.since.boot)


def stay_times(scene: Scene) -> list[tuple[Stay, float, float | None]]:
    """Each phase with its beginning and end in the scene."""
    begun = [_at(scene, stay) for stay in scene.handoff.stays]
    return [(s, b, n) for s, b, n in zip(scene.handoff.stays, begun, [*begun[1:], None], strict=True)]
