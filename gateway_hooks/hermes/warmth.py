"""What the first turns of a gateway import: some thousand modules, in seconds in which it would hardly poll.

Blue leaves the names of what it has imported; green imports the same while it waits. Names only, so that another version of Hermes
takes of it what it has.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway_hooks.hermes.hold import log

FILE = "warm-modules"


class Warmth:
    """``leave`` in a gateway that serves, ``take`` in one that waits. Both blocking; neither ever fails the caller."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._left = 0
        self._taken = False

    def leave(self) -> None:
        """Write down what is imported, when that is more than was written last."""
        names = sorted(importable(sys.modules))
        if len(names) > self._left:
            with suppress(OSError):
                self._path.write_text("\n".join(names), encoding="utf-8")
                self._left = len(names)

    def take(self) -> None:
        """Import what the other side had imported; what cannot be is left out. Once a process."""
        if self._taken:
            return
        self._taken = True
        with suppress(OSError):
            for name in self._path.read_text(encoding="utf-8").split():
                if name not in sys.modules:
                    _import(name)
        log.info("warm: %d modules", len(sys.modules))


def importable(modules: Mapping[str, object]) -> set[str]:
    """The names that another process may import: not the program itself, not what a plugin loader made up, nothing private."""
    return {
        name
        for name, found in modules.items()
        if getattr(found, "__spec__", None) is not None
        and getattr(found, "__file__", None)
        and not name.startswith(("__main__", "hermes_plugins", "_"))
    }


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        log.debug("not warmed: %s (%s)", name, type(error).__name__)
