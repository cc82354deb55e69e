"""A Hermes plugin for the soak: the command ``/echo [m7]`` answers its mark, and writes down that it was carried out.

A command is carried out once or not at all; what people see of it cannot tell one that was carried out twice from one whose
answer was lost. The file that it writes to can.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

NOTES = "echoed"
"""The file in HERMES_HOME."""


def register(context: Any) -> None:
    """Hermes' entry point."""
    context.register_command("echo", echo, description="answer a mark")


def echo(words: str = "", *_: Any) -> str:
    """Note the words in one write, which no other process can tear, and answer them."""
    descriptor = os.open(Path(os.environ["HERMES_HOME"]) / NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{words}\n".encode())
    os.close(descriptor)
    return f"answer {words}"
