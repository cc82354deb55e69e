"""What ``promote --force`` does beside others who see the gateway die: its keeper, an operator's Ctrl-C, a full disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from gateway_hooks import forcing, hanging, orders
from gateway_hooks.commands import following
from gateway_hooks.orders import Operator
from gateway_hooks.process import System, belongings
from gateway_hooks.settling import settle
from journal import events as e
from journal.errors import Busy, DiskTrouble, IllegalTransition, NothingHere
from journal.events import Phase, Process
from journal.record import Writer
from journal.store import Journal
from tests.builders import health, started
from tests.unit.gateway_hooks.homes import Home, stopped_with_the_gate


class Greens:
    """Whoever is started; ``then`` is done whenever somebody is."""

    def __init__(self) -> None:
        self.then: Callable[[], object] = lambda: None
        self._started: list[tuple[System, Process]] = []

    def spawn(self, system: System, *words: Any, **more: Any) -> Process:
        self._started.append((system, _SPAWN(system, *words, **more)))
        self.then()
        return self._started[-1][1]

    def living(self) -> list[Process]:
        return [green for system, green in self._started if system.probe(green) != "dead"]

    def end(self) -> None:
        for system, green in self._started:
            _END(system, green)


_SPAWN, _END = System.spawn, System.end


@pytest.fixture
def greens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Greens]:
    found = Greens()
    monkeypatch.setattr(System, "spawn", lambda *words, **more: found.spawn(*words, **more))
    yield found
    found.end()


@pytest.fixture
def operator(home: Home, greens: Greens, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    monkeypatch.setattr(hanging, "IDLE_SAMPLE_S", -3600.0)  # whoever says nothing now is silent
    opened = Operator(home.folder)
    yield opened
    opened.close()


def force(operator: Operator) -> str:
    return operator.force("same", 1.0, e.Limits(), None, ())


def with_each_end(monkeypatch: pytest.MonkeyPatch, then: Callable[[Process], object]) -> None:
    """Do that too whenever a process is ended."""

    def ended(system: System, process: Process) -> None:
        _END(system, process)
        then(process)

    monkeypatch.setattr(System, "end", ended)


def buried(home: Home, journal: Journal) -> None:
    """What the keeper does when it sees that blue is dead."""
    journal.append(*settle(journal.catch_up(), "blue", home.blue, "died"), writer=Writer(home.system.me(), "keeper"))


def test_a_keeper_that_wakes_at_the_gateways_end_cannot_say_so_before_it_is_taken_over(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.serve()
    with closing(Journal(home.folder, home.system.now, deadline_s=0.1)) as keeper:

        def wakes(process: Process) -> None:
            with suppress(Busy):
                buried(home, keeper)

        with_each_end(monkeypatch, wakes)
        handoff = force(operator)
    state = home.state()
    assert (state.head.handoff, state.head.phase, state.head.blue) == (handoff, "init", None)
    assert [(loss.process, loss.how) for loss in state.losses] == [(home.blue, "ended_silent")]
    assert home.system.probe(home.blue) == "dead"


def test_a_gateway_that_was_settled_before_is_said_to_have_ended_by_itself(
    home: Home, operator: Operator, greens: Greens
) -> None:
    def dies() -> None:
        home.system.end(home.blue)
        buried(home, home.journal)

    greens.then = dies
    home.serve()
    with pytest.raises(NothingHere, match=f"{home.blue.pid} has ended by itself, and nobody serves"):
        force(operator)
    assert home.state().request is None
    assert not greens.living()


def test_one_that_its_keeper_has_started_again_meanwhile_is_named_and_left_alone(
    home: Home, operator: Operator, greens: Greens
) -> None:
    def is_started_again() -> None:
        home.system.end(home.blue)
        buried(home, home.journal)
        home.say(home.green, started())

    greens.then = is_started_again
    home.serve()
    with pytest.raises(IllegalTransition, match=f"process {home.green.pid} was started in its place") as raised:
        force(operator)
    assert "without --force" in raised.value.hint
    assert home.system.probe(home.green) == "running"
    assert not greens.living()


@pytest.mark.parametrize("was", ["silent", "stopped"])
def test_one_that_gives_a_sign_of_life_before_the_gate_is_free_is_left_alone(
    home: Home, operator: Operator, greens: Greens, monkeypatch: pytest.MonkeyPatch, was: str
) -> None:
    def wakes() -> None:
        home.system.send(home.blue, signal.SIGCONT)
        home.say(home.blue, health())
        monkeypatch.setattr(hanging, "IDLE_SAMPLE_S", 60.0)

    greens.then = wakes
    home.serve()
    if was == "stopped":
        home.freeze(home.blue)
    with pytest.raises(IllegalTransition, match=f"process {home.blue.pid} has given a sign of life"):
        force(operator)
    assert home.system.probe(home.blue) == "running"
    assert home.state().request is None
    assert not greens.living()


def test_nobody_is_ended_while_the_other_side_of_the_last_handoff_finishes_its_turns(
    home: Home, operator: Operator
) -> None:
    seq = home.bake().say(home.green, health())
    home.say(home.blue, e.HandoffComplete(sample=seq))
    with pytest.raises(IllegalTransition, match="still finishing its turns"):
        force(operator)
    assert home.system.probe(home.green) == "running"


def test_a_gateway_that_was_stopped_with_the_gate_in_its_hands_is_ended_and_taken_over(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_after = Journal.append_after

    def held(journal: Journal, do: Any, *, writer: Writer) -> object:
        if home.system.probe(home.blue) == "stopped":
            raise Busy("the gate is held", holder=home.blue.pid)
        return append_after(journal, do, writer=writer)

    home.serve()
    home.freeze(home.blue)
    monkeypatch.setattr(Journal, "append_after", held)
    handoff = force(operator)
    state = home.state()
    assert (state.head.handoff, state.head.phase) == (handoff, "init")
    assert [(loss.process, loss.how) for loss in state.losses] == [(home.blue, "ended_stopped")]


def test_a_gateway_that_was_ended_in_vain_is_said_so(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskTrouble("the disk is full")

    home.serve()
    monkeypatch.setattr(Journal, "_in_order", full)
    with pytest.raises(DiskTrouble) as raised:
        force(operator)
    assert f"process {home.blue.pid} was ended all the same" in raised.value.hint


def test_a_ctrl_c_while_the_gateway_is_ended_names_what_stands(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve()
    with_each_end(monkeypatch, lambda _: signal.raise_signal(signal.SIGINT))
    assert home.run("promote", "--force") == 130
    handoff = home.state().head.handoff
    assert handoff
    assert f"{handoff} goes on without you" in capsys.readouterr().err


def test_a_ctrl_c_before_anything_stands_says_that_nothing_was_asked_for(
    home: Home, operator: Operator, greens: Greens, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies() -> None:
        buried(home, home.journal)
        signal.raise_signal(signal.SIGINT)

    greens.then = dies
    home.serve()
    assert home.run("promote", "--force") == 130
    assert "nothing was asked for" in capsys.readouterr().err


def test_a_gateway_that_cannot_write_is_not_ended_for_its_silence(home: Home, operator: Operator) -> None:
    home.serve()
    hanging.Without(home.folder, home.blue).show(True)
    with pytest.raises(IllegalTransition, match="could not say in its journal"):
        force(operator)
    assert home.system.probe(home.blue) == "running"
    assert home.state().request is None


@pytest.mark.parametrize("phase", ["idle", "requested"])
def test_the_command_too_ends_one_that_was_stopped_with_the_gate_in_its_hands(
    home: Home, greens: Greens, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    monkeypatch.setattr(orders, "WORD_S", 0.1)
    monkeypatch.setattr(following, "ALONE_S", 0.1)
    with stopped_with_the_gate(home, phase=phase) as blue:
        assert home.run("promote", "--force", "--no-wait") == 1, "its green is no gateway"
    state = home.state()
    assert [(loss.process, loss.how) for loss in state.losses][:1] == [(blue, "ended_stopped")]
    assert [step.type for step in state.steps][:2] == ["HANDOFF_REQUESTED", "HANDOFF_INIT"]


def test_where_it_is_refused_who_was_stopped_with_the_gate_in_its_hands_lives(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(orders, "WORD_S", 0.1)
    with stopped_with_the_gate(home, phase="init") as blue:
        assert home.run("promote", "--force") == 4
        assert "h-1 is open, in phase init" in capsys.readouterr().err
        assert home.system.probe(blue) == "stopped"


def test_one_that_goes_on_while_it_is_looked_up_how_it_was_started_lives(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def looked_up(process: Process) -> object:
        home.system.send(process, signal.SIGUSR1)  # its append is done
        home.system.send(process, signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOWAIT)
        monkeypatch.setattr(orders, "WORD_S", 60.0)
        return belongings(process)

    monkeypatch.setattr(orders, "WORD_S", 0.1)
    monkeypatch.setattr(forcing, "belongings", looked_up)
    with stopped_with_the_gate(home) as blue:
        assert home.run("promote", "--force") == 75
        assert f"held by process {blue.pid}" in capsys.readouterr().err
        assert home.system.probe(blue) == "running"


def test_where_it_is_refused_a_request_that_stands_is_not_withdrawn(home: Home) -> None:
    home.serve().request()
    assert home.run("promote", "--force") == 4
    assert (home.state().head.phase, home.state().head.handoff) == ("requested", "h-1")


def test_a_request_that_came_meanwhile_is_left_alone(home: Home, operator: Operator, greens: Greens) -> None:
    greens.then = home.request
    home.serve()
    with pytest.raises(IllegalTransition, match="h-1 was asked for meanwhile"):
        force(operator)
    assert (home.state().head.phase, home.system.probe(home.blue)) == ("requested", "running")
    assert not greens.living()
