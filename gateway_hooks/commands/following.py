"""Follow one handoff in the journal until something holds, and say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from gateway_hooks.commands.progress import Live, Plain, Progress, Silent
from gateway_hooks.commands.shared import Place, hush
from gateway_hooks.commands.status import why
from gateway_hooks.orders import Operator
from gateway_hooks.process import System
from journal.errors import HandoffError
from journal.head import AT_REST, TRANSITIONS
from journal.store import Reader
from journal.tail import Doorbell
from replay.decide import deadline_passed
from replay.fold import State, apply

WAKE_S = 0.5
ALONE_S = 10.0
"""How long both sides may be gone before nobody waits any more for a service manager to start one."""
INTERRUPTED = 130


def progress_for(place: Place) -> Progress:
    """A table on a terminal, lines otherwise, nothing beside a JSON answer."""
    if place.as_json:
        return Silent()
    return Live() if sys.stdout.isatty() else Plain()


def follow(folder: Path, handoff: str, progress: Progress, *, after: int = 0) -> Generator[tuple[State, bool]]:
    """The state after each transition of that handoff (False: the past, perhaps), and whenever the journal was read to its end
    (True: the present). Steps beyond seq ``after`` go to ``progress``."""
    hush()
    reader, bell, state = Reader(folder / "journal.db"), Doorbell(folder / "bell"), State()
    try:
        while True:
            for record in reader.all(after=state.head.seq):
                state = apply(state, record)
                if state.head.handoff != handoff:
                    continue
                if record.seq > after:
                    progress.step(record, state)
                if record.type in TRANSITIONS:
                    yield state, False
            progress.tick(state)
            yield state, True
            bell.wait(WAKE_S)
    finally:
        bell.close()
        reader.close()


def wait_until(
    operator: Operator,
    handoff: str,
    progress: Progress,
    holds: Callable[[State], bool],
    *,
    after: int = 0,
    timeout_s: float | None = None,
) -> State:
    """Follow until ``holds``, or until the handoff is over.

    A request that its gateway does not take up in time is withdrawn: nobody else could.

    Raises:
        HandoffError: Both sides are gone, or ``timeout_s`` is over. The handoff stays as it is.
    """
    system = System()
    begun = system.now().mono_ns
    alive_ns = begun
    # Closed by name: an interrupt that hits a generator which is merely dropped is swallowed by the interpreter.
    with closing(follow(operator.journal.folder, handoff, progress, after=after)) as steps:
        for state, present in steps:
            if state.head.phase in AT_REST or holds(state):
                return state
            if not present:
                continue
            now, head = system.now(), state.head
            if head.phase == "requested" and request_is_lost(state, system):
                operator.give_up(state)
            sides = [p for p in (head.blue, head.green, head.expected_green) if p is not None]
            if any(system.probe(p) != "dead" for p in sides):
                alive_ns = now.mono_ns
            elif now.mono_ns - alive_ns > ALONE_S * 1e9:
                raise HandoffError(
                    f"both sides of {handoff} are gone in phase {head.phase}",
                    hint="start the gateway: it goes on from the journal",
                )
            if timeout_s is not None and now.mono_ns - begun > timeout_s * 1e9:
                raise HandoffError(
                    f"{handoff} is in phase {head.phase} after {timeout_s:g} s; what was ordered stands",
                    hint="watch it with 'handoff-journal status'",
                )
    raise AssertionError("follow never ends by itself")


def request_is_lost(state: State, system: System) -> bool:
    """Whether nobody will take the request up: its gateway is dead, or has let the deadline pass."""
    owner = state.head.owning
    if owner is None or system.probe(owner) == "dead":
        return True
    return deadline_passed(state, system.now(), system.me().boot)


def goes_on(handoff: str) -> str:
    """What Ctrl-C leaves behind, and how to come back to it."""
    return (
        f"{handoff} goes on without you: 'handoff-journal status' shows it, 'handoff-journal rollback' undoes it, "
        "'handoff-journal complete' ends its bake"
    )


def interrupted(operator: Operator, handoff: str, nothing: str, *types: str) -> int:
    """Tell what Ctrl-C leaves behind, and return the exit code for it.

    It may have come between the append and the word of it: so where no ``handoff`` is known yet, the record says whether an event of
    these types stands. ``nothing`` is what is said when none does.
    """
    said = None if handoff else operator.said(*types)
    if said is not None and said.type == "HANDOFF_FAILED":
        click.echo(f"\nthe request for {said.handoff} is withdrawn", err=True)
    else:
        known = handoff or (said.handoff if said else "")
        click.echo(f"\n{goes_on(known)}" if known else f"\n{nothing}", err=True)
    return INTERRUPTED


def answer(place: Place, state: State) -> dict[str, Any]:
    """What came of a handoff, as ``--json`` prints it."""
    head = state.head
    first = state.steps[0].moment
    found = why(state)
    return {
        "handoff": head.handoff,
        "outcome": head.phase if head.phase in AT_REST or head.phase == "baking" else "running",
        "phase": head.phase,
        "reason": found["reason"],
        "detail": found["detail"],
        "evidence": evidence(place, found["evidence"]),
        "steps": [
            {
                "type": step.type,
                "phase": step.phase,
                "role": step.role,
                "seq": step.moment.seq,
                "after_s": round(first.elapsed_s(step.moment.at_ns, step.moment.mono_ns, step.moment.boot), 3),
            }
            for step in state.steps
        ],
    }


def evidence(place: Place, seqs: list[int]) -> list[dict[str, Any]]:
    """What stands at these seqs."""
    if not seqs:
        return []
    reader = place.reader()
    try:
        found = [record for seq in seqs for record in reader.records(after=seq - 1, limit=1)]
    finally:
        reader.close()
    return [{"seq": r.seq, "type": r.type, "role": r.role} for r in found]


def report(place: Place, state: State) -> None:
    """Print what came of it: one JSON object, or a closing line or two."""
    found = answer(place, state)
    if place.as_json:
        place.emit(found)
        return
    reason = f": {found['reason']}" if found["reason"] else ""
    detail = f" ({found['detail']})" if found["detail"] else ""
    click.echo(f"{found['handoff']} {found['outcome'].replace('_', ' ')}{reason}{detail}")
    for each in found["evidence"]:
        click.echo(f"  evidence: seq {each['seq']} {each['type']}")
    log = place.folder / f"{found['handoff']}.green.log"
    if found["outcome"] in ("rolled_back", "failed") and found["reason"] != "operator" and log.exists():
        click.echo(f"  green's log: {log}")
