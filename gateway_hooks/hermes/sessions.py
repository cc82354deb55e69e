"""The routing table (chat to session) between two processes that both have it in memory.

Hermes writes it whole, which erases what only the other process knows. Here it is written by difference: what this process
changed since it last read or wrote. ``load`` takes over what the other side has written, and drops what was cached of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway_hooks.gateway import Flushed
from gateway_hooks.hermes.hold import Hold, log
from gateway_hooks.hermes.internals import module, wrap

Table = dict[str, str]
PREVIEW = 80
"""How long a preview in Hermes' list of questions can be."""


class Sessions:
    """The session store of one runner. ``flush`` and ``load`` block (SQLite): call them off the loop."""

    def __init__(self, runner: Any, hold: Hold) -> None:
        self._runner = runner
        self._hold = hold
        self._known: dict[str, Table] = {}
        store = runner.session_store
        database = getattr(store, "_db", None)
        if database is not None:
            self._known[store._routing_scope()] = dict(self._table())
            wrap(database, "replace_gateway_routing_entries", self._by_difference)
        wrap(store, "_save_sessions_json", self._mirror)

    def flush(self) -> tuple[Flushed, ...]:
        """Write what is in memory and not in the database yet; only entries of our own."""
        store = self._runner.session_store
        with store._lock:
            if store._loaded:
                store._save()
        return self.digests()

    def load(self) -> tuple[Flushed, ...]:
        """Read the table again. Chats in which a turn of ours runs keep what they have."""
        store, runner = self._runner.session_store, self._runner
        make = module("gateway.session").SessionEntry.from_dict
        scope, changed = store._routing_scope(), []
        with store._lock:
            store._ensure_loaded_locked()
            if hasattr(store, "_persisted_routing_generation"):
                with store._save_lock:  # a snapshot that was taken before must not be written after
                    store._persisted_routing_generation = store._routing_generation
            table = self._table()
            known = self._known.get(scope, {})
            busy = set(getattr(runner, "_running_agents", {}))
            for key, text in table.items():
                if key in busy or (key in store._entries and known.get(key) == text):
                    continue
                try:
                    store._entries[key] = make(json.loads(text))
                except (ValueError, KeyError, TypeError) as error:
                    log.warning("a routing entry could not be read and is left out: %s", type(error).__name__)
                    continue
                changed.append(key)
            for key in [key for key in known if key not in table and key not in busy]:
                store._entries.pop(key, None)
                changed.append(key)
            self._known[scope] = dict(table)
        for key in changed:
            runner._evict_cached_agent(key)
            getattr(runner, "_session_model_overrides", {}).pop(key, None)
        return self.digests()

    def forget_attempt(self, session: str, text: str) -> None:
        """Take out of a transcript the question with which it ends, when that is what is asked again now.

        Hermes writes a question down when its turn begins. Whoever dies there leaves it unanswered, and the model would read it
        twice. An attempt that got to its first tool stays: the model should know what was done. Blocks.
        """
        store = self._runner.session_store
        database = getattr(store, "_db", None)
        with store._lock:
            store._ensure_loaded_locked()
            entry = store._entries.get(session)
        if database is None or entry is None:
            return
        with database._lock:
            last = database._conn.execute(
                "SELECT role FROM messages WHERE session_id = ? AND active = 1 AND role != 'session_meta' "
                "ORDER BY id DESC LIMIT 1",
                (entry.session_id,),
            ).fetchone()
        if last is None or str(last[0]) != "user":
            return
        (question,) = database.list_recent_user_messages(entry.session_id, limit=1)
        if _same_words(str(question["preview"]), text):
            store.rewind_session(entry.session_id, 1)

    def digests(self) -> tuple[Flushed, ...]:
        """Two named parts, computed from the database alone, so that both sides can compare them.

        ``routing``: chat and session of every entry. ``transcripts``: session and number of its messages. What changes with
        every message (times, token counts) is left out.
        """
        table = self._table()
        sessions = sorted((key, str(json.loads(text).get("session_id", ""))) for key, text in table.items())
        counts = self._message_counts({session for _, session in sessions})
        return (
            Flushed("routing", len(sessions), _digest(sessions)),
            Flushed("transcripts", sum(count for _, count in counts), _digest(counts)),
        )

    def _table(self) -> Table:
        store = self._runner.session_store
        database = getattr(store, "_db", None)
        return dict(database.load_gateway_routing_entries(scope=store._routing_scope())) if database is not None else {}

    def _message_counts(self, sessions: set[str]) -> list[tuple[str, int]]:
        database = getattr(self._runner.session_store, "_db", None)
        if database is None:
            return []
        with database._lock:
            rows = database._conn.execute("SELECT session_id, COUNT(*) FROM messages GROUP BY session_id").fetchall()
        return sorted((str(row[0]), int(row[1])) for row in rows if str(row[0]) in sessions)

    def _by_difference(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Around ``replace_gateway_routing_entries``: the same result, when we are alone; no harm to others, when we are not."""
        database = self._runner.session_store._db

        def replace(entries: Mapping[str, str], *, scope: str = "") -> None:
            known = self._known.get(scope)
            if known is None:
                original(entries, scope=scope)
            else:
                for key, text in entries.items():
                    if text and known.get(key) != text:
                        database.save_gateway_routing_entry(key, text, scope=scope)
                gone = [key for key in known if key not in entries]
                if gone:
                    database.delete_gateway_routing_entries(gone, scope=scope)
            self._known[scope] = dict(entries)

        return replace

    def _mirror(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """The legacy copy in one file is written by the owner only."""

        def save(data: Any) -> None:
            if self._hold.held:
                original(data)

        return save


def _same_words(preview: str, text: str) -> bool:
    """Whether a text begins with what Hermes shows of a question, which is cut after 77 characters."""
    shown = preview.removesuffix("...") if len(preview) == PREVIEW else preview
    return bool(shown) and " ".join(text.split()).startswith(shown)


def _digest(rows: Iterable[tuple[str, object]]) -> str:
    return hashlib.sha256(json.dumps(list(rows), ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
