"""A real keeper and a service manager's socket: what is heard while a gateway hangs, and once its successor serves."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from itertools import takewhile
from pathlib import Path

from tests.builders import WAIT_S
from tests.e2e.test_keeper import Kept, _HungOnce


class Told(_HungOnce):
    """A home whose keeper has somebody to notify; ``heard`` is what was said, line by line."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder, "reference")
        self.address, self.heard = address, list[str]()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        threading.Thread(target=self._hear, daemon=True).start()

    def command(self) -> tuple[list[str], dict[str, str]]:
        words, env = super().command()
        return words, {**env, "NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": "4000000"}

    def _hear(self) -> None:
        while data := self._socket.recv(4096):
            self.heard += data.decode().split("\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._socket.close()


def test_the_watchdog_is_not_fed_while_a_gateway_hangs_and_is_again_once_another_serves(tmp_path: Path) -> None:
    async def life() -> tuple[int, int, list[str]]:
        rig = Told(tmp_path, f"@{tmp_path}")
        async with rig:
            keeper = rig.start(keeper=("--steady", "0s", "--hung", "6s"))
            home = Kept(rig, keeper)
            hung = await home.served()
            again = await home.served(lambda s: s.head.owning != hung)
            serves = f"STATUS=blue serves, process {again.pid}, runtime same"
            await rig.until(lambda _: "WATCHDOG=1" in after(rig.heard, serves), "it is fed again", timeout_s=WAIT_S)
            home.send(keeper, signal.SIGTERM)
            await home.ended()
            await rig.until(lambda _: "STOPPING=1" in rig.heard, "its end is announced", timeout_s=WAIT_S)
            rig.close()
            return hung.pid, keeper.pid, rig.heard

    hung, keeper, heard = asyncio.run(life())
    assert heard.count("READY=1") == 1
    assert f"MAINPID={keeper}" in heard
    first = after(heard, f"STATUS=blue serves, process {hung}, runtime same")
    assert "WATCHDOG=1" in first
    hangs = f"STATUS=process {hung} gives no sign of health"
    assert hangs in first
    assert list(takewhile(lambda line: line == "WATCHDOG=1", after(first, hangs))) == []


def after(lines: list[str], line: str) -> list[str]:
    """What came after a line; nothing where it did not come."""
    return lines[lines.index(line) + 1 :] if line in lines else []
