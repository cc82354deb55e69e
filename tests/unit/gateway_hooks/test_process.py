"""Pids, signals and spawning: an incarnation is never mistaken for another that has its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway_hooks.process import ROLE, System, Unseen, argv, output_of, undisturbed
from journal.errors import HandoffError
from journal.events import Process
from tests.builders import WAIT_S, Child, out_of_descriptors
from tests.unit.gateway_hooks.homes import freeze

SLEEP = "print('up', flush=True); input()"


@pytest.fixture
def system() -> System:
    return System()


def identified(system: System, child: Child) -> Process:
    assert child.line() == "up"
    process = system.identify(child.pid)
    assert process is not None
    return process


def test_a_process_is_seen_running_stopped_and_dead(system: System) -> None:
    with Child(SLEEP) as child:
        process = identified(system, child)
        assert system.probe(process) == "running"
        freeze(system, process)
        assert system.probe(process) == "stopped"
        system.end(process)
        assert system.probe(process) == "dead"


def test_a_reused_pid_and_another_boot_are_other_processes(system: System) -> None:
    me = system.me()
    assert system.probe(me) == "running"
    assert system.probe(me.model_copy(update={"started": me.started - 1})) == "dead"
    assert system.probe(me.model_copy(update={"boot": "another"})) == "dead"


def test_a_process_whose_name_is_no_text_is_seen_like_any_other(system: System) -> None:
    """The kernel cuts a name at 15 bytes, in the middle of a letter too; and a recorded pid may be anybody's by now."""
    with Child(f"open('/proc/self/comm', 'wb').write(b'gateway-f\\xc3'); {SLEEP}") as child:
        process = identified(system, child)
        assert system.probe(process) == "running"
        assert system.probe(process.model_copy(update={"boot": "another"})) == "dead"


def test_an_incarnation_that_is_gone_is_not_ended_in_its_successors_place(system: System) -> None:
    with Child(SLEEP) as child:
        process = identified(system, child)
        system.end(process.model_copy(update={"started": process.started - 1}))
        assert system.probe(process) == "running"


def test_ending_what_is_gone_does_nothing(system: System) -> None:
    with Child(SLEEP) as child:
        process = identified(system, child)
        child.kill()
    system.end(process)
    system.freeze(process)
    assert system.ask_to_end(process, wait_s=0.0)
    assert system.identify(process.pid) is None


def test_a_watch_calls_once_the_process_is_gone_and_not_before(system: System) -> None:
    gone = threading.Event()
    with Child(SLEEP) as child:
        process = identified(system, child)
        system.watch(process, gone.set)
        assert not gone.is_set()
        child.kill()
        assert gone.wait(WAIT_S)
    gone.clear()
    system.watch(process, gone.set)
    assert gone.wait(WAIT_S)


def test_who_cannot_be_looked_at_is_not_taken_for_dead(system: System) -> None:
    """A side without descriptors that believed the other one dead would poll beside it."""
    gone = threading.Event()
    with Child(SLEEP) as child:
        process = identified(system, child)
        with out_of_descriptors():
            for look in (
                lambda: system.probe(process),
                lambda: system.end(process),
                lambda: system.identify(process.pid),
            ):
                with pytest.raises(Unseen, match="cannot look at"):
                    look()
            system.watch(process, gone.set)
        assert system.probe(process) == "running"
        assert not gone.is_set()


