"""The keeper over a made-up system: whom it starts, when, by which command, and whom it tells."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks import hanging, runtimes
from gateway_hooks.hanging import SAMPLE_S, Without
from gateway_hooks.keeper import Keeper, Unstartable
from gateway_hooks.kept import Kept
from gateway_hooks.process import Liveness
from gateway_hooks.settling import settle
from journal import events as e
from journal.errors import Busy, DiskTrouble, HandoffError
from journal.events import Process
from journal.record import Draft, Receipt, Stamp, Writer
from journal.store import Journal, Reader, create
from tests.builders import DIGESTS, connected, flushed, health, paused, process, started

COMMAND = (sys.executable, "-m", "some_gateway")


class TooLong(BaseException):
    """Nothing comes of it; no keeper goes on over that."""


class Street:
    """Clock, processes and signals, as ``System`` and ``Family`` are for a keeper."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.status: dict[Process, Liveness] = {}
        self.codes: dict[Process, int] = {}
        self.started: list[tuple[float, Process, list[str], Mapping[str, str]]] = []
        self.sent: list[tuple[Process, int]] = []
        self.signals: list[int] = []
        self._heard: list[int] = []
        self.broken = False

    def now(self) -> Stamp:
        return Stamp(int(self.now_s * 1e9), int(self.now_s * 1e9))

    def me(self) -> Process:
        return process(99)

    def probe(self, who: Process) -> Liveness:
        return self.status.get(who, "dead")

    def watch(self, who: Process, gone: object) -> None: ...

    def end(self, who: Process) -> None:
        self.status[who], self.codes[who] = "dead", -9

    def send(self, who: Process, number: int) -> None:
        self.sent.append((who, number))

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> Process:
        if self.broken:
            raise HandoffError("cannot start it")
        who = process(100 + len(self.started))
        self.status[who] = "running"
        self.started.append((self.now_s, who, list(command), env))
        return who

    def reap(self) -> dict[Process, int]:
        codes, self.codes = self.codes, {}
        return codes

    def heard(self) -> list[int]:
        numbers, self._heard = self._heard, []
        return numbers

    def wait(self, timeout_s: float) -> None:
        self._heard, self.signals = [*self._heard, *self.signals], []
        self.now_s += timeout_s
        if self.now_s > 10_000.0:
            raise TooLong

    def poke(self) -> None: ...


