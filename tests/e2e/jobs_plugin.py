"""A Hermes plugin for tests: a turn whose text says ``job GO DONE`` starts a background process, with Hermes' own tool, and one
whose text says ``worn out`` has the network error after which Telegram's adapter gives its own recovery up.

The stand-in for the model never calls tools. What the tool does is real: the process is a child of the gateway, writes into its
pipe several times a second until there is a file GO, then makes a file DONE; the gateway watches for its end.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any

_JOB = re.compile(r"\bjob (\S+) (\S+)")


def register(context: Any) -> None:
    """Hermes' entry point."""
    context.register_hook("pre_llm_call", start_job)
    context.register_hook("pre_llm_call", wear_out)


def start_job(user_message: Any = "", **_: Any) -> None:
    """Runs in the turn's thread, where a tool would run."""
    found = _JOB.search(str(user_message))
    if found:
        go, done = found.groups()
        command = f"for tick in $(seq 20000); do test -e {go} && break; echo tick; sleep 0.05; done; touch {done}"
        importlib.import_module("tools.terminal_tool").terminal_tool(command, background=True, notify_on_complete=True)


def wear_out(user_message: Any = "", **_: Any) -> None:
    """Ten retries have failed, as after ten minutes without a network; the eleventh error is left to the adapter and to Hermes."""
    if "worn out" in str(user_message):
        runner = importlib.import_module("gateway.run")._gateway_runner_ref()
        for adapter in list(runner.adapters.values()):
            adapter._polling_network_error_count = 10
            error = OSError("the network is unreachable")
            asyncio.run_coroutine_threadsafe(adapter._handle_polling_network_error(error), runner._gateway_loop)
