"""A Hermes plugin for tests: a turn whose text says ``job SECONDS FILE`` starts a background process, with Hermes' own tool.

The stand-in for the model never calls tools. What the tool does is real: the process is a child of the gateway, writes into its
pipe each second, and the gateway watches for its end. It makes FILE when it gets to its end.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

_JOB = re.compile(r"\bjob (\d+) (\S+)")


def register(context: Any) -> None:
    """Hermes' entry point."""
    context.register_hook("pre_llm_call", start_job)


def start_job(user_message: Any = "", **_: Any) -> None:
    """Runs in the turn's thread, where a tool would run."""
    found = _JOB.search(str(user_message))
    if found:
        seconds, file = found.groups()
        command = f"for second in $(seq {seconds}); do echo tick; sleep 1; done; touch {file}"
        importlib.import_module("tools.terminal_tool").terminal_tool(command, background=True, notify_on_complete=True)
