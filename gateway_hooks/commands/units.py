"""What ``install --systemd`` writes and ``uninstall`` takes away: the drop-in that puts a keeper in front of a gateway."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway_hooks import unit
from gateway_hooks.commands.shared import Place
from journal.errors import DiskTrouble, HandoffError, NothingHere

SYSTEM = Path("/etc/systemd/system")
BACKUP = ".before-handoff-journal"


class OtherHome(HandoffError):
    """The unit of that name belongs to another home."""

    exit_code = 2

    def __init__(self, path: Path, home: str) -> None:
        super().__init__(f"{path} is for the home {home}", hint="name another unit: --unit NAME")


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be written: path to text. ``told`` is how its systemd is spoken to."""

    places: unit.Places
    files: dict[Path, str]

    @property
    def told(self) -> str:
        return "sudo systemctl" if self.places.folder == SYSTEM else "systemctl --user"


def places(place: Place, name: str | None = None) -> unit.Places:
    """Where the unit of this home stands: with the user's own, unless the system has it."""
    called = (name or unit.name_of(place.home, Path.home())).removesuffix(".service")
    own = unit.Places(called, Path.home() / ".config" / "systemd" / "user")
    system = unit.Places(called, SYSTEM)
    return system if system.unit.is_file() and not own.unit.is_file() else own


def planned(place: Place, name: str | None) -> Planned:
    """What ``install --systemd`` writes.

    Raises:
        OtherHome: The unit is another home's.
        NothingHere: There is no unit yet, and no Hermes beside this command to start.
    """
    home, found = place.home.resolve(), places(place, name)
    for path in (found.unit, found.drop_in):
        of = unit.home_of(_text(path)) if path.is_file() else None
        if of is not None and Path(of).resolve() != home:
            raise OtherHome(path, of)
    files = {}
    gateway = unit.started_by(_text(found.unit)) if found.unit.is_file() else None
    if gateway is None:
        gateway = unit.line(_hermes())
        files[found.unit] = unit.whole(home, gateway)
    keeper = [sys.executable, "-P", "-m", "gateway_hooks.cli", "--home", str(home), "run", "--"]
    files[found.drop_in] = unit.drop_in(home, keeper, gateway)
    return Planned(found, files)


def _hermes() -> list[str]:
    try:
        importlib.metadata.version("hermes-agent")
    except importlib.metadata.PackageNotFoundError:
        raise NothingHere(
            "this home has no systemd unit, and there is no Hermes beside this command to write one for",
            hint="run 'hermes gateway install' first, or this in the gateway's own environment",
        ) from None
    return [sys.executable, "-m", "hermes_cli.main", "gateway", "run"]


def write(files: dict[Path, str]) -> list[Path]:
    """Write what is not there yet, and keep what stood there before beside it. Returns what was changed."""
    changed = []
    for path, text in files.items():
        try:
            if path.is_file() and _text(path) == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                _put(path.with_name(path.name + BACKUP), _text(path))
            _put(path, text)
        except OSError as error:
            raise DiskTrouble(
                f"cannot write {path}: {error.strerror}", hint="as the unit's owner, or look at it with --print"
            ) from error
        changed.append(path)
    return changed


def remove(place: Place, name: str | None) -> tuple[unit.Places, list[Path]]:
    """Take away what we have written for this home, and nothing else. Returns what is gone."""
    found, gone = places(place, name), []
    for path in (found.drop_in, found.unit):
        text = _text(path) if path.is_file() else ""
        if text.startswith(unit.MARK) and Path(unit.home_of(text) or "").resolve() == place.home.resolve():
            try:
                path.unlink()
            except OSError as error:
                raise DiskTrouble(f"cannot remove {path}: {error.strerror}", hint="as the unit's owner") from error
            gone.append(path)
    with suppress(OSError):
        found.drop_in.parent.rmdir()
    return found, gone


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _put(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
