"""A model server on loopback that speaks the OpenAI chat protocol and answers from the marks in the text.

A turn is answered with the markers of all user messages after the last answer of the assistant, so two quick texts that
a gateway merged are answered together. A turn without a marker is one that nobody asked for: ``unasked``. Calls that a
gateway makes for itself, such as finding a title, are known by how their prompt begins and never count as turns. A model that
calls a tool says something beside it, as many do.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from aiohttp import web

from gateway_hooks.demo.markers import REMARK, STEPS, answer, markers, slow_s

MODEL = "stand-in"
SIDE_ANSWER = "A short talk"
SIDE_PROMPTS = (
    "Generate a short, descriptive title",
    "You are a summarization agent",
    "You are a security reviewer",
    "You are a strict judge",
)
Json = dict[str, Any]
Kind = Literal["turn", "side"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the model.

    Attributes:
        n: Order of arrival, from 0.
        found: The markers that it asks to be answered.
        history: How many things people and the assistant had said in the conversation.
        end_ns: Monotonic; None while it is open.
        outcome: ``aborted`` when the client went away before the end.
    """

    n: int
    kind: Kind
    found: tuple[str, ...]
    begin_ns: int
    streamed: bool
    history: int = 0
    end_ns: int | None = None
    outcome: Literal["open", "answered", "aborted"] = "open"


class Model:
    """The model server.

    Args:
        port: 0 lets the system choose.
        sleep: Waits the seconds that a slow turn asks for.
    """

    def __init__(self, *, port: int = 0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.port = port
        self._sleep = sleep
        self._asked: list[Asked] = []
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What a gateway takes as ``model.base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All requests in the order of arrival, those still open included."""
        return tuple(self._asked)

    async def start(self) -> Self:
        """Listen on loopback; `port` is set afterwards."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """End everything at once."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def until(self, holds: Callable[[tuple[Asked, ...]], bool], *, timeout_s: float) -> tuple[Asked, ...]:
        """Wait until the requests so far satisfy a condition, and return them.

        Raises:
            TimeoutError: It did not come to hold in time.
        """
        async with asyncio.timeout(timeout_s):
            while not holds(self.asked):
                self._changed.clear()
                await self._changed.wait()
        return self.asked

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": MODEL, "object": "model", "created": 0, "owned_by": "loopback", "context_length": 131072}
        return web.json_response({"object": "list", "data": [card]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        texts = unanswered(body.get("messages") or [])
        kind: Kind = "side" if is_side_call(body.get("messages") or []) else "turn"
        found = tuple(dict.fromkeys(marker for text in texts for marker in markers(text)))
        history = sum(
            bool(text_of(said)) for said in body.get("messages") or [] if said.get("role") in ("user", "assistant")
        )
        asked = Asked(len(self._asked), kind, found, time.monotonic_ns(), bool(body.get("stream")), history)
        self._asked.append(asked)
        self._changed.set()
        call = _call(body, len(self._asked)) if kind == "turn" and any(STEPS in text for text in texts) else None
        try:
            if kind == "turn" and call is None:
                wait_s = max((slow_s(text) for text in texts), default=0.0)
                if wait_s > 0:
                    await self._sleep(wait_s)
            reply = REMARK if call else SIDE_ANSWER if kind == "side" else answer(found)
            response = await self._stream(request, body, reply, call) if asked.streamed else _whole(body, reply, call)
        except (asyncio.CancelledError, ConnectionError):
            self._end(asked, "aborted")
            raise
        self._end(asked, "answered")
        return response

    async def _stream(self, request: web.Request, body: Json, reply: str, call: Json | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for chunk in _chunks(body, reply, call):
            await response.write(b"data: " + chunk + b"\n\n")
        await response.write_eof()
        return response

    def _end(self, asked: Asked, outcome: Literal["answered", "aborted"]) -> None:
        self._asked[asked.n] = replace(asked, end_ns=time.monotonic_ns(), outcome=outcome)
        self._changed.set()


def unanswered(messages: Sequence[Json]) -> tuple[str, ...]:
    """Return the texts of the user messages after the last answer of the assistant, oldest first."""
    texts: list[str] = []
    for said in reversed(messages):
        if said.get("role") == "assistant" and text_of(said) and not said.get("tool_calls"):
            break
        if said.get("role") == "user":
            texts.append(text_of(said))
    return tuple(reversed(texts))


def is_side_call(messages: Sequence[Json]) -> bool:
    """Whether a gateway asks for itself: a title, a summary, a review."""
    return any(text_of(said).lstrip().startswith(SIDE_PROMPTS) for said in messages if said.get("role") != "assistant")


def text_of(said: Json) -> str:
    """Return the text of a message whose content is a string or a list of parts."""
    content = said.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _usage(body: Json, reply: str) -> Json:
    prompt = len(json.dumps(body.get("messages") or [])) // 4
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(reply) // 4 + 1,
        "total_tokens": prompt + len(reply) // 4 + 1,
    }


def _call(body: Json, number: int) -> Json | None:
    """A call of the gateway's own list of things to do, or of what it has; None once it was made, and where there are no tools."""
    tools = sorted(tool["function"]["name"] for tool in body.get("tools") or [])
    last = (body.get("messages") or [{}])[-1]
    if not tools or last.get("role") == "tool":
        return None
    name = "todo" if "todo" in tools else tools[0]
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def _whole(body: Json, reply: str, call: Json | None) -> web.Response:
    message: Json = {"role": "assistant", "content": reply} | ({"tool_calls": [call]} if call else {})
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    head = {"id": "chatcmpl-stand-in", "object": "chat.completion", "created": int(time.time()), "model": MODEL}
    return web.json_response({**head, "choices": [choice], "usage": _usage(body, reply)})


async def _chunks(body: Json, reply: str, call: Json | None) -> AsyncIterator[bytes]:
    head = {"id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": int(time.time()), "model": MODEL}
    deltas: list[tuple[Json, str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": reply}, None)]
    deltas += [({"tool_calls": [{"index": 0, **call}]}, None)] if call else []
    deltas += [({}, "tool_calls" if call else "stop")]
    for delta, finish in deltas:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        yield json.dumps({**head, "choices": choices}).encode()
    yield json.dumps({**head, "choices": [], "usage": _usage(body, reply)}).encode()
    yield b"[DONE]"
