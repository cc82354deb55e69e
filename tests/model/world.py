"""The world that the model explores: the record, the processes, the platform, and what may still go wrong.

The record is the product's own ``replay.fold.State``. Seqs, hashes and process numbers grow without end, so two worlds are the same
when ``key`` says so: it names processes by their seat, messages by the update that they are, and keeps of a seq or a time only
what the law and the decisions compare it with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from journal.events import Event, Limits, Process, Role, Side
from journal.head import Head
from journal.record import Stamp
from replay.fold import Moment, State

BOOT = "a-boot"
SIDES: tuple[Side, ...] = ("blue", "green")
NOW = Stamp(10**18, 10**18)
"""The clock stands still. What is old has ``LONG_AGO`` in the place of its time."""
LONG_AGO = 0
LIMITS = Limits(confirm_samples=1)
BAKE_S = 60.0

RUNNING, STOPPED, STOPPED_AT_GATE = 1, 2, 3


class Size(NamedTuple):
    """How much there is, and how often each thing may go wrong. ``stale``: a process may act late on what it decided
    before. ``words``: whether a request may ask for somebody's word. ``rash``: how often one may say what it should not, see
    ``tests.model.rash``."""

    messages: int = 1
    adapters: int = 1
    kills: int = 1
    freezes: int = 0
    gates: int = 0
    orders: int = 0
    slow: int = 0
    faults: int = 0
    divergences: int = 0
    handoffs: int = 1
    words: int = 0
    sessions: int = 0
    stale: int = 1
    rash: int = 0


class Poll(NamedTuple):
    """One adapter's poller: asking for ``offset`` confirms what lies below it; ``batch`` is fetched and not journaled."""

    on: bool = False
    offset: int = 0
    batch: int | None = None
    clean: bool = False


class Run(NamedTuple):
    """A turn in a process's hands. ``step``: 0 started, 1 intended, 2 sent, 3 recorded as sent."""

    turn: int
    updates: tuple[int, ...]
    step: int = 0


class Proc(NamedTuple):
    """A process that lives. ``stage``: ``spawned`` (not seated), ``starting`` (by the keeper), ``seated`` or ``leaving``.

    ``polling``, ``loaded`` and ``fault`` are what its manager remembers; ``starting`` is its lanes' word, ``taking``,
    ``dispatched`` and ``unread`` its inbox's. ``late`` are updates whose append is under way though their poller has let go.
    ``todo`` is what is left of its action. ``slow``: it runs and has given no sign of life for long. ``behind`` are the chats
    of which another process has written words that this one has not read.
    """

    id: Process
    stage: str
    parent: Process | None = None
    up: int = RUNNING
    polling: bool = False
    polls: tuple[Poll, ...] = ()
    late: tuple[int, ...] = ()
    loaded_seq: int = -1
    loaded: int = -1
    fault: bool = False
    slow: bool = False
    starting: bool = True
    taking: bool = False
    dispatched: frozenset[int] = frozenset()
    unread: frozenset[str] = frozenset()
    queue: tuple[int, ...] = ()
    runs: tuple[Run, ...] = ()
    behind: frozenset[int] = frozenset()
    todo: tuple[tuple[Any, ...], ...] = ()


class World(NamedTuple):
    """All there is. ``known`` is the seq of each update, ``outcome`` what it was settled as, ``sends`` how often it was
    answered, ``died`` how many processes died in a turn over it; ``consumed`` is the platform's offset of each adapter, ``disk``
    the version of the sessions on disk. ``wrong`` is what a step did that no step may do."""

    state: State
    procs: tuple[Proc, ...]
    known: tuple[int | None, ...]
    outcome: tuple[str | None, ...]
    consumed: tuple[int, ...]
    sends: tuple[int, ...]
    died: tuple[int, ...]
    disk: int
    born: int
    left: Size
    wrong: str = ""

    def proc(self, process: Process | None) -> Proc | None:
        """The living process of that incarnation."""
        return next((p for p in self.procs if p.id == process), None) if process else None

    def with_proc(self, proc: Proc, **changes: Any) -> World:
        """The world with that process as it is now; a new one is added."""
        others = tuple(proc if p.id == proc.id else p for p in self.procs)
        return self._replace(procs=others if proc in others else (*self.procs, proc), **changes)

    def without(self, proc: Proc) -> World:
        """The process is gone, and what it had in its hands counts one death."""
        hurt = {u for run in proc.runs for u in run.updates}
        died = tuple(min(2, n + (u in hurt)) for u, n in enumerate(self.died))
        return self._replace(procs=tuple(p for p in self.procs if p.id != proc.id), died=died)

    def spend(self, what: str) -> World:
        """One less of what may go wrong."""
        return self._replace(left=self.left._replace(**{what: getattr(self.left, what) - 1}))


