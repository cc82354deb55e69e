"""Sessions on disk: which chat talks in which session (routing), and what was said (transcripts)."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from gateway_hooks.gateway import Flushed


class Words(NamedTuple):
    """One thing that was said in a session; ``role`` is ``user`` or ``assistant``."""

    role: str
    text: str


class Sessions:
    """A routing table in memory, written entry by entry: a save of the whole table would erase what only the other side knows."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA busy_timeout = 5000")
        self._db.execute("CREATE TABLE IF NOT EXISTS routing (chat TEXT PRIMARY KEY, session TEXT NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS transcripts"
            " (id INTEGER PRIMARY KEY, session TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL)"
        )
        self.routing: dict[str, str] = {}
        self.load()

    def load(self) -> tuple[Flushed, ...]:
        """Read the routing table again, and say what stands on disk."""
        with self._lock:
            self.routing = dict(self._db.execute("SELECT chat, session FROM routing"))
        return self.flush()

    def flush(self) -> tuple[Flushed, ...]:
        """What stands on disk, by part. Everything is written when it happens, so there is nothing left to write."""
        with self._lock:
            routing = self._db.execute("SELECT chat, session FROM routing ORDER BY chat").fetchall()
            count, last = self._db.execute("SELECT count(*), coalesce(max(id), 0) FROM transcripts").fetchone()
        return (
            Flushed("routing", len(routing), _digest(routing)),
            Flushed("transcripts", count, _digest([(count, last)])),
        )

    def session_of(self, chat: str) -> str:
        """The session of a chat; a new chat gets one, on disk at once."""
        if chat not in self.routing:
            session = f"s-{os.urandom(6).hex()}"
            with self._lock:
                self._db.execute("INSERT OR IGNORE INTO routing VALUES (?, ?)", (chat, session))
            self.routing[chat] = session
        return self.routing[chat]

    def said(self, session: str) -> tuple[Words, ...]:
        """The transcript, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT role, text FROM transcripts WHERE session = ? ORDER BY id", (session,))
            return tuple(Words(*row) for row in rows)

    def say(self, session: str, role: str, text: str) -> None:
        """Append to the transcript. What is no Unicode, half an emoji say, stands there as ``?``."""
        text = text.encode("utf-8", "replace").decode()
        with self._lock:
            self._db.execute("INSERT INTO transcripts (session, role, text) VALUES (?, ?, ?)", (session, role, text))


def _digest(rows: object) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()