class Parish:
    """A home, its street, and the keeper that minds it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.street = folder, Street()
        create(folder, at_ns=1)
        self.journal = Journal(folder, self.street.now)
        self.keeper = self.a_keeper()

    def a_keeper(self) -> Keeper:
        street: Any = self.street
        return Keeper(self.folder, COMMAND, {"PATH": "/bin"}, street, street, steady_s=5.0)

    def say(self, who: Process, *events: e.Event) -> int:
        return self.journal.append(*map(Draft, events), writer=Writer(who, "operator"))[-1].seq

    def steps(self, until: int = 0, *, most: int = 400) -> int | None:
        """Let it go on until it has nothing more to do at once, or has started that many; its exit code when it has left."""
        for _ in range(most):
            code = self.keeper._step()
            if code is not None:
                return code
            if until and len(self.street.started) >= until:
                return None
        return None

    def latest(self) -> Process:
        return self.street.started[-1][1]

    def serve(self) -> Process:
        """The latest that was started takes the seat of blue, and samples."""
        who = self.latest()
        self.say(who, started(), connected(), health())
        self.keeper._step()
        return who

    def dies(self, who: Process, code: int) -> None:
        self.street.status[who], self.street.codes[who] = "dead", code

    def bake(self) -> tuple[Process, Process]:
        """A handoff has come to its bake: (blue, green)."""
        blue, green = self.serve(), process(7)
        self.street.status[green] = "running"
        self.say(process(8), e.HandoffRequested(handoff="h1", runtime="next", bake_s=3600.0))
        self.say(blue, e.GreenSpawned(green=green), e.HandoffInit(green=green))
        self.say(green, started("green", serving=False).model_copy(update={"runtime": "next"}))
        seq = self.say(blue, flushed())
        self.say(green, e.HandoffAck(flushed_seq=seq, digests=DIGESTS))
        self.say(blue, paused(), e.HandoffActive(turns=0))
        seq = self.say(green, connected(), health())
        self.say(green, e.HandoffConfirm(samples=(seq,)))
        self.keeper._step()
        return blue, green


@pytest.fixture
def parish(tmp_path: Path) -> Iterator[Parish]:
    found = Parish(tmp_path / "handoff")
    yield found
    found.journal.close()


def test_one_that_fails_to_start_is_started_again_ever_more_slowly(parish: Parish) -> None:
    times = []
    for number in range(1, 6):
        parish.steps(until=number)
        times.append(parish.street.now_s)
        parish.dies(parish.latest(), 1)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [1, 2, 4, 8]


def test_one_that_served_for_long_is_started_again_at_once(parish: Parish) -> None:
    parish.steps(until=1)
    first = parish.serve()
    parish.street.now_s += 10.0
    parish.dies(first, -9)
    at = parish.street.now_s
    parish.steps(until=2)
    assert parish.street.started[-1][0] - at < 1.0


@pytest.mark.parametrize(("code", "left"), [(0, 0), (78, 78)])
def test_it_leaves_with_a_gateway_that_wants_no_other(parish: Parish, code: int, left: int) -> None:
    parish.steps(until=1)
    parish.dies(parish.serve(), code)
    assert parish.steps() == left
    assert len(parish.street.started) == 1


def test_one_that_asks_to_be_started_again_is(parish: Parish) -> None:
    parish.steps(until=1)
    parish.dies(parish.serve(), 75)
    at = parish.street.now_s
    assert parish.steps(until=2) is None
    assert parish.street.started[1][0] == at


def test_term_goes_to_all_and_usr1_to_the_one_that_serves(parish: Parish) -> None:
    parish.steps(until=1)
    blue, green = parish.bake()
    parish.street.signals = [signal.SIGUSR1]
    parish.keeper._step()
    assert parish.street.sent == [(green, signal.SIGUSR1)]
    parish.street.signals = [signal.SIGTERM]
    parish.keeper._step()
    assert set(parish.street.sent[1:]) == {(blue, signal.SIGTERM), (green, signal.SIGTERM)}
    parish.dies(blue, 0)
    assert parish.steps(most=5) is None
    parish.dies(green, 3)
    assert parish.steps() == 3
    assert len(parish.street.started) == 1


def test_nobody_is_started_in_the_turn_in_which_it_hears_that_it_ends(parish: Parish) -> None:
    parish.steps(until=1)
    parish.dies(parish.latest(), 1)
    parish.keeper._step()
    parish.street.now_s += 5.0  # by now it would be started again
    parish.street.signals = [signal.SIGTERM]
    assert parish.steps(most=5) == 1
    assert len(parish.street.started) == 1


def test_a_signal_that_ended_the_last_gateway_is_told_as_a_shell_tells_it(parish: Parish) -> None:
    parish.steps(until=1)
    blue = parish.serve()
    parish.street.signals = [signal.SIGTERM]
    parish.keeper._step()
    parish.dies(blue, -15)
    parish.keeper._listen = lambda: None  # type: ignore[method-assign]
    assert parish.keeper.run() == 143


def test_in_the_bake_greens_runtime_is_started_by_its_name_and_after_three_failures_the_old_one(parish: Parish) -> None:
    (parish.folder / "runtimes.toml").write_text(
        f'[next]\npython = "{sys.executable}"\ncommand = ["-m", "next_gateway"]\n'
    )
    parish.steps(until=1)
    for who in parish.bake():
        parish.dies(who, -9)
    for number in (2, 3, 4):
        parish.steps(until=number)
        _, who, command, env = parish.street.started[-1]
        assert command == [sys.executable, "-m", "next_gateway"]
        assert env[runtimes.RUNTIME] == "next"
        parish.dies(who, 1)
    parish.steps(until=5)
    assert parish.street.started[-1][2] == list(COMMAND)
    assert parish.journal.catch_up().phase == "rolling_back"


def test_a_runtime_whose_name_is_gone_is_replaced_by_the_command(parish: Parish) -> None:
    parish.steps(until=1)
    for who in parish.bake():
        parish.dies(who, -9)
    parish.steps(until=2)
    assert parish.street.started[-1][2] == list(COMMAND)


def test_a_blue_that_dies_again_and_again_beside_a_serving_green_is_not_started_without_a_pause(parish: Parish) -> None:
    parish.steps(until=1)
    blue, _ = parish.bake()
    parish.say(process(8), e.HandoffRollback(phase="baking", reason="operator"))
    parish.dies(blue, -9)
    times = []
    for number in (2, 3, 4):
        parish.steps(until=number)
        who = parish.latest()
        parish.keeper._settle("blue", "died")
        parish.say(who, started(serving=False))
        parish.keeper._step()
        times.append(parish.street.now_s)
        parish.dies(who, 1)
    assert times[1] - times[0] >= 1.0
    assert times[2] - times[1] >= 2.0


def test_a_green_that_leaves_after_it_gave_back_does_not_end_the_keeper_though_blue_died_in_that_moment(
    parish: Parish,
) -> None:
    parish.steps(until=1)
    blue, green = parish.bake()
    parish.say(process(8), e.HandoffRollback(phase="baking", reason="operator"))
    parish.say(green, paused())
    seq = parish.say(green, flushed())
    parish.say(blue, e.BlueServing(flushed_seq=seq, digests=DIGESTS))
    parish.dies(blue, -9)
    parish.say(green, *[d.event for d in settle(parish.journal.catch_up(), "blue", blue, "died")], e.ProcessExited())
    parish.dies(green, 0)
    assert parish.steps(until=2) is None
    assert len(parish.street.started) == 2


def _complete(parish: Parish) -> Process:
    """A handoff is over, its blue has gone: green, who serves."""
    blue, green = parish.bake()
    seq = parish.say(green, health())
    parish.say(process(8), e.HandoffCompleteRequested())
    parish.say(blue, e.HandoffComplete(sample=seq))
    parish.say(blue, e.ProcessExited())
    parish.dies(blue, 0)
    parish.keeper._step()
    return green


def test_a_green_that_an_operator_has_put_in_the_place_of_the_dead_is_never_taken_for_it(parish: Parish) -> None:
    parish.steps(until=1)
    old, new = _complete(parish), process(9)
    parish.street.status[new] = "running"
    parish.dies(old, -9)
    probe = parish.street.probe

    def looks(who: Process) -> Liveness:
        if who == old and parish.journal.head.green == old:  # the operator's word comes while the keeper looks
            named = Draft(e.GreenSpawned(green=new)), Draft(e.HandoffInit(green=new))
            asked = Draft(e.HandoffRequested(handoff="h2", runtime="same", bake_s=0.0))
            lost = settle(parish.journal.catch_up(), "blue", old, "ended_silent")
            parish.journal.append(asked, *lost, *named, writer=Writer(process(8), "operator"))
        return probe(who)

    parish.street.probe = looks  # type: ignore[method-assign]
    parish.steps(most=10)
    with closing(Reader(parish.folder / "journal.db")) as reader:
        assert [r.event.process for r in reader.all() if isinstance(r.event, e.ProcessLost)] == [old]
    assert parish.journal.catch_up().expected_green == new


def test_only_who_was_seen_dead_is_settled(parish: Parish) -> None:
    parish.steps(until=1)
    blue = parish.serve()
    parish.keeper._settle("blue", "died")
    assert parish.journal.catch_up().blue == blue
    parish.dies(blue, -9)
    parish.keeper._settle("blue", "died")
    assert parish.journal.catch_up().blue is None


def test_a_keeper_that_finds_something_to_do_in_every_turn_hears_its_end_all_the_same(
    parish: Parish, monkeypatch: pytest.MonkeyPatch
) -> None:
    parish.steps(until=1)
    blue = parish.serve()
    monkeypatch.setattr(parish.keeper, "_acted", lambda _action: True)  # and nothing comes of it
    parish.dies(blue, -9)
    parish.street.signals = [signal.SIGTERM]
    assert parish.steps(most=5) == -9


def test_a_word_that_was_said_by_somebody_else_meanwhile_makes_it_wait(
    parish: Parish, monkeypatch: pytest.MonkeyPatch
) -> None:
    parish.steps(until=1)
    blue = parish.serve()
    parish.dies(blue, -9)
    parish.journal.append(
        *settle(parish.journal.catch_up(), "blue", blue, "died"), writer=Writer(process(8), "operator")
    )
    monkeypatch.setattr(parish.keeper, "_read", lambda: None)  # it has not seen that yet
    began_s = parish.street.now_s
    parish.steps(most=10)
    assert parish.street.now_s - began_s > 1.0


def test_a_stopped_gateway_that_never_sat_down_is_ended(parish: Parish) -> None:
    parish.steps(until=1)
    parish.street.status[parish.latest()] = "stopped"
    parish.steps(until=2)
    assert parish.street.status[parish.street.started[0][1]] == "dead"


def test_a_gateway_at_rest_that_hangs_is_ended_and_started_again(parish: Parish) -> None:
    parish.steps(until=1)
    assert parish.street.started[0][3][SAMPLE_S] == "60"
    hung = parish.serve()
    since = parish.street.now_s
    parish.steps(until=2, most=2000)
    assert parish.street.status[hung] == "dead"
    assert 330.0 <= parish.street.started[1][0] - since < 340.0
    with closing(Reader(parish.folder / "journal.db")) as reader:
        assert [r.event.how for r in reader.all() if isinstance(r.event, e.ProcessLost)] == ["ended_silent"]


def test_a_gateway_that_gives_a_sign_of_life_while_it_is_tried_whether_it_could_is_left_alone(
    parish: Parish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To try that takes as long as the disk does."""
    parish.steps(until=1)
    slow = parish.serve()
    since, tried = parish.street.now_s, hanging.may_write

    def wakes(folder: Path, who: Process) -> bool:
        if 330.0 <= parish.street.now_s - since < 340.0:  # now it would be sure
            parish.say(slow, health())
        return tried(folder, who)

    monkeypatch.setattr(hanging, "may_write", wakes)
    while parish.street.now_s - since < 400.0:
        parish.steps(most=5)
    assert parish.street.status[slow] == "running"


