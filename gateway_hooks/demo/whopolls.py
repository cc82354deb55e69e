"""Which process is behind a connection: the two gateways of a handoff are told apart by their sockets.

Linux only: /proc/net/tcp names the inode of the socket with a local port, /proc/PID/fd says who has it open
(proc_net_tcp(5), proc_pid_fd(5)). Only processes of the same user can be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

WhoIs = Callable[[int], int | None]
PATIENCE_S = 0.03
_LOCAL, _INODE = 1, 9


class WhoHolds:
    """Finds the process that has a TCP socket open; asks those first whom it found before.

    Args:
        proc: Where procfs is mounted.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._found: tuple[int, ...] = ()

    def __call__(self, port: int) -> int | None:
        """Return the process whose socket has this local port, the lowest when several share it.

        Returns:
            None when the socket is gone already or belongs to somebody else.
        """
        inode = _inode(port, self._proc)
        if inode is None:
            return None
        others = (int(entry.name) for entry in self._proc.iterdir() if entry.name.isdigit())
        for pid in (*self._found, *sorted(set(others) - set(self._found))):
            if _holds(self._proc / str(pid) / "fd", f"socket:[{inode}]"):
                self._found = tuple(sorted({*self._found, pid}))
                return pid
        return None


class Connections:
    """Numbers a server's connections and finds out who is behind each, once, beside the first request.

    Args:
        who_is: Finds the process of a local port; may block, runs in a thread. None: nobody is looked up.
        found: Is told connection and pid, on the event loop.
    """

    def __init__(self, who_is: WhoIs | None, found: Callable[[int, int], None]) -> None:
        self._who_is = who_is
        self._found = found
        self._known: dict[int, tuple[asyncio.BaseTransport, int]] = {}
        self._count = 0
        self._lookups: dict[int, asyncio.Task[None]] = {}

    def of(self, transport: asyncio.BaseTransport | None) -> tuple[int, int]:
        """Return number and peer port of a connection; both -1 when it is gone already."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        if transport is None or not peer:
            return -1, -1
        port = int(peer[1])
        known = self._known.get(port)
        if known is not None and known[0] is transport:
            return known[1], port
        number, self._count = self._count, self._count + 1
        self._known[port] = (transport, number)
        if self._who_is is not None:
            lookup = asyncio.create_task(self._look_up(number, port, self._who_is))
            self._lookups[number] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(number, None))
        return number, port

    async def known(self, connection: int) -> None:
        """Wait, at most `PATIENCE_S`, until a connection has been looked up; to be called before its first answer.

        A client that opens a connection for one call closes it with the answer: later nobody could tell whose it was.
        """
        if connection in self._lookups:
            await asyncio.wait({self._lookups[connection]}, timeout=PATIENCE_S)

    async def settled(self) -> None:
        """Wait until all connections seen so far have been looked up."""
        if self._lookups:
            await asyncio.wait(set(self._lookups.values()))

    def close(self) -> None:
        """Give up what is still being looked up."""
        for lookup in self._lookups.values():
            lookup.cancel()

    async def _look_up(self, connection: int, port: int, who_is: WhoIs) -> None:
        with contextlib.suppress(OSError):
            pid = await asyncio.to_thread(who_is, port)
            if pid is not None:
                self._found(connection, pid)


def _inode(port: int, proc: Path) -> str | None:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[_LOCAL].rpartition(":")[2], 16) == port and fields[_INODE] != "0":
                    return fields[_INODE]
    return None


def _holds(fds: Path, wanted: str) -> bool:
    with contextlib.suppress(OSError):
        for fd in fds.iterdir():
            with contextlib.suppress(OSError):
                if str(fd.readlink()) == wanted:
                    return True
    return False
