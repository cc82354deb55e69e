"""The product broken on purpose, one line at a time: a simulation that holds on these proves nothing.

``make mutants`` breaks it in each way in turn and says after how many seeds that was noticed, and by what.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from gateway_hooks import inbox, manager, settling, wording
from journal import events as e
from journal import head, law
from journal.record import Draft
from replay import decide
from replay.fold import State
from tests.sim.simulation import Simulation

Patch = tuple[Any, str, Any]


def _no_rule(event: type[e.Event]) -> Callable[[], list[Patch]]:
    """The law without its own rule for a type."""
    return lambda: [(law, "_ASKED", {**law._ASKED, event: (*law._ASKED[event][:-1], None)})]


def _verdict(message: head.Message, turn: head.Turn) -> Any:
    return None if turn.intended - turn.sent else _real_verdict(message, turn)


_real_verdict = head.verdict
_real_act = manager.Manager._act
_real_decide = decide.decide


def _connects_unpaused(state: State, view: decide.View) -> decide.Action | None:
    """Green connects as soon as it owns, whoever polls."""
    mine = state.head.owner == view.me and not view.polling
    return decide.Connect() if mine else _real_decide(state, view)


def _never_lets_go(state: State, view: decide.View) -> decide.Action | None:
    return (
        _real_decide(state, replace(view, polling=False)) if state.head.owner != view.me else _real_decide(state, view)
    )


def _sees_nobody_dead(state: State, view: decide.View) -> decide.Action | None:
    return _real_decide(state, replace(view, peer="running") if view.peer == "dead" else view)


def _lets_go_without_pausing(self: manager.Manager, active: bool) -> None:
    self._seen.polling = False
    self._inbox.let_go()
    mine = [a for a, p in self._journal.catch_up().connected.items() if p == self._writer.process]
    drafts = [Draft(wording.paused(adapter, None)) for adapter in mine]
    if active:
        drafts.append(Draft(e.HandoffActive(turns=self._gateway.turns())))
    if drafts:
        self._journal.append(*drafts, writer=self._writer)
    self._flush(force=True)


def _settle_only_the_process(_head: head.Head, side: Any, process: e.Process, how: str) -> list[Any]:
    return _real_settle(_head, side, process, how)[:1]


_real_settle = settling.settle


def _dispatch_again(self: inbox.Inbox, seq: int) -> bool:
    return self.taking


def _ends_nobody(self: manager.Manager, side: Any, how: str) -> None:
    self._settle(side, how)


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "the epoch is not checked": lambda: [(law, "_check_owner", lambda *_: None)],


    "a reply in doubt is tried again": lambda: [(head, "verdict", _verdict)],
    "the dead are lost and their messages never settled": lambda: [
        (settling, "settle", _settle_only_the_process), (manager, "settle", _settle_only_the_process),
    ],
    "nobody notices that the other side is dead": lambda: [(decide, "decide", _sees_nobody_dead)],
    "the silent are settled and not ended": lambda: [(manager.Manager, "_end_peer", _ends_nobody)],
    "an adapter is claimed though another holds it": _no_rule(e.AdapterConnected),
    "who owns connects whoever polls": lambda: [
        (decide, "decide", _connects_unpaused), *_no_rule(e.AdapterConnected)(),
    ],
    "blue hands over without pausing": lambda: [(manager.Manager, "_let_go", _lets_go_without_pausing)],
    "who has lost the adapters goes on polling": lambda: [(decide, "decide", _never_lets_go)],
    "what was left waiting is never taken up": lambda: [(inbox.Inbox, "take_up", lambda *_: None)],
    "whatever comes in is dispatched": lambda: [(inbox.Inbox, "_claim", _dispatch_again)],
    "what the other side wrote is not read": lambda: [(manager.Manager, "_read_up", lambda _self: None)],
    "a decision counts though the phase has moved": lambda: [(manager.Manager, "_decide", manager.Manager._say)],
    "blue serves though green holds the adapters": _no_rule(e.BlueServing),
    "no digest is compared": lambda: [(law, "_agree", lambda *_: None)],
    "a second attempt is never the last": lambda: [(head, "MAX_ATTEMPTS", 10**6)],
}  # fmt: skip
"""By what is broken: what to put in the place of what."""


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The product with that mutant in it."""
    patches = MUTANTS[name]()
    before = [(module, attribute, getattr(module, attribute)) for module, attribute, _ in patches]
    try:
        for module, attribute, value in patches:
            setattr(module, attribute, value)
        yield
    finally:
        for module, attribute, value in before:
            setattr(module, attribute, value)


def caught(name: str, first: int, most: int) -> tuple[int, str] | None:
    """After how many seeds a mutant is noticed, and by what; None when it is not."""
    with broken(name):
        for seed in range(first, first + most):
            bad = Simulation(seed).run()
            if bad:
                return seed - first + 1, bad[0]
    return None


@click.command()
@click.option("--first", default=0, show_default=True, help="The first seed")
@click.option("--most", default=600, show_default=True, help="Seeds a mutant")
@click.option("--only", default="", help="Mutants whose name has this in it")
def main(first: int, most: int, only: str) -> None:
    """Break the product in each way, and say what notices; 1 when nothing does."""
    missed = 0
    for name in [name for name in MUTANTS if only in name]:
        found = caught(name, first, most)
        missed += found is None
        click.echo(
            f"{name}: "
            + (f"seed {found[0]}: {found[1].splitlines()[0][:150]}" if found else f"NOT CAUGHT by {most} seeds")
        )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
