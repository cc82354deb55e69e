"""Become a systemd user manager of its own: ``python manager.py RUNTIME_FOLDER``, as root.

systemd takes every process of its own control group under its wing, so it gets one of its own first; and it will not run where no
systemd has booted, so ``/run/systemd/system`` is made in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000
GROUPS = Path("/sys/fs/cgroup")
_LIBC = ctypes.CDLL(None, use_errno=True)


def hierarchies() -> list[Path]:
    """Where control groups are managed: one folder (version 2), or one for each controller beside systemd's own."""
    if (GROUPS / "cgroup.procs").exists():
        return [GROUPS]
    return sorted({path.resolve() for path in GROUPS.iterdir() if (path / "cgroup.procs").exists()})


def enter(name: str) -> None:
    """Move this process into a control group of that name, everywhere. Ends with an error where that cannot be."""
    for root in hierarchies():
        group = root / name
        if "cpuset" in root.name:
            continue
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text(str(os.getpid()))
    mine = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if any(path == "/" for _, of, path in mine if of in ("", "name=systemd")):
        raise SystemExit("no control group of its own: systemd would take over every process of this machine's")


def leave(name: str) -> None:
    """Remove what ``enter`` and systemd have made there, from the leaves up."""
    for root in hierarchies():
        for folder, _, _ in os.walk(root / name, topdown=False):
            Path(folder).rmdir()


def _done(result: int, what: str) -> None:
    if result != 0:
        raise SystemExit(f"{what}: {os.strerror(ctypes.get_errno())}")


def main(runtime: str, group: str) -> None:
    """Never returns."""
    enter(group)
    _done(_LIBC.unshare(CLONE_NEWNS), "unshare")
    _done(_LIBC.mount(b"none", b"/", None, MS_REC_PRIVATE, None), "mount / as private")
    _done(_LIBC.mount(b"tmpfs", b"/run", b"tmpfs", 0, None), "mount /run")
    Path("/run/systemd/system").mkdir(parents=True)
    os.environ["XDG_RUNTIME_DIR"] = runtime
    os.execv("/usr/lib/systemd/systemd", ["systemd", "--user", "--log-target=console"])


if __name__ == "__main__":
    main(*sys.argv[1:])
