"""The way in: Hermes calls ``register`` in every process that enables the plugin, before it builds its gateway."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from gateway_hooks.gateway import Gateway, GatewayFault, Ledger
from gateway_hooks.hermes import chat, claw, seams
from gateway_hooks.hermes.command import ROLE
from gateway_hooks.hermes.gateway import HermesGateway
from gateway_hooks.hermes.hold import log
from gateway_hooks.hermes.internals import module
from gateway_hooks.notices import Notices
from journal.errors import Busy, Refused


class Seat(Protocol):
    """Our place in this process, as the manager sees it."""

    role: Literal["blue", "green"]
    serving: bool
    ledger: Ledger

    def running(self) -> None: ...

    def leaving(self) -> None: ...

    def ended(self) -> None: ...


_entered: list[HermesGateway] = []
Take = Callable[[Path, Gateway, Mapping[str, str]], Seat]


def register(context: Any) -> None:
    """Hermes' entry point. A gateway without handoffs is better than none; a green without a seat ends."""
    green = os.environ.get(ROLE, "") == "green"
    try:
        if hasattr(context, "register_cli_command"):
            chat.on_the_command_line(context)
        enter(_take)
    except Exception as error:
        log.exception("unexpected")
        _stay_out(str(error), green=green)


def enter(take: Take) -> HermesGateway | None:
    """Put our hands into this process, if it is a gateway of a home with a journal and a Hermes that we know."""
    green = os.environ.pop(ROLE, "") == "green"  # taken out: what a turn starts is no green
    status = module("gateway.status")
    if _entered or not status.looks_like_gateway_runtime_command_line(" ".join(sys.argv)):
        return None
    home = Path(module("hermes_constants").get_hermes_home())
    errors = [finding.text for finding in seams.findings() if finding.severity == "error"]
    if not (home / "handoff" / "journal.db").is_file():
        errors = ["there is no journal in this home"] if green else []
        if not green:
            return None
    if errors:
        _stay_out("; ".join(errors), green=green)
        return None
    try:
        claw.take(os.environ)
    except GatewayFault as error:
        _stay_out(error.line(), green=green)
        return None
    env = {**os.environ, ROLE: "green"} if green else dict(os.environ)
    gateway = HermesGateway(home, green=green, serving=not green, on_armed=lambda: seat.running())
    try:
        seat = take(home, gateway, env)
    except Exception as error:
        gateway.abandon()
        _stay_out(str(error), green=green)
        return None
    gateway.ledger = seat.ledger
    gateway.hold.set(seat.serving)
    gateway.on_leaving = seat.leaving  # type: ignore[method-assign]
    gateway.on_ended = seat.ended  # type: ignore[method-assign]
    chat.offer(home)
    _entered.append(gateway)
    return gateway


def _stay_out(why: str, *, green: bool) -> None:
    """Let Hermes run as if we were not there; but a green that ran like that would be a second gateway, so it ends.

    Said on stderr too: Hermes shows nobody what is logged before its gateway is built.
    """
    log.error("handoff-journal stays out of this gateway: %s", why)
    what = "green cannot take its seat" if green else "stays out of this gateway, which runs without it"
    print(f"handoff-journal: {what}: {why}", file=sys.stderr, flush=True)
    if green:
        raise SystemExit(1)


def _take(home: Path, gateway: Gateway, env: Mapping[str, str]) -> Seat:
    rooms = importlib.import_module("gateway_hooks.seat")
    try:
        seat = rooms.take(home, gateway, env)
    except (rooms.StandAside, Refused, Busy) as error:  # somebody else serves, or is about to: never a second poller
        log.error("%s", error.line())
        print(error.line(), file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    if isinstance(gateway, HermesGateway):
        Notices(home / "handoff", seat.state, gateway.channel).start()
    taken: Seat = seat
    return taken
