"""With what a green is started: the interpreter and the words of blue, minus what must not happen twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

ROLE = "HANDOFF_JOURNAL_ROLE"
_ONCE = frozenset({"--replace"})


def argv(proc: Path = Path("/proc/self")) -> tuple[str, ...]:
    """Return the command line of this process as the kernel has it, fit to start a green.

    Hermes judges by its words whether a process is a gateway, and takes the token lock from one that does not read as one:
    so they stay as they are. ``--replace`` would end blue.
    """
    words = proc.joinpath("cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    return green_argv(words[:-1] if words and not words[-1] else words)


def green_argv(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a gateway without those that must not be repeated."""
    return tuple(word for word in words if word not in _ONCE)


def green_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the plugin waits warm instead of serving."""
    return {**env, ROLE: "green"}
