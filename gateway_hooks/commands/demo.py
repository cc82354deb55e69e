"""``demo``: a handoff under traffic on this machine alone, judged from the platform's own log."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from gateway_hooks.commands.progress import tell
from gateway_hooks.commands.shared import Place, hush, pass_place
from gateway_hooks.process import when_asked_to_end
from journal.errors import NothingHere
from journal.events import Phase
from replay.fold import State, apply

if TYPE_CHECKING:
    from gateway_hooks.demo.rig import Kill
    from gateway_hooks.demo.run import Report
    from journal.record import Record

KILL_PHASES = tuple(p for p in get_args(Phase) if p in ("init", "ack", "active", "baking"))
NEEDS_REFERENCE = "pip install 'handoff-journal[reference]'"
NEEDS_HERMES = "pip install 'handoff-journal[reference]' hermes-agent==0.19.0 'python-telegram-bot[webhooks]'"
T = TypeVar("T")


def kill_at(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """Callback of ``--kill``: ``SIDE@PHASE`` as a pair."""
    if value is None:
        return None
    side, _, phase = value.partition("@")
    if side not in ("blue", "green", "both") or phase not in KILL_PHASES:
        raise click.BadParameter(f"{value}: blue, green or both, @, and one of {', '.join(KILL_PHASES)}")
    return side, phase


@click.command("demo")
@click.option(
    "--gateway",
    type=click.Choice(["reference", "hermes"]),
    default="reference",
    help="Which gateway to hand over: the embedded one, or the installed Hermes.",
)
@click.option("--messages", type=click.IntRange(1, 10_000), default=60, help="How many messages people write.")
@click.option("--rate", type=click.FloatRange(0.1, 200), default=4.0, help="Messages per second.")
@click.option("--kill", callback=kill_at, metavar="SIDE@PHASE", help="SIGKILL blue, green or both in that phase.")
@click.option("--rollback", is_flag=True, help="Roll back as the operator, in the middle of the bake.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep journal, logs and homes in DIR, which must be new or empty; otherwise they are removed.",
)
@pass_place
def command(
    place: Place,
    gateway: str,
    messages: int,
    rate: float,
    kill: tuple[str, str] | None,
    rollback: bool,
    keep: Path | None,
) -> int:
    """Play a handoff under traffic: two real gateway processes and a platform stand-in on loopback."""
    require(gateway)
    hush()
    if keep is not None and keep.is_dir() and any(keep.iterdir()):
        raise click.BadParameter(f"{keep} is not empty", param_hint="--keep")
    from gateway_hooks.demo.run import Options, run

    options = Options(
        gateway="hermes" if gateway == "hermes" else "reference",
        messages=messages,
        rate=rate,
        kill=_kill(kill) if kill else None,
        rollback_in_bake=rollback,
    )
    say = (lambda _: None) if place.as_json else click.echo
    folder = keep or Path(tempfile.mkdtemp(prefix="handoff-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report, verdict, _, records = asyncio.run(interruptible(run(folder.resolve(), options, say)))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if place.as_json:
        click.echo(report.as_json())
    else:
        odd = {
            "unasked": len(verdict.unasked),
            "out of order": len(verdict.disorder),
            "reported without cause": len(verdict.unfounded),
        }
        click.echo("\n".join(["", *timeline(records), "", *figures(report, odd, kept=keep is not None)]))
    return 0 if report.good else 1


def require(gateway: str) -> None:
    """Raise ``NothingHere`` with what to install when something is missing."""
    if importlib.util.find_spec("aiohttp") is None:
        raise NothingHere("the demo needs aiohttp", hint=NEEDS_HERMES if gateway == "hermes" else NEEDS_REFERENCE)
    if gateway == "hermes":
        for distribution in ("hermes-agent", "python-telegram-bot"):
            try:
                importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                raise NothingHere(f"{distribution} is not installed here", hint=NEEDS_HERMES) from None


def _kill(order: tuple[str, str]) -> Kill:
    from gateway_hooks.demo.rig import Kill

    side, phase = order
    return Kill(side, phase)  # type: ignore[arg-type]  # kill_at has looked


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run it so that SIGTERM and SIGHUP end it as Ctrl-C does: every process it has started is ended too."""
    task = asyncio.ensure_future(work)
    when_asked_to_end(asyncio.get_running_loop(), task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def timeline(records: list[Record]) -> list[str]:
    """The steps of the handoff, a line each."""
    state, told = State(), []
    for record in records:
        state = apply(state, record)
        line = tell(record, state)
        if line:
            told.append(line)
    return told


def figures(report: Report, odd: dict[str, int], *, kept: bool) -> list[str]:
    """What came of it, and what must not have been."""
    m = report.messages
    took = f"{report.handoff_ms:.0f} ms from REQUESTED to CONFIRM, without green's boot" if report.handoff_ms else "-"
    rows = [
        ("outcome", report.outcome.replace("_", " ")),
        ("messages", f"{m.sent} sent, {m.answered} answered"),
        ("", f"{m.lost} lost, {m.answered_twice} answered twice, {m.ambiguous} ambiguous"),
        *(("", f"{count} {what}") for what, count in odd.items() if count),
        ("gap", f"{report.gap_ms:.1f} ms in which nobody polled, at most"),
        ("handoff", took),
        ("journal", f"{report.events} events" + (f" in {report.journal}" if kept else "; --keep DIR keeps them")),
    ]
    return [f"{name:<10}{text}" for name, text in rows]
