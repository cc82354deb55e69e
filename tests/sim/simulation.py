"""One run: everything in one process, from one seed. First what goes wrong, then calm, in which nobody thaws and no operator helps.

The scheduler picks who goes on next; everybody else stands where he stood. Time passes by little at each step, and jumps to the next
thing that time alone brings about when nobody can go on. A run is a function of its seed and of the list of its faults.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from gateway_hooks import book, kept, orders, seat
from gateway_hooks import keeper as keeping
from journal import events as e
from journal.errors import Busy, DiskTrouble, HandoffError
from journal.events import Process
from journal.pseudonyms import Pseudonyms
from journal.record import Stamp
from replay.fold import State, apply
from tests.sim import machine
from tests.sim.faults import Fault, plan
from tests.sim.judge import Judge
from tests.sim.keeper import KeeperProc, Restarter
from tests.sim.machine import Actor, Killed, Proc, SimBell, SimManager, SimWorld
from tests.sim.memory import Disk, FsyncFailed, MemoryJournal, MemoryReader
from tests.sim.platform import BotApi, Wish

_ORDERS = ("promote", "rollback", "complete")
_SIDES = ("blue", "green", "owner")
_OF_A_GATEWAY = ("kill", "freeze", "hang", "call fails")
CHAOS_S = 70.0
CALM_S = 400.0
KEY = bytes(range(32))
RUNTIMES = 100
"""So many handoffs ask for a runtime of their own."""


class Simulation:
    """A machine, a platform, a keeper, an operator and their judge. ``run`` it once."""

    def __init__(self, seed: int, faults: Sequence[Fault] | None = None, *, traffic: bool = True) -> None:
        self.seed = seed
        draw, self.random = Random(f"{seed}:world"), Random(f"{seed}:run")
        self.accounts = draw.choice((("1",), ("1",), ("1", "2")))
        self.bake_s = draw.choice((0.0, 0.5, 2.0, 6.0, 20.0))
        self.limits = draw.choice(
            (
                e.Limits(),
                e.Limits(init_s=20, ack_s=6, active_s=8, silent_s=6, frozen_s=1, sample_s=1),
                e.Limits(sample_s=2),
            )
        )
        self.switching = draw.choice((0.02, 0.2, 0.6))
        self.watchers = draw.choice((0, 0, 1, 2))
        self.wishes = _wishes(draw, self.accounts) if traffic else []
        planned = plan(Random(f"{seed}:faults"), len(self.accounts))
        self.pending = list(planned if faults is None else faults)
        self.plan = tuple(self.pending)
        self.mono_ns = 10**12
        self.start_ns = self.mono_ns
        self.wall_ns = 1_790_000_000 * 10**9
        self.boots, self.boot, self.pids, self.hops = 1, "boot-1", 0, 0
        self.procs: list[Proc] = []
        self.watched: list[tuple[Process, Callable[[], None], Actor]] = []
        self.inside: Actor | None = None
        self.back = threading.Lock()
        self.back.acquire()
        self.disk = Disk()
        self.disk.fault, self.disk.ring = self._disk_fault, self._ring
        self.said: dict[str, int] = {}
        self.platform = BotApi(Random(f"{seed}:platform"))
        self.platform.fates = [
            draw.choice(("fine",) * 12 + ("taken, connection lost", "lost, connection lost")) for _ in range(40)
        ]
        self.calm = False
        self.lines: list[str] = []
        self.injected: Counter[str] = Counter()
        self.passed: Counter[tuple[str, str]] = Counter()
        self.windows: list[tuple[int, Fault]] = []
        self.book = State()
        self.judge = Judge(self)
        self.names = Pseudonyms(KEY)
        self.judge.names = {self.names.of("a", a): a for a in self.accounts}
        self.kept = draw.random() < 0.75
        self.keeper: Actor | None = None
        self.retired: list[Actor] = []
        self.operator: Process = Process(pid=7, started=7, boot=self.boot)

    # ------------------------------------------------------------------------ what everybody asks

    def now(self) -> Stamp:
        return Stamp(self.wall_ns + self.mono_ns, self.mono_ns)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return (self.mono_ns - self.start_ns) / 1e9

    def log(self, text: str) -> None:
        self.lines.append(f"{self.seconds:9.3f}  {text}")

    def trouble(self, text: str) -> None:
        """Something that is no outcome of a run: it broke."""
        self.judge.say(text)

    def fired(self, what: str) -> None:
        """Something was injected."""
        self.injected[what] += 1
        self.log(f"** {what}")

    def find(self, process: Process) -> Proc | None:
        return next((p for p in self.procs if p.process == process), None)

    def end(self, proc: Proc) -> None:
        """SIGKILL, or an exit."""
        proc.died_ns = self.mono_ns if proc.status != "dead" else proc.died_ns
        proc.status = "dead"
        proc.exit_code = -9 if proc.exit_code is None else proc.exit_code
        proc.gateway.pollers, proc.gateway.orphans = {}, []
        if self.disk.holder == proc.process:
            self.disk.holder = None
        for process, gone, watcher in self.watched:
            if process == proc.process and watcher.status != "dead":
                gone()

    def switches(self) -> bool:
        return self.random.random() < self.switching

    def lateness(self) -> float:
        """By how much a wake-up is late."""
        return 1.0 if self.random.random() < 0.9 else self.random.uniform(1.0, 4.0)

    def operator_journal(self) -> MemoryJournal:
        return MemoryJournal(self.disk, self.home / "handoff", self.now, process=self.operator)

    def living(self) -> list[Proc]:
        """Processes that run or are stopped."""
        return [p for p in self.procs if p.status != "dead"]

    # ------------------------------------------------------------------------ faults

    def passes(self, proc: Actor, stage: str, what: str) -> None:
        """A process passes a point: a little time goes by, and what was planned for here happens."""
        self.mono_ns += self.random.randrange(20_000, 400_000)
        if self.calm or not self.pending:
            return
        side = proc.side
        names = what.split(",") if what else [""]
        for fault in list(self.pending):
            if fault.point is None or fault.point[0] != stage or fault.point[1] not in names or fault.kind == "disk":
                continue
            if fault.kind != "rash" and fault.target in _SIDES and not self._means(fault.target, proc, side):
                continue
            if fault.kind in _OF_A_GATEWAY and not isinstance(proc, Proc):
                continue
            if self._nth(fault) and fault in self.pending:
                self.pending.remove(fault)
                self._inject(fault, proc if isinstance(proc, Proc) else None)

    def _means(self, target: str, proc: Actor, side: str | None) -> bool:
        return target == side or (target == "owner" and side == self.book.head.owner)

    def _nth(self, fault: Fault) -> bool:
        name = (fault.told(), "")
        self.passed[name] += 1
        return self.passed[name] >= fault.nth

    def _targets(self, fault: Fault, at: Proc | None) -> list[Proc]:
        head = self.book.head
        if fault.target == "both":
            return self.living()
        if at is not None and fault.target != "other":
            return [at]
        if at is not None:
            peers = (head.blue, head.green or head.expected_green)
            return [p for p in self.living() if p is not at and p.process in peers]
        side = fault.target if fault.target in ("blue", "green") else head.owner
        process = head.green or head.expected_green if side == "green" else head.blue
        return [p for p in self.living() if p.process == process]

    def _inject(self, fault: Fault, at: Proc | None) -> None:
        where = f" [{at.name} at {at.at}]" if at else ""
        if fault.kind in _ORDERS and self.disk.holder is not None:  # the operator waits for the gate like everybody
            self.pending.append(replace(fault, at_s=self.seconds + 0.05, point=None))
            return
        handler = getattr(self, "_" + fault.kind.replace(" ", "_"))
        if handler(fault, at):
            self.injected[fault.kind] += 1
            self.log(f"** {fault.told()}{where}")

    def _promote(self, fault: Fault, _at: Proc | None) -> bool:
        runtime = f"r{self.injected['promote'] + 1}"
        return self._order(lambda o: o.promote(runtime, self.bake_s, self.limits))

    def _rollback(self, _fault: Fault, _at: Proc | None) -> bool:
        return self._order(lambda o: o.rollback())

    def _complete(self, _fault: Fault, _at: Proc | None) -> bool:
        return self._order(lambda o: o.complete())

    def _order(self, order: Callable[[orders.Operator], object]) -> bool:
        operator = object.__new__(orders.Operator)
        vars(operator).update(
            _system=SimpleNamespace(now=self.now, probe=self._probe),
            journal=self.operator_journal(),
            _writer=SimpleNamespace(process=self.operator, role="operator"),
        )
        try:
            order(operator)
        except HandoffError as error:
            self.log(f"operator: {error}")
            return False
        return True

    def _probe(self, process: Process) -> str:
        found = self.find(process)
        return found.status if found else "dead"

    def _kill(self, fault: Fault, at: Proc | None) -> bool:
        targets = self._targets(fault, at)
        for proc in targets:
            self.end(proc)
        return bool(targets)

    def _freeze(self, fault: Fault, at: Proc | None) -> bool:
        targets = [p for p in self._targets(fault, at) if p.status == "running"]
        for proc in targets:
            proc.status = "stopped"
            if fault.for_s:
                self.windows.append((self.mono_ns + int(fault.for_s * 1e9), Fault("thaw", proc.name)))
        return bool(targets)

    def _thaw(self, fault: Fault) -> None:
        proc = next(p for p in self.procs if p.name == fault.target)
        if proc.status == "stopped":
            proc.status = "running"
            proc.hindered_ns = max(self.mono_ns, proc.hindered_ns)  # its loop may hang yet
            self.fired("thaw")

    def _wake(self, _fault: Fault, _at: Proc | None) -> bool:
        stopped = [p for p in self.procs if p.status == "stopped"]
        for proc in stopped:
            self._thaw(Fault("thaw", proc.name))
        return bool(stopped)

    def _rash(self, fault: Fault, _at: Proc | None) -> bool:
        """The manager of that side will do something once that nothing has decided."""
        targets = self._targets(fault, None)
        for proc in targets:
            proc.rash = fault.how
        return bool(targets)

    def _hang(self, fault: Fault, at: Proc | None) -> bool:
        targets = self._targets(fault, at)
        for proc in targets:
            proc.gateway.hung_until_ns = proc.hindered_ns = self.mono_ns + int(fault.for_s * 1e9)
        return bool(targets)

    def _call_fails(self, fault: Fault, at: Proc | None) -> bool:
        assert fault.point is not None
        if at is not None:
            times = 60 if fault.how == "for ever" else 1
            at.gateway.faults += [(fault.point[1], fault.how == "half")] * times
        return True

    def _disk(self, fault: Fault, _at: Proc | None) -> bool:
        self.windows.append((self.mono_ns + int(fault.for_s * 1e9), fault))
        return True

    def _bell(self, fault: Fault, _at: Proc | None) -> bool:
        self.windows.append((self.mono_ns + int(fault.for_s * 1e9), fault))
        return True

    def _clock(self, fault: Fault, _at: Proc | None) -> bool:
        self.wall_ns += int(fault.for_s * 1e9)
        return True

    def _pause(self, fault: Fault, _at: Proc | None) -> bool:
        self.mono_ns += int(fault.for_s * 1e9)
        for proc in self.procs:
            proc.hindered_ns = max(self.mono_ns, proc.hindered_ns)
        return True

    def _power(self, _fault: Fault, _at: Proc | None) -> bool:
        for proc in self.living():
            self.end(proc)
        if self.disk.recover():
            self.fired("a commit whose sync failed is found again")
        self.boots += 1
        self.boot = f"boot-{self.boots}"
        self.mono_ns += 5 * 10**9
        self.operator = Process(pid=7, started=7, boot=self.boot)
        self._keep()
        return True

    def _second_start(self, _fault: Fault, _at: Proc | None) -> bool:
        Proc(self, {})
        return True

    def _redeliver(self, fault: Fault, _at: Proc | None) -> bool:
        for account in self.accounts:
            self.platform.forget(account, int(fault.how))
        return True

    def _conflict(self, fault: Fault, _at: Proc | None) -> bool:
        self.platform.conflicts = int(fault.how)
        return True

    def _platform_down(self, fault: Fault, _at: Proc | None) -> bool:
        self.platform.down = True
        self.windows.append((self.mono_ns + int(fault.for_s * 1e9), fault))
        return True

    def _disk_fault(self, _process: Process, types: str) -> HandoffError | None:
        if self.calm:
            return None
        for fault in list(self.pending):
            here = fault.kind == "disk" and fault.point is not None and fault.point[1] in types.split(",")
            if here and self._nth(fault):
                self.pending.remove(fault)
                self.fired(f"disk: {fault.how}")
                return _disk_error(fault.how)
        for _, fault in self.windows:
            if fault.kind == "disk":
                self.fired(f"disk: {fault.how}")
                return _disk_error(fault.how)
        return None

    def _ring(self) -> None:
        how = next((f.how for _, f in self.windows if f.kind == "bell"), "")
        if how == "dead":
            return
        for proc in (*self.procs, *((self.keeper,) if self.keeper else ())):
            if proc.status != "dead":
                delay_s = self.random.uniform(0.1, 1.5) if how == "late" else self.random.uniform(0.0002, 0.003)
                at_ns = self.mono_ns + int(delay_s * 1e9)
                proc.rung_ns = at_ns if proc.rung_ns is None else min(at_ns, proc.rung_ns)

    def _by_time(self) -> None:
        """Everything that time brings: messages, planned faults, the end of those that last."""
        while self.wishes and self.wishes[0][0] <= self.seconds:
            self.platform.arrive(self.wishes.pop(0)[1])
        for until_ns, fault in list(self.windows):
            if self.mono_ns >= until_ns:
                self.windows.remove((until_ns, fault))
                if fault.kind == "thaw":
                    self._thaw(fault)
                elif fault.kind == "platform down":
                    self.platform.down = False
        for fault in list(self.pending):
            if fault.at_s is not None and fault.at_s <= self.seconds:
                self.pending.remove(fault)
                self._inject(fault, None)
        if any(f.kind == "bell" and f.how == "doubled" for _, f in self.windows) and self.random.random() < 0.3:
            for proc in self.living():
                proc.rung_ns = self.mono_ns

    # ------------------------------------------------------------------------ the scheduler

    def run(self) -> list[str]:
        """Chaos, then calm; what is wrong, an empty list when everything held."""
        with self._machine():
            self._keep()
            while self.seconds < CHAOS_S and not self.judge.bad:
                self._hop()
            self._be_calm()
            end_ns = self.mono_ns + int(CALM_S * 1e9)
            while not self.judge.bad and self.mono_ns < end_ns:
                self._hop()
                if self.good():
                    return self.judge.verdict()
            if not self.judge.bad:
                self.judge.say(f"no good end after {CALM_S:g} s: {self.standing()}")
            return self.judge.bad

    def _keep(self) -> None:
        if self.keeper is not None:
            self.keeper.status = "dead"
            self.retired.append(self.keeper)
        self.keeper = KeeperProc(self) if self.kept else Restarter(self)

    def _be_calm(self) -> None:
        self.log("-- calm")
        self.calm = True
        self.platform.down, self.platform.conflicts, self.platform.fates = False, 0, []
        self.pending, self.windows = [], []
        while self.wishes:
            self.platform.arrive(self.wishes.pop(0)[1])
        for proc in self.procs:
            proc.gateway.faults = []

    def _hop(self) -> None:
        self.hops += 1
        if self.hops > 200_000:
            self.judge.say(f"it never comes to rest: {self.standing()}")
        self._by_time()
        choices: list[Callable[[], None]] = []
        while self.retired:
            retired = self.retired.pop()
            if not retired.over:
                retired.resume()
        if self.keeper is not None and self.keeper.ready():
            choices.append(self.keeper.resume)
        for proc in self.procs:
            if proc.status == "dead":
                if not proc.over:  # its thread ends where it stands
                    proc.resume()
                continue
            if proc.status == "stopped":
                continue
            if proc.ready():
                choices.append(proc.resume)
            if self.disk.holder is None or self._gave_up_waiting():
                choices += [partial(self._step, proc, name, step) for name, step in proc.gateway.steps()]
        choices += [partial(self.platform.take, r) for r in self.platform.requests if not r.over]
        if choices:
            self.random.choice(choices)()
            self.mono_ns += self.random.randrange(50_000, 1_500_000)
        else:
            self._let_time_pass()
        self._read()

    def _gave_up_waiting(self) -> bool:
        """Whether the gate is held by a stopped process for so long that who waits for it, from a loop, is told so."""
        found = self.find(self.disk.holder) if self.disk.holder else None
        return found is None or (found.status == "stopped" and self.mono_ns - self.disk.held_ns > seat.GATE_S * 1e9)

    def _step(self, proc: Proc, name: str, step: Callable[[], None]) -> None:
        try:
            proc.point("loop", name)
            if proc.status == "running":
                step()
        except Killed:
            return

    def _let_time_pass(self) -> None:
        times = []
        for actor in (self.keeper,) if self.keeper else ():
            wake = actor.wakes_ns()
            times += [wake] if wake is not None else []
        for proc in self.procs:
            if proc.status == "running":
                wake = proc.wakes_ns()
                times += [wake] if wake is not None else []
                times += proc.gateway.wakes_ns()
        times += [self.disk.held_ns + int(seat.GATE_S * 1e9) + 1] if self.disk.holder else []
        times += [until for until, _ in self.windows]
        times += [self.start_ns + int(f.at_s * 1e9) for f in self.pending if f.at_s is not None]
        times += [self.start_ns + int(at * 1e9) for at, _ in self.wishes[:1]]
        later = [t for t in times if t > self.mono_ns]
        self.mono_ns = min(later, default=self.mono_ns + 10**9)

    def _read(self) -> None:
        records = self.disk.records
        seq = self.book.head.seq
        if seq < len(records):
            for record in records[seq:]:
                self.book = apply(self.book, record)
                if record.type not in ("HEALTH_SAMPLED", "ADAPTER_OFFSET", "SESSION_FLUSHED"):
                    body = record.body if len(record.body) < 110 else record.body[:110] + "..."
                    self.log(f"   {record.seq:4} {record.role:8} {record.process.pid} {record.type} {body}")
            self.judge.look()

    def good(self) -> bool:
        """A runtime serves, everything is settled, nothing is open and nobody is left over."""
        head = self.book.head
        living = [
            p for p in self.living() if p.status == "running" or p.side is not None
        ]  # frozen on its way out: nobody's loss
        left = (
            head.watchers and not self.injected["gateway fault: adopt"]
        )  # one that cannot be adopted waits for the next start
        if head.open or head.messages or head.turns or left or len(living) != 1 or not self.platform.drained():
            return False
        (proc,) = living
        return (
            proc.status == "running" and head.owning == proc.process and set(proc.gateway.pollers) == set(self.accounts)
            and not proc.gateway.turning and not proc.gateway.orphans
        )  # fmt: skip

    def standing(self) -> str:
        """Where everybody stands."""
        head = self.book.head
        procs = [
            f"{p.name} {p.status} at {p.at} polls {sorted(p.gateway.pollers)} turns {[t.at for t in p.gateway.turning]}"
            for p in self.living()
        ]
        waiting = {s: (m.turn, m.due) for s, m in head.messages.items()}
        claims = {a: p.pid for a, p in head.connected.items()}
        sides = (head.blue and head.blue.pid, head.green and head.green.pid)
        return f"{head.phase}, {head.owner} owns, seats {sides}, claims {claims}, waiting {waiting}; {'; '.join(procs)}"

    @contextmanager
    def _machine(self) -> Iterator[None]:
        """The product's modules find this machine where they look for the real one."""
        self.home = Path(tempfile.mkdtemp(prefix="sim-"))
        folder = self.home / "handoff"
        folder.mkdir()
        (folder / "key").write_bytes(KEY)
        (folder / "runtimes.toml").write_text("\n".join(f"[r{n}]" for n in range(1, RUNTIMES)))
        reader = MemoryReader(self.disk, folder / "journal.db")

        def manager(*args: Any, **options: Any) -> SimManager:
            assert isinstance(self.inside, Proc)
            return SimManager(self.inside, *args, **options)

        def inside() -> Actor:
            assert self.inside is not None
            return self.inside

        def getppid() -> int:
            proc = inside()
            assert isinstance(proc, Proc)
            parent = proc.parent
            return parent.process.pid if parent is not None and parent.status != "dead" else 1

        swapped: list[tuple[Any, str, Any]] = [
            (seat, "System", lambda: SimWorld(inside())),
            (seat, "Journal", partial(machine.open_journal, self)),
            (seat, "Manager", manager),
            (seat, "Reader", lambda _path: reader),
            (seat, "Doorbell", lambda _folder: SimBell(inside())),
            (seat, "_spawn", lambda state, *_rest: machine.spawn(self, state)),
            (seat, "time", SimpleNamespace(sleep=lambda s: inside().sleep(s), monotonic=lambda: self.mono_ns / 1e9)),
            (seat, "os", SimpleNamespace(getppid=getppid, urandom=self.random.randbytes)),
            (orders, "Reader", lambda _path: reader),
            (book, "Reader", lambda _path: reader),
            (book, "Journal", partial(machine.open_journal, self)),
            (keeping, "threading", SimpleNamespace(Thread=lambda **_options: SimpleNamespace(start=lambda: None))),
            (kept, "lock", lambda _folder: None),
        ]
        before = [(module, name, getattr(module, name)) for module, name, _ in swapped]
        watch = _Watch(self)
        logger = logging.getLogger("handoff_journal")
        level, propagate = logger.level, logger.propagate
        try:
            for module, name, value in swapped:
                setattr(module, name, value)
            logger.addHandler(watch)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
            yield
        finally:
            for actor in (*self.procs, *self.retired, *((self.keeper,) if self.keeper else ())):
                actor.status = "dead"
                while not actor.over:
                    actor.resume()
            for module, name, value in before:
                setattr(module, name, value)
            logger.removeHandler(watch)
            logger.setLevel(level)
            logger.propagate = propagate
            shutil.rmtree(self.home, ignore_errors=True)