def test_whom_it_has_ended_is_not_said_to_have_died_when_that_can_be_written_only_later(
    parish: Parish, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, busy = Journal.append, [Busy("held", holder=None)]

    def once(journal: Journal, *drafts: Draft, writer: Writer) -> tuple[Receipt, ...]:
        if busy and isinstance(drafts[0].event, e.ProcessLost):
            raise busy.pop()
        return append(journal, *drafts, writer=writer)

    parish.steps(until=1)
    parish.serve()
    monkeypatch.setattr(Journal, "append", once)
    parish.steps(until=2, most=2000)
    parish.steps(most=50)
    with closing(Reader(parish.folder / "journal.db")) as reader:
        assert [r.event.how for r in reader.all() if isinstance(r.event, e.ProcessLost)] == ["ended_silent"]


def test_one_that_was_stopped_twice_for_a_moment_is_not_ended_for_both_together(parish: Parish) -> None:
    parish.steps(until=1)
    who = parish.serve()
    for _ in range(2):
        parish.street.status[who] = "stopped"
        began_s = parish.street.now_s
        while parish.street.now_s - began_s < 10.0:
            parish.keeper._step()
        assert parish.street.status[who] == "stopped", "15 s are the measure, at rest"
        parish.street.status[who] = "running"
        parish.keeper._step()


def test_after_a_pause_in_which_nobody_ran_nobody_is_ended_for_his_silence(parish: Parish) -> None:
    parish.steps(until=1)
    blue, green = parish.bake()
    parish.dies(blue, -9)
    parish.say(green, *[d.event for d in settle(parish.journal.catch_up(), "blue", blue, "died")])
    parish.keeper._step()
    parish.street.now_s += 600.0
    for _ in range(20):
        parish.keeper._step()
    assert parish.street.status[green] == "running"
    parish.steps(most=200)
    assert parish.street.status[green] == "dead", "it is silent, and the keeper has seen that"


def test_what_could_not_be_written_is_said_once_it_can(parish: Parish, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskTrouble("the disk is full")

    parish.steps(until=1)
    blue = parish.serve()
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        parish.dies(blue, -9)
        parish.steps(until=2)
        parish.steps(most=5)
    assert parish.journal.catch_up().blue == blue
    parish.steps(most=100)
    assert parish.journal.catch_up().blue is None


def test_where_nobody_counts_as_hung_no_silence_is_too_long(parish: Parish) -> None:
    os.close(parish.keeper._lock or -1)
    street: Any = parish.street
    parish.keeper = Keeper(parish.folder, COMMAND, {}, street, street, hung_s=0.0)
    parish.steps(until=1)
    assert parish.street.started[0][3][SAMPLE_S] == "60"
    silent = parish.serve()
    parish.steps(until=2, most=2000)
    assert parish.street.now_s > 1000.0
    assert parish.street.status[silent] == "running"


def test_a_gateway_that_goes_on_without_the_journal_is_left_alone(parish: Parish) -> None:
    parish.steps(until=1)
    without = parish.serve()
    Without(parish.folder, without).show(True)
    parish.steps(until=2, most=2000)
    assert parish.street.status[without] == "running"
    Without(parish.folder, process(55)).show(True)  # of another process: it says nothing of this one
    parish.steps(until=2, most=2000)
    assert parish.street.status[without] == "dead"


def test_a_silent_gateway_is_left_alone_where_nobody_can_write(parish: Parish, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    parish.steps(until=1)
    silent = parish.serve()
    monkeypatch.setattr("os.fsync", full)
    parish.steps(until=2, most=2000)
    assert parish.street.status[silent] == "running"


def test_a_home_without_a_journal_is_kept_all_the_same(tmp_path: Path) -> None:
    street: Any = Street()
    keeper = Keeper(tmp_path / "handoff", COMMAND, {}, street, street)
    for _ in range(3):
        keeper._step()
    assert len(street.started) == 1
    street.status[street.started[0][1]] = "dead"
    for _ in range(20):
        keeper._step()
    assert len(street.started) == 2


@pytest.mark.parametrize(
    "error", [HandoffError("the disk is full"), ImportError("upgraded under us")], ids=["full", "gone"]
)
def test_a_journal_that_cannot_be_written_keeps_nobody_from_being_started(
    parish: Parish, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    parish.steps(until=1)
    blue = parish.serve()
    monkeypatch.setattr(Journal, "append", full)
    parish.dies(blue, -9)
    assert parish.steps(until=2) is None
    assert len(parish.street.started) == 2


@pytest.mark.parametrize("named", [True, False], ids=["kept before", "kept for the first time"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_cannot_be_written_keeps_nobody_from_being_started_and_a_second_keeper_out(
    parish: Parish, monkeypatch: pytest.MonkeyPatch, number: int, named: bool
) -> None:
    is_open = os.open

    def refused(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).name == "keeper" and flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(number, os.strerror(number), str(path))
        return is_open(path, flags, mode)

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    os.close(parish.keeper._lock or -1)
    if not named:
        (parish.folder / "keeper").unlink()
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(os, "pwrite", full)
    again = parish.a_keeper()
    again._step()
    assert len(parish.street.started) == 1
    with pytest.raises(Kept, match="keeps this home already"):
        parish.a_keeper()


def test_the_orphans_that_a_keeper_reaps_as_pid_1_are_not_remembered_for_ever(parish: Parish) -> None:
    parish.steps(until=1)
    for pid in range(1000, 2000):
        parish.street.codes[process(pid)] = 0
        parish.keeper._step()
    assert len(parish.keeper._codes) < 500


def test_what_cannot_be_started_at_first_is_said_and_later_tried_again(parish: Parish) -> None:
    parish.steps(until=1)
    parish.dies(parish.serve(), -9)
    parish.street.broken = True
    parish.steps(most=20)
    parish.street.broken = False
    parish.steps(until=2)
    assert len(parish.street.started) == 2
    parish.street.broken = True
    with pytest.raises(Unstartable):
        _fresh(parish)._step()


def _fresh(parish: Parish) -> Keeper:
    street: Any = parish.street
    return Keeper(parish.folder / "nowhere", COMMAND, {}, street, street)
