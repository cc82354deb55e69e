"""The only place with DDL: the tables, the triggers that refuse to forget, the views a person would want, the migrations."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x484A4C31  # "HJL1"
VERSION = 2
"""What a new journal is made as. Any older one is read and written as it stands; ``migrate`` brings it here."""

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

_V2 = """
CREATE TABLE snapshots (
    kind   TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    form   TEXT NOT NULL,
    body   BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""
_STEPS = {1: _V1, 2: _V2}
"""How each version is reached from the one before. Steps only add: whoever has the journal open goes on. None is ever edited."""

_VIEWS = """
CREATE VIEW IF NOT EXISTS handoffs AS
SELECT b.seq, datetime(b.at_ns / 1000000000, 'unixepoch') AS at, b.handoff,
    json_extract(b.body, '$.runtime') AS runtime, json_extract(b.body, '$.bake_s') AS bake_s,
    e.seq AS ended_seq, round((e.at_ns - b.at_ns) / 1e9, 3) AS took_s,
    CASE e.type WHEN 'HANDOFF_COMPLETE' THEN 'complete' WHEN 'BLUE_SERVING' THEN 'rolled_back'
        WHEN 'HANDOFF_FAILED' THEN 'failed' ELSE 'open' END AS outcome,
    coalesce(json_extract(r.body, '$.reason'), json_extract(e.body, '$.reason')) AS reason,
    coalesce(json_extract(r.body, '$.detail'), json_extract(e.body, '$.detail')) AS detail
FROM events b
LEFT JOIN events e ON e.seq = (SELECT min(seq) FROM events WHERE handoff = b.handoff
    AND type IN ('HANDOFF_COMPLETE', 'BLUE_SERVING', 'HANDOFF_FAILED'))
LEFT JOIN events r ON r.seq = (SELECT min(seq) FROM events WHERE handoff = b.handoff AND type = 'HANDOFF_ROLLBACK')
WHERE b.type = 'HANDOFF_REQUESTED';

CREATE VIEW IF NOT EXISTS messages AS
WITH settled AS MATERIALIZED (
    SELECT seq, at_ns, role, json_extract(body, '$.message') AS message, json_extract(body, '$.outcome') AS outcome,
        json_extract(body, '$.turn') AS turn FROM events WHERE type = 'MESSAGE_SETTLED')
SELECT a.seq, datetime(a.at_ns / 1000000000, 'unixepoch') AS at, a.handoff, a.role AS accepted_by, a.epoch,
    json_extract(a.body, '$.platform') AS platform, json_extract(a.body, '$.chat') AS chat,
    json_extract(a.body, '$.kind') AS kind, json_extract(a.body, '$.update_id') AS update_id,
    coalesce(s.outcome, 'open') AS outcome, s.seq AS settled_seq, s.role AS settled_by, s.turn AS turn,
    round((s.at_ns - a.at_ns) / 1e9, 3) AS took_s
FROM events a LEFT JOIN settled s ON s.message = a.seq
WHERE a.type = 'MESSAGE_ACCEPTED';

CREATE VIEW IF NOT EXISTS turns AS
WITH finished AS MATERIALIZED (
    SELECT seq, at_ns, json_extract(body, '$.turn') AS turn, json_extract(body, '$.outcome') AS outcome
    FROM events WHERE type = 'TURN_FINISHED')
SELECT t.seq AS turn, datetime(t.at_ns / 1000000000, 'unixepoch') AS at, t.handoff, t.role, t.pid, t.epoch,
    json_extract(t.body, '$.session') AS session, json_extract(t.body, '$.messages') AS messages,
    coalesce(f.outcome, 'open') AS outcome, f.seq AS finished_seq, round((f.at_ns - t.at_ns) / 1e9, 3) AS took_s
FROM events t LEFT JOIN finished f ON f.turn = t.seq
WHERE t.type = 'TURN_STARTED';

CREATE VIEW IF NOT EXISTS polled AS
SELECT seq, datetime(at_ns / 1000000000, 'unixepoch') AS at, handoff, role, pid, epoch,
    CASE type WHEN 'ADAPTER_CONNECTED' THEN 'takes' WHEN 'ADAPTER_PAUSED' THEN 'lets go' ELSE 'down' END AS what,
    json_extract(body, '$.platform') AS platform, json_extract(body, '$.account') AS account,
    json_extract(body, '$.next_offset') AS next_offset
FROM events WHERE type IN ('ADAPTER_CONNECTED', 'ADAPTER_PAUSED', 'ADAPTER_LOST');

CREATE VIEW IF NOT EXISTS health AS
SELECT seq, datetime(at_ns / 1000000000, 'unixepoch') AS at, handoff, role, pid, epoch,
    json_extract(body, '$.loop_lag_ms') AS loop_lag_ms,
    json_extract(body, '$.turns') AS turns, json_extract(body, '$.waiting') AS waiting,
    json_extract(body, '$.answered') AS answered, json_extract(body, '$.errors') AS errors,
    json_extract(body, '$.rss_mb') AS rss_mb
FROM events WHERE type = 'HEALTH_SAMPLED';
"""
VIEWS = ("timeline", "handoffs", "messages", "turns", "polled", "health")
"""What a person may want to ask an export for; ``timeline`` stands in every journal. ``docs/sql.md`` describes them."""


def create(connection: sqlite3.Connection, at_ns: int) -> None:
    """Make an empty journal in an empty database, in one transaction. ``at_ns``: UTC nanoseconds since 1970."""
    connection.execute("PRAGMA journal_mode = WAL")
    _take_steps(connection, after=0, at_ns=at_ns)


def migrate(connection: sqlite3.Connection, at_ns: int) -> None:
    """Bring a journal of an older schema to this version's, in one transaction; nothing when it is there already.

    The caller holds the gate, or another process could do the same.
    """
    application, version = identify(connection)
    if application == APPLICATION_ID and version < VERSION:
        _take_steps(connection, after=version, at_ns=at_ns)


def _take_steps(connection: sqlite3.Connection, *, after: int, at_ns: int) -> None:
    steps = "".join(
        f"{sql} INSERT INTO migrations VALUES ({version}, {at_ns});"
        for version, sql in _STEPS.items()
        if version > after
    )
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps}"
            f" PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def add_views(connection: sqlite3.Connection) -> None:
    """Give a copy the views that a person would want. Never a journal in use: an older version must be able to write it."""
    connection.executescript(f"BEGIN; {_VIEWS} COMMIT;")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nothing at all stands in the database yet."""
    return not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() and not identify(connection)[0]


def identify(connection: sqlite3.Connection) -> tuple[int, int]:
    """(application id, schema version) as the file's header has them."""
    return (
        connection.execute("PRAGMA application_id").fetchone()[0],
        connection.execute("PRAGMA user_version").fetchone()[0],
    )
