"""The only place with DDL: the tables, the triggers that refuse to forget, the views a person would want, the migrations."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x484A4C31  # "HJL1"
VERSION = 1

_V1 = """
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,
    handoff TEXT,
    type    TEXT NOT NULL,
    v       INTEGER NOT NULL,
    role    TEXT NOT NULL,
    pid     INTEGER NOT NULL,
    started INTEGER NOT NULL,
    boot    TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    at_ns   INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    key     TEXT,
    cause   INTEGER,
    body    TEXT NOT NULL,
    prev    BLOB NOT NULL,
    hash    BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_key ON events (key) WHERE key IS NOT NULL;
CREATE TABLE payloads (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL, data BLOB NOT NULL) STRICT;
CREATE TABLE migrations (version INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;

CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
CREATE TRIGGER events_in_order BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events) OR EXISTS (SELECT 1 FROM events WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'not the next event'); END;

CREATE VIEW timeline AS
SELECT seq, datetime(at_ns / 1000000000, 'unixepoch') AS at, handoff, role, pid, epoch, type, body FROM events;
"""
# INSERT OR REPLACE does not fire DELETE triggers, hence the guard before INSERT, which also keeps seqs without gaps.


def create(connection: sqlite3.Connection, at_ns: int) -> None:
    """Make an empty journal in an empty database, in one transaction. ``at_ns``: UTC nanoseconds since 1970."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; {_V1} INSERT INTO migrations VALUES (1, {at_ns});"
        f" PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nothing at all stands in the database yet."""
    return not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() and not identify(connection)[0]


def identify(connection: sqlite3.Connection) -> tuple[int, int]:
    """(application id, schema version) as the file's header has them."""
    return (
        connection.execute("PRAGMA application_id").fetchone()[0],
        connection.execute("PRAGMA user_version").fetchone()[0],
    )
