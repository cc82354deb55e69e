"""Switch the plugin on and off in Hermes' ``config.yaml``, touching nothing else in it: comments and order stay.

What decides is pure, text in and text out; what writes keeps the text that was there before in a file beside it. What was there before
an install is never written over.
"""

from __future__ import annotations

import io
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from gateway_hooks.gateway import GatewayFault

NAME = "handoff-journal"
BACKUP = "config.yaml.before-handoff-journal"
WITH = "config.yaml.with-handoff-journal"
_ITEM = re.compile(r"^(\s*)- ")
_MINE = re.compile(rf"^\s*- ([\"']?){NAME}\1\s*(#.*)?$")
_SECTION = f"plugins:\n  enabled:\n  - {NAME}\n"


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
        lines.append(f"{ended}{_SECTION}")
    return _checked("".join(lines), config)


def disable(text: str) -> str:
    """Return the text without the plugin; the same text when it is not there. A section that ``enable`` has made goes with it."""
    config = _parse(text)
    plugins = config.get("plugins")
    names = plugins.get("enabled") if isinstance(plugins, dict) else None
    if not _remove(names):
        return text
    if not names and len(plugins) == 1 and f"\n{_SECTION}" in f"\n{text}":
        del config["plugins"]
        return _checked(f"\n{text}".replace(f"\n{_SECTION}", "\n", 1)[1:], config)
    return _checked("".join(line for line in text.splitlines(keepends=True) if not _MINE.match(line)), config)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written: ``before`` stands in the file now and goes to ``backup``, ``after`` takes its place."""

    path: Path
    before: bytes
    after: bytes
    backup: Path


def planned(home: Path, *, on: bool) -> Change | None:
    """What enabling or disabling would change in a home's config.yaml; None when that says so already. Nothing is written.

    Raises:
        GatewayFault: The file is not what Hermes reads: by its path, the line, and what is expected there.
        OSError: It cannot be read.
    """
    path = home / "config.yaml"
    before = path.read_bytes()
    try:
        text, ending = _text(before)
        after = enable(text) if on else disable(text)
        if after == text:
            return None
    except GatewayFault as error:
        raise GatewayFault(f"{path}: {error.message}", hint=error.hint) from error
    if on:
        return Change(path, before, _raw(after, ending), _free(home, before))
    return Change(path, before, _as_it_was(home, text) or _raw(after, ending), home / WITH)


def carry_out(change: Change) -> None:
    """Write it.

    Raises:
        GatewayFault: The file is another than when this was planned; nothing is written.
        OSError: It cannot be written.
    """
    if change.path.read_bytes() != change.before:
        raise GatewayFault(f"{change.path} was changed meanwhile", hint="run this again")
    mode = change.path.stat().st_mode & 0o777
    if change.backup.name == WITH or not change.backup.exists():
        _write(change.backup, change.before, mode)
    _write(Path(os.path.realpath(change.path)), change.after, mode)  # a link to the file stays a link


def install(home: Path) -> Path | None:
    """Enable the plugin in a home. Returns where the text from before is kept, None when nothing was to be changed."""
    return _carried_out(planned(home, on=True))


def uninstall(home: Path) -> Path | None:
    """Disable the plugin in a home: the very text from before ``install`` comes back unless it was edited since. Returns as that."""
    return _carried_out(planned(home, on=False))


def _carried_out(change: Change | None) -> Path | None:
    if change is None:
        return None
    carry_out(change)
    return change.backup


def _kept(home: Path) -> Iterator[Path]:
    """Every name for a text from before an install; the endless end of them is free."""
    yield home / BACKUP
    for number in itertools.count(2):
        yield home / f"{BACKUP}.{number}"


def _free(home: Path, before: bytes) -> Path:
    """Where a text is kept already, or the first name that is free."""
    return next(path for path in _kept(home) if not path.exists() or path.read_bytes() == before)


def _as_it_was(home: Path, text: str) -> bytes | None:
    """The text that became this one by ``enable``, to the byte; None when there is none of which that is certain."""
    for path in itertools.takewhile(Path.exists, _kept(home)):
        raw = path.read_bytes()
        try:
            was, _ = _text(raw)
            if text != was and text == enable(was):
                return raw
        except GatewayFault:
            continue
    return None


def _text(raw: bytes) -> tuple[str, str]:
    """The text with plain line ends, and the line end that the file has throughout."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise GatewayFault(f"line {line} is not UTF-8", hint="save the file as UTF-8") from error
    ending = "\r\n" if text.count("\r\n") == text.count("\n") > 0 else "\n"
    return text.replace(ending, "\n"), ending


def _raw(text: str, ending: str) -> bytes:
    return text.replace("\n", ending).encode("utf-8")


def _write(path: Path, content: bytes, mode: int) -> None:
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
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
    except (YAMLError, ValueError, RecursionError) as error:
        raise GatewayFault(_told(error), hint="mend it first") from error
    if config is None:
        return CommentedMap()
    if not isinstance(config, dict):
        raise GatewayFault(
            f"it holds {_kind(config)}, and Hermes expects a mapping (lines such as 'model: ...')", hint="mend it first"
        )
    return config


def _told(error: Exception) -> str:
    """Where it is no YAML, and why; no value is quoted."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"line {mark.line + 1} is" if mark is not None else "it is"
    why = (problem or str(error) or "").partition(" with value ")[0].partition("\n")[0]
    return f"{where} not valid YAML: {why}"


_EXPECTED: dict[type[Any], str] = {
    CommentedMap: "a mapping (lines such as 'enabled: ...')",
    CommentedSeq: "a list (lines that begin with '- ')",
}


def _at(mapping: Any, name: str, kind: type[Any]) -> Any:
    value = mapping.get(name)
    if value is None:
        value = mapping[name] = kind()
    if not isinstance(value, kind):
        line = mapping.lc.data[name][0] + 1
        raise GatewayFault(
            f"line {line}: {name} is {_kind(value)}, and Hermes expects {_EXPECTED[kind]}", hint="mend it first"
        )
    return value


def _kind(value: Any) -> str:
    """A value of YAML in plain words."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else "a single word or text"


def _remove(names: Any) -> bool:
    if not isinstance(names, list) or NAME not in names:
        return False
    while NAME in names:
        names.remove(NAME)
    return True
