"""Bring to disk what SQLite does not: a name is safe once its folder was synced, a file's contents once the file was."""

from __future__ import annotations

import os
from pathlib import Path

KEY_LENGTH = 32


def bring(*paths: Path) -> None:
    """Sync each file or folder. What was written to it, or named in it, survives the power from here on. Raises ``OSError``."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_key(path: Path) -> None:
    """Write 32 random bytes (0600) durably, unless as many stand there; a file cut short before it was full names nobody yet."""
    if path.exists() and path.stat().st_size >= KEY_LENGTH:  # with more in it there is a key that somebody can mend
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(os.urandom(KEY_LENGTH))
    bring(path)
