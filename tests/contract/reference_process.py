"""The reference gateway with a puppet in its seat, asking the model's stand-in as a real gateway would."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from gateway_hooks.reference.gateway import ReferenceGateway
from gateway_hooks.reference.sessions import Words
from tests.contract import puppet


async def _serve(home: Path, api: str, token: str, model: str) -> None:
    async with aiohttp.ClientSession() as http:

        async def agent(history: Sequence[Words], said: str) -> str:
            messages = [{"role": words.role, "content": words.text} for words in (*history, Words("user", said))]
            async with http.post(f"{model}/chat/completions", json={"messages": messages}) as answer:
                body = await answer.json()
            return str(body["choices"][0]["message"]["content"])

        gateway = ReferenceGateway(home, api, token, agent)
        place = puppet.take(home, gateway, os.environ)
        gateway.start(place.ledger)
        if place.serving:
            await asyncio.to_thread(gateway.connect)
        place.running()
        await gateway.until_ended()
        await asyncio.to_thread(place.ended)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(Path(sys.argv[1]), *sys.argv[2:5]))
