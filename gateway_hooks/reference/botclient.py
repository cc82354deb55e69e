"""A client of the Bot API: long-polling and sending, and the difference between refused and unknown."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

POLL_S = 10
REQUEST_S = 15


class Unsent(Exception):
    """The request never reached the platform: it may be tried again."""


class Unknown(Exception):
    """The request may have reached the platform: nobody can tell."""


class Conflict(Exception):
    """Another process polls with this token."""


class BotClient:
    """One token at one Bot API server. Made and closed on the loop that uses it."""

    def __init__(self, api: str, token: str) -> None:
        self._base = f"{api}/bot{token}"
        self.account = token.split(":", 1)[0]
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=POLL_S + REQUEST_S))

    async def updates(self, offset: int | None, timeout_s: int = POLL_S) -> list[dict[str, Any]]:
        """Long-poll. Asking for ``offset`` confirms everything below it.

        Raises:
            Conflict: Another process polls.
            Unsent: Anything else; poll again.
        """
        params: dict[str, Any] = {"timeout": timeout_s}
        if offset is not None:
            params["offset"] = offset
        try:
            async with self._http.post(f"{self._base}/getUpdates", json=params) as answer:
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unsent(str(error)) from error
        if answer.status == 409:
            raise Conflict(body.get("description", ""))
        if not body.get("ok"):
            raise Unsent(str(body))
        result: list[dict[str, Any]] = body["result"]
        return result

    async def send(self, chat_id: int, text: str) -> str:
        """Send a text; returns the platform's message id.

        Raises:
            Unsent: It was refused, or never got there; wait and try again.
            Unknown: The connection was lost after the request had gone out.
        """
        try:
            async with self._http.post(f"{self._base}/sendMessage", json={"chat_id": chat_id, "text": text}) as answer:
                body = await answer.json()
        except aiohttp.ClientConnectorError as error:
            raise Unsent(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unknown(str(error)) from error
        if not body.get("ok"):
            await asyncio.sleep(float(body.get("parameters", {}).get("retry_after", 0)))
            raise Unsent(str(body))
        return str(body["result"]["message_id"])

    async def close(self) -> None:
        await self._http.close()
