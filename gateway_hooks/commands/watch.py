"""``watch``: one screen that goes on: phases, both sides, adapters, turns in flight, rate of answers, health, the last events."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

import click

from gateway_hooks.commands.shared import Place, hush, pass_place
from gateway_hooks.commands.status import SIDES, describe, lines
from gateway_hooks.process import System
from journal.events import MessageSettled, Side
from journal.record import Record, Stamp
from journal.store import Reader
from journal.tail import Doorbell
from replay.fold import State, fold, state_of
from replay.telling import words
from replay.times import at, brief_span

if TYPE_CHECKING:
    from rich.console import Group

WIDTH = 80
TOLD = 10
MINUTE_NS = 60_000_000_000
WAKE_S = 0.5
LOOK_BACK = 2000
"""So many of the last events are read for the rate and the last steps when it begins."""
BORING = frozenset({"HEALTH_SAMPLED", "ADAPTER_OFFSET", "REPLY_INTENDED", "SESSION_FLUSHED"})


class Watched:
    """What is on the screen: the state, the last events, and when the last answers were given."""

    def __init__(self, reader: Reader) -> None:
        self.state: State = state_of(reader)
        self.last: deque[Record] = deque(maxlen=TOLD)
        self._answered_ns: deque[int] = deque(maxlen=100_000)
        for record in reader.all(after=max(0, self.state.head.seq - LOOK_BACK)):
            self._note(record)

    def read(self, reader: Reader) -> list[Record]:
        """Take up what was appended since; returns it."""
        new = list(reader.all(after=self.state.head.seq))
        self.state = fold(new, self.state)
        for record in new:
            self._note(record)
        return new

    def _note(self, record: Record) -> None:
        if record.type not in BORING:
            self.last.append(record)
        event = record.event
        if isinstance(event, MessageSettled) and event.outcome in ("answered", "merged"):
            self._answered_ns.append(record.at_ns)

    def in_the_last_minute(self, now: Stamp) -> int:
        """How many messages were answered in the last minute."""
        while self._answered_ns and self._answered_ns[0] < now.at_ns - MINUTE_NS:
            self._answered_ns.popleft()
        return len(self._answered_ns)


@click.command("watch")
@click.option("--once", is_flag=True, help="Print the screen once and return.")
@pass_place
def command(place: Place, once: bool) -> None:
    """Show what status shows, live, with health and the last events; end it with Ctrl-C."""
    hush()
    with closing(place.reader()) as reader:
        watched, system = Watched(reader), System()
        if place.as_json:
            found = {**describe(watched.state, system), "journal": str(place.journal_path)}
            rate = {"answered_in_the_last_minute": watched.in_the_last_minute(system.now())}
            place.emit(
                {**found, **rate, "last": [{"seq": r.seq, "type": r.type, "role": r.role} for r in watched.last]}
            )
        elif once:
            click.echo("\n".join(screen(watched, system, str(place.journal_path))))
        else:
            try:
                _follow(place, reader, watched, system)
            except KeyboardInterrupt:
                return


def _follow(place: Place, reader: Reader, watched: Watched, system: System) -> None:
    """Live on a terminal; without one the screen once, then one line an event."""
    with closing(Doorbell(place.folder / "bell")) as bell:
        if not sys.stdout.isatty():
            click.echo("\n".join(screen(watched, system, str(place.journal_path))))
            while True:
                for record in watched.read(reader):
                    if record.type not in BORING:
                        click.echo(event_line(record))
                bell.wait(WAKE_S)
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(), auto_refresh=False, screen=True) as live:
            while True:
                live.update(_coloured(screen(watched, system, str(place.journal_path))), refresh=True)
                bell.wait(WAKE_S)
                watched.read(reader)


def _coloured(shown: list[str]) -> Group:
    """The same words; colour only helps the eye."""
    from rich.console import Group
    from rich.text import Text

    texts = []
    for line in shown:
        text = Text(line, no_wrap=True, overflow="ellipsis")
        text.highlight_regex(r"\bblue\b", "blue bold")
        text.highlight_regex(r"\bgreen\b", "green bold")
        text.highlight_regex(r"\b(dead|stopped|lost|rolled back|rolling_back|failed|ROLLBACK)\b", "red bold")
        texts.append(text)
    return Group(*texts)


def screen(watched: Watched, system: System, journal: str) -> list[str]:
    """The screen, at most 80 columns and without colour."""
    state, now = watched.state, system.now()
    rows = {line[:10].strip(): line for line in lines({**describe(state, system), "journal": journal})}
    shown = [f"{'watching':<10}{at(now.at_ns)[:19]} UTC", rows["phase"], rows["owner"]]
    for side in SIDES:
        shown.append(rows[side])
        shown += [f"{'':<10}{_health(state, side, now, system.me().boot)}"] if state.head.process(side) else []
    waiting = sum(1 for message in state.head.messages.values() if message.turn is None)
    rate = f"{watched.in_the_last_minute(now)} in the last minute, {state.settled.get('answered', 0)} in all"
    shown += [rows["adapters"], f"{rows['turns']}; {waiting} waiting", f"{'answers':<10}{rate}"]
    shown += [rows["messages"], rows["handoff"], rows["journal"], "", "last events"]
    shown += [event_line(record) for record in watched.last]
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in shown]


def _health(state: State, side: Side, now: Stamp, boot: str) -> str:
    samples = state.samples.get(side, ())
    if not samples:
        return "no health sample"
    last = samples[-1]
    h, ago = last.health, brief_span(last.moment.elapsed_s(now.at_ns, now.mono_ns, boot))
    return f"{ago} ago: loop {h.loop_lag_ms:.1f} ms, {h.turns} turns, {h.waiting} waiting, {h.errors} errors, {h.rss_mb:.0f} MB"


def event_line(record: Record) -> str:
    """One event in one line of at most 80 columns."""
    line = f"{record.seq:>7}  {at(record.at_ns)[11:19]}  {record.role:<8}  {record.type:<18}  {words(record)}".rstrip()
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
