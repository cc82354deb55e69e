"""Which program green runs: ``HERMES_HOME/handoff/runtimes.toml``, or the same command as blue.

[next]
venv = "/opt/hermes-0.19"            # or: python = "/opt/hermes-0.19/bin/python"
command = ["-m", "hermes_cli.main", "gateway", "run"]   # arguments; without it those of blue
env = { HERMES_LOG_LEVEL = "info" }
health = { memory = { floor = 1024 }, slow = { factor = 5 } }   # limits of the rules of divergence, see docs/bake.md
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from journal.errors import HandoffError
from journal.events import Limits, RuleLimits
from replay.diverge import RULES, WINDOW

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
    runtime is allowed otherwise than by the rules of ``replay.diverge``, by their names; ``limits`` are those of a handoff to it."""

    name: str = SAME
    python: str | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    health: dict[str, RuleLimits] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

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


# what the operating system takes: no NUL anywhere, and no "=" in a variable's name
Plain = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$")]


def _rule(name: str) -> str:
    if name not in {rule.name for rule in RULES}:
        raise ValueError("no such rule")
    return name


RuleName = Annotated[str, AfterValidator(_rule)]


def _within_window(limits: RuleLimits) -> RuleLimits:
    """A rule that needed more than is remembered would never speak, or always."""
    if limits.least is not None and limits.least > WINDOW:
        raise ValueError("least is too large")
    return limits


class Entry(BaseModel):
    """A table of runtimes.toml as it must be written. Paths are not looked at here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
    venv: Word | None = None
    python: Word | None = None
    command: list[Plain] = []
    env: dict[Name, Plain] = {}
    health: dict[RuleName, Annotated[RuleLimits, AfterValidator(_within_window)]] = {}
    limits: Limits = Limits()


def find(folder: Path, name: str) -> Runtime:
    """The runtime of that name in ``folder/runtimes.toml``; what is wrong with others there is no matter.

    Raises:
        UnknownRuntime: There is none, its entry cannot be used, or the file cannot be read.
    """
    path = folder / "runtimes.toml"
    if name == SAME:
        _require_no_entry(path)
        return Runtime()
    entries = _read(path)
    if name not in entries:
        known = ", ".join([SAME, *(known for known, of in entries.items() if known != SAME and isinstance(of, dict))])
        raise UnknownRuntime(f"no runtime named {name}", hint=f"there are: {known}; others go into {path}")
    entry = _entry(path, name, entries[name])
    python = entry.python or (str(Path(entry.venv) / "bin" / "python") if entry.venv else None)
    if python and not Path(python).is_file():
        raise UnknownRuntime(f"{path}: runtime {name} has no interpreter at {python}", hint="correct its path there")
    return Runtime(name, python, tuple(entry.command), dict(entry.env), dict(entry.health), entry.limits)


def _require_no_entry(path: Path) -> None:
    """``same`` is never read from a file: an entry of that name would be passed over. A file that cannot be read has no say here."""
    try:
        named = SAME in _read(path)
    except UnknownRuntime:
        return
    if named:
        raise UnknownRuntime(
            f"{path}: [{SAME}] is the gateway's own runtime and takes no settings", hint="give that entry another name"
        )


def _entry(path: Path, name: str, found: Any) -> Entry:
    if not isinstance(found, dict):
        raise UnknownRuntime(
            f"{path}: {name} is no runtime", hint=f"write it as a table: a line [{name}], then its settings"
        )
    try:
        return Entry.model_validate(found)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
    odd = sorted(str(e["loc"][0]) for e in wrong if e["type"] == "extra_forbidden" and len(e["loc"]) == 1)
    if odd:
        known = ", ".join(Entry.model_fields)
        raise UnknownRuntime(
            f"{path}: runtime {name} has unknown settings: {', '.join(odd)}", hint=f"there are: {known}"
        )
    key = ".".join(str(part) for part in wrong[0]["loc"] if part != "[key]")
    raise UnknownRuntime(f"{path}: runtime {name}: {key} is not as it must be", hint=_MUST_BE[str(wrong[0]["loc"][0])])


_MUST_BE = {
    "venv": "it is the path of an environment, in quotes",
    "python": "it is the path of an interpreter, in quotes",
    "command": 'it is a list of words, such as ["-m", "hermes_cli.main", "gateway", "run"]',
    "env": 'it is a table of names and texts, such as { HERMES_LOG_LEVEL = "info" }',
    "health": f"it is a table of rules ({', '.join(rule.name for rule in RULES)}), each with numbers: "
    f"factor and floor, not below 0, or least, a whole one from 1 to {WINDOW}",
    "limits": f"it is a table of {', '.join(Limits.model_fields)}: seconds, but for the last, a whole number",
}


def _read(path: Path) -> dict[str, Any]:
    """What stands in the file, whatever it is; nothing when there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise UnknownRuntime(f"{path} cannot be read: {error}", hint="correct it") from error
