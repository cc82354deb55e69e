"""A Hermes plugin for tests: a turn whose text says ``job GO DONE`` starts a background process, with Hermes' own tool.

The stand-in for the model never calls tools. What the tool does is real: the process is a child of the gateway, writes into its
pipe several times a second until there is a file GO, then makes a file DONE; the gateway watches for its end.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

_JOB = re.compile(r"\bjob (\S+) (\S+)")


def register(context: Any) -> None:
    """Hermes' entry point."""
    context.register_hook("pre_llm_call", start_job)


def start_job(user_message: Any = "", **_: Any) -> None:
    """Runs in the turn's thread, where a tool would run."""
    found = _JOB.search(str(user_message))
    if found:
        go, done = found.groups()
        command = f"for tick in $(seq 3000); do test -e {go} && break; echo tick; sleep 0.05; done; touch {done}"
        importlib.import_module("tools.terminal_tool").terminal_tool(command, background=True, notify_on_complete=True)
