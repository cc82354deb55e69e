"""``replay``: what the record said at a seq, the steps of a handoff, and recorded against decided."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from gateway_hooks.commands.shared import Place, pass_place
from gateway_hooks.commands.stepping import Step, steps_of, walk
from journal.errors import NothingHere
from journal.store import Reader
from replay.check import Checked, check
from replay.data import fingerprint, of_check, of_handoff, of_state, plain
from replay.fold import State, apply
from replay.render import check_line, difference_text, state_text, timeline_text
from replay.timeline import Handoff, Timeline, read

TOLD = 10
"""Differences that are told one by one."""


@click.command("replay")
@click.argument("handoff", required=False)
@click.option("--at", "seq", type=click.IntRange(min=1), metavar="SEQ", help="The state right after that event.")
@click.option(
    "--check",
    "checking",
    is_flag=True,
    help="Compare what was recorded with what had to be decided; 1 when it differs.",
)
@click.option(
    "--step", "stepping", is_flag=True, help="Walk through it, forwards and back; one line a step without a terminal."
)
@pass_place
def command(place: Place, handoff: str | None, seq: int | None, checking: bool, stepping: bool) -> int:
    """Show the steps of a handoff, the last one unless one is named."""
    if stepping and (seq is not None or checking or place.as_json):
        raise click.UsageError("--step stands alone: without --at, --check and --json")
    if stepping:
        walk(_steps(place, handoff))
        return 0
    with closing(place.reader()) as reader:
        timeline = read(reader.all())
        chosen = _choose(timeline, handoff, seq, checking)
        state = _state(reader, timeline, seq) if seq is not None else None
        checked = check(reader.all()) if checking else None
        if checked and handoff and chosen:
            checked = checked.within(chosen.first, chosen.last)
    if place.as_json:
        place.emit(_answer(timeline, chosen, state, checked))
    else:
        click.echo("\n\n".join(_texts(timeline, chosen, state, checked)))
    return 1 if checked and checked.first else 0


def _steps(place: Place, handoff: str | None) -> list[Step]:
    with closing(place.reader()) as reader:
        return steps_of(reader.all(), read(reader.all()).select(handoff))


def _choose(timeline: Timeline, name: str | None, seq: int | None, checking: bool) -> Handoff | None:
    """The handoff that was named, or the one that a seq belongs to, or the last. Without any, a state can still be shown."""
    if name is None and seq is not None:
        return next((h for h in timeline.handoffs if h.first <= seq <= h.last), None)
    if name is None and checking and not timeline.handoffs:
        return None
    return timeline.select(name)


def _state(reader: Reader, timeline: Timeline, seq: int) -> State:
    last = timeline.last.seq if timeline.last else 0
    if seq > last:
        raise NothingHere(f"the journal ends at seq {last}", hint="name a seq up to there")
    state = State()
    for record in reader.all():
        if record.seq > seq:
            break
        state = apply(state, record)
    return state


def _answer(
    timeline: Timeline, handoff: Handoff | None, state: State | None, checked: Checked | None
) -> dict[str, Any]:
    answer: dict[str, Any] = {"handoff": of_handoff(handoff) if handoff else None}
    if handoff:
        answer["polled"] = plain(timeline.polls_in(handoff))
    if state:
        answer["state"] = {**of_state(state), "fingerprint": fingerprint(state)}
    if checked:
        answer["check"] = of_check(checked)
    return answer


def _texts(timeline: Timeline, handoff: Handoff | None, state: State | None, checked: Checked | None) -> list[str]:
    texts = [state_text(state)] if state else []
    if handoff and not state:
        texts.append(timeline_text(handoff, timeline.polls_in(handoff)))
    if checked:
        more = [difference_text(difference) for difference in checked.differences[1:TOLD]]
        texts.append("\n".join([f"recorded against decided: {check_line(checked)}", *more]))
    return texts
