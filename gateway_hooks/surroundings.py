"""Who watches the pid of a process: a service manager, a container, a small supervisor; or nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from gateway_hooks.gateway import Finding
from gateway_hooks.process import System

Watcher = Literal["container", "systemd", "supervisor"]
SUPERVISORS = {"tini", "docker-init", "dumb-init", "catatonit", "runsv", "s6-supervise", "supervise", "supervisord"}


def watcher(pid: int, parent: int, env: Mapping[str, str]) -> Watcher | None:
    """Who takes the end of that process for the end of the service.

    Args:
        pid: Of the process, in its own pid namespace.
        parent: The pid of its parent there.
        env: The environment that it was started with.
    """
    if pid == 1:
        return "container"
    main = env.get("SYSTEMD_EXEC_PID")
    with suppress(OSError):
        name = Path(f"/proc/{parent}/comm").read_text(errors="replace").strip()
        if "INVOCATION_ID" in env or "NOTIFY_SOCKET" in env:
            is_main = main == str(pid) if main else parent == 1 or name == "systemd"
            return "systemd" if is_main else None
        return "supervisor" if name in SUPERVISORS else None
    return None


def watched(env: Mapping[str, str]) -> bool:
    """Whether a service manager or a container takes the end of this very process for the end of the service."""
    return watcher(os.getpid(), os.getppid(), env) is not None


def unit_of(cgroup: str) -> str | None:
    """The systemd service that a process belongs to, by the text of its ``/proc/PID/cgroup``; None for a login's session."""
    for line in cgroup.splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        last = path.rsplit("/", 1)[-1]
        if controllers in ("", "name=systemd") and last.endswith(".service") and not last.startswith("user@"):
            return last
    return None


def keeper_of(folder: Path) -> int | None:
    """The pid of the keeper of the home whose ``handoff`` folder that is, as its own file names it; None when it does not run."""
    try:
        pid = int((folder / "keeper").read_text().strip() or 0)
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    ours = any(word.endswith((b"handoff-journal", b"gateway_hooks.cli")) for word in words)
    return pid if ours and b"run" in words else None


def finding(folder: Path, pid: int, env: Mapping[str, str]) -> Finding:
    """What whoever watches the gateway ``pid`` would make of a promote. ``env`` is what that process was started with."""
    place = Path(f"/proc/{pid}")
    try:
        unit = unit_of((place / "cgroup").read_text())
        status = dict(
            line.split(":", 1) for line in (place / "status").read_text(errors="replace").splitlines() if ":" in line
        )
    except OSError as error:
        return Finding("service", "warning", f"process {pid} cannot be looked at: {error.strerror}")
    keeper = keeper_of(folder)
    if keeper is not None:
        system = System()
        process = system.identify(keeper)
        if process is not None and system.probe(process) == "stopped":
            text = f"process {keeper}, the keeper of this home, is stopped and starts nobody: kill -CONT {keeper}"
            return Finding("service", "warning", text)
        under = f", in {unit}" if unit and unit_of(_text(keeper, "cgroup")) == unit else ""
        return Finding(
            "service", "ok", f"process {keeper} keeps this home{under}: a promote and a crash are its business"
        )
    undone = "should it die before it has handed over, green ends with it"
    match watcher(int(status.get("NSpid", str(pid)).split()[-1]), int(status["PPid"]), env):
        case "systemd":
            text = f"process {pid} is the main process of {unit or 'a unit'}: {undone}: 'handoff-journal install --systemd'"
        case "container":
            text = f"process {pid} is the first of its container: {undone}: put 'handoff-journal run --' before its command"
        case "supervisor":
            text = f"a supervisor watches process {pid}: {undone}: put 'handoff-journal run --' before its command"
        case _ if unit is not None and ("INVOCATION_ID" in env or "SYSTEMD_EXEC_PID" in env):
            text = f"process {pid} is not the main one of {unit}, whose end would undo a promote: 'handoff-journal install --systemd'"
        case _:
            return Finding(
                "service",
                "ok",
                f"nobody watches process {pid}: it ends when it has handed over, green goes on by itself",
            )
    return Finding("service", "warning", text)


def _text(pid: int, name: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""
