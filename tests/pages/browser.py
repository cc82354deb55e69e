"""A real headless browser, spoken to by its own debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
PROGRAM = "CHROMIUM"
"""Environment variable that names the browser's program."""
STARTS_WITHIN_S = 60.0
ANSWERS_WITHIN_S = 60.0
Scheme = Literal["light", "dark"]


class Page:
    """One tab. ``requests`` are the addresses that it has asked for since it was opened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._loaded = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif said["method"] == "Log.entryAdded":
                self.troubles.append(said["params"]["entry"]["text"])

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Say something to the browser and wait for its answer."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        answer = self._waiting[number]
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, ANSWERS_WITHIN_S)
        assert "error" not in said, f"{method}: {said.get('error')}"
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, file: Path, *, width: int, height: int = 844, scheme: Scheme = "light") -> None:
        """Show a file as a device of that width would, and wait until it is there."""
        for domain in ("Page", "Network", "Log"):
            await self.ask(f"{domain}.enable")
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded.clear()
        await self.ask("Page.navigate", url=file.as_uri())
        await asyncio.wait_for(self._loaded.wait(), ANSWERS_WITHIN_S)

    async def eval(self, expression: str) -> Any:
        """The value of an expression in the page; the page itself needs no script."""
        said = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def picture(self, *, whole: bool = True, scale: float = 1.0) -> bytes:
        """A PNG of the page, or of what is seen of it."""
        size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize" if whole else "cssLayoutViewport"]
        wide, high = size.get("width", size.get("clientWidth")), size.get("height", size.get("clientHeight"))
        clip = {"x": 0, "y": 0, "width": wide, "height": min(high, 12000), "scale": scale}
        shot = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, clip=clip)
        return base64.b64decode(shot["data"])

    async def paper(self) -> bytes:
        """A PDF of the page."""
        return base64.b64decode((await self.ask("Page.printToPDF"))["data"])

    async def close(self) -> None:
        """Stop listening."""
        self._listening.cancel()


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """A browser with an empty profile and one tab, ended afterwards."""
    program = os.environ.get(PROGRAM) or shutil.which("chromium")
    assert program, f"no browser: 'make pages' installs one, or name it in {PROGRAM}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            port = await _port(Path(profile), child)
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
                async with http.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=1 << 28) as socket:
                    page = Page(socket)
                    try:
                        yield page
                    finally:
                        await page.close()
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


async def _port(profile: Path, child: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + STARTS_WITHIN_S
    file = profile / "DevToolsActivePort"
    while not (file.exists() and "\n" in file.read_text()):
        assert child.poll() is None, f"the browser ended at once, with exit code {child.returncode}"
        assert time.monotonic() < end, "the browser did not come up"
        await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])
