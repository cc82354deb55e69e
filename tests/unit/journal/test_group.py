"""Threads that append at once share a transaction: each all or none, each refused on its own, none acknowledged too early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from journal.bell import read_head
from journal.errors import Busy, DiskTrouble, HandoffError, IllegalTransition, KeyConflict, Refused, Tampered, twin
from journal.gate import Gate
from journal.group import Line, Request
from journal.record import Draft, Receipt, Writer
from journal.store import Journal, Reader
from journal.verify import verify
from tests.builders import BLUE, OPERATOR, WAIT_S, Child, accepted, connected, preflight, started, writer

NOTE, THEM, US = Draft(preflight()), writer(OPERATOR), writer(BLUE)
SERVE = (Draft(started()), Draft(connected()))
SEATLESS = Draft(connected("elsewhere"))
"""Refused to whoever does not own the adapters."""


class _Caller(threading.Thread):
    """One thread, one append."""

    def __init__(self, journal: Journal, *drafts: Draft, writer: Writer = THEM) -> None:
        super().__init__(daemon=True)
        self._journal, self._drafts, self._writer = journal, drafts, writer
        self.receipts: tuple[Receipt, ...] = ()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.receipts = self._journal.append(*self._drafts, writer=self._writer)
        except BaseException as error:
            self.error = error

    def seqs(self) -> list[int]:
        self.join(WAIT_S)
        assert not self.is_alive()
        assert self.error is None, self.error
        return [receipt.seq for receipt in self.receipts]

    def failure(self) -> BaseException | None:
        self.join(WAIT_S)
        assert not self.is_alive()
        return self.error


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(int(WAIT_S / 0.002)):
        if holds():
            return
        threading.Event().wait(0.002)
    raise AssertionError("it never came to pass")


@pytest.fixture
def shut(journal: Journal) -> Iterator[Gate]:
    """The gate in other hands, and one thread that waits before it: whoever comes now stands in line."""
    with closing(Gate(journal.folder / "gate")) as gate:
        yield gate


def _line_up(journal: Journal, *appends: tuple[Sequence[Draft], Writer]) -> list[_Caller]:
    """Callers that came one after the other; the first waits for the gate, the others stand in line behind it."""
    callers: list[_Caller] = []
    for number, (drafts, who) in enumerate(appends):
        callers.append(_Caller(journal, *drafts, writer=who))
        _until(lambda n=number: journal._line.free.locked() and len(journal._line._waiting) == n)  # type: ignore[misc]
    return callers


def test_who_comes_during_an_append_shares_the_next_transaction_in_the_order_of_coming(
    journal: Journal, shut: Gate
) -> None:
    commits: list[str] = []
    with shut.held():
        callers = _line_up(journal, *[([NOTE] * size, THEM) for size in (1, 2, 1, 3, 1)])
        journal._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    assert [caller.seqs() for caller in callers] == [[1], [2, 3], [4], [5, 6, 7], [8]]
    assert len(commits) == 2
    assert read_head(journal.folder / "bell") == (8, journal.head.hash)


def test_one_who_is_refused_among_others_is_refused_alone_and_leaves_nothing(journal: Journal, shut: Gate) -> None:
    journal.append(Draft(preflight(), key="taken"), writer=THEM)
    with shut.held():
        callers = _line_up(
            journal,
            ([NOTE], THEM),
            ([NOTE], THEM),
            ([NOTE, NOTE, SEATLESS], THEM),
            ([Draft(started(), key="taken")], US),
            (SERVE, US),
        )
    assert [callers[n].seqs() for n in (0, 1, 4)] == [[2], [3], [4, 5]]
    assert isinstance(callers[2].failure(), Refused)
    assert isinstance(callers[3].failure(), KeyConflict)
    with closing(Reader(journal.path)) as reader:
        assert [record.type for record in reader.all()] == [
            *["PREFLIGHT_CHECKED"] * 3, "PROCESS_STARTED", "ADAPTER_CONNECTED",
        ]  # fmt: skip
        assert verify(reader, head=read_head(journal.folder / "bell")).good


def test_what_cannot_be_encoded_fails_its_own_caller_alone(journal: Journal, shut: Gate) -> None:
    bad = preflight().model_copy(update={"findings": (object(),)})
    with shut.held():
        callers = _line_up(journal, ([NOTE], THEM), ([NOTE, Draft(bad)], THEM), ([NOTE], THEM))
    assert [callers[n].seqs() for n in (0, 2)] == [[1], [2]]
    assert callers[1].failure() is not None


def test_a_group_is_checked_one_after_the_other(journal: Journal, shut: Gate) -> None:
    """The first one takes the seat; the second, which was as good when it came, is refused for it."""
    with shut.held():
        callers = _line_up(journal, ([NOTE], THEM), (SERVE, US), (SERVE, US), ([accepted(1)], US))
    assert [callers[n].seqs() for n in (0, 1, 3)] == [[1], [2, 3], [4]]
    assert isinstance(callers[2].failure(), IllegalTransition)


def test_the_same_message_from_two_threads_stands_once(journal: Journal, shut: Gate) -> None:
    journal.append(*SERVE, writer=US)
    message = accepted(1, key=True)
    with shut.held():
        callers = _line_up(journal, ([NOTE], THEM), ([message], US), ([message], US))
    assert [caller.seqs() for caller in callers] == [[3], [4], [4]]
    assert [caller.receipts[0].known for caller in callers] == [False, False, True]


def test_a_disk_that_is_full_fails_all_who_share_the_transaction(journal: Journal, shut: Gate) -> None:
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    with shut.held():
        callers = _line_up(journal, ([NOTE], THEM), ([NOTE], THEM), ([NOTE] * 200, THEM), ([NOTE], THEM))
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    assert callers[0].seqs() == [1]
    errors = [caller.failure() for caller in callers[1:]]
    assert [type(error) for error in errors] == [DiskTrouble] * 3
    assert len({id(error) for error in errors}) == 3, "each has an error of its own"
    journal._connection.execute("PRAGMA max_page_count = 100000")
    assert [receipt.seq for receipt in journal.append(NOTE, writer=THEM)] == [2]


def test_a_gate_that_is_not_free_in_time_fails_all_who_wait_by_one_wait(
    journal: Journal, shut: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would wait as long in vain, one after the other."""
    waits, lined_up, real = list[float](), threading.Event(), Gate._wait

    def wait(gate: Gate, limit: float) -> None:
        waits.append(limit)
        assert lined_up.wait(WAIT_S)
        real(gate, 0.01)

    monkeypatch.setattr(Gate, "_wait", wait)
    with shut.held():
        callers = _line_up(journal, *[([NOTE], THEM)] * 5)
        lined_up.set()
        errors = [caller.failure() for caller in callers]
    assert [type(error) for error in errors] == [Busy] * 5
    assert len(waits) == 2, "the first comer's, and the leader's"
    assert [receipt.seq for receipt in journal.append(NOTE, writer=THEM)] == [1]


