"""Whose chats they were: pseudonyms compared with the names that the home itself knows, with the key that lies beside the journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from journal.events import MessageAccepted
from journal.pseudonyms import Pseudonyms
from journal.reader import Reader


def chats(home: Path, names: Pseudonyms) -> dict[str, str]:
    """Pseudonym to ``platform:chat``, with what the person is called there, of every chat that Hermes has a session for."""
    return {
        names.of("c", f"{origin['platform']}:{origin['chat_id']}"): _called(origin)
        for origin in (*_routed(home), *_mirrored(home))
        if isinstance(origin, Mapping) and origin.keys() >= {"platform", "chat_id"}
    }


def whose(reader: Reader, messages: Iterable[int], known: Mapping[str, str]) -> dict[int, dict[str, str | None]]:
    """Message (the seq of its acceptance) to its chat's pseudonym and name; no name where Hermes has forgotten the chat."""
    found: dict[int, dict[str, str | None]] = {}
    for message in sorted(set(messages)):
        for record in reader.records(after=message - 1, limit=1):
            event = record.event
            if record.seq == message and isinstance(event, MessageAccepted):
                found[message] = {"chat": event.chat, "name": known.get(event.chat)}
    return found


def _called(origin: Mapping[str, Any]) -> str:
    name = origin.get("chat_name") or origin.get("user_name")
    return f"{origin['platform']}:{origin['chat_id']}{f' ({name})' if name else ''}"


def _routed(home: Path) -> Iterator[Any]:
    path = home / "state.db"
    if not path.is_file():
        return
    with (
        suppress(sqlite3.Error, ValueError),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db,
    ):
        for (entry,) in db.execute("SELECT entry_json FROM gateway_routing"):
            yield _origin(json.loads(entry))


def _mirrored(home: Path) -> Iterator[Any]:
    with suppress(OSError, ValueError):
        entries = json.loads((home / "sessions" / "sessions.json").read_text(encoding="utf-8"))
        yield from map(_origin, entries.values() if isinstance(entries, dict) else ())


def _origin(entry: Any) -> Any:
    return entry.get("origin") if isinstance(entry, dict) else None
