"""The plan holds what a handoff must survive, and the player says it in time and in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from gateway_hooks.demo.load import FIRST_CHAT, PAIR_S, Player, plan
from gateway_hooks.demo.markers import answer, answered, mark, markers, slow_s


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def clock_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(seed=7) == plan(seed=7)
    assert plan(seed=7) != plan(seed=8)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_has_every_marker_once_in_the_order_of_time(seed: int) -> None:
    items = plan(messages=60, rate=3.0, chats=8, seed=seed)
    assert [item.marker for item in items] == [f"m{i}" for i in range(1, 61)]
    assert all(before.at_s <= after.at_s for before, after in pairwise(items))
    assert all(markers(item.text) == (item.marker,) for item in items)
    assert all(0.0 <= item.at_s <= 20.0 for item in items if item.kind in {"plain", "quick"})


@pytest.mark.parametrize("seed", range(20))
def test_quick_pairs_are_two_texts_in_one_chat_within_a_tenth_of_a_second(seed: int) -> None:
    quick = [item for item in plan(quick_pairs=4, seed=seed) if item.kind == "quick"]
    assert len(quick) == 8
    for item in quick:
        near = [other for other in quick if other is not item and other.chat_id == item.chat_id]
        assert any(abs(other.at_s - item.at_s) <= PAIR_S[1] + 0.001 for other in near)


@pytest.mark.parametrize("seed", range(20))
def test_follow_ups_come_while_the_slow_turn_runs_and_nobody_else_writes_there(seed: int) -> None:
    items = plan(slow_s=6.0, slow_at_s=10.0, follow_ups=3, seed=seed)
    (slow,) = [item for item in items if item.kind == "slow"]
    assert (slow.at_s, slow_s(slow.text)) == (10.0, 6.0)
    during = [item for item in items if item.chat_id == slow.chat_id and 10.0 < item.at_s < 16.0]
    assert [item.kind for item in during] == ["follow"] * 3


def test_traffic_is_spread_over_all_chats() -> None:
    spread = Counter(item.chat_id for item in plan(messages=80, chats=8, slow_s=0.0, quick_pairs=0))
    assert set(spread) == set(range(FIRST_CHAT, FIRST_CHAT + 8))
    assert max(spread.values()) - min(spread.values()) <= 1


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        plan(messages=5, quick_pairs=4)
    with pytest.raises(ValueError, match="fewer than 2"):
        plan(chats=1)


def test_the_player_says_the_plan_in_order_and_in_time() -> None:
    time, heard = FakeTime(), list[tuple[int, str]]()

    def say(chat_id: int, text: str) -> int:
        heard.append((chat_id, text))
        return len(heard)

    items = plan(messages=20, seed=3)
    player = Player(say, sleep=time.sleep, clock_s=time.clock_s)
    said = asyncio.run(player.play(items))
    assert heard == [(item.chat_id, item.text) for item in items]
    assert all(-0.001 < done.at_s - item.at_s < 0.03 for done, item in zip(said, items, strict=True))


def test_a_slow_turn_can_be_put_in_now_with_follow_ups_later() -> None:
    time, heard = FakeTime(), list[str]()

    def say(_chat_id: int, text: str) -> int:
        heard.append(text)
        return len(heard)

    async def scene() -> None:
        player = Player(say, sleep=time.sleep, clock_s=time.clock_s)
        playing = asyncio.create_task(player.play(plan(messages=10, slow_s=0.0, quick_pairs=0)))
        await asyncio.sleep(0)
        slow, follow = player.slow_now(4.0, follow_ups=(0.5,))
        assert markers(heard[-1]) == (slow.marker,) == ("m11",)
        said = await playing
        assert len(said) == 12
        (done,) = [item for item in said if item.marker == follow.marker]
        assert -0.001 < done.at_s - slow.at_s - 0.5 < 0.03
        assert done.chat_id == slow.chat_id

    asyncio.run(scene())


def test_marks_survive_the_way_to_the_answer_and_back() -> None:
    text = f"think {mark('m1', slow_s=2.5)} and {mark('m2')}"
    assert (markers(text), slow_s(text)) == (("m1", "m2"), 2.5)
    assert answered(answer(("m1", "m2"))) == ("m1", "m2")
    assert answered("Queued: think [m1]") == ()