@dataclass(frozen=True, slots=True)
class Row:
    """A record as far as a fold looks at it; its event is not written and parsed again."""

    seq: int
    event: Event
    process: Process
    role: Role
    at_ns: int = NOW.at_ns
    mono_ns: int = NOW.mono_ns
    hash: bytes = b""


def at(values: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    """The tuple with one value exchanged."""
    return (*values[:place], value, *values[place + 1 :])


def number(born: int) -> Process:
    """The incarnation that was born as the n-th."""
    return Process.model_construct(pid=1000 + born, started=born, boot=BOOT)


def is_old(moment: Moment | None) -> bool:
    return moment is not None and moment.mono_ns == LONG_AGO


def quiet(state: State, side: Side) -> bool:
    """Whether a side has given no sign of life for long, as ``replay.decide.silent`` sees it."""
    return is_old(max((m for m in (state.seen.get(side), state.entered) if m), key=lambda m: m.seq, default=None))


def time_passes(w: World, silent: Side | None = None) -> World:
    """Every deadline of the phase is over. Who runs has given signs of life meanwhile, but for ``silent``; who is stopped has not."""
    state = w.state.copy()
    if state.steps:
        step = state.steps[-1]
        state.steps = (*state.steps[:-1], replace(step, moment=replace(step.moment, mono_ns=LONG_AGO)))
    for side in SIDES:
        proc = w.proc(state.head.process(side))
        alive = proc is not None and proc.up == RUNNING and side != silent
        mono = NOW.mono_ns if alive else LONG_AGO
        if side in state.seen:
            seq = state.head.seq if alive else state.seen[side].seq
            state.seen[side] = replace(state.seen[side], seq=seq, mono_ns=mono)
        if state.samples.get(side):
            *before, last = state.samples[side]
            state.samples[side] = (*before, replace(last, moment=replace(last.moment, mono_ns=mono)))
    return w._replace(state=state)


# ------------------------------------------------------------------------------------------- when two worlds are the same


def key(w: World) -> str:
    """Two worlds with the same key have the same future."""
    head, state = w.state.head, w.state
    choosing = head.phase in ("requested", "init")  # later nobody looks at what was loaded when
    names = _names(w)
    message = {seq: u for u, seq in enumerate(w.known) if seq is not None}
    versions = _ranks([w.disk, _digest(head.flushed), *(p.loaded for p in w.procs), *_versions(w.procs)])

    def name(process: Process | None) -> str:
        return names.get(process, "+") if process else ""

    def flush(seq: int) -> str:
        return str(seq) if seq <= 0 else "=" if seq == head.flushed_seq else "x"

    messages = [
        (u, name(m.finisher), m.attempts, m.due, _turn(message, head.turns.get(m.turn or 0)))
        for u, m in ((message[seq], m) for seq, m in sorted(head.messages.items()))
    ]
    turns = [
        (
            _first(message, t),
            [message.get(m) for m in t.messages],
            name(t.holder),
            sorted(t.intended),
            sorted(t.sent),
        )
        for _, t in sorted(head.turns.items(), key=lambda x: _first(message, x[1]))
    ]
    procs = sorted(
        (
            names[p.id], p.stage, name(p.parent), p.up, p.polling, [tuple(x) for x in p.polls], p.late, flush(p.loaded_seq) * choosing,
            versions[p.loaded], p.fault, p.slow, p.starting, p.taking,
            sorted(message[s] for s in p.dispatched if _may_wait(head, s, p)),
            sorted(p.unread), [message[s] for s in p.queue],
            [(r.updates, r.step, r.turn in head.turns and head.turns[r.turn].holder == p.id) for r in p.runs],
            sorted(p.behind), [_todo(step, head, name, flush, versions) for step in p.todo],
        )
        for p in w.procs
    )  # fmt: skip
    seen = [(s, s in state.seen, quiet(state, s)) for s in SIDES]
    connected = sorted((a, name(p)) for a, p in head.connected.items())
    return repr((
        head.phase, head.owner, name(head.blue), name(head.green), name(head.expected_green), connected,
        versions[_digest(head.flushed)], head.flushed_seq > 0, versions[w.disk], messages, turns, w.outcome, procs,
        is_old(state.entered), seen, _sample(w, name), state.divergence is not None, state.complete_requested,
        state.terms is not None, state.confirmed,
        [k is not None for k in w.known], w.consumed, w.sends, w.died, tuple(w.left), w.wrong,
    ))  # fmt: skip


def _names(w: World) -> dict[Process | None, str]:
    head = w.state.head
    names: dict[Process | None, str] = {}
    for n, p in enumerate(p for p in w.procs if p.id not in (head.blue, head.green, head.expected_green)):
        names[p.id] = f"{p.stage}{n}"
    for side, process in (("e", head.expected_green), ("g", head.green), ("b", head.blue)):
        if process:
            names[process] = side
    return names


def _sample(w: World, name: Any) -> tuple[Any, ...] | None:
    """Green's last sample, as far as a decision may rest on it: in the two phases that look at one, and once it has connected."""
    state = w.state
    last = state.samples.get("green", ())[-1:]
    since = max((state.connected_at.get(a, 0) for a in state.head.connected), default=0)
    if not last or state.head.phase not in ("active", "baking") or last[0].moment.seq < since:
        return None
    return name(last[0].process), is_old(last[0].moment), sorted(last[0].health.polls.items())


def _may_wait(head: Head, seq: int, proc: Proc) -> bool:
    """Whether it can matter that a process has dispatched this message: not while it holds its turn, nor when it is settled."""
    message = head.messages.get(seq)
    turn = head.turns.get(message.turn or 0) if message else None
    return message is not None and (turn is None or turn.holder != proc.id)


def _turn(message: dict[int, int], turn: Any) -> int | None:
    return _first(message, turn) if turn else None


def _first(message: dict[int, int], turn: Any) -> int:
    """The update by which a turn is known; -1 for one over nothing, which the law does not admit."""
    return message[turn.messages[0]] if turn.messages else -1


def _digest(flushed: dict[str, str]) -> int:
    return int(flushed["sessions"], 16) if flushed else -1


def _versions(procs: Iterable[Proc]) -> list[int]:
    return [step[2] for p in procs for step in p.todo if step[0] == "serve"]


def _ranks(values: list[int]) -> dict[int, int]:
    return {v: n for n, v in enumerate(sorted(set(values)))}


def _todo(step: tuple[Any, ...], head: Head, name: Any, flush: Any, versions: dict[int, int]) -> tuple[Any, ...]:
    """A step that is still to be done, without the seqs that it has seen: only whether they still hold."""
    match step:
        case ("say", event, phase_seq):
            loaded = (
                (flush(event.flushed_seq), sorted(event.digests.items()) == sorted(head.flushed.items()))
                if hasattr(event, "digests")
                else ()
            )
            return (
                event.TYPE,
                getattr(event, "phase", ""),
                getattr(event, "reason", ""),
                phase_seq == head.phase_seq,
                loaded,
            )
        case ("settle" | "end", side, process, *rest):
            return step[0], side, name(process), *rest
        case ("name", process, phase_seq):
            return "name", name(process), phase_seq == head.phase_seq
        case ("load", seq):
            return "load", flush(seq)
        case ("serve", seq, version):
            return "serve", flush(seq), versions[version]
        case ("claim", epoch):
            return "claim", epoch == head.epoch
        case _:
            return step
