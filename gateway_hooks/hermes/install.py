"""Switch the plugin on and off in Hermes' ``config.yaml``, touching nothing else in it: comments and order stay.

What decides is pure, text in and text out; what writes keeps the text that was there before in a file beside it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from gateway_hooks.gateway import GatewayFault

NAME = "handoff-journal"
BACKUP = "config.yaml.before-handoff-journal"
_ITEM = re.compile(r"^(\s*)- ")


def enabled(text: str) -> bool:
    """Whether a ``config.yaml`` lists the plugin."""
    plugins = _parse(text).get("plugins")
    names = plugins.get("enabled") if isinstance(plugins, dict) else None
    disabled = plugins.get("disabled") if isinstance(plugins, dict) else None
    return isinstance(names, list) and NAME in names and not (isinstance(disabled, list) and NAME in disabled)


def enable(text: str) -> str:
    """Return the text with the plugin in ``plugins.enabled``; the same text when it is there already.

    Raises:
        GatewayFault: The text is no YAML mapping, or ``plugins`` is something else than Hermes expects.
    """
    if enabled(text):
        return text
    config = _parse(text)
    plugins = _at(config, "plugins", CommentedMap)
    names = _at(plugins, "enabled", CommentedSeq)
    place = _last_line(names) if NAME not in names else None
    if NAME not in names:
        names.append(NAME)
    _remove(plugins.get("disabled"))
    lines = text.splitlines(keepends=True)
    if place is not None and place < len(lines) and (found := _ITEM.match(lines[place])):
        lines[place] = lines[place] if lines[place].endswith("\n") else lines[place] + "\n"
        lines.insert(place + 1, f"{found[1]}- {NAME}\n")
    elif "plugins" not in _parse(text):
        ended = "" if not text or text.endswith("\n") else "\n"
        lines.append(f"{ended}plugins:\n  enabled:\n  - {NAME}\n")
    return _checked("".join(lines), config)


def disable(text: str) -> str:
    """Return the text without the plugin; the same text when it is not there."""
    config = _parse(text)
    plugins = config.get("plugins")
    names = plugins.get("enabled") if isinstance(plugins, dict) else None
    if not _remove(names):
        return text
    mine = re.compile(rf"^\s*- ([\"']?){NAME}\1\s*(#.*)?$")
    lines = [line for line in text.splitlines(keepends=True) if not mine.match(line)]
    return _checked("".join(lines), config)


def install(home: Path) -> bool:
    """Enable the plugin in a home. Returns whether anything was changed."""
    return _rewrite(home, enable)


def uninstall(home: Path) -> bool:
    """Disable the plugin in a home. Returns whether anything was changed."""
    return _rewrite(home, disable)


def _rewrite(home: Path, change: Callable[[str], str]) -> bool:
    path = home / "config.yaml"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = change(before)
    if after == before:
        return False
    if path.exists():
        _write(home / BACKUP, before, path.stat().st_mode & 0o777)
    _write(path, after, path.stat().st_mode & 0o777 if path.exists() else 0o600)
    return True


def _write(path: Path, text: str, mode: int) -> None:
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(mode)
    beside.replace(path)


def _checked(text: str, config: Any) -> str:
    """Return the text when it says what it should; else the whole file written anew, which may cost some layout."""
    try:
        said = _parse(text)
    except GatewayFault:
        said = None
    if said == config:
        return text
    out = io.StringIO()
    _yaml().dump(config, out)
    return out.getvalue()


def _last_line(names: Any) -> int | None:
    """The line, from 0, of a block list's last item."""
    if not names or names.fa.flow_style():
        return None
    line: int = names.lc.item(len(names) - 1)[0]
    return line


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    return yaml


def _parse(text: str) -> Any:
    try:
        config = _yaml().load(text) if text.strip() else None
    except YAMLError as error:
        raise GatewayFault("config.yaml is not valid YAML", hint=str(error).splitlines()[0]) from error
    if config is None:
        return CommentedMap()
    if not isinstance(config, dict):
        raise GatewayFault("config.yaml holds no mapping", hint="repair it first")
    return config


def _at(mapping: Any, name: str, kind: type[Any]) -> Any:
    value = mapping.get(name)
    if value is None:
        value = mapping[name] = kind()
    if not isinstance(value, kind):
        raise GatewayFault(f"{name} in config.yaml is not what Hermes expects", hint=f"it should be a {kind.__name__}")
    return value


def _remove(names: Any) -> bool:
    if not isinstance(names, list) or NAME not in names:
        return False
    while NAME in names:
        names.remove(NAME)
    return True
