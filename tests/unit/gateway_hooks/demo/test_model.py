"""The model stand-in answers by the marks in the text and counts only what people asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from gateway_hooks.demo.model import SIDE_ANSWER, Model, is_side_call, unanswered

Json = dict[str, Any]
Ask = Callable[..., Awaitable[Json]]


def run(scene: Callable[[Model, Ask], Awaitable[None]], **options: Any) -> None:
    """Play a scene against a model of its own, bounded in time."""

    async def play() -> None:
        async with asyncio.timeout(20), Model(**options) as model, aiohttp.ClientSession() as session:

            async def ask(*messages: Json, **more: Any) -> Json:
                url = f"{model.base_url}/chat/completions"
                async with session.post(url, json={"messages": messages, **more}) as response:
                    body: Json = await response.json()
                    return body

            await scene(model, ask)

    asyncio.run(play())


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def content(body: Json) -> str:
    return str(body["choices"][0]["message"]["content"])


def test_a_turn_is_answered_with_its_marker() -> None:
    async def scene(model: Model, ask: Ask) -> None:
        body = await ask(user("hello [m17]"), tools=[{"type": "function", "function": {"name": "x"}}])
        assert content(body) == "answer [m17]"
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
        (asked,) = model.asked
        assert (asked.kind, asked.found, asked.outcome) == ("turn", ("m17",), "answered")
        assert asked.end_ns is not None
        assert asked.begin_ns <= asked.end_ns

    run(scene)


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        ([user("a [m1]\nb [m2]")], "answer [m1] [m2]"),
        ([user("a [m1]"), user("b [m2]")], "answer [m1] [m2]"),
        ([user("a [m1]"), {"role": "assistant", "content": "answer [m1]"}, user("b [m2]")], "answer [m2]"),
        ([user("a [m1]"), {"role": "assistant", "content": None}, user("b [m2]")], "answer [m1] [m2]"),
        ([user("a [m1]"), {"role": "assistant", "content": "answer [m1]"}, user("please go on")], "unasked"),
        ([user("")], "unasked"),
        ([{"role": "user", "content": [{"type": "text", "text": "see [m3]"}]}], "answer [m3]"),
    ],
)
def test_everything_since_the_last_answer_is_answered(messages: list[Json], reply: str) -> None:
    async def scene(_model: Model, ask: Ask) -> None:
        assert content(await ask(*messages)) == reply

    run(scene)


def test_a_slow_turn_waits_before_its_first_word() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def scene(_model: Model, ask: Ask) -> None:
        assert content(await ask(user("think [m4 slow=5.0]"))) == "answer [m4]"
        assert waits == [5.0]

    run(scene, sleep=sleep)


def test_a_title_call_is_not_a_turn_and_never_waits() -> None:
    async def sleep(seconds: float) -> None:
        raise AssertionError(seconds)

    async def scene(model: Model, ask: Ask) -> None:
        prompt = {"role": "system", "content": "Generate a short, descriptive title (3-7 words) for a conversation"}
        assert content(await ask(prompt, user("User: x [m5 slow=9.0]"))) == SIDE_ANSWER
        assert model.asked[0].kind == "side"

    run(scene, sleep=sleep)


def test_a_text_that_quotes_a_side_prompt_is_still_a_turn() -> None:
    assert not is_side_call([user("what does 'You are a summarization agent' mean? [m1]")])
    assert is_side_call([user("You are a summarization agent creating a context checkpoint. [m1]")])


def test_a_stream_says_the_same_and_ends_with_usage_and_done() -> None:
    async def scene(model: Model, _ask: Ask) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{model.base_url}/chat/completions", json={"messages": [user("a [m6]")], "stream": True}
            ) as response,
        ):
            lines = [line async for line in response.content if line.strip()]
        data = [line.decode().removeprefix("data: ").strip() for line in lines]
        assert data[-1] == "[DONE]"
        chunks = [json.loads(line) for line in data[:-1]]
        said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        assert said == "answer [m6]"
        assert chunks[-1]["usage"]["total_tokens"] > 0

    run(scene)


def test_a_client_that_leaves_a_slow_turn_is_recorded_as_aborted() -> None:
    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    async def scene(model: Model, ask: Ask) -> None:
        turn = asyncio.ensure_future(ask(user("think [m7 slow=5.0]")))
        await model.until(lambda asked: len(asked) == 1, timeout_s=10)
        turn.cancel()
        asked = await model.until(lambda asked: asked[0].end_ns is not None, timeout_s=10)
        assert asked[0].outcome == "aborted"

    run(scene, sleep=sleep)


def test_the_models_are_listed() -> None:
    async def scene(model: Model, _ask: Ask) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{model.base_url}/models") as response:
            assert [card["id"] for card in (await response.json())["data"]] == ["stand-in"]

    run(scene)


def test_unanswered_keeps_the_order_of_the_texts() -> None:
    assert unanswered([user("a"), user("b"), {"role": "tool", "content": "t"}, user("c")]) == ("a", "b", "c")
