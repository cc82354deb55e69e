"""Before a handoff: would green serve, and could blue go on with what green leaves? Nothing of the home is changed.

Green's interpreter is asked in an environment like the one it will be started in, over a scratch home with a copy of the
configuration and a copy of state.db that SQLite's backup API makes. Blue's interpreter is asked whether it still reads what green's
has migrated.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from gateway_hooks.gateway import Finding
from gateway_hooks.process import output_of
from gateway_hooks.runtimes import Runtime
from journal.errors import HandoffError
from journal.events import Process

EXAMINE = "gateway_hooks.hermes.examine"
WAY_BACK = "hermes.way_back"
WITHIN_S = 120.0
COPIED = ("config.yaml", ".env", "auth.json")


class NotFit(HandoffError):
    """Preflight found an error: nothing was asked for, and nothing was changed."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Blue:
    """How the serving gateway was started: its words and its environment."""

    words: tuple[str, ...]
    env: Mapping[str, str]

    @classmethod
    def of(cls, process: Process) -> Blue:
        """Raises ``HandoffError`` when it is gone, or another user's."""
        pairs = (pair.partition("=") for pair in _listed(process, "environ"))
        return cls(tuple(_listed(process, "cmdline")), {name: value for name, _, value in pairs})


def _listed(process: Process, name: str) -> list[str]:
    try:
        parts = (Path(f"/proc/{process.pid}") / name).read_bytes().split(b"\0")[:-1]
    except OSError as error:
        raise HandoffError(
            f"process {process.pid} cannot be looked at: {error.strerror}", hint="run this as the gateway's user"
        ) from error
    return [os.fsdecode(part) for part in parts]


def hermes(home: Path, runtime: Runtime, blue: Blue, *, turn: bool = False, way_back: bool = True) -> list[Finding]:
    """What is to be said of a Hermes as green.

    Args:
        home: HERMES_HOME.
        runtime: What green will run.
        blue: Who serves now.
        turn: Run a turn too; that asks the configured model.
        way_back: An error where blue could not go on after a rollback; otherwise a warning.
    """
    green = runtime.python or blue.words[0]
    with tempfile.TemporaryDirectory(prefix="handoff-preflight-") as scratch:
        copy = Path(scratch) / "home"
        copy.mkdir(mode=0o700)
        try:
            before = _copied(home, copy)
            env = {**blue.env, **runtime.env, "HERMES_HOME": str(copy), "HOME": scratch}
            found, schema = _asked(green, "turn" if turn else "forward", copy, env)
        except HandoffError as error:
            return [Finding("preflight", "error", error.line())]
        if any(f.severity == "error" for f in found) or schema is None or before is None:
            return found
        if before == schema:
            return [*found, Finding("hermes.schema", "ok", f"state.db has schema {schema}, which green writes")]
        said = f"state.db has schema {before}, green makes it {schema}"
        try:
            back, _ = _asked(blue.words[0], "back", copy, {**blue.env, "HERMES_HOME": str(copy), "HOME": scratch})
        except HandoffError as error:
            back = [Finding(WAY_BACK, "error", error.line())]
        no = "no way back: the old runtime cannot go on with what green leaves"
        hint = "promote with --no-way-back to go on knowingly"
        return [
            *found,
            Finding("hermes.schema", "ok", said),
            *(
                f
                if f.severity != "error"
                else replace(
                    f, severity="error" if way_back else "warning", text=f"{no} ({f.text}); {hint}" if way_back else f"{no} ({f.text})"
                )
                for f in back
            ),
        ]  # fmt: skip


def _copied(home: Path, copy: Path) -> int | None:
    """Copy what a Hermes needs to start; the schema of its state.db, or None without one."""
    for name in COPIED:
        if (home / name).is_file():
            shutil.copyfile(home / name, copy / name)
            (copy / name).chmod(0o600)
    if not (home / "state.db").is_file():
        return None
    try:
        with (
            closing(sqlite3.connect(f"{(home / 'state.db').resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy / "state.db")) as target,
        ):
            source.backup(target)
            row = target.execute("SELECT version FROM schema_version").fetchone()
    except sqlite3.Error as error:
        raise HandoffError(f"state.db cannot be copied: {error}", hint="look at it with 'hermes doctor'") from error
    return int(row[0]) if row else None


def _asked(python: str, what: str, home: Path, env: Mapping[str, str]) -> tuple[list[Finding], int | None]:
    said = output_of([python, "-m", EXAMINE, what, str(home)], timeout_s=WITHIN_S, env=env)
    lines = [line for line in said.splitlines() if line.startswith('{"findings":')]
    if not lines:
        last = said.rsplit("\n", 1)[-1][-120:]
        raise HandoffError(f"{python} does not say what it finds: {last}", hint="is handoff-journal installed there?")
    answer = json.loads(lines[-1])
    found = [Finding(code, severity, text) for code, severity, text in answer["findings"]]
    return found, answer["schema"]
