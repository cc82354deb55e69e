from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal.errors import Busy, DiskTrouble
from journal.gate import Gate, _locked_by
from tests.builders import WAIT_S, Child

_HOLDER = """
import sys; from pathlib import Path; from journal.gate import Gate, _locked_by
gate = Gate(Path(sys.argv[1]))
with gate.held(): print("held", flush=True); input()
print("free", flush=True); input()
"""

_NAMELESS = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
print("held", flush=True); input()
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    one = Gate(tmp_path / "gate", deadline_s=WAIT_S)
    yield one
    one.close()


def test_one_thread_at_a_time_holds_the_gate(gate: Gate) -> None:
    inside, seen = [0], []

    def work() -> None:
        for _ in range(200):
            with gate.held():
                inside[0] += 1
                seen.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert seen == [1] * 800


def test_a_second_thread_is_busy_when_its_deadline_is_over(gate: Gate) -> None:
    caught: list[Busy] = []

    def work() -> None:
        try:
            with gate.held(0.01):
                pass
        except Busy as error:
            caught.append(error)

    with gate.held():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(WAIT_S)
    assert len(caught) == 1


def test_two_gates_of_one_process_exclude_each_other(gate: Gate, tmp_path: Path) -> None:
    other = Gate(tmp_path / "gate")
    with gate.held(), pytest.raises(Busy), other.held(0.01):
        pass
    with other.held():  # the abandoned attempt may have it for a moment
        pass
    other.close()


def test_busy_names_the_process_that_holds_the_gate(gate: Gate, tmp_path: Path) -> None:
    with Child(_HOLDER, str(tmp_path / "gate")) as holder:
        assert holder.line() == "held"
        with pytest.raises(Busy) as caught, gate.held(0.05):
            pass
        assert caught.value.holder == holder.pid
        assert str(holder.pid) in str(caught.value)
        holder.go()
        assert holder.line() == "free"
    with gate.held():  # as above
        assert gate.holder() == os.getpid()


def test_a_holder_that_did_not_come_to_write_its_name_is_known_all_the_same(gate: Gate, tmp_path: Path) -> None:
    with gate.held():
        pass
    with Child(_NAMELESS, str(tmp_path / "gate")) as holder:
        assert holder.line() == "held"
        with pytest.raises(Busy) as caught, gate.held(0.05):
            pass
        assert (tmp_path / "gate").read_text().strip() == str(os.getpid())
        assert caught.value.holder == holder.pid


def test_where_the_kernel_does_not_say_who_locks_the_file_does(gate: Gate, tmp_path: Path) -> None:
    with gate.held():
        pass
    status = (tmp_path / "gate").stat()
    assert _locked_by(status, tmp_path / "no such file") is None
    assert _locked_by(status) is None
    assert gate.holder() == os.getpid()


def test_who_waits_gets_the_gate_when_the_other_process_lets_go(gate: Gate, tmp_path: Path) -> None:
    got = threading.Event()

    def work() -> None:
        with gate.held():
            got.set()

    with Child(_HOLDER, str(tmp_path / "gate")) as holder:
        assert holder.line() == "held"
        thread = threading.Thread(target=work)
        thread.start()
        assert not got.wait(0.05)
        holder.go()
        assert got.wait(WAIT_S)
    thread.join(WAIT_S)


def test_the_gate_of_a_killed_holder_is_free(gate: Gate, tmp_path: Path) -> None:
    with Child(_HOLDER, str(tmp_path / "gate")) as holder:
        assert holder.line() == "held"
        holder.kill()
    with gate.held():
        pass


def test_an_attempt_that_was_given_up_does_not_keep_the_gate(gate: Gate, tmp_path: Path) -> None:
    with Child(_HOLDER, str(tmp_path / "gate")) as holder:
        assert holder.line() == "held"
        with pytest.raises(Busy), gate.held(0.01):
            pass
        holder.go()
        assert holder.line() == "free"
    with gate.held():  # the abandoned attempt may have had it for a moment
        pass


_FORKER = """
import os, sys, threading; from pathlib import Path; from journal import gate as g; from journal.errors import Busy
path = Path(sys.argv[1]); gate, other = g.Gate(path), g.Gate(path); up = os.pipe(); got = threading.Event()
def wait():
    with other.held(60): got.set(); threading.Event().wait()
inside = gate.held(); inside.__enter__()
if sys.argv[2] == "waiting":
    threading.Thread(target=wait, daemon=True).start()
    while not g._WAITING: pass
if os.fork() == 0:
    try:
        with gate.held(0.01): print("child holds it", flush=True)
    except Busy as busy: print("busy", busy.holder == os.getppid(), flush=True)
    os.write(up[1], b"x"); os.read(0, 1); os._exit(0)
os.read(up[0], 1)
if sys.argv[2] == "waiting": inside.__exit__(None, None, None); got.wait()
print("forked", flush=True); os._exit(0)
"""


@pytest.mark.parametrize("way", ["holding", "waiting"])
def test_a_child_does_not_hold_the_gate_and_does_not_keep_it_when_its_parent_dies(
    gate: Gate, tmp_path: Path, way: str
) -> None:
    with Child(_FORKER, str(tmp_path / "gate"), way) as parent:
        assert [parent.line(), parent.line()] == ["busy True", "forked"]
        parent.wait()
        with gate.held():
            pass


def test_a_gate_whose_file_was_deleted_is_met_at_the_new_one(gate: Gate, tmp_path: Path) -> None:
    with gate.held():
        pass
    (tmp_path / "gate").unlink()
    with gate.held():
        assert (tmp_path / "gate").stat().st_size == 20
    other = Gate(tmp_path / "gate")
    with gate.held(), pytest.raises(Busy), other.held(0.01):
        pass
    other.close()


def test_a_gate_is_let_go_when_the_work_inside_fails(gate: Gate) -> None:
    with pytest.raises(ZeroDivisionError), gate.held():
        raise ZeroDivisionError
    with gate.held(0.01):
        pass


def test_a_gate_that_cannot_name_its_holder_works_all_the_same(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr("journal.gate.os.pwrite", full)
        with gate.held():
            pass
    other = Gate(tmp_path / "gate")
    with other.held(0.01):
        pass
    other.close()


def test_a_gate_without_a_folder_is_disk_trouble(tmp_path: Path) -> None:
    with pytest.raises(DiskTrouble):
        Gate(tmp_path / "none" / "gate")
