"""The keeper: a small parent that never changes, so that whoever watches its pid sees one process while gateways come and go.

It starts whom ``replay.boot`` names, inherits green when blue goes, passes signals on, and ends with the gateway's exit code. All
judgement is ``replay.boot``'s. Whatever it needs is imported at once, so that it outlives an upgrade of the environment it runs in.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway_hooks import hanging, kept, notifying, runtimes
from gateway_hooks.book import Book
from gateway_hooks.process import ENDS, ROLE, Family, System
from gateway_hooks.settling import free_gate, settle
from journal import snapshot
from journal.errors import Busy, HandoffError, NoJournal, Refused
from journal.events import Event, Process, Side
from journal.head import Head
from journal.record import Draft, Stamp, Writer
from journal.tail import Doorbell
from replay import boot as b
from replay.decide import EndPeer, PeerIs, Say, Settle
from replay.fold import State

log = logging.getLogger("handoff_journal.keeper")
STEADY_S = 30.0
"""A gateway that lived shorter than this has not started well."""
BOOT_S = notifying.UNHEARD_S
AWAKE_S = 2.0
MUTE_S = 5.0
CODES = 256
"""So many exit codes of children are remembered until somebody asks."""
HUNG_S = notifying.HUNG_S
REST_S, BUSY_S, CROWD_S = 1.0, 0.2, 0.05
Seen = b.Seen


class Keeper:
    """One for a home. ``run`` it in the main thread."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        env: Mapping[str, str],
        world: System,
        family: Family,
        *,
        steady_s: float = STEADY_S,
        hung_s: float = HUNG_S,
    ) -> None:
        """``command`` starts a gateway of the runtime that needs no name; ``folder`` is the home's ``handoff``.

        A gateway at rest that has given no sample for ``hung_s`` hangs; with 0 nobody is ended for that.
        """
        # by its full path, where it has one, so that it stays the same program
        self._folder, self._command = folder, [shutil.which(command[0]) or command[0], *command[1:]]
        self._env = {name: value for name, value in env.items() if name not in (ROLE, runtimes.RUNTIME, *notifying.OWN)}
        self._hung_s = hung_s or float("inf")
        self._env[hanging.SAMPLE_S] = f"{hanging.sample_s(self._hung_s):g}"
        self._own = env.get(runtimes.RUNTIME, runtimes.SAME)
        self._world, self._family, self._steady_s = world, family, steady_s
        self._writer = Writer(world.me(), "keeper")
        self._lock = kept.lock(folder)
        self._book = Book(folder, world.now)
        self._cut_off: Process | None = None
        self._started: Process | None = None
        self._started_ns = self._ended_ns = self._stepped_ns = self._awake_ns = 0
        self._seated = self._sampled = False
        self._serving: Process | None = None
        self._epoch = 0
        self._tried: b.Start | None = None
        self._failures = 0
        self._codes: dict[Process, int] = {}
        self._code: int | None = None
        self._ending: int | None = None
        self._told: set[Process] = set()
        self._seats: dict[Side, Process | None] = {"blue": None, "green": None}
        self._stopped: dict[Seen, tuple[Process, int]] = {}
        self._watched: set[Process] = set()
        self._how: dict[Process, str] = {}
        self._mute_ns = 0
        self._trials = hanging.Trials(folder)
        self._troubles: set[str] = set()
        self._notifier = notifying.Notifier(env, folder, self._writer.process.boot, hung_s)

    # --------------------------------------------------------------------------------------- the loop

    def run(self) -> int:
        """Until the gateway is gone for good; its exit code, 128 and the signal's number for one that a signal has ended."""
        threading.Thread(target=self._listen, name="keeper-bell", daemon=True).start()
        snapshot.ready()  # what stands on the disk may be upgraded before a journal has to be opened
        while True:
            try:
                code = self._step()
            except Exception as error:  # a parent outlives whatever it meets
                if isinstance(error, Unstartable):
                    raise
                self._complain(error)
                code = None
                self._family.wait(REST_S)
            if code is not None:
                return code if code >= 0 else 128 - code

    def _step(self) -> int | None:
        """One turn: hear, read, look, act, and wait when there was nothing to do. The exit code when it was the last."""
        self._family.wait(0.0)  # what is told is heard in every turn, and before what it may be about is read
        self._reap()
        self._read()
        view = self._look()
        self._pass_on(view)
        if self._ending is not None and not view.ending:  # told just now: what was seen before starts nobody any more
            return None
        self._tell(view)
        action = b.keep(self._state, view)
        if isinstance(action, EndPeer):  # it may have spoken meanwhile: to look takes as long as the disk does
            self._read()
            action = b.keep(self._state, view)
        if isinstance(action, b.Leave):
            return action.code
        if action is None or not self._acted(action):
            self._family.wait(BUSY_S if self._state.head.open or view.since_s < b.LONGEST_S else REST_S)
        return None

    def _reap(self) -> None:
        """Note how whoever has ended did; as pid 1 that is everybody's orphans too, for ever."""
        self._codes |= self._family.reap()
        for process in list(self._codes)[:-CODES]:
            del self._codes[process]

    def _listen(self) -> None:
        bell = Doorbell(self._folder / "bell")
        while True:
            bell.wait(REST_S)
            self._family.poke()
            threading.Event().wait(CROWD_S)  # a crowd of rings is one

    def _read(self) -> None:
        """Fold what is new. A record that cannot be read (any more) leaves us with what we knew."""
        try:
            if self._book.read():
                self._begin_anew()
        except HandoffError as error:
            self._complain(error)

    @property
    def _state(self) -> State:
        return self._book.state

    def _begin_anew(self) -> None:
        """Another record stands there. Who serves writes into none until it is started again, and may have no seat in this one: then
        it is as one that we have started and that has not sat down yet, and nobody else is started beside it."""
        serving, head = self._serving, self._state.head
        log.warning("journal.db is another file than before: what it says counts from here")
        self._cut_off, self._seated = serving, False
        if serving is not None and head.side_of(serving) is None and self._world.probe(serving) != "dead":
            self._started = serving

    def _look(self) -> b.View:
        now = self._world.now()
        if now.mono_ns - self._stepped_ns > AWAKE_S * 1e9:
            self._awake_ns = now.mono_ns
        self._stepped_ns = now.mono_ns
        self._take_note(self._state.head, now.mono_ns)
        head = self._state.head  # read again, perhaps: who is looked at sits by the record that is judged
        self._seats = {"blue": head.blue, "green": head.green or head.expected_green}
        waits = self._started if not self._seated else None
        seen: dict[Seen, Process | None] = {
            "starting": waits,
            "blue": self._seats["blue"],
            "green": self._seats["green"],
        }
        found: dict[Seen, PeerIs] = {name: self._world.probe(p) if p else "none" for name, p in seen.items()}
        for name, process in seen.items():
            if process is None or found[name] != "stopped":
                self._stopped.pop(name, None)
            elif self._stopped.get(name, (None, 0))[0] != process:
                self._stopped[name] = process, now.mono_ns
            if process is not None and process not in self._watched and found[name] != "dead":
                self._watched.add(process)
                self._world.watch(process, self._family.poke)
        return b.View(
            now, self._writer.process.boot, found["blue"], found["green"], found["starting"],
            {name: (now.mono_ns - since) / 1e9 for name, (_, since) in self._stopped.items()},
            self._tried, self._failures, (now.mono_ns - self._ended_ns) / 1e9 if self._ended_ns else float("inf"),
            self._code, self._ending is not None, (now.mono_ns - self._awake_ns) / 1e9,
            mute=bool(self._mute_ns) and now.mono_ns - self._mute_ns < MUTE_S * 1e9,
            hung_s=self._hung_s, writable_s=self._writable_s(now),
        )  # fmt: skip

    def _writable_s(self, now: Stamp) -> float:
        """For how long an owner at rest that says nothing could have: 0 for one that is heard, or that cannot write."""
        owner = self._state.head.owning
        says_nothing = b.quiet(self._state, now, self._writer.process.boot, self._hung_s) is not None
        could = self._book.reads and owner != self._cut_off
        return self._trials.could_write_s(owner if says_nothing and could else None, now)

    def _take_note(self, head: Head, now_ns: int) -> None:
        """Who serves now, and how it ended if it has."""
        started = self._started
        if started is not None:
            self._seated = self._seated or head.side_of(started) is not None
            kept = (sample.process for samples in self._state.samples.values() for sample in samples)
            self._sampled = self._sampled or started in kept
        owner = head.owning
        if started is not None and not self._seated:
            self._serving, self._epoch = started, 0
        elif owner is not None and self._world.probe(owner) != "dead":
            self._serving, self._epoch = owner, head.epoch
        if self._serving is not None and self._world.probe(self._serving) == "dead":
            self._read()  # what it said last counts
            self._has_ended(self._serving, now_ns)
            self._serving = None
        elif started is not None and self._world.probe(started) == "dead":
            self._has_gone(started, now_ns)

    def _has_ended(self, process: Process, now_ns: int) -> None:
        self._reap()
        code, self._ended_ns = self._codes.pop(process, None), now_ns
        self._code = code if self._epoch in (0, self._state.head.epoch) else None  # else it had handed over meanwhile
        log.warning("process %d has ended%s", process.pid, "" if code is None else f" with {code}")
        if process != self._started:
            self._tried, self._failures = None, 0
            return
        self._count(self._code, now_ns)

    def _has_gone(self, process: Process, now_ns: int) -> None:
        """One that we have started, while another serves: with 0 it has left, having handed over; else it came to nothing."""
        self._reap()
        code = self._codes.pop(process, None)
        log.warning("process %d has ended%s, another serves", process.pid, "" if code is None else f" with {code}")
        if code == 0:
            self._started = None
        else:
            self._ended_ns = now_ns
            self._count(code, now_ns)

    def _count(self, code: int | None, now_ns: int) -> None:
        """Whether what we have started last had started well; it has ended."""
        lived_s = (now_ns - self._started_ns) / 1e9
        well = code == b.ASKED_AGAIN if self._sampled else lived_s >= BOOT_S
        well = well or (self._sampled and lived_s >= self._steady_s)
        self._failures = 0 if well else self._failures + 1
        self._started = None

    # --------------------------------------------------------------------------------------- signals

    def _pass_on(self, view: b.View) -> None:
        for number in self._family.heard():
            if number in ENDS:
                self._ending = number
                self._told.clear()
                self._notifier.stopping()
            elif self._serving is not None:
                self._world.send(self._serving, number)
        if self._ending is not None and view.anybody:
            head = self._state.head
            for process in (self._started, head.blue, head.green, head.expected_green):
                if process is not None and process not in self._told:
                    self._told.add(process)
                    self._world.send(process, self._ending)

    def _tell(self, view: b.View) -> None:
        """Let the service manager know how the gateway that serves is."""
        if self._ending is None:
            serving, now = self._serving, view.now.mono_ns
            started_s = (now - self._started_ns) / 1e9 if self._started_ns else float("inf")
            waits = view.since_s < b.backoff_s(self._failures)
            how = self._world.probe(serving) if serving else "none"
            seen = notifying.Seen(serving, how, serving == self._state.head.owning, started_s, waits)
            self._notifier.look(self._state, seen, view.now, recorded=self._book.reads and serving != self._cut_off)

    # --------------------------------------------------------------------------------------- actions

    def _acted(self, action: b.Action) -> bool:
        """Carry it out. False when it has to be tried again, or when something else has to be decided."""
        try:
            match action:
                case Say(event):
                    self._say(event)
                case Settle(side):
                    return self._settle(side, "died")
                case EndPeer(side, how):
                    return self._end(side, how)
                case b.EndStarting() if self._started is not None:
                    log.error("process %d is stopped and has no seat: ended", self._started.pid)
                    self._world.end(self._started)
                case b.Start():
                    self._start(action)
        except Unstartable:
            raise
        except Refused as error:  # somebody was faster: look again
            log.info("decided too late: %s", error)
            return False
        except Busy as error:
            if free_gate(self._world, error.holder) is None:
                self._complain(error)
                self._mute_ns = self._world.now().mono_ns
        except Exception as error:  # whatever cannot be written must not keep a gateway from being started
            self._complain(error)
            self._mute_ns = self._world.now().mono_ns
            return False
        return True

    def _say(self, event: Event) -> None:
        self._book.journal().append(Draft(event, phase_seq=self._state.head.phase_seq), writer=self._writer)
        log.warning("said %s", event.TYPE)

    def _settle(self, side: Side, how: str) -> bool:
        """Of the process that was looked at, if it still sits there: somebody else may sit in its place by now, and live. True when
        something was said."""
        process, journal = self._seats[side], self._book.journal()
        head = journal.catch_up()
        if process is None or process not in (head.process(side), head.expected_green):
            return False
        if self._world.probe(process) != "dead":
            return False
        journal.append(*settle(head, side, process, self._how.get(process, how)), writer=self._writer)
        log.warning("settled %s, process %d", side, process.pid)
        return True

    def _end(self, side: Side, how: str) -> bool:
        process = self._seats[side]
        if process is not None:
            log.error("process %d (%s) is ended: %s", process.pid, side, how)
            self._how = {process: how}  # it may be possible to say so only later
            self._world.end(process)
        return self._settle(side, how)

    def _start(self, start: b.Start) -> None:
        first = self._tried is None and self._serving is None and not self._ended_ns
        if start != self._tried:
            self._failures = 0
        self._tried, self._code = start, None
        command, extra = self._command_of(start.runtime)
        log.warning("starting %s (runtime %s): %s", start.side, start.runtime, command[0])
        try:
            self._started = self._family.start(command, {**self._env, **extra})
        except HandoffError as error:
            if first:
                raise Unstartable(error.message, hint=error.hint) from error
            self._complain(error)
            self._failures, self._ended_ns = self._failures + 1, self._world.now().mono_ns
            return
        self._seated = self._sampled = False
        self._started_ns = self._world.now().mono_ns

    def _command_of(self, name: str) -> tuple[list[str], dict[str, str]]:
        """How a runtime is started: (command line, environment beside ours). One that is gone is replaced by our own."""
        try:
            runtime = runtimes.find(self._folder, name) if name != self._own else runtimes.Runtime(name)
            return runtime.argv(self._as_by_an_interpreter(runtime)), {**runtime.env, runtimes.RUNTIME: name}
        except HandoffError as error:
            self._complain(error)
            return self._command, {runtimes.RUNTIME: self._own}

    def _as_by_an_interpreter(self, runtime: runtimes.Runtime) -> list[str]:
        """Our command with an interpreter first, where a runtime is about to put its own in that place."""
        script = not Path(self._command[0]).name.startswith("python")
        return ["", *self._command] if script and runtime.python and not runtime.command else self._command

    def _complain(self, error: Exception) -> None:
        """Once a kind: what stays wrong is not told again and again."""
        if str(error) in self._troubles:
            return
        self._troubles.add(str(error))
        if isinstance(error, HandoffError):
            log.error("%s%s", error.line(), "; keeping the gateway without" if isinstance(error, NoJournal) else "")
        else:
            log.error("unexpected; going on", exc_info=error)


class Unstartable(HandoffError):
    """The very first start did not even come to a process."""