def test_a_group_is_no_larger_than_its_limit(journal: Journal, shut: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journal.store.GROUP", 2)
    commits: list[str] = []
    with shut.held():
        callers = _line_up(journal, *[([NOTE], THEM)] * 7)
        journal._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    assert [caller.seqs() for caller in callers] == [[n] for n in range(1, 8)]
    assert len(commits) == 3, "one alone, then leaders with two others each"


def test_who_wants_the_journal_alone_waits_in_the_same_line(journal: Journal, shut: Gate) -> None:
    seen: list[int] = []
    tidy = threading.Thread(target=lambda: seen.append(journal.catch_up().seq), daemon=True)
    with shut.held():
        callers = _line_up(journal, ([NOTE], THEM), ([NOTE], THEM))
        tidy.start()
        _until(lambda: len(journal._line._waiting) == 2)
        callers.append(_Caller(journal, NOTE))
        _until(lambda: len(journal._line._waiting) == 3)
    assert [caller.seqs() for caller in callers] == [[1], [2], [3]]
    tidy.join(WAIT_S)
    assert seen == [2]


def test_a_leader_that_is_interrupted_leaves_the_others_to_the_next(
    journal: Journal, shut: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, interrupted = Journal._in_order, threading.Event()

    def in_order(self: Journal, group: Sequence[Request], stamp: object) -> None:
        if len(group) > 1 and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        real(self, group, stamp)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "_in_order", in_order)
    with shut.held():
        callers = _line_up(journal, *[([NOTE], THEM)] * 4)
    assert isinstance(callers[1].failure(), KeyboardInterrupt)
    assert [callers[n].seqs() for n in (0, 2, 3)] == [[1], [2], [3]]


def test_a_leader_that_is_interrupted_once_all_stands_leaves_nobody_to_be_written_again(
    journal: Journal, shut: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, interrupted = Journal._in_order, threading.Event()

    def in_order(self: Journal, group: Sequence[Request], stamp: object) -> None:
        real(self, group, stamp)  # type: ignore[arg-type]
        if len(group) > 1 and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "_in_order", in_order)
    with shut.held():
        callers = _line_up(journal, *[([NOTE] * n, THEM) for n in (1, 1, 2)], ([SEATLESS], THEM), ([NOTE], THEM))
    assert isinstance(callers[1].failure(), KeyboardInterrupt)
    assert [callers[n].seqs() for n in (0, 2, 4)] == [[1], [3, 4], [5]]
    assert isinstance(callers[3].failure(), Refused)
    assert journal.catch_up().seq == 5


class _Interrupted:
    """A lock whose waiter is interrupted once, at the moment that ``at`` names."""

    def __init__(self, real: threading.Lock, at: Callable[[], None]) -> None:
        self._real, self._at = real, at

    def acquire(self) -> bool:
        if self._at is not None:
            at, self._at = self._at, None  # type: ignore[assignment]
            at()
            raise KeyboardInterrupt
        return self._real.acquire()

    def release(self) -> None:
        self._real.release()


def test_a_waiter_that_is_interrupted_leaves_the_line() -> None:
    line, request = Line(), Request((NOTE,), THEM)
    line.free.acquire()
    request.wake = _Interrupted(request.wake, lambda: None)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        line.wait(request)
    assert line.take(10) == []
    line.leave()
    assert not line.free.locked()


def test_a_waiter_that_is_interrupted_as_it_is_called_calls_the_next() -> None:
    line, request, other = Line(), Request((NOTE,), THEM), Request((NOTE,), THEM)
    line.free.acquire()

    def called() -> None:
        line._waiting.append(other)
        line.leave()

    request.wake = _Interrupted(request.wake, called)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        line.wait(request)
    assert request.leads
    assert other.leads
    assert line.free.locked()


def test_an_error_for_another_thread_is_the_same_and_not_the_very_one() -> None:
    errors: list[HandoffError] = [
        Tampered("seq 3 follows seq 1", seq=2, hint="look"), Busy("held", holder=7, hint="end it"), DiskTrouble("full"),
    ]  # fmt: skip
    for error in errors:
        other = twin(error)
        assert other is not error
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


HERD = """
import sys, threading
from pathlib import Path
from journal.store import Journal; from journal.record import Draft, Stamp; from journal.errors import Refused
from tests.builders import OPERATOR, connected, preflight, writer
journal = Journal(Path(sys.argv[1]), lambda: Stamp(1, 1))
out, us = threading.Lock(), writer(OPERATOR)
def run(name):
    for n in range(int(sys.argv[2])):
        pair = [Draft(preflight(), key=f"{name}:{n}:{part}") for part in "ab"]
        receipts = journal.append(*pair, writer=us)
        with out:
            print(name, n, *[r.seq for r in receipts], flush=True)
        try:
            journal.append(pair[0], Draft(connected()), writer=us)
        except Refused:
            continue
        print("not refused", flush=True)
threads = [threading.Thread(target=run, args=(str(k),)) for k in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]
journal.close(); print("done", flush=True)
"""


def test_six_threads_beside_another_process_lose_nothing_and_double_nothing(folder: Path) -> None:
    with Child(HERD, str(folder), "20") as one, Child(HERD.replace('"{name}', '"x{name}'), str(folder), "20") as two:
        said = []
        for child in (one, two):
            while (line := child.line()) != "done":
                said.append(line)
    assert len(said) == 2 * 6 * 20
    seqs = sorted(int(seq) for line in said for seq in line.split()[2:])
    assert seqs == list(range(1, 2 * 6 * 20 * 2 + 1))
    with closing(Reader(folder / "journal.db")) as reader:
        assert verify(reader, head=read_head(folder / "bell")).good


@pytest.mark.parametrize("after", [1, 7, 23])
def test_threads_whose_process_is_killed_lose_nothing_that_was_acknowledged(folder: Path, after: int) -> None:
    with Child(HERD, str(folder), "1000") as herd:
        said = [herd.line() for _ in range(after)]
        said += herd.kill()
    with closing(Reader(folder / "journal.db")) as reader:
        keys = {record.seq: record.key for record in reader.all()}
        assert verify(reader, head=None).good
    for line in said:
        name, n, *seqs = line.split()
        assert [keys[int(seq)] for seq in seqs] == [f"{name}:{n}:a", f"{name}:{n}:b"]
    whole = [key for key in keys.values() if key and key.endswith(":a")]
    assert len(keys) == 2 * len(whole), "each append stands whole or not at all"
