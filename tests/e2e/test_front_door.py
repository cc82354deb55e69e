"""The command line against a real gateway process: what an operator types, and what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks.demo.rig import MARK, Rig
from gateway_hooks.orders import Operator
from gateway_hooks.process import System
from journal.events import HandoffRequested, Limits, Process
from journal.gate import Gate
from journal.record import Draft, Record, Writer
from journal.store import Reader
from journal.tail import Doorbell
from replay.fold import State, fold
from tests.unit.gateway_hooks.homes import freeze

PATIENCE_S = 90.0


class Town:
    """A home with a gateway in it, and the front door."""

    def __init__(self, rig: Rig, blue: Process) -> None:
        self.rig, self.blue, self.home = rig, blue, rig.home
        self._typed: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End what was typed and still runs: a test that failed waits for nothing any more."""
        for child in (each for each in self._typed if each.poll() is None):
            child.kill()
            child.communicate(timeout=PATIENCE_S)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Type a command and do not wait for it."""
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway_hooks.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HERMES_HOME": str(self.home), "PYTHONUNBUFFERED": "1", MARK: str(self.rig.folder)},
        )
        self._typed.append(child)
        return child

    def type(self, *words: str) -> tuple[int, str, str]:
        """Type a command: its exit code, stdout and stderr."""
        child = self.start(*words)
        out, err = child.communicate(timeout=PATIENCE_S)
        return child.returncode, out, err

    def ask(self, *words: str) -> Any:
        """The JSON answer of a command that is expected to end well."""
        code, out, err = self.type(*words, "--json")
        assert code == 0, (out, err)
        assert err == ""
        return json.loads(out)

    def records(self) -> list[Record]:
        reader = Reader(self.rig.journal / "journal.db")
        try:
            return list(reader.all())
        finally:
            reader.close()

    def freeze_blue(self) -> None:
        """Stop the gateway's process while it is not at the journal's gate."""
        with closing(Gate(self.rig.journal / "gate")) as gate, gate.held():
            freeze(self.rig.system, self.blue)

    def until(self, holds: Callable[[State], bool]) -> State:
        """Wait until the journal says so."""
        with closing(Doorbell(self.rig.journal / "bell")) as bell:
            end = time.monotonic() + PATIENCE_S
            while not holds(state := fold(self.records())):
                assert time.monotonic() < end, f"phase {state.head.phase}"
                bell.wait(0.5)
        return state


@contextmanager
def a_town(folder: Path) -> Iterator[Town]:
    """The stand-ins on a loop of their own, in a thread; the gateway as a process."""
    ready: Future[Town] = Future()
    over = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        async with Rig(folder, "reference") as rig:
            blue = rig.start()
            await rig.until(lambda s: s.head.owning == blue and bool(s.head.connected), "serving", timeout_s=PATIENCE_S)
            ready.set_result(Town(rig, blue))
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(stand())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with closing(ready.result(PATIENCE_S)) as town:
            yield town
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE_S)
        loop.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path) as found:
        yield found


def one_line(err: str) -> str:
    assert err.startswith("handoff-journal: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_promote_hands_over_status_shows_the_bake_and_complete_ends_it(town: Town) -> None:
    promoted = town.ask("promote", "--no-wait", "--bake", "1h")
    assert promoted["outcome"] == "baking"
    assert [s["type"] for s in promoted["steps"]] == [
        f"HANDOFF_{name}" for name in ("REQUESTED", "INIT", "ACK", "ACTIVE", "CONFIRM")
    ]

    now = town.ask("status")
    assert (now["phase"], now["owner"], now["bake_s"]) == ("baking", "green", 3600.0)
    assert now["sides"]["blue"]["pid"] == town.blue.pid
    assert now["sides"]["green"]["is"] == "running"
    assert [a["side"] for a in now["adapters"].values()] == ["green"]

    completed = town.ask("complete")
    assert (completed["handoff"], completed["outcome"]) == (promoted["handoff"], "complete")
    assert town.rig.system.exit_code(town.blue, wait_s=PATIENCE_S) == 0


def test_the_operator_rolls_back_in_the_bake_and_blue_serves_again(town: Town) -> None:
    town.ask("promote", "--no-wait", "--bake", "1h")
    rolled = town.ask("rollback")
    assert (rolled["outcome"], rolled["reason"]) == ("rolled_back", "operator")
    state = town.until(lambda s: s.head.owner == "blue" and bool(s.head.connected))
    assert state.head.owning == town.blue


def test_a_promote_that_waits_tells_its_phases_and_ends_with_the_bake(town: Town) -> None:
    code, out, err = town.type("promote", "--bake", "1s")
    assert (code, err) == (0, "")
    told = [line.split()[4] for line in out.splitlines() if " seq " in line and "HANDOFF_" in line]
    assert told == [f"HANDOFF_{n}" for n in ("REQUESTED", "INIT", "ACK", "ACTIVE", "CONFIRM", "COMPLETE")]
    assert out.splitlines()[-1].endswith("complete")


def test_ctrl_c_during_a_promote_leaves_the_handoff_running_and_says_how_to_come_back(town: Town) -> None:
    child = town.start("promote", "--bake", "1h")
    state = town.until(lambda s: s.head.phase == "baking")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert f"{state.head.handoff} goes on without you" in err
    assert "handoff-journal status" in err
    assert town.ask("status")["phase"] == "baking"


def test_a_second_promote_is_refused_with_one_line_while_one_runs(town: Town) -> None:
    first = town.ask("promote", "--no-wait", "--bake", "1h")
    code, out, err = town.type("promote")
    assert (code, out) == (4, "")
    assert f"{first['handoff']} is open" in one_line(err)


def test_a_promote_is_refused_with_one_line_when_the_gateway_is_gone(town: Town) -> None:
    town.rig.system.end(town.blue)
    code, out, err = town.type("promote")
    assert (code, out) == (3, "")
    assert "no gateway runs in this home" in one_line(err)
    assert town.type("promote", "--dry-run")[0] == 1


def test_a_promote_is_refused_with_one_line_when_the_gateway_is_stopped(town: Town) -> None:
    town.freeze_blue()
    code, out, err = town.type("promote")
    assert (code, out) == (3, "")
    assert "is stopped" in one_line(err)
    town.rig.system.end(town.blue)


def test_a_home_that_does_not_exist_is_one_line(town: Town) -> None:
    for name in ("promote", "rollback", "complete", "status", "doctor"):
        code, out, err = town.type(name, "--home", str(town.home / "nowhere"))
        assert (code, out) == (3, "")
        assert "there is no folder" in one_line(err)


def test_an_unknown_runtime_is_one_line_and_nothing_is_asked_for(town: Town) -> None:
    code, out, err = town.type("promote", "--runtime", "next")
    assert (code, out) == (2, "")
    assert "no runtime named next" in one_line(err)
    assert not any(r.type == "HANDOFF_REQUESTED" for r in town.records())


def test_a_runtime_that_does_not_start_fails_the_handoff_and_blue_serves_on(town: Town) -> None:
    (town.rig.journal / "runtimes.toml").write_text(f'[broken]\npython = "{sys.executable}"\ncommand = ["-c", "1/0"]\n')
    code, out, err = town.type("promote", "--runtime", "broken", "--json")
    assert (code, err) == (1, "")
    answer = json.loads(out)
    assert (answer["outcome"], answer["reason"]) == ("rolled_back", "green_lost")
    assert [e["type"] for e in answer["evidence"]] == ["PROCESS_LOST"]
    assert town.ask("status")["owner"] == "blue"


def test_a_dry_run_looks_at_everything_and_changes_nothing(town: Town) -> None:
    (town.rig.journal / "runtimes.toml").write_text(f'[next]\npython = "{sys.executable}"\n')
    before = [r.seq for r in town.records() if r.type != "HEALTH_SAMPLED"]
    answer = town.ask("promote", "--dry-run", "--runtime", "next")
    assert answer["good"]
    assert {f["code"] for f in answer["findings"]} >= {"journal", "handoff", "gateway", "gate", "disk", "runtime"}
    assert [r.seq for r in town.records() if r.type != "HEALTH_SAMPLED"] == before


def test_doctor_finds_a_journal_that_others_can_read(town: Town) -> None:
    assert town.ask("doctor")["good"]
    (town.rig.journal / "journal.db").chmod(0o644)
    code, out, _ = town.type("doctor")
    assert code == 1
    assert "chmod 600" in next(line for line in out.splitlines() if line.startswith("error"))


def test_a_request_that_nobody_takes_up_is_withdrawn_by_the_next_promote(town: Town) -> None:
    system = System()
    town.freeze_blue()
    operator = Operator(town.rig.journal)
    asked = HandoffRequested(handoff="h-old", runtime="same", bake_s=1.0, limits=Limits(requested_s=0.0))
    operator.journal.append(Draft(asked), writer=Writer(system.me(), "operator"))
    operator.close()
    code, _, err = town.type("promote")
    assert code == 3
    assert "is stopped" in one_line(err)
    assert fold(town.records()).head.phase == "failed"
    town.rig.system.end(town.blue)


def test_the_demo_keeps_what_it_is_told_to_keep_and_prints_one_object(tmp_path: Path) -> None:
    words = ["demo", "--messages", "6", "--kill", "green@active"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway_hooks.cli", *words, "--json", "--keep", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "rolled_back"
    assert (answer["messages"]["sent"], answer["messages"]["lost"], answer["messages"]["answered_twice"]) == (6, 0, 0)
    reader = Reader(Path(answer["journal"]))
    assert reader.last_seq() == answer["events"]
    reader.close()


def test_ctrl_c_in_the_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway_hooks.cli", "demo", "--rate", "20", "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    bound = threading.Timer(PATIENCE_S, child.kill)
    bound.start()
    assert child.stdout is not None
    assert any(line.startswith("promoting") for line in child.stdout)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE_S)
    bound.cancel()
    assert (child.returncode, err.strip()) == (130, "")
    with closing(Reader(tmp_path / "home" / "handoff" / "journal.db")) as reader:
        seen = {record.process for record in reader.all()}
    assert seen
    assert {System().probe(process) for process in seen} == {"dead"}
