"""Files that a command writes anew each time: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from journal.errors import DiskTrouble, HandoffError


class NoFile(HandoffError):
    """The name stands for something that is no file."""

    exit_code = 2


def replace(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a text file as UTF-8 and give it its name in one step; a file that is there is replaced.

    Raises:
        NoFile: Something else has that name: a folder, a device.
        DiskTrouble: It cannot be written there.
    """
    if file.exists() and not file.is_file():
        raise NoFile(f"{file} is no file", hint="name a file")
    try:
        fd, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as out:
                os.fchmod(fd, mode)
                out.write(text)
                out.flush()
                os.fsync(fd)
            Path(name).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DiskTrouble(f"cannot write {file}: {error.strerror}", hint="check the folder and the disk") from error
