"""The way out of a process that holds nothing: who is told of it, and when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.hermes.gateway import HermesGateway
from gateway_hooks.hermes.hold import Hold


class Agent:
    """One whose memory takes its time to be put away."""

    def __init__(self, story: list[str]) -> None:
        self._story = story

    def shutdown_memory_provider(self, messages: list[object]) -> None:
        self._story.append("memory")


def gateway(story: list[str], *, held: bool) -> HermesGateway:
    async def nothing(*_: object, **__: object) -> None: ...

    made = HermesGateway.__new__(HermesGateway)
    made.hold = Hold(held=held, green=False)
    made.on_leaving = lambda: story.append("leaving")  # type: ignore[method-assign]
    made.on_ended = lambda: story.append("ended")  # type: ignore[method-assign]
    given: dict[str, Any] = {
        "_accounts": SimpleNamespace(let_go=lambda: None, let_go_is_over=nothing),
        "_watchers": SimpleNamespace(leave=lambda _: 0),
        "_runner": SimpleNamespace(
            _shutdown_event=asyncio.Event(), _agent_cache_lock=asyncio.Lock(), adapters={}, _background_tasks=set(),
            session_store=None,
        ),
    }  # fmt: skip
    vars(made).update(given)
    return made


@pytest.mark.parametrize("held", [True, False], ids=["the owner", "one that stands by"])
def test_a_process_that_was_asked_to_end_decides_nothing_from_the_beginning_of_its_teardown(
    monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    story: list[str] = []
    monkeypatch.setattr("gateway_hooks.hermes.leaving._cached_agents", lambda _: [Agent(story)])

    async def hermes(**_: object) -> None:
        story.append("memory")

    async def life() -> None:
        await gateway(story, held=held)._stopping(hermes)()

    asyncio.run(life())
    assert story == ["leaving", "memory", "ended"]


def test_a_process_that_ends_by_its_own_decision_was_not_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    story: list[str] = []
    monkeypatch.setattr("gateway_hooks.hermes.leaving._cached_agents", lambda _: [Agent(story)])

    async def life() -> None:
        await gateway(story, held=False)._leave()

    asyncio.run(life())
    assert story == ["memory", "ended"]
