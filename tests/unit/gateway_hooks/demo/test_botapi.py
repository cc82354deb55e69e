"""The Bot API stand-in keeps the original's rules, fails when told to, and records what happened."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_hooks.demo.botapi import BotApi
from gateway_hooks.demo.polling import Polling
from gateway_hooks.demo.updates import UpdateQueue
from gateway_hooks.demo.whopolls import WhoHolds
from gateway_hooks.demo.wire import Call, read

WAIT_S = 10.0
Ask = Callable[..., Awaitable[tuple[int, Any]]]


def run(scene: Callable[[BotApi, Ask], Awaitable[None]], **options: Any) -> None:
    """Play a scene against a Bot API of its own, bounded in time."""

    async def play() -> None:
        async with (
            asyncio.timeout(3 * WAIT_S),
            BotApi(short_poll_floor_s=options.pop("short_poll_floor_s", 0.0), **options) as api,
            aiohttp.ClientSession() as session,
        ):

            async def ask(method: str, **params: Any) -> tuple[int, Any]:
                async with session.post(f"{api.base_url}{api.token}/{method}", json=params) as response:
                    body = await response.json()
                    return response.status, body.get("result", body.get("description"))

            await scene(api, ask)

    asyncio.run(play())


def ids(updates: Any) -> list[int]:
    return [update["update_id"] for update in updates]


def polls(calls: tuple[Call, ...]) -> list[Call]:
    return [call for call in calls if call.method == "getUpdates"]


async def parked(api: BotApi) -> None:
    """Wait until a poll waits at the server."""
    async with asyncio.timeout(WAIT_S):
        while not api.polling.parked:
            await asyncio.sleep(0)


def test_an_update_is_handed_over_again_until_its_offset_is_passed() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        first, second = api.say(101, "one"), api.say(102, "two")
        assert ids((await ask("getUpdates"))[1]) == [first, second]
        assert ids((await ask("getUpdates", offset=first))[1]) == [first, second]
        assert ids((await ask("getUpdates", offset=second))[1]) == [second]
        assert ids((await ask("getUpdates", offset=first))[1]) == [second], "what was confirmed never comes back"

    run(scene)


def test_limit_hands_over_the_oldest_and_keeps_the_rest() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        all_ids = [api.say(101, str(i)) for i in range(5)]
        assert ids((await ask("getUpdates", limit=2))[1]) == all_ids[:2]
        assert ids((await ask("getUpdates", offset=all_ids[2]))[1]) == all_ids[2:]

    run(scene)


def test_a_negative_offset_counts_from_the_end_and_forgets_the_rest() -> None:
    queue = UpdateQueue(10)
    for text in "abc":
        queue.put("message", {"text": text})
    assert ids(queue.take(-2)) == [11, 12]
    assert queue.pending == (11, 12)


def test_an_offset_beyond_the_end_starts_at_the_head_and_forgets_nothing() -> None:
    queue = UpdateQueue(10)
    queue.put("message", {})
    assert ids(queue.take(5000)) == [10]
    assert ids(queue.take(11)) == []
    assert queue.pending == ()


def test_numbering_may_jump_only_on_an_empty_queue() -> None:
    queue = UpdateQueue(10)
    queue.jump_to(3)
    assert queue.put("message", {}) == 3
    with pytest.raises(ValueError, match="1 updates are pending"):
        queue.jump_to(99)


def test_a_long_poll_is_answered_when_somebody_writes() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        poll = asyncio.ensure_future(ask("getUpdates", timeout=50))
        await parked(api)
        update = api.say(101, "hello")
        status, updates = await poll
        assert (status, ids(updates)) == (200, [update])

    run(scene)


def test_a_long_poll_without_news_ends_empty() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        poll = asyncio.ensure_future(ask("getUpdates", timeout=50))
        await parked(api)
        api.polling.wake()
        assert await poll == (200, [])

    run(scene)


def test_of_two_parked_polls_the_older_gets_409() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        older = asyncio.ensure_future(ask("getUpdates", timeout=50))
        await parked(api)
        newer = asyncio.ensure_future(ask("getUpdates", timeout=50))
        status, description = await older
        assert status == 409
        assert description.startswith("Conflict: terminated by other getUpdates request")
        update = api.say(101, "hello")
        assert ids((await newer)[1]) == [update]

    run(scene)


def test_a_poll_that_finds_updates_disturbs_no_parked_one() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.say(101, "kept")
        last = api.say(101, "hello")
        older = asyncio.ensure_future(ask("getUpdates", timeout=50, offset=last + 1))
        await parked(api)
        assert ids((await ask("getUpdates", offset=1))[1]) == []
        fresh = api.queue.put("message", {"text": "not announced"})
        assert ids((await ask("getUpdates", timeout=50))[1]) == [fresh]
        assert not older.done()
        api.polling.wake()
        assert ids((await older)[1]) == [fresh]

    run(scene)


def test_a_short_poll_that_repeats_an_offset_at_once_is_kept_waiting() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        assert await ask("getUpdates", offset=5) == (200, [])
        again = asyncio.ensure_future(ask("getUpdates", offset=5))
        await parked(api)
        api.polling.wake()
        assert await again == (200, [])

    run(scene, short_poll_floor_s=50.0)


def test_a_poll_that_repeats_an_offset_at_once_gets_one_update() -> None:
    async def scene() -> None:
        now_s = [0.0]
        queue = UpdateQueue(10)
        polling = Polling(queue, clock_s=lambda: now_s[0])
        for text in "abc":
            queue.put("message", {"text": text})
        seen = []
        for now_s[0], offset in [(0.0, 10), (0.4, 10), (0.7, 11), (0.8, 11), (1.4, 11)]:
            seen.append((await polling.poll(offset)).update_ids)
        assert seen == [(10, 11, 12), (10,), (11, 12), (11,), (11, 12)]

    asyncio.run(scene())


def test_deleting_the_webhook_drops_what_is_pending_only_when_told_to() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        update = api.say(101, "hello")
        await ask("deleteWebhook")
        assert ids((await ask("getUpdates"))[1]) == [update]
        await ask("deleteWebhook", drop_pending_updates=True)
        assert await ask("getUpdates") == (200, [])
        assert [call.update_ids for call in api.log.calls if call.method == "deleteWebhook"] == [(), (update,)]

    run(scene)


def test_a_poller_that_went_away_leaves_the_place_and_is_recorded_as_aborted() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        gone = asyncio.ensure_future(ask("getUpdates", timeout=50))
        await parked(api)
        gone.cancel()
        calls = await api.until(lambda calls: calls[0].end_ns is not None, timeout_s=WAIT_S)
        assert calls[0].outcome == "aborted"
        assert not api.polling.parked
        update = api.say(101, "hello")
        assert ids((await ask("getUpdates"))[1]) == [update], "nothing was handed to the one who left"

    run(scene)


def test_messages_get_growing_ids_and_edits_keep_them() -> None:
    async def scene(_api: BotApi, ask: Ask) -> None:
        first = (await ask("sendMessage", chat_id=101, text="one"))[1]
        second = (await ask("sendMessage", chat_id=102, text="two"))[1]
        assert second["message_id"] > first["message_id"]
        edited = (await ask("editMessageText", chat_id=101, message_id=first["message_id"], text="uno"))[1]
        assert (edited["message_id"], edited["text"]) == (first["message_id"], "uno")
        status, why = await ask("editMessageText", chat_id=101, message_id=first["message_id"], text="uno")
        assert (status, why) == (400, "Bad Request: message is not modified")

    run(scene)


def test_markdown_escapes_are_not_what_a_person_reads() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        sent = (await ask("sendMessage", chat_id=101, text=r"answer \[m1\]", parse_mode="MarkdownV2"))[1]
        assert sent["text"] == api.log.calls[0].text == "answer [m1]"

    run(scene)


def test_forms_queries_and_multipart_are_understood() -> None:
    async def scene(api: BotApi, _ask: Ask) -> None:
        url = f"{api.base_url}{api.token}/sendMessage"
        async with aiohttp.ClientSession() as session:
            reply = json.dumps({"message_id": 7})
            await (await session.get(url, params={"chat_id": 1, "text": "query"})).read()
            await (await session.post(url, data={"chat_id": "2", "text": "form", "reply_parameters": reply})).read()
            parts = aiohttp.FormData(default_to_multipart=True)
            parts.add_field("chat_id", "3")
            parts.add_field("caption", "multipart")
            parts.add_field("photo", b"png", filename="x.png")
            await (await session.post(url.replace("Message", "Photo"), data=parts)).read()
        seen = [(call.chat_id, call.text, call.reply_to) for call in api.log.calls]
        assert seen == [(1, "query", None), (2, "form", 7), (3, "multipart", None)]

    run(scene)


def test_unknown_methods_are_fine_unknown_tokens_are_not() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        assert await ask("setSomethingNew") == (200, True)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{api.base_url}1:other/getMe") as response,
        ):
            assert response.status == 401

    run(scene)


def test_a_dropped_send_stands_in_the_chat_though_the_client_was_not_told() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.faults.drop_next_send()
        with pytest.raises(aiohttp.ClientError):
            await ask("sendMessage", chat_id=101, text="answer [m1]")
        assert (await ask("sendMessage", chat_id=101, text="answer [m1]"))[0] == 200
        first, second = api.log.calls
        assert (first.outcome, first.message_id is not None, first.status) == ("dropped", True, None)
        assert second.outcome == "answered"

    run(scene)


@pytest.mark.parametrize("status", [409, 429, 500])
def test_ordered_refusals_do_nothing_and_end(status: int) -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.faults.fail_next("sendMessage", status, calls=2)
        answers = [(await ask("sendMessage", chat_id=101, text="x"))[0] for _ in range(3)]
        assert answers == [status, status, 200]
        assert [call.message_id is None for call in api.log.calls] == [True, True, False]

    run(scene)


def test_a_held_send_is_open_and_not_taken_until_it_is_released() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.faults.hold("sendMessage")
        send = asyncio.ensure_future(ask("sendMessage", chat_id=101, text="answer [m1]"))
        calls = await api.until(lambda calls: any(call.text for call in calls), timeout_s=WAIT_S)
        assert (calls[0].outcome, calls[0].message_id, calls[0].end_ns) == ("open", None, None)
        api.faults.release("sendMessage")
        assert (await send)[0] == 200

    run(scene)


def test_a_client_that_leaves_before_the_answer_leaves_its_message_behind() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.faults.hold("sendMessage", "after")
        send = asyncio.ensure_future(ask("sendMessage", chat_id=101, text="answer [m1]"))
        await api.until(lambda calls: any(call.message_id for call in calls), timeout_s=WAIT_S)
        send.cancel()
        calls = await api.until(lambda calls: calls[0].outcome == "aborted", timeout_s=WAIT_S)
        assert calls[0].message_id is not None

    run(scene)


def test_people_can_edit_press_and_send_albums() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        api.say(101, "/start now")
        api.edit(101, 1, "changed")
        api.press(101, 2, "yes")
        album = api.say_album(-5, ["look", ""])
        updates = (await ask("getUpdates"))[1]
        assert [sorted(set(update) - {"update_id"})[0] for update in updates[:3]] == [
            "message",
            "edited_message",
            "callback_query",
        ]
        assert updates[0]["message"]["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
        assert ids(updates[3:]) == album
        assert len({update["message"]["media_group_id"] for update in updates[3:]}) == 1
        assert [spoken.text for spoken in api.log.said] == ["/start now", "changed", "yes", "look", ""]

    run(scene)


def test_the_file_tells_the_same_as_memory_also_when_its_last_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"

    async def scene(api: BotApi, ask: Ask) -> None:
        api.say(101, "hello\n\u2028\u2603 [m1]")
        await ask("getUpdates")
        await ask("sendMessage", chat_id=101, text="answer [m1]")
        await api.connections.settled()
        assert read(path) == (api.log.said, api.log.calls)
        with path.open("a", encoding="utf-8") as file:
            file.write('{"is": "call", "n": 9')
        assert read(path) == (api.log.said, api.log.calls)

    run(scene, log_path=path, who_is=WhoHolds())


def test_whoever_calls_is_known_by_its_process() -> None:
    async def scene(api: BotApi, ask: Ask) -> None:
        await ask("getMe")
        await api.connections.settled()
        assert [call.client for call in api.log.calls] == [f"pid {os.getpid()}"]

    run(scene, who_is=WhoHolds())


def test_a_port_that_nobody_holds_has_no_process(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("  sl  local_address\n")
    assert WhoHolds(tmp_path)(4711) is None
