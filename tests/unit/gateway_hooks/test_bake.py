"""A bake of 24 hours over a clock that is told what time it is: both managers, a journal on disk, gateways that are idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway_hooks.gateway import AdapterInfo, Flushed, Health, Identity, Update
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import Manager
from gateway_hooks.process import Liveness
from gateway_hooks.settling import settle
from journal import events as e
from journal.errors import Busy, DiskTrouble, IllegalTransition
from journal.events import Process, Side
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Record, Stamp, Writer
from journal.store import Journal, Reader, create, read_key
from replay.check import check
from replay.fold import State, fold
from tests.builders import OPERATOR, process
from tests.unit.gateway_hooks.idle import IdleGateway

DAY_S = 24 * 3600.0
LIMITS = e.Limits(sample_s=300.0, silent_s=1000.0, active_s=600.0)


class Polling(IdleGateway):
    """Idle but for its polls, and for what a test tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = 0
        self.rss_mb = 80.0

    def identity(self) -> Identity:
        return Identity("idle", "1", (AdapterInfo("telegram", "1", "warm"),))

    def connect(self) -> Mapping[str, int | None]:
        self.polls = 1
        return {}

    def flush(self) -> tuple[Flushed, ...]:
        return (Flushed("routing", 1, "ab" * 32),)

    load = flush

    def sample(self) -> Health:
        self.polls += 6 if self.polls else 0
        return Health(0.1, 0, 0, 0, 0, self.rss_mb, {"telegram:1": self.polls})


