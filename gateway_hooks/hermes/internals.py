"""How we hold Hermes' own objects: as ``Any``, by name, in one place.

Hermes is not installed where this project is developed, and nothing here imports it before a gateway asks for it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any


def module(name: str) -> Any:
    """Import one of Hermes' (or the Telegram library's) modules."""
    return importlib.import_module(name)


def loaded(name: str) -> Any:
    """Return a module that is imported already, or None."""
    return sys.modules.get(name)


def version(distribution: str = "hermes-agent") -> str:
    """Return the installed version of a distribution, ``""`` when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def runner() -> Any:
    """Return the gateway runner of this process, or None before it was built."""
    run = loaded("gateway.run")
    reference = getattr(run, "_gateway_runner_ref", None)
    return reference() if callable(reference) else None


def lookup(dotted: str) -> Any:
    """Return what ``package.module:Name.attribute`` names.

    Raises:
        ImportError: The module is not there.
        AttributeError: The module has no such name.
    """
    name, _, path = dotted.partition(":")
    return functools.reduce(getattr, path.split("."), module(name)) if path else module(name)


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> bool:
    """Replace ``owner.name`` by ``make(original)``; False, and nothing happens, where there is no such name."""
    original = getattr(owner, name, None)
    if original is None:
        return False
    replacement = make(original)
    functools.update_wrapper(replacement, original, updated=())
    setattr(owner, name, replacement)
    return True
