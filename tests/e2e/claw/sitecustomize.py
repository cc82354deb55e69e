"""Puts the tests' own ``agent.claw_runtime`` into a Hermes, by being on its PYTHONPATH; ``CLAW`` says which one.

``CLAW=spoils``: no claw at all, but a Hermes whose migration leaves a state.db that an older one cannot read.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
FILES = {"good": "claw_runtime.py", "hollow": "sitecustomize.py"}


class Finder(importlib.abc.MetaPathFinder):
    """Finds ``agent.claw_runtime`` here."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "agent.claw_runtime" and os.environ.get("CLAW") in FILES:
            return importlib.util.spec_from_file_location(name, HERE / FILES[os.environ["CLAW"]])
        if name == "hermes_state" and os.environ.get("CLAW") == "spoils":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.loader is not None:
                spec.loader = Spoiling(spec.loader)
            return spec
        return None


class Spoiling(importlib.abc.Loader):
    """Loads the true module, whose database then renames what older ones read."""

    def __init__(self, true: importlib.abc.Loader) -> None:
        self._true = true

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._true.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._true.exec_module(module)
        database = module.SessionDB
        close = database.close

        def spoil(self: object) -> None:
            self._conn.execute("ALTER TABLE messages RENAME COLUMN content TO words")  # type: ignore[attr-defined]
            close(self)

        database.close = spoil


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, Finder())