class Town:
    """A world of which only the time and who lives is real."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at_s, self.boot = folder, 0.0, "a-boot"
        self.booted_s = 0.0
        self.dead: set[Process] = set()
        self.gateways: dict[Process, Polling] = {}
        self.sides: dict[Process, Manager] = {}
        self.journals: list[Journal] = []
        create(folder, at_ns=1)

    # ---- the operating system

    def now(self) -> Stamp:
        return Stamp(1_700_000_000_000_000_000 + round(self.at_s * 1e9), round((self.at_s - self.booted_s + 500) * 1e9))

    def me(self) -> Process:
        raise AssertionError("a town is nobody")

    def identify(self, pid: int) -> Process | None:
        return None

    def probe(self, process: Process) -> Liveness:
        return "dead" if process in self.dead or process.boot != self.boot else "running"

    def end(self, process: Process) -> None:
        self.kill(process)

    def exit_code(self, process: Process, *, wait_s: float = 0.0) -> int | None:
        return None

    def watch(self, process: Process, gone: Callable[[], None]) -> None:
        return

    def spawn_green(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        raise AssertionError("the spawner does it")

    # ---- what a test does

    def start(self, who: Process, side: Side, *, serving: bool) -> Polling:
        """A gateway process takes that seat."""
        journal = Journal(self.folder, self.now)
        self.journals.append(journal)
        writer = Writer(who, side)
        head = journal.catch_up()
        drafts = [
            d
            for s in ("blue", "green")
            if (p := head.process(s)) and self.probe(p) == "dead"
            for d in settle(head, s, p, "died")
        ]
        started = e.ProcessStarted(side=side, serving=serving, gateway="idle", version="1", runtime="same")
        journal.append(*drafts, Draft(started), writer=writer)
        gateway = self.gateways[who] = Polling()
        inbox = Inbox(journal, Pseudonyms(read_key(self.folder)), writer, lambda n: b"0" * n, taking=serving)
        self.sides[who] = Manager(journal, gateway, inbox, self, writer, lambda _: self.spawned(), polling=False)
        return gateway

    def spawned(self) -> Process:
        return process(50)

    def kill(self, who: Process) -> None:
        self.dead.add(who)
        self.sides.pop(who, None)

    def reboot(self) -> None:
        """Everybody is gone, and the monotonic clock begins anew."""
        self.sides.clear()
        self.boot, self.booted_s = "another-boot", self.at_s

    def pass_s(self, seconds: float, step_s: float = 120.0) -> State:
        """Let time pass, and everybody who lives do what there is to do."""
        end = self.at_s + seconds
        while self.at_s < end:
            self.at_s = min(end, self.at_s + step_s)
            self.settle_down()
        return self.state()

    def settle_down(self) -> None:
        acted = True
        while acted:
            acted = max(not manager._over.is_set() and manager.step() for manager in list(self.sides.values()))

    def state(self) -> State:
        return fold(self.records())

    def records(self) -> list[Record]:
        with closing(Reader(self.folder / "journal.db")) as reader:
            return list(reader.all())


BLUE, GREEN = process(1), process(50)


@contextmanager
def a_town(path: Path) -> Iterator[Town]:
    town = Town(path / "handoff")
    try:
        yield town
    finally:
        for journal in town.journals:
            journal.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """An hour of blue, and a handoff that has come to a bake of 24 hours."""
    with a_town(tmp_path) as town:
        town.start(BLUE, "blue", serving=True)
        town.pass_s(3600.0)
        bake(town)
        yield town


def bake(town: Town, **terms: float) -> None:
    asked: list[e.Event] = [e.HandoffRequested(handoff="h1", runtime="next", bake_s=DAY_S, limits=LIMITS)]
    asked += [e.HandoffTerms(**terms)] if terms else []  # type: ignore[arg-type]
    town.journals[0].append(*map(Draft, asked), writer=Writer(OPERATOR, "operator"))
    town.settle_down()
    town.start(GREEN, "green", serving=False)
    assert town.pass_s(300.0, step_s=1.0).head.phase == "baking"


def confirmed_s(town: Town) -> float:
    confirm = town.state().step("HANDOFF_CONFIRM")
    assert confirm is not None
    return (confirm.moment.at_ns - 1_700_000_000_000_000_000) / 1e9


def test_a_bake_of_a_day_is_over_after_a_day_and_not_before(town: Town) -> None:
    began_s = confirmed_s(town)
    assert town.pass_s(began_s + DAY_S - 130.0 - town.at_s).head.phase == "baking"
    state = town.pass_s(600.0)
    assert (state.head.phase, state.head.owner) == ("complete", "green")
    assert not check(town.records()).differences


def test_green_finishes_the_bake_alone_when_blue_dies_in_the_middle(town: Town) -> None:
    began_s = confirmed_s(town)
    town.pass_s(DAY_S / 2)
    town.kill(BLUE)
    assert town.pass_s(began_s + DAY_S - 130.0 - town.at_s).head.phase == "baking"
    state = town.pass_s(600.0)
    assert (state.head.phase, state.steps[-1].role) == ("complete", "green")
    assert not check(town.records()).differences


def test_blue_serves_when_green_dies_in_the_middle_of_the_bake(town: Town) -> None:
    town.pass_s(DAY_S / 2)
    town.kill(GREEN)
    state = town.pass_s(60.0)
    assert (state.head.phase, state.head.owner) == ("rolled_back", "blue")
    assert state.rollback is not None
    assert state.rollback.reason == "green_lost"
    assert town.gateways[BLUE].polls


def test_the_bake_goes_on_over_a_reboot_in_the_middle(town: Town) -> None:
    began_s = confirmed_s(town)
    town.pass_s(DAY_S / 2)
    town.reboot()
    town.at_s += 120.0
    again = Process(pid=7, started=7, boot=town.boot)
    town.start(again, "green", serving=True)
    assert town.pass_s(began_s + DAY_S - 130.0 - town.at_s).head.phase == "baking"
    state = town.pass_s(600.0)
    assert (state.head.phase, state.head.green) == ("complete", again)


def test_a_green_that_leaks_for_hours_is_rolled_back_by_the_rule_on_memory(town: Town) -> None:
    for _ in range(120):
        town.gateways[GREEN].rss_mb += 10.0
        town.pass_s(300.0)
    state = town.state()
    assert state.rollback is not None
    assert state.divergence is not None
    assert (state.head.phase, state.rollback.reason) == ("rolled_back", "divergence")
    assert state.divergence[1].rule == "memory"
    assert not check(town.records()).differences


def test_an_adapter_that_is_down_in_the_night_is_a_reason_to_roll_back(town: Town) -> None:
    town.pass_s(DAY_S / 3, step_s=60.0)
    town.gateways[GREEN].polls = 0
    state = town.pass_s(1200.0, step_s=1.0)
    assert state.divergence is not None
    assert (state.head.phase, state.divergence[1].rule) == ("rolled_back", "adapter")


def test_nobodys_word_within_the_time_rolls_back(tmp_path: Path) -> None:
    with a_town(tmp_path) as town:
        town.start(BLUE, "blue", serving=True)
        town.pass_s(60.0)
        bake(town, confirm_within_s=3600.0)
        began_s = confirmed_s(town)
        assert town.pass_s(began_s + 3590.0 - town.at_s).head.phase == "baking"
        state = town.pass_s(30.0, step_s=1.0)
        assert (state.head.phase, state.head.owner) == ("rolled_back", "blue")
        assert state.rollback is not None
        assert (state.rollback.reason, state.rollback.detail) == ("deadline", "nobody confirmed in time")
        assert not check(town.records()).differences


def test_a_word_in_time_lets_the_bake_go_on_to_its_end(tmp_path: Path) -> None:
    with a_town(tmp_path) as town:
        town.start(BLUE, "blue", serving=True)
        town.pass_s(60.0)
        bake(town, confirm_within_s=3600.0)
        town.pass_s(600.0)
        town.journals[0].append(Draft(e.BakeConfirmed()), writer=Writer(OPERATOR, "operator"))
        assert town.pass_s(DAY_S - 1200.0).head.phase == "baking"
        state = town.pass_s(1200.0)
        assert state.head.phase == "complete"
        assert not check(town.records()).differences


def test_a_bake_that_is_shorter_than_the_time_to_confirm_waits_for_the_word(tmp_path: Path) -> None:
    with a_town(tmp_path) as town:
        town.start(BLUE, "blue", serving=True)
        town.pass_s(60.0)
        bake(town, confirm_within_s=2 * DAY_S)
        assert town.pass_s(DAY_S + 3600.0).head.phase == "baking"
        town.journals[0].append(Draft(e.BakeConfirmed()), writer=Writer(OPERATOR, "operator"))
        assert town.pass_s(600.0).head.phase == "complete"


def test_an_owner_that_never_gets_the_gate_while_nothing_can_be_written_comes_to_serve_alone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side waits for the same lock, and has the gate whenever this one tries."""
    green, end_s = town.sides[GREEN], town.at_s + 5000.0

    def wait(seconds: float) -> None:
        town.at_s += seconds
        if green._inbox.trouble.alone or town.at_s > end_s:
            green.stop()

    def append(*_: object, **__: object) -> None:
        wait(3.0)
        raise Busy("the journal's gate was not free for 3 s")

    monkeypatch.setattr(green._journal, "append", append)
    monkeypatch.setattr(green._bell, "wait", wait)
    green._inbox.trouble.met(DiskTrouble("it stays locked"))
    green.run()
    assert BLUE in town.dead
    assert green._inbox.trouble.alone


