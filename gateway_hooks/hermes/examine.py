"""Preflight in the interpreter that green will run in: ``python -m gateway_hooks.hermes.examine WHAT HOME``.

``HOME`` is a scratch copy of the gateway's home, so whatever a Hermes writes when it is imported, reads its configuration or opens
its database, it writes there. Prints one line of JSON: ``{"findings": [[code, severity, text], ...], "schema": 22}``.

``forward``: would this Hermes serve here? It migrates the copy of state.db as it would the real one. ``turn`` runs a turn too, with
the configured model and without any platform. ``back``: does this Hermes still read and write a copy that another one has migrated?
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway_hooks.gateway import Finding
from gateway_hooks.hermes import claw, seams
from gateway_hooks.hermes.internals import module, version

SCRATCH = "handoff-journal-preflight"
"""The session that is written into the copy."""
WORDS = "is this thing on?"


def forward(home: Path, *, turn: bool = False) -> Iterator[Finding]:
    """Everything that a green of this interpreter needs."""
    yield from seams.findings()
    yield from claw.findings(os.environ)
    yield from _tried("hermes.import", "gateway.run can be imported", lambda: module("gateway.run"))
    yield from _tried(
        "hermes.config", "config.yaml can be read", lambda: module("gateway.config").load_gateway_config()
    )
    yield from _tried("hermes.state", "state.db can be opened, migrated, read and written", lambda: _use(home))
    if turn:
        yield from _tried("hermes.turn", "a turn was answered, without any platform", _turn)


def back(home: Path) -> Iterator[Finding]:
    """Whether this Hermes can go on with what another one has migrated."""
    yield from _tried(
        "hermes.way_back", f"hermes-agent {version()} goes on with what green has migrated", lambda: _use(home)
    )


def _tried(code: str, good: str, what: Callable[[], Any]) -> Iterator[Finding]:
    try:
        what()
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})".replace("\n", " ")
        yield Finding(code, "error", text[:200])
    else:
        yield Finding(code, "ok", good)


def _use(home: Path) -> None:
    """Read every session and the routing table, and write a session, a message and a route, as a gateway does."""
    path = home / "state.db"
    with closing(module("hermes_state").SessionDB(path)) as db:
        rows = db._conn.execute("SELECT id FROM sessions ORDER BY started_at DESC LIMIT 50").fetchall()
        for row in rows:
            db.get_messages_as_conversation(row[0])
        db.load_gateway_routing_entries(scope="")
        there = db.get_session(SCRATCH) is not None
        if not there:
            db.create_session(SCRATCH, "telegram")
        db.append_message(SCRATCH, "user", WORDS)
        db.append_message(SCRATCH, "assistant", "it is")
        db.save_gateway_routing_entry(SCRATCH, "{}", scope="")
        said = [m.get("content") for m in db.get_messages_as_conversation(SCRATCH)]
        if said.count(WORDS) != 1 + there:
            raise RuntimeError("what was written before cannot be read" if there else "what is written cannot be read")


def _turn() -> None:
    claw.take(os.environ)
    run = module("gateway.run")
    agent = module("run_agent").AIAgent(
        model=run._resolve_gateway_model(), **run._resolve_runtime_agent_kwargs(), max_iterations=2, quiet_mode=True,
        enabled_toolsets=[], platform="telegram", session_id=SCRATCH,
    )  # fmt: skip
    result = agent.run_conversation(user_message="This is a test before an upgrade. Answer with one word.")
    if not (result or {}).get("final_response"):
        raise RuntimeError(f"no answer: {(result or {}).get('error', '')}")


def main(what: str, home: Path) -> None:
    """Print the findings as one line of JSON, the last one on stdout."""
    found = list(back(home) if what == "back" else forward(home, turn=what == "turn"))
    schema = getattr(sys.modules.get("hermes_state"), "SCHEMA_VERSION", None)
    answer = {"findings": [[f.code, f.severity, f.text] for f in found], "schema": schema}
    print(f"\n{json.dumps(answer)}", flush=True)
    sys.stdout.flush()
    os._exit(0)  # whatever threads Hermes has begun


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