class _Watch(logging.Handler):
    """What the product logs becomes part of the story; what it did not expect is a finding."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__()
        self._sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        who = self._sim.inside.name if self._sim.inside else "-"
        text = self.format(record)
        self._sim.log(f"     {who}: {text}")
        if "unexpected" in record.getMessage():
            self._sim.trouble(f"{who}: {text}")


def _disk_error(how: str) -> HandoffError:
    if how == "gate":
        return Busy("the journal's gate was not free in time", holder=None)
    texts = {"full": "database or disk is full", "locked": "the journal stays locked", "fsync": "disk I/O error"}
    error = DiskTrouble(texts[how])
    if how == "fsync":
        error.__cause__ = FsyncFailed()
    return error


def _wishes(random: Random, accounts: tuple[str, ...]) -> list[tuple[float, Wish]]:
    """Who sends what, and when: quick pairs, long turns, commands, answers in parts."""
    numbers = Counter[str]()
    sent, at_s = [], random.uniform(0.0, 3.0)
    for _ in range(random.choice((2, 4, 6, 10))):
        account = random.choice(accounts)
        chat = f"{account}-{random.choice('ab')}"
        kind = random.choice(("text", "text", "text", "text", "command"))
        think_s = random.choice((0.0, 0.2, 1.0, 4.0, 9.0))
        wish = Wish(
            numbers[account], account, chat, kind, random.choice((1, 1, 1, 2, 3)), think_s, random.random() < 0.08
        )
        numbers[account] += 1
        sent.append((at_s, wish))
        at_s += random.choice((0.05, 0.5, 3.0, 8.0))
    return sent
