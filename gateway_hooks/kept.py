"""Who keeps a home: a file in its ``handoff`` folder that a keeper locks for as long as it lives, and that names it."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from journal.errors import Busy

FILE = "keeper"
_UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class Kept(Busy):
    """Another keeper minds this home."""


def lock(folder: Path) -> int | None:
    """Be the only keeper of this home, for as long as this process lives; None where there is nothing to lock. Raises ``Kept``.

    A disk that cannot be written keeps nobody from starting a gateway: then nobody is named.
    """
    if not folder.is_dir():
        return None
    fd = _opened(folder / FILE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        named = ""
        with suppress(OSError):  # the folder names nobody
            named = os.pread(fd, 20, 0).decode().strip()
        os.close(fd)
        who = f"process {named}" if named else "another process"
        raise Kept(f"{who} keeps this home already", hint="end it first") from None
    with suppress(OSError):
        os.pwrite(fd, f"{os.getpid():<20}".encode(), 0)
    return fd


def _opened(path: Path) -> int:
    """The file; as it is where it cannot be written, or else its folder."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
