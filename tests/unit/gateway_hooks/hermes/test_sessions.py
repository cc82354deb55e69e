"""What is left of a turn whose process died: its question, when nothing came after it, and only when it is the one asked again."""

from __future__ import annotations

import sqlite3
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.sessions import Sessions

LONG = "what about " + "x" * 100


class Database:
    """As much of Hermes' ``SessionDB``: a table of messages."""

    def __init__(self, *rows: tuple[str, str]) -> None:
        self._lock = threading.Lock()
        self._conn = sqlite3.connect(":memory:")
        self._conn.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id, role, content, active DEFAULT 1)"
        )
        self._conn.executemany("INSERT INTO messages (session_id, role, content) VALUES ('a', ?, ?)", rows)

    def load_gateway_routing_entries(self, *, scope: str) -> dict[str, str]:
        return {}

    def replace_gateway_routing_entries(self, entries: dict[str, str], *, scope: str = "") -> None:
        raise NotImplementedError

    def list_recent_user_messages(self, session: str, limit: int) -> list[dict[str, Any]]:
        rows = self._conn.execute("SELECT content FROM messages WHERE role = 'user' ORDER BY id DESC LIMIT ?", (limit,))
        texts = [" ".join(str(row[0]).split()) for row in rows]
        return [{"preview": text if len(text) <= 80 else text[:77] + "..."} for text in texts]


class Store:
    """As much of Hermes' ``SessionStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._lock = threading.Lock()
        self._entries = {"chat": SimpleNamespace(session_id="a")}
        self.rewound: list[tuple[str, int]] = []

    def _routing_scope(self) -> str:
        return ""

    def _ensure_loaded_locked(self) -> None:
        pass

    def _save_sessions_json(self, data: Any) -> None:
        pass

    def rewind_session(self, session: str, turns: int) -> None:
        self.rewound.append((session, turns))


@pytest.mark.parametrize(
    ("rows", "text", "goes"),
    [
        ([("user", "hello")], "hello", True),
        ([("user", "hello")], "hello\nand more", True),
        ([("user", "hello"), ("session_meta", "")], "hello", True),
        ([("user", LONG)], LONG, True),
        ([("user", "another")], "hello", False),
        ([("user", LONG)], LONG[:60], False),
        ([("user", "hello"), ("assistant", "hi")], "hello", False),
        ([("user", "hello"), ("assistant", ""), ("tool", "done")], "hello", False),
        ([], "hello", False),
        ([("user", "")], "", False),
    ],
)
def test_only_an_unanswered_question_that_is_asked_again_goes(
    rows: list[tuple[str, str]], text: str, goes: bool
) -> None:
    store = Store(Database(*rows))
    sessions = Sessions(SimpleNamespace(session_store=store), Hold(held=True, green=False))
    sessions.forget_attempt("chat", text)
    assert store.rewound == ([("a", 1)] if goes else [])


def test_a_chat_without_a_session_has_nothing_to_forget() -> None:
    store = Store(Database(("user", "hello")))
    Sessions(SimpleNamespace(session_store=store), Hold(held=True, green=False)).forget_attempt("other", "hello")
    assert store.rewound == []
