"""The folder of a journal: made by ``install`` and the demo alone, and the key in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from journal import schema
from journal.durable import KEY_LENGTH, bring, make_key
from journal.errors import DiskTrouble, NoJournal
from journal.gate import Gate
from journal.reserve import Reserve


def create(folder: Path, *, at_ns: int) -> None:
    """Make the folder (0700), its key (0600) and an empty journal.

    A journal that stands there is brought to this version's schema, beside whoever has it open. A gateway that opens an older one
    leaves it as it is, so that the older version can come back.

    Raises:
        DiskTrouble: The folder cannot be written.
    """
    try:
        above = [path.parent for path in (folder, *folder.parents) if not path.exists()] or [folder.parent]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "bell").mkdir(mode=0o700, exist_ok=True)
        path, key = folder / "journal.db", folder / "key"
        path.touch(mode=0o600)
        with closing(Gate(folder / "gate")) as gate, gate.held(), closing(sqlite3.connect(path)) as connection:
            connection.isolation_level = None
            make_key(key)
            if schema.is_empty(connection):  # also when a creation was cut short
                schema.create(connection, at_ns)
                (folder / "bell" / "head").unlink(missing_ok=True)  # another journal's
            else:
                schema.migrate(connection, at_ns)
            bring(folder, *above)
        Reserve(folder).hold()
    except (OSError, sqlite3.Error) as error:
        raise DiskTrouble(
            f"cannot create a journal in {folder}: {error}", hint="check the folder and the disk"
        ) from error


def read_key(folder: Path) -> bytes:
    """The 32 bytes of the pseudonyms' key. Raises ``NoJournal`` when there is none."""
    try:
        key = (folder / "key").read_bytes()
        if len(key) == KEY_LENGTH:
            return key
    except OSError as error:
        raise NoJournal(
            f"no key beside the journal in {folder}", hint="restore it, or run 'handoff-journal install'"
        ) from error
    raise NoJournal(f"the key beside the journal in {folder} is damaged", hint="restore it from a backup")
