"""A namespace of its own, as a container has one, made with nothing but Python: ``python namespace.py MODE ... COMMAND``.

``new COMMAND`` runs the command as pid 1 of a new pid namespace; ``enter PID COMMAND`` in the one of that process; ``limited
NAME=NUMBER COMMAND`` becomes the command in a new user namespace with that limit in ``/proc/sys/user``. What is not allowed (it
takes root) ends with an error.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER = 0x00020000, 0x20000000, 0x10000000
MS_REC_PRIVATE = 0x4000 | 0x40000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> None:
    if result != 0:
        raise SystemExit(f"{what}: {os.strerror(ctypes.get_errno())}")


def _in_a_child(command: list[str], *, first: bool) -> int:
    child = os.fork()
    if child == 0:
        if first:
            _done(_LIBC.mount(b"none", b"/", None, MS_REC_PRIVATE, None), "mount / as private")
            _done(_LIBC.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
        os.execv(command[0], command)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def limited(name: str, number: int) -> None:
    """Go on in a user namespace of our own, as its root, with that limit. This process must have no other thread yet."""
    user, group = os.getuid(), os.getgid()
    _done(_LIBC.unshare(CLONE_NEWUSER), "unshare")
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{file}").write_text(text)
    limit(name, number)


def limit(name: str, number: int) -> None:
    """Set that limit of the user namespace that this process is in."""
    Path(f"/proc/sys/user/{name}").write_text(str(number))


def main(mode: str, *words: str) -> int:
    """The exit code of the command."""
    if mode == "new":
        _done(_LIBC.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare")
        return _in_a_child(list(words), first=True)
    if mode == "limited":
        name, number = words[0].split("=")
        limited(name, int(number))
        os.execv(words[1], words[1:])
    for kind, flag in (("pid", CLONE_NEWPID), ("mnt", CLONE_NEWNS)):
        fd = os.open(f"/proc/{words[0]}/ns/{kind}", os.O_RDONLY)
        _done(_LIBC.setns(fd, flag), f"setns {kind}")
    return _in_a_child(list(words[1:]), first=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) % 256)
