"""Promote without blue: one that hangs, or is gone. It is ended, settled and taken over; green needs nothing of it but the record.

The request, blue's end and green's name stand in one append: nobody ever sees a request that blue would have to take up.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway_hooks import runtimes
from gateway_hooks.hanging import may_write, patience_s, silent_at_rest
from gateway_hooks.process import FORCED, ROLE, System, belongings, undisturbed
from gateway_hooks.settling import free_gate_of, settle
from journal import events as e
from journal.errors import Busy, HandoffError, IllegalTransition, NothingHere, Refused
from journal.events import Process
from journal.head import Head
from journal.record import Draft, Stamp, Writer
from journal.store import Journal, Reader
from replay.fold import State, state_of

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Freed:
    """Who was stopped with the journal's gate in its hands and is ended: nobody can write before that. And how it had been started."""

    process: Process
    line: Sequence[str]
    env: Mapping[str, str]
    folder: Path


def free(folder: Path, system: System, busy: Busy) -> Freed:
    """End that one, where ``force`` may end the gateway; raises what ``force`` would, or ``busy`` where nobody is stopped."""
    with closing(Reader(folder / "journal.db")) as reader:
        _owner(state_of(reader), system, folder)
    holder = system.identify(busy.holder) if busy.holder else None
    if holder is None:
        raise busy
    line, env, cwd = belongings(holder)
    return Freed(free_gate_of(system, busy), line, env, cwd)  # it may go on by now


def force(
    journal: Journal,
    runtime: str,
    bake_s: float,
    limits: e.Limits,
    terms: e.HandoffTerms | None = None,
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    freed: Freed | None = None,
) -> str:
    """End the gateway that cannot hand over, and start green in its place; returns the handoff's id.

    Args:
        journal: The home's.
        runtime: Which program green runs; ``same`` is that of the gateway that is ended.
        bake_s, limits, terms: As for any handoff.
        command: How a gateway is started, where there is none left to look it up at.
        env: With which environment then; ours where that is not said.
        freed: Who had to be ended before the journal could be opened.
    Raises:
        IllegalTransition: The gateway answers, another has taken its place meanwhile, or a handoff is not over.
        NothingHere: No gateway ever served, or it is gone and nobody says how one is started.
        HandoffError: Green could not be started, or the gateway could not be ended: nobody has changed. Or the journal could not be
            written, which its hint tells: then the gateway is gone, and has to be started again.
        KeyboardInterrupt: Ctrl-C came meanwhile, and was put off until all was said: the record tells whether it stands.
    """
    system = System()
    with closing(Reader(journal.path)) as reader:
        state = state_of(reader)
    owner = _owner(state, system, journal.folder)
    alive = system.probe(owner) != "dead"
    if freed is not None and freed.process == owner:
        line, env, folder = list(freed.line), freed.env, freed.folder
    elif alive:
        line, env, folder = belongings(owner)
    else:
        line, env, folder = [], os.environ if env is None else env, Path.cwd()
    line = list(command) or line
    chosen = runtimes.find(journal.folder, runtime)
    if not line and not (chosen.python and chosen.command):
        raise NothingHere(
            "the gateway is gone, and with it how it was started", hint="say so: promote --force -- COMMAND ..."
        )
    now = system.now()
    handoff = handoff_id(now)
    env = {
        **{name: value for name, value in env.items() if name not in (ROLE, FORCED)}, **chosen.env,
        ROLE: "green", FORCED: handoff,
        runtimes.RUNTIME: env.get(runtimes.RUNTIME, runtimes.SAME) if runtime == runtimes.SAME else runtime,
    }  # fmt: skip
    if line:
        line[0] = shutil.which(line[0], path=env.get("PATH")) or line[0]
    requested = e.HandoffRequested(handoff=handoff, runtime=runtime, bake_s=bake_s, limits=limits)
    asked = [requested, terms] if terms else [requested]

    def look() -> State:
        with closing(Reader(journal.path)) as reader:
            return state_of(reader, state)

    with undisturbed():
        green = system.spawn(chosen.argv(line), env, journal.folder / f"{handoff}.green.log", folder=folder)
        try:
            already = freed.process if freed else None
            _said(
                journal,
                system,
                lambda head, freed: _take_over(head, state.head, system, green, asked, freed or already, look),
            )
        except HandoffError as error:
            system.end(green)
            if (alive or already == owner) and not isinstance(error, Refused) and system.probe(owner) == "dead":
                error.hint = f"process {owner.pid} was ended all the same: start the gateway again"
            raise
    return handoff


