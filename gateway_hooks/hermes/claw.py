"""``HERMES_RUNTIME=claw``: Hermes' agent comes from ``agent.claw_runtime`` at every place that imports it; unset, from ``run_agent``.

Hermes imports ``AIAgent`` from ``run_agent`` by name, at the moment it needs one. So the name is replaced there, once, before any
turn, and in whatever module has taken it already.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway_hooks.gateway import Finding, GatewayFault
from gateway_hooks.hermes.hold import log
from gateway_hooks.hermes.internals import module

VARIABLE = "HERMES_RUNTIME"
CLAW = "claw"
MODULE = "agent.claw_runtime"
NAME = "AIAgent"
CODE = "hermes.claw"


def wanted(env: Mapping[str, str]) -> bool:
    """Whether the environment asks for it."""
    return env.get(VARIABLE, "").strip().lower() == CLAW


def agent_class() -> Any:
    """The class of the claw runtime.

    Raises:
        GatewayFault: There is no such module, it cannot be imported, or it has no such class.
    """
    try:
        found = getattr(module(MODULE), NAME, None)
    except Exception as error:
        raise GatewayFault(
            f"{VARIABLE}={CLAW}, but {MODULE} cannot be imported: {error}", hint=f"install it, or unset {VARIABLE}"
        ) from error
    if not isinstance(found, type):
        raise GatewayFault(f"{VARIABLE}={CLAW}, but {MODULE} has no class {NAME}", hint=f"mend it, or unset {VARIABLE}")
    return found


def take(env: Mapping[str, str]) -> bool:
    """Let every import of the agent give the claw runtime's, where the environment asks for it; idempotent.

    Raises:
        GatewayFault: See ``agent_class``.
    """
    if not wanted(env):
        return False
    claw, usual = agent_class(), module("run_agent")
    original = getattr(usual, NAME)
    if original is claw:
        return True
    for name, there in list(sys.modules.items()):
        if name != MODULE and getattr(there, "__dict__", {}).get(NAME) is original:
            setattr(there, NAME, claw)
    log.info("agents come from %s", MODULE)
    return True


def findings(env: Mapping[str, str]) -> tuple[Finding, ...]:
    """What preflight says of it; nothing where it is not asked for."""
    if not wanted(env):
        return ()
    try:
        agent_class()
    except GatewayFault as error:
        return (Finding(CODE, "error", error.line()),)
    return (Finding(CODE, "ok", f"agents come from {MODULE}"),)
