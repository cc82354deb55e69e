"""What a service manager hears of a keeper, over a real socket: it is told of the gateway's health, not of the keeper's own."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks import hanging, notifying
from gateway_hooks.keeper import Keeper
from journal import events as e
from tests.builders import health, process
from tests.unit.gateway_hooks.test_keeper import COMMAND, Parish

LONG_S = 600
LATE_S = notifying.HUNG_S * 0.8
"""A gateway is not called well any more, and its keeper has not ended it yet."""


class Manager:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every line since the last time."""
        lines = []
        try:
            while True:
                lines += self._socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify") if request.param == "path" else f"@handoff-journal-test-{os.getpid()}")
    yield found
    found.close()


@pytest.fixture
def parish(tmp_path: Path, manager: Manager) -> Iterator[Parish]:
    found = Parish(tmp_path / "handoff")
    found.keeper = kept(found, manager)
    yield found
    found.journal.close()


def kept(parish: Parish, manager: Manager, **env: str) -> Keeper:
    """A keeper of that home under a service manager, in the place of another one."""
    if parish.keeper._lock is not None:
        os.close(parish.keeper._lock)
    street: Any = parish.street
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", **env}
    return Keeper(parish.folder, COMMAND, told, street, street, steady_s=5.0)


def goes_on(parish: Parish, seconds: float, manager: Manager) -> list[str]:
    """That much time passes for the keeper; what was said meanwhile. The queue of a socket is short."""
    until, lines = parish.street.now_s + seconds, manager.heard()
    while parish.street.now_s < until:
        parish.keeper._step()
        lines += manager.heard()
    return lines


def test_readiness_is_said_once_somebody_serves_and_the_watchdog_is_fed_with_its_samples(
    parish: Parish, manager: Manager
) -> None:
    parish.steps(until=1)
    early = goes_on(parish, 1.0, manager)
    assert "READY=1" not in early
    assert "STATUS=process 1100 is starting" in early
    who = parish.serve()
    parish.keeper._step()
    said = manager.heard()
    assert {"READY=1", f"MAINPID={os.getpid()}", "STATUS=blue serves, process 1100, runtime same"} <= set(said)
    said = []
    for _ in range(5):
        said += goes_on(parish, 50.0, manager)
        parish.say(who, health())
    assert said.count("WATCHDOG=1") > 100
    assert "READY=1" not in said


def test_a_gateway_that_lives_and_gives_no_sample_is_not_well(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    who = parish.serve()
    assert "WATCHDOG=1" in goes_on(parish, notifying.HUNG_S / 2 - 5.0, manager)
    goes_on(parish, 10.0, manager)
    assert "WATCHDOG=1" not in goes_on(parish, 30.0, manager)
    parish.say(who, health())
    parish.keeper._step()
    said = goes_on(parish, 2.0, manager)
    assert "WATCHDOG=1" in said
    assert "STATUS=blue serves, process 1100, runtime same" in said


def test_what_a_hanging_gateway_is_called(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    parish.serve()
    assert [line for line in goes_on(parish, notifying.HUNG_S / 2 + 5.0, manager) if line.startswith("STATUS")][
        -1
    ] == "STATUS=process 1100 gives no sign of health"


def test_without_a_record_a_missing_sample_says_nothing(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    who = parish.serve()
    hanging.Without(parish.folder, who).show(True)
    goes_on(parish, LATE_S, manager)
    assert "WATCHDOG=1" in goes_on(parish, 5.0, manager)
    assert len(parish.street.started) == 1


def test_a_journal_that_was_replaced_says_nothing_either(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    parish.serve()
    path = parish.folder / "journal.db"
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    goes_on(parish, LATE_S, manager)
    assert "WATCHDOG=1" in goes_on(parish, 5.0, manager)
    assert len(parish.street.started) == 1


def test_a_gateway_that_does_without_the_journal_is_ready_after_a_while_and_well_while_it_lives(
    parish: Parish, manager: Manager
) -> None:
    parish.steps(until=1)
    assert "READY=1" not in goes_on(parish, notifying.UNHEARD_S / 2, manager)
    said = goes_on(parish, LONG_S, manager)
    assert "READY=1" in said
    assert "STATUS=process 1100 runs, without the journal" in said
    parish.street.status[parish.latest()] = "stopped"
    parish.keeper._step()
    manager.heard()
    assert "WATCHDOG=1" not in goes_on(parish, 3.0, manager)


def test_while_a_dead_gateway_is_started_again_nothing_is_wrong(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    parish.dies(parish.serve(), -9)
    manager.heard()
    for number in range(2, 7):
        parish.steps(until=number)
        assert "WATCHDOG=1" in manager.heard()
        parish.dies(parish.latest(), 1)


def test_in_a_handoff_the_line_names_its_phase_and_green_is_who_counts(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    _, green = parish.bake()
    line = [line for line in goes_on(parish, 2.0, manager) if line.startswith("STATUS")][-1]
    assert line == f"STATUS=green serves, process {green.pid}, runtime next; handoff h1: baking"
    goes_on(parish, notifying.HUNG_S / 2 + 5.0, manager)
    assert "WATCHDOG=1" not in goes_on(parish, 5.0, manager)


def test_its_end_is_announced_and_nothing_is_said_after_it(parish: Parish, manager: Manager) -> None:
    parish.steps(until=1)
    parish.serve()
    parish.street.signals = [signal.SIGTERM]
    parish.keeper._step()
    assert "STOPPING=1" in manager.heard()
    assert goes_on(parish, 5.0, manager) == []


def test_no_child_speaks_to_the_service_manager(parish: Parish) -> None:
    parish.steps(until=1)
    assert not {*notifying.OWN} & set(parish.street.started[0][3])


@pytest.mark.parametrize("env", [{"WATCHDOG_USEC": "0"}, {"WATCHDOG_PID": "1"}], ids=["off", "of another"])
def test_a_watchdog_that_is_not_ours_is_not_fed(parish: Parish, manager: Manager, env: dict[str, str]) -> None:
    parish.keeper = kept(parish, manager, **env)
    parish.steps(until=1)
    parish.serve()
    said = goes_on(parish, 5.0, manager)
    assert "READY=1" in said
    assert "WATCHDOG=1" not in said


def test_a_manager_that_is_gone_or_does_not_listen_holds_nobody_up(parish: Parish, manager: Manager) -> None:
    for _ in range(2000):  # until its queue is full
        notifying.notify("STATUS=x", manager.address)
    assert not notifying.notify("STATUS=x", manager.address)
    parish.steps(until=1)
    parish.serve()
    manager.close()
    assert not notifying.notify("STATUS=x", manager.address)
    parish.steps(most=20)


def test_readiness_that_could_not_be_said_is_said_again(parish: Parish, manager: Manager) -> None:
    for _ in range(2000):
        notifying.notify("STATUS=x", manager.address)
    parish.steps(until=1)
    parish.serve()
    parish.keeper._step()
    manager.heard()
    assert "READY=1" in goes_on(parish, 2.0, manager)


def test_a_process_that_has_just_sat_down_has_time_for_its_first_sample(parish: Parish) -> None:
    parish.steps(until=1)
    who = parish.latest()
    parish.say(who, e.ProcessStarted(side="blue", serving=True, gateway="g", version="1", runtime="same"))
    parish.keeper._step()
    state, now = parish.keeper._state, parish.street.now()
    assert notifying.quiet_s(state, who, now, who.boot) < 5.0
    assert notifying.quiet_s(state, process(4711), now, who.boot) == 0.0
