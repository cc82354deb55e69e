"""Who serves when the journal cannot be written: never two, and somebody in the end."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from journal.events import Limits, Phase, Side
from journal.head import Head
from journal.record import Stamp
from replay.alone import ServeAlone, alone
from replay.decide import EndPeer, PeerIs, View
from replay.fold import State
from tests.builders import process

BLUE, GREEN = process(1), process(2)
OPEN: list[Phase] = ["requested", "init", "ack", "active", "baking", "rolling_back"]
LONG = Limits().silent_s + Limits().rolling_back_s + 1


def state(phase: Phase, owner: Side) -> State:
    return replace(State(), head=Head(phase=phase, owner=owner, blue=BLUE, green=GREEN))


def view(me: Side, peer: PeerIs) -> View:
    return View(me, Stamp(0, 0), "boot", peer=peer)


@pytest.mark.parametrize("phase", OPEN)
@pytest.mark.parametrize("owner", ["blue", "green"])
def test_of_two_living_sides_only_the_owner_acts_and_it_ends_the_other_first(phase: Phase, owner: Side) -> None:
    at = state(phase, owner)
    blue, green = alone(at, view("blue", "running"), BLUE, LONG), alone(at, view("green", "running"), GREEN, LONG)
    assert (blue, green) == (
        (EndPeer("green", "ended_silent"), None) if owner == "blue" else (None, EndPeer("blue", "ended_silent"))
    )


@pytest.mark.parametrize(("phase", "owner"), list(product(OPEN, ["blue", "green"])))
def test_the_last_one_serves_whoever_owned(phase: Phase, owner: Side) -> None:
    at = state(phase, owner)
    assert alone(at, view("blue", "dead"), BLUE, LONG) == ServeAlone()
    assert alone(at, view("green", "dead"), GREEN, LONG) == ServeAlone()


@pytest.mark.parametrize("owner", ["blue", "green"])
def test_a_stopped_side_is_ended_by_either(owner: Side) -> None:
    at = state("baking", owner)
    assert alone(at, view("blue", "stopped"), BLUE, LONG) == EndPeer("green", "ended_stopped")
    assert alone(at, view("green", "stopped"), GREEN, LONG) == EndPeer("blue", "ended_stopped")


@pytest.mark.parametrize(("phase", "owner"), list(product(OPEN, ["blue", "green"])))
def test_nobody_acts_before_the_other_side_had_its_time_to_write(phase: Phase, owner: Side) -> None:
    peers: tuple[PeerIs, ...] = ("running", "stopped", "dead", "none")
    for peer in peers:
        assert alone(state(phase, owner), view("blue", peer), BLUE, LONG - 2) is None


def test_with_no_handoff_open_the_owner_goes_on_at_once_and_nobody_else_does() -> None:
    at = state("complete", "green")
    assert alone(at, view("green", "running"), GREEN, 0.0) == ServeAlone()
    assert alone(at, view("blue", "dead"), BLUE, LONG) is None