@pytest.mark.parametrize("first", [GREEN, BLUE], ids=["green", "blue"])
def test_both_sides_that_are_asked_to_end_leave_the_bake_as_it_is_whoever_goes_first(
    town: Town, first: Process
) -> None:
    """As a service manager does at a stop, or the machine at a reboot: the other one is seen to end by one that is about to."""
    last = BLUE if first == GREEN else GREEN
    town.pass_s(DAY_S / 2)
    for manager in town.sides.values():
        manager.leaving = True
    said = len(town.records())
    town.kill(first)
    town.pass_s(60.0, step_s=1.0)
    assert {r.type for r in town.records()[said:]} <= {"HEALTH_SAMPLED"}
    town.kill(last)
    town.reboot()
    again = Process(pid=7, started=7, boot=town.boot)
    town.start(again, "green", serving=True)
    state = town.pass_s(DAY_S)
    assert (state.head.phase, state.head.green) == ("complete", again)
    assert not check(town.records()).differences


def test_adapters_that_go_down_as_both_sides_end_are_no_divergence(town: Town) -> None:
    town.pass_s(DAY_S / 3, step_s=60.0)
    for manager in town.sides.values():
        manager.leaving = True
    town.gateways[GREEN].polls = 0
    assert town.pass_s(1200.0, step_s=1.0).divergence is None


def test_a_green_that_was_asked_to_end_alone_lets_go_when_it_is_rolled_back_meanwhile(town: Town) -> None:
    town.sides[GREEN].leaving = True
    town.journals[0].append(
        Draft(e.HandoffRollback(phase="baking", reason="operator")), writer=Writer(OPERATOR, "operator")
    )
    state = town.pass_s(5.0, step_s=1.0)
    assert (state.head.phase, state.head.owner) == ("rolled_back", "blue")
    assert GREEN not in town.dead


def test_a_gateway_without_its_journal_that_was_asked_to_end_serves_nobody_alone(town: Town) -> None:
    blue = town.sides[BLUE]
    blue.leaving = True
    blue._inbox.trouble.met(DiskTrouble("it is full"))
    blue._seen.tried_ns = town.now().mono_ns
    town.at_s += 0.1
    assert not blue.step()
    assert blue._inbox.trouble.spares is None
    assert not blue._inbox.trouble.alone


def complete(town: Town) -> State:
    """An hour of blue, which has a turn in the record that its gateway does not know; a bake, and its end by the operator."""
    town.start(BLUE, "blue", serving=True)
    inbox = town.sides[BLUE]._inbox
    (ticket,) = inbox.accept("telegram", "1", [Update("1", "text", "ada", b"{}")], 2)
    inbox.start([ticket.message], "ada")
    town.pass_s(3600.0)
    bake(town)
    town.journals[0].append(Draft(e.HandoffCompleteRequested()), writer=Writer(OPERATOR, "operator"))
    return town.pass_s(3 * LIMITS.silent_s)


def test_a_blue_that_has_forgotten_a_turn_closes_it_says_goodbye_and_may_go_on_as_the_keeper(tmp_path: Path) -> None:
    with a_town(tmp_path) as town:
        state = complete(town)
        assert (state.head.phase, state.head.blue, state.head.turns) == ("complete", None, {})
        assert town.records()[-1].process == GREEN
        assert "PROCESS_EXITED" in [r.type for r in town.records()]
        assert town.sides[BLUE].handed_over
        assert town.gateways[BLUE].ended
        assert not check(town.records()).differences


def test_a_blue_whose_goodbye_is_refused_does_not_go_on_as_the_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def no_goodbye(journal: Journal, *drafts: Draft, writer: Writer) -> object:
        if any(isinstance(draft.event, e.ProcessExited) for draft in drafts):
            raise IllegalTransition("refused")
        return append(journal, *drafts, writer=writer)

    monkeypatch.setattr(Journal, "append", no_goodbye)
    with a_town(tmp_path) as town:
        complete(town)
        assert town.gateways[BLUE].ended
        assert not town.sides[BLUE].handed_over