def test_green_is_spawned_in_a_session_of_its_own_and_told_its_role(system: System, tmp_path: Path) -> None:
    code = f"import os; print(os.environ[{ROLE!r}], os.getsid(0) == os.getpid())"
    log = tmp_path / "green.log"
    process = system.spawn_green([sys.executable, "-c", code], {}, log)
    assert system.exit_code(process, wait_s=WAIT_S) == 0
    assert log.read_text() == "green True\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_who_is_watched_is_reaped_and_its_exit_code_is_told_to_who_asks_later(system: System, tmp_path: Path) -> None:
    gone = threading.Event()
    process = system.spawn([sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log")
    system.watch(process, gone.set)
    system.send(process, signal.SIGTERM)
    assert gone.wait(WAIT_S)
    assert system.identify(process.pid) is None, "not even a zombie"
    assert system.exit_code(process) == -signal.SIGTERM
    assert system.exit_code(process.model_copy(update={"started": process.started + 1})) is None


def test_a_green_at_which_nobody_looks_is_reaped(system: System, tmp_path: Path) -> None:
    process = system.spawn_green([sys.executable, "-c", "raise SystemExit(75)"], {}, tmp_path / "log")
    end = time.monotonic() + WAIT_S
    while system.identify(process.pid) is not None:
        assert time.monotonic() < end
    assert (
        system.exit_code(process, wait_s=WAIT_S) == 75
    )  # whoever has reaped it may still be about to note how it ended


def test_one_that_ends_while_it_is_being_looked_at_is_reaped_all_the_same(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, tell = threading.Event(), System.exit_code
    process = system.spawn([sys.executable, "-c", "raise SystemExit(75)"], {}, tmp_path / "log")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    def exit_code(which: System, of: Process, *, wait_s: float = 0.0) -> int | None:
        if wait_s or ended.is_set():
            return tell(which, of, wait_s=wait_s)
        ended.set()
        return None  # as long as its last thread is not gone

    monkeypatch.setattr(System, "exit_code", exit_code)
    gone = threading.Event()
    system.watch(process, gone.set)
    assert gone.wait(WAIT_S)
    assert ended.is_set()
    assert system.identify(process.pid) is None, "not even a zombie"


def test_what_cannot_be_started_says_why(system: System, tmp_path: Path) -> None:
    with pytest.raises(HandoffError, match="cannot start /nowhere/python: No such file"):
        system.spawn(["/nowhere/python"], {}, tmp_path / "log")


def test_processes_are_found_by_what_they_were_started_with(system: System, tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    parent = system.spawn([sys.executable, "-c", code], {"MARK_OF_A_TEST": str(tmp_path)}, tmp_path / "log")
    end = time.monotonic() + WAIT_S
    while len(found := system.carrying("MARK_OF_A_TEST", str(tmp_path))) < 2:
        assert time.monotonic() < end
    assert parent in found
    for process in found:
        system.end(process)
    assert system.carrying("MARK_OF_A_TEST", str(tmp_path)) == []


def test_the_exit_code_of_a_stranger_is_not_known(system: System) -> None:
    assert system.exit_code(system.me()) is None


def test_asking_to_end_is_a_sigterm(system: System, tmp_path: Path) -> None:
    process = system.spawn([sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "l")
    assert system.ask_to_end(process, wait_s=WAIT_S)
    assert system.exit_code(process, wait_s=WAIT_S) == -signal.SIGTERM


_PARENT = """
import os, signal, sys
from gateway_hooks.process import Family, System
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
family = Family(System())
child = "import signal; raise SystemExit([signal.getsignal(n) == signal.SIG_IGN for n in (1, 15)] != [True, False])"
process = family.start([sys.executable, "-c", child], dict(os.environ))
while not (codes := family.reap()):
    family.wait(1.0)
print(codes[process], flush=True)
for number in (signal.SIGHUP, signal.SIGTERM):
    os.kill(os.getpid(), number)
while not (heard := family.heard()):
    family.wait(1.0)
print(*heard, flush=True)
"""


def test_a_hangup_that_was_ignored_when_the_keeper_started_stays_ignored_in_it_and_its_children_and_term_does_not() -> (
    None
):
    with Child(_PARENT) as parent:
        assert parent.line() == "0"
        assert parent.line() == str(int(signal.SIGTERM))


def test_ctrl_c_waits_until_an_append_is_done_whichever_thread_it_reaches() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("interrupted"))
    over = threading.Event()
    other = threading.Thread(target=over.wait, args=(WAIT_S,))
    other.start()
    try:
        with undisturbed():
            signal.pthread_kill(other.ident or 0, signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # and here, so that one of them has certainly arrived
            seen.append("done")
        assert seen[:2] == ["done", "interrupted"]
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGINT, before)


def test_the_output_of_a_command_and_the_last_line_of_a_failed_one() -> None:
    assert output_of([sys.executable, "-c", "print('fine')"], timeout_s=WAIT_S) == "fine"
    with pytest.raises(HandoffError, match=r"^ZeroDivisionError: division by zero$"):
        output_of([sys.executable, "-c", "1/0"], timeout_s=WAIT_S)
    with pytest.raises(HandoffError, match=r"did not answer within 0\.05 s"):
        output_of([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.05)
    with pytest.raises(HandoffError, match="cannot start /nowhere/python"):
        output_of(["/nowhere/python"], timeout_s=1.0)


def test_a_process_knows_how_it_was_started() -> None:
    code = "from gateway_hooks.process import argv; print(*argv(), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code, "gateway", "run"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [sys.executable, "-c", code, "gateway", "run"]
    assert argv()[0] == sys.executable
