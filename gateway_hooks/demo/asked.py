"""What a request to the Bot API asks, whatever form it came in: query, JSON, form or multipart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway_hooks.demo.chats import chat_id_of, integer, reply_to_of, text_of


async def params_of(request: web.Request) -> dict[str, Any]:
    """Return the parameters of a call; those in the body win over those in the query."""
    params: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = json.loads(await request.text() or "{}")
        params.update(body if isinstance(body, dict) else {})
    elif request.can_read_body:
        params.update(await request.post())
    return params


def record_of(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `wire.Call` that the parameters fill; `method` is in lower case."""
    if method == "getupdates":
        return {"offset": integer(params.get("offset")), "timeout_s": float(integer(params.get("timeout")) or 0)}
    record: dict[str, Any] = {"text": text_of(params), "reply_to": reply_to_of(params)}
    if params.get("chat_id") is not None:
        record["chat_id"] = chat_id_of(params)
    return record


def drops_pending(method: str, params: Mapping[str, Any]) -> bool:
    """Whether a call throws away all pending updates."""
    wish = str(params.get("drop_pending_updates", "")).lower()
    return method in {"deletewebhook", "setwebhook"} and wish in {"true", "1"}
