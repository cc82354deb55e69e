"""Which program green runs: ``HERMES_HOME/handoff/runtimes.toml``, or the same command as blue.

[next]
venv = "/opt/hermes-0.19"            # or: python = "/opt/hermes-0.19/bin/python"
command = ["-m", "hermes_cli.main", "gateway", "run"]   # arguments; without it those of blue
env = { HERMES_LOG_LEVEL = "info" }
health = { memory = { floor = 1024 }, slow = { factor = 5 } }   # limits of the rules of divergence, see docs/bake.md
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from journal.errors import HandoffError
from journal.events import RuleLimits
from replay.diverge import RULES

RUNTIME = "HANDOFF_JOURNAL_RUNTIME"
"""Environment variable that tells a process which runtime it is."""
SAME = "same"
"""The runtime that everybody has: blue's own interpreter and arguments."""


class UnknownRuntime(HandoffError):
    """No such name in runtimes.toml, or an entry that cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Runtime:
    """A named program. ``python`` is an interpreter, ``command`` its arguments; None and empty mean blue's own. ``health`` is what its
    runtime is allowed otherwise than by the rules of ``replay.diverge``, by their names."""

    name: str = SAME
    python: str | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    health: dict[str, RuleLimits] = field(default_factory=dict)

    def argv(self, blue: Sequence[str]) -> list[str]:
        """The full command line, given how blue was started (interpreter first).

        Raises:
            UnknownRuntime: Blue was started by a console script, and green's environment has none of that name.
        """
        rest = list(self.command) or [a for a in blue[1:] if a != "--replace"]
        if self.python and not self.command and rest and rest[0].startswith("/"):
            script = Path(self.python).parent / Path(rest[0]).name
            if not script.exists():
                raise UnknownRuntime(f"runtime {self.name} has no {script}", hint="give its 'command' in runtimes.toml")
            rest[0] = str(script)
        return [self.python or blue[0], *rest]


def find(folder: Path, name: str) -> Runtime:
    """The runtime of that name in ``folder/runtimes.toml``. Raises ``UnknownRuntime``."""
    if name == SAME:
        return Runtime()
    entries = _read(folder / "runtimes.toml")
    if name not in entries:
        known = ", ".join([SAME, *entries])
        raise UnknownRuntime(
            f"no runtime named {name}", hint=f"there are: {known}; others go into {folder}/runtimes.toml"
        )
    entry = entries[name]
    odd = set(entry) - {"venv", "python", "command", "env", "health"}
    if odd:
        raise UnknownRuntime(
            f"runtime {name} has unknown settings: {', '.join(sorted(odd))}", hint="correct runtimes.toml"
        )
    python = entry.get("python") or (str(Path(entry["venv"]) / "bin" / "python") if "venv" in entry else None)
    if python and not Path(python).is_file():
        raise UnknownRuntime(f"runtime {name} has no interpreter at {python}", hint="correct runtimes.toml")
    health = _health(name, entry.get("health", {}))
    return Runtime(name, python, tuple(entry.get("command", ())), dict(entry.get("env", {})), health)


def _health(name: str, given: Any) -> dict[str, RuleLimits]:
    """Limits of rules, by the rules' names; whole numbers will do for any."""
    known = {rule.name for rule in RULES}
    if not isinstance(given, dict) or set(given) - known:
        odd = ", ".join(sorted(set(given) - known)) if isinstance(given, dict) else str(given)
        raise UnknownRuntime(
            f"runtime {name} has limits of unknown rules: {odd}", hint=f"there are: {', '.join(sorted(known))}"
        )
    try:
        return {rule: RuleLimits.model_validate_json(json.dumps(limits)) for rule, limits in given.items()}
    except (ValidationError, TypeError, ValueError) as error:
        raise UnknownRuntime(
            f"runtime {name} has limits that cannot be", hint="give factor, floor, least as numbers, not below 0"
        ) from error


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UnknownRuntime(f"{path} cannot be read: {error}", hint="correct it") from error
