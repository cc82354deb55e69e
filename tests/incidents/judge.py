"""Compare what an audit says with what was really done. Neither has seen the other before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.incidents.scene import Note

NAMES = {
    "killed": {"died"},
    "crashed": {"died"},
    "told to end": {"died"},
    "stopped": {"frozen", "not_taken_up"},
    "operator": {"operator"},
    "exits at once": {"did_not_boot"},
    "disk full": {"did_not_boot"},
    "never comes up": {"did_not_boot"},
    "deadline too short": {"did_not_boot", "not_loaded"},
    "cannot be started": {"not_started"},
    "state removed": {"preflight"},
    "loop hung": {"hung"},
    "wrong digests": {"digests"},
    "load stuck": {"not_loaded", "hung"},  # whichever limit is over first, that of its silence or that of the phase
    "connect broken": {"fault"},
    "polls refused": {"deaf"},
    "polls unanswered": {"deaf"},
    "pause broken": {"fault"},
}
"""What an audit calls what was done."""
SAID = {
    "killed": "signal 9", "crashed": "signal 11", "told to end": "told to end", "disk full": "disk", "wrong digests": "another",
}  # fmt: skip
"""Words that its sentence about green must have besides."""
ORDER = ("idle", "requested", "init", "ack", "active", "baking", "complete", "rolling_back", "rolled_back", "failed")


def judge(notes: Sequence[Note], answer: dict[str, Any], journal: Path) -> list[str]:
    """What is wrong with an audit's ``--json`` answer, given the notes; nothing when it named the right cause."""
    causes = answer["causes"]
    if not causes:
        return ["no cause is named"]
    truth, cause = notes[0], causes[0]
    wrong = []
    if cause["code"] not in NAMES[truth.what]:
        wrong.append(f"it says {cause['code']}, {truth.what} is true")
    if cause["side"] != truth.side:
        wrong.append(f"it blames {cause['side']}, {truth.side} is true")
    if truth.pid is not None and not _near(truth, cause):
        wrong.append(f"it says in {cause['phase']}, {truth.phase} is true")
    if truth.side == "green" and truth.what in SAID and SAID[truth.what] not in cause["text"]:
        wrong.append(f"{cause['text']!r} does not say {SAID[truth.what]!r}")
    wrong += _proof(truth, cause, journal)
    if len(causes) > len(notes):
        wrong.append(f"more causes than were there: {[c['code'] for c in causes]}")
    if answer["check"]["first"] is not None:
        wrong.append(f"recorded differs from decided: {answer['check']['first']}")
    return wrong


def _near(truth: Note, cause: dict[str, Any]) -> bool:
    """Blue's end shows when somebody else looks; of green the phase is the one in which blue decided on it."""
    if truth.side == "blue" or truth.phase in ("ack", "active"):  # milliseconds lie between the deed and the note
        return ORDER.index(cause["phase"]) >= min(ORDER.index(truth.phase), ORDER.index("ack"))
    return bool(cause["phase"] == truth.phase)


def _proof(truth: Note, cause: dict[str, Any], journal: Path) -> list[str]:
    """The seqs stand in the journal, and where a process was hit one of them names it."""
    marks = ",".join("?" * len(cause["seqs"]))
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(f"SELECT type, body FROM events WHERE seq IN ({marks})", cause["seqs"]).fetchall()
    if len(rows) != len(cause["seqs"]) or not rows:
        return ["its seqs are not in the journal"]
    lost = [json.loads(body)["process"]["pid"] for type_, body in rows if type_ == "PROCESS_LOST"]
    if truth.pid is not None and cause["code"] != "not_taken_up" and lost != [truth.pid]:
        return [f"its proof names the loss of {lost}, process {truth.pid} was hit"]
    return []
