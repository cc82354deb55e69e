"""``/handoff`` in a chat, and ``hermes handoff`` on Hermes' own command line: the same commands as ``handoff-journal``.

Hermes has looked before whether that person may give commands. The command runs in a process of its own, beside the gateway: its turn
goes on in blue whatever it asked for, and its answer comes once the new side serves. Hermes keeps the word ``handoff`` for its own
command line, so it is offered where the gateway looks for the commands of plugins.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway_hooks.hermes.internals import module, wrap
from gateway_hooks.process import ROLE, output_of
from journal.errors import HandoffError

NAME = "handoff"
WITHIN_S = 180.0
USAGE = "/handoff status | promote NAME | confirm | complete | rollback | audit"
ORDERS: Mapping[str, tuple[str, ...]] = {
    "status": (),
    "promote": ("--no-wait",),
    "confirm": (),
    "complete": ("--no-wait",),
    "rollback": ("--no-wait",),
    "audit": (),
}
"""What can be ordered from a chat, and what is added to it there: nobody waits in a chat through a bake."""
ALLOWED = frozenset({"--bake", "--confirm-within", "--no-way-back"})
"""Options of ``promote`` that a chat may give."""


def words(raw: str) -> list[str] | None:
    """The command of a chat as words of ``handoff-journal``, or None when it is none of those that a chat may give."""
    try:
        given = shlex.split(raw)
    except ValueError:
        return None
    order, *rest = given or ["status"]
    if order not in ORDERS or (rest and order != "promote"):
        return None
    if any(word.startswith("-") and word not in ALLOWED for word in rest):
        return None
    if rest and not rest[0].startswith("-"):
        rest = ["--runtime", *rest]
    return [order, *rest, *ORDERS[order]]


def offer(home: Path) -> None:
    """Let the gateway of this process find the command."""

    async def handoff(raw: str) -> str:
        command = words(raw)
        if command is None:
            return USAGE
        return await asyncio.to_thread(_run, home, command)

    def found(original: Callable[[str], Any]) -> Callable[[str], Any]:
        def get_plugin_command_handler(name: str) -> Any:
            return handoff if name == NAME else original(name)

        return get_plugin_command_handler

    wrap(module("hermes_cli.plugins"), "get_plugin_command_handler", found)


def _run(home: Path, command: list[str]) -> str:
    env = {name: value for name, value in os.environ.items() if name != ROLE}
    try:
        line = [sys.executable, "-m", "gateway_hooks.cli", *command, "--home", str(home)]
        return output_of(line, timeout_s=WITHIN_S, env=env, good=(0, 1))
    except HandoffError as error:
        return str(error)


def on_the_command_line(context: Any) -> None:
    """``hermes handoff ...``: everything after the word goes to ``handoff-journal`` as it is."""

    def setup(parser: Any) -> None:
        parser.add_argument("words", nargs="...", metavar="COMMAND", help="see 'hermes handoff -- --help'")

    def handle(given: Any) -> None:
        from gateway_hooks.cli import main

        asked = [word for n, word in enumerate(given.words) if n or word != "--"]
        raise SystemExit(main(asked))

    context.register_cli_command(NAME, "hand the running gateway over to another one (handoff-journal)", setup, handle)