def _said(journal: Journal, system: System, do: Callable[[Head, Process | None], list[Draft]]) -> None:
    """Do it and say it under the gate. Who is stopped with that in hand is ended first: it may be the very owner."""
    writer = Writer(system.me(), "operator")
    try:
        journal.append_after(lambda head: do(head, None), writer=writer)
    except Busy as error:
        freed = free_gate_of(system, error)
        journal.append_after(lambda head: do(head, freed), writer=writer)


def _take_over(
    head: Head,
    seen: Head,
    system: System,
    green: Process,
    asked: Sequence[e.Event],
    freed: Process | None,
    look: Callable[[], State],
) -> list[Draft]:
    """End the owner; its end, the request and green's name, to be appended before anybody else can say a word: the keeper wakes when
    the owner dies, would settle it first, and start it again.

    What was seen of it before is looked at again: until here it may have waited for the gate, and go on by now.
    """
    owner = seen.owning
    assert owner is not None
    withdrawn = head.phase == "requested" and head.handoff == seen.handoff
    if (head.open and not withdrawn) or head.owning != owner:
        raise _too_late(head, owner)
    drafts = []
    if withdrawn:
        drafts.append(Draft(e.HandoffFailed(reason="fault", detail="withdrawn by the operator")))
    other: e.Side = "green" if head.owner == "blue" else "blue"
    left = head.process(other)
    if left is not None:
        if system.probe(left) != "dead":
            raise IllegalTransition(
                f"process {left.pid}, the other side of the last handoff, is still finishing its turns",
                hint="wait until it has exited, or end it; then again",
            )
        drafts += settle(head, other, left, "died")
    found = "stopped" if owner == freed else system.probe(owner)
    if found == "running":
        _require_silent(look(), system, owner)
    how = {"dead": "died", "stopped": "ended_stopped", "running": "ended_silent"}[found]
    system.end(owner)
    drafts += map(Draft, asked)
    drafts += settle(head, "blue", owner, how)
    drafts += map(Draft, (e.GreenSpawned(green=green), e.HandoffInit(green=green)))
    return drafts


def _too_late(head: Head, owner: Process) -> HandoffError:
    """Somebody else has settled the owner, or has opened a handoff, since we looked. Nobody was ended by us."""
    gone = f"process {owner.pid} has ended by itself"
    if head.open:
        return IllegalTransition(
            f"handoff {head.handoff} was asked for meanwhile", hint="'handoff-journal status' shows it"
        )
    if head.owning is not None:
        return IllegalTransition(
            f"{gone}, and process {head.owning.pid} was started in its place", hint="promote that one, without --force"
        )
    return NothingHere(
        f"{gone}, and nobody serves", hint="its keeper starts it again; where there is none, start it, then promote"
    )


def _owner(state: State, system: System, folder: Path) -> Process:
    """The gateway that has to be ended; raises where there is none, or where it need not be."""
    head: Head = state.head
    owner = head.owning
    if head.open and head.phase != "requested":  # that one is withdrawn, with the first word
        raise IllegalTransition(
            f"handoff {head.handoff} is open, in phase {head.phase}",
            hint="'handoff-journal rollback' undoes it, 'handoff-journal resume' finishes it; then again",
        )
    if owner is None:
        raise NothingHere(
            "no gateway serves, nor is one recorded to be taken over", hint="start one: handoff-journal run -- COMMAND"
        )
    now = since = system.now()
    while system.probe(owner) == "stopped" and now.mono_ns - since.mono_ns < state.limits.frozen_s * 1e9:
        time.sleep(LOOK_S)  # who was stopped for a moment only is not ended
        now = system.now()
    if system.probe(owner) != "running":
        return owner
    _require_silent(state, system, owner)
    if not may_write(folder, owner):
        raise IllegalTransition(
            f"process {owner.pid} could not say in its journal that it is well",
            hint=f"let it write again ('handoff-journal doctor' looks why it cannot), or end it: kill -9 {owner.pid}; then again",
        )
    return owner


def _require_silent(state: State, system: System, owner: Process) -> None:
    if not silent_at_rest(state, system.now(), owner.boot):
        raise IllegalTransition(
            f"process {owner.pid} has given a sign of life within {patience_s(state):g} s",
            hint="promote it without --force; when it hangs, wait that long",
        )


def handoff_id(now: Stamp) -> str:
    """A name that sorts by time and can be read aloud: ``h-20261121-074512-3fa2``."""
    at = datetime.fromtimestamp(now.at_ns / 1e9, UTC)
    return f"h-{at:%Y%m%d-%H%M%S}-{now.at_ns % 65536:04x}"
