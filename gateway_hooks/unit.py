"""The systemd unit of a gateway, with a keeper in front of it: text in, text out.

Hermes writes its own unit anew at every start of a gateway. So ours is a drop-in beside it, which stays; a whole unit is written
only where none stands yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gateway_hooks.gateway import GatewayFault

MARK = "# handoff-journal keeps"
DROP_IN = "10-handoff-journal.conf"
WATCHDOG_S = 240
"""Longer than a keeper takes to replace a gateway that hangs: this is for when it cannot."""
_EXEC = re.compile(r"^ExecStart=(?![ \t]*$)[-@:+!]*(.*)$", re.MULTILINE)
_HOME = re.compile(r"^Environment=\"?HERMES_HOME=([^\"\n]*)\"?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the unit of a home stands. ``name`` is without its suffix; ``folder`` is that of the user's or the system's units."""

    name: str
    folder: Path

    @property
    def unit(self) -> Path:
        return self.folder / f"{self.name}.service"

    @property
    def drop_in(self) -> Path:
        return self.folder / f"{self.name}.service.d" / DROP_IN


def name_of(home: Path, user_home: Path) -> str:
    """What Hermes calls the service of a home: ``hermes-gateway``, and a profile's name behind it."""
    home, native = home.resolve(), (user_home / ".hermes").resolve()
    if home.parent.name == "profiles" and re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", home.name):
        return f"hermes-gateway-{home.name}"
    if native in home.parents:
        from hashlib import sha256

        return f"hermes-gateway-{sha256(str(home).encode()).hexdigest()[:8]}"
    return "hermes-gateway"


def started_by(unit: str) -> str | None:
    """The command line of a unit's text, as it is quoted there; None when it has none."""
    found = _EXEC.search(unit)
    return found[1].strip() if found else None


def home_of(unit: str) -> str | None:
    """The home that a unit's text names, ours or Hermes' own."""
    marked = re.search(rf"^{MARK} (.*)$", unit, re.MULTILINE)
    if marked:
        return marked[1]
    named = _HOME.search(unit)
    return named[1] if named else None


def drop_in(home: Path, keeper: list[str], gateway: str) -> str:
    """The drop-in.

    Args:
        home: HERMES_HOME.
        keeper: The command line of ``handoff-journal run``, up to the gateway's.
        gateway: The gateway's, quoted for systemd already.
    """
    return f"""{MARK} {home}
# It is the process that systemd watches, while gateways come and go. 'handoff-journal uninstall' takes this file away.
[Service]
Type=notify
NotifyAccess=main
WatchdogSec={WATCHDOG_S}
WatchdogSignal=SIGKILL
TimeoutStartSec=180
ExecStart=
ExecStart={line(keeper)} {gateway}
KillMode=mixed
Restart=on-failure
RestartForceExitStatus=
RestartPreventExitStatus=78
"""


def whole(home: Path, gateway: str) -> str:
    """A unit for a home that has none: the gateway alone, as it would run without the drop-in."""
    return f"""{MARK} {home}
[Unit]
Description=Hermes gateway
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={gateway}
Environment={quoted(f"HERMES_HOME={home}", always=True)}
RestartSec=5
ExecReload=/bin/kill -USR1 $MAINPID
TimeoutStopSec=90

[Install]
WantedBy=default.target
"""


def line(words: list[str]) -> str:
    """Words as an ``ExecStart=`` takes them."""
    return " ".join(quoted(word).replace("$", "$$") for word in words)


def quoted(word: str, *, always: bool = False) -> str:
    """A word as a unit file takes it. Raises ``GatewayFault`` when it cannot stand in a line."""
    if any(ord(letter) < 32 for letter in word):
        raise GatewayFault("a path with a line break cannot stand in a unit", hint="rename it")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if always or not re.fullmatch(r"[\w@%+=:,./$-]+", escaped) else escaped
