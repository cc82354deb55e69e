"""The cases: one for each event type, phase, side and point of what clean runs show. A new type needs nobody to ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from journal.events import Process, Role
from journal.head import TRANSITIONS
from journal.record import Record
from replay.fold import State, apply
from tests.crash.stage import Case, Play
from tests.crash.wounds import SEND, How, Point, Victim, Wound

POINTS: dict[How, tuple[Point, ...]] = {
    "kill": ("before", "inside", "unrung", "after"),
    "stop": ("before", "inside", "held", "after"),
    "thaw": ("before", "inside"),
}
"""Where it makes a difference: a death lets go of the gate at once, and who is stopped before the bell or after it is late alike."""
BLUE_DIES = Wound("green", "HANDOFF_ACK", "init", "after", "kill", "peer")
GREEN_DIES = Wound("green", "HANDOFF_CONFIRM", "active", "after", "kill", "self")
BLUE_FREEZES = Wound("green", "HANDOFF_ACK", "init", "after", "stop", "peer")
SCENES: tuple[Case, ...] = (
    Case("complete"),
    Case("rollback"),
    Case("early"),
    Case("failed"),
    Case("complete", (BLUE_DIES,)),
    Case("complete", (GREEN_DIES,)),
    Case("complete", (BLUE_FREEZES,)),
)
"""What is played once without further wounds; the last ones are hurt already, so that what heals can be hurt too."""


def seen(records: Iterable[Record]) -> Iterator[tuple[str, str, str, tuple[Victim, ...]]]:
    """(type, phase in which it was said, who said it, who can be hurt then), each once; and the sends that the events speak of."""
    state, found = State(), set()
    for record in records:
        head = state.head
        peers: set[Process | None] = {head.blue, head.green, head.expected_green} - {None, record.process}
        types = [record.type, *([SEND] if record.type == "REPLY_INTENDED" else [])]
        for type_ in types:
            victims: tuple[Victim, ...] = ("self", "peer", "both") if peers else ("self",)
            if record.role == "operator":
                victims = ("self", "blue", "green") if len(peers) > 1 else ("self", "blue")
            if (type_, head.phase, record.role) not in found:
                found.add((type_, head.phase, record.role))
                yield type_, head.phase, record.role, victims
        state = apply(state, record)


def cases(scene: Case, records: Iterable[Record], known: set[tuple[str, str, str]]) -> Iterator[Case]:
    """The cases of a scene; what an earlier scene has shown already (``known``, which is filled) is left out."""
    for type_, phase, side, victims in seen(records):
        if (type_, phase, side) in known:
            continue
        known.add((type_, phase, side))
        for how, points in POINTS.items():
            for point, victim in product(points, victims):
                if how == "thaw" and victim == "both":
                    continue
                at: Point = "held" if type_ == SEND and point == "unrung" else point
                wound = Wound(side, type_, phase, at, how, victim)  # type: ignore[arg-type]
                yield Case(scene.play, (*scene.wounds, wound))


def on_hermes() -> list[Case]:
    """Every handoff message, blue or green, killed or frozen, when it stands."""
    speakers: dict[str, tuple[Role, Play]] = {
        "HANDOFF_INIT": ("blue", "complete"),
        "HANDOFF_ACK": ("green", "complete"),
        "HANDOFF_ACTIVE": ("blue", "complete"),
        "HANDOFF_CONFIRM": ("green", "complete"),
        "HANDOFF_COMPLETE": ("blue", "complete"),
        "HANDOFF_ROLLBACK": ("operator", "rollback"),
    }
    found = []
    for type_, (side, play) in speakers.items():
        phase = "baking" if type_ == "HANDOFF_ROLLBACK" else next(iter(TRANSITIONS[type_][0]))
        for how, victim in product(("kill", "stop"), ("blue", "green")):
            found.append(Case(play, (Wound(side, type_, phase, "after", how, victim),)))  # type: ignore[arg-type]
    return found
