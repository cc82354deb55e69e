"""A pid namespace of its own, as a container has one, made with nothing but Python: ``python namespace.py MODE ... COMMAND``.

``new COMMAND`` runs the command as pid 1 of a new namespace; ``enter PID COMMAND`` in the one of that process. What is not allowed
(it takes root) ends with an error.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
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


def main(mode: str, *words: str) -> int:
    """The exit code of the command."""
    if mode == "new":
        _done(_LIBC.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare")
        return _in_a_child(list(words), first=True)
    for kind, flag in (("pid", CLONE_NEWPID), ("mnt", CLONE_NEWNS)):
        fd = os.open(f"/proc/{words[0]}/ns/{kind}", os.O_RDONLY)
        _done(_LIBC.setns(fd, flag), f"setns {kind}")
    return _in_a_child(list(words[1:]), first=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) % 256)
