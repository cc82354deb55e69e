"""What an answer to getUpdates holds, and which requests are replies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_hooks.hermes import wire


def answer(*updates: dict[str, Any]) -> bytes:
    return json.dumps({"ok": True, "result": list(updates)}).encode()


def message(**more: Any) -> dict[str, Any]:
    return {"message_id": 1, "chat": {"id": -5}, **more}


def test_updates_come_out_whole_and_in_order() -> None:
    first, second = {"update_id": 3, "message": message(text="hé")}, {"update_id": 4, "message": message(text="b")}
    found = wire.parse(answer(first, second))
    assert [update.update_id for update in found] == ["3", "4"]
    assert json.loads(found[0].payload) == first


@pytest.mark.parametrize(
    "payload", [b"", b"<html>", b'{"ok":false,"error_code":409}', b"[]", b'{"ok":true,"result":true}']
)
def test_anything_else_holds_no_updates(payload: bytes) -> None:
    assert wire.parse(payload) == ()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": message(text="hello")}, "text"),
        ({"message": message(text="/new please")}, "command"),
        ({"message": message(photo=[], media_group_id="g")}, "album"),
        ({"message": message(photo=[])}, "other"),
        ({"message": message(photo=[], caption="look")}, "other"),
        ({"message": message(photo=[], caption="/echo look")}, "command"),
        ({"message": message(photo=[], caption="/echo look", media_group_id="g")}, "album"),
        ({"message": message(text="@my_bot /echo")}, "command"),
        ({"message": message(text="@ada and/or @ben")}, "text"),
        ({"edited_message": message(text="hello")}, "edit"),
        ({"edited_message": message(text="/echo hello")}, "command"),
        ({"callback_query": {"message": message()}}, "callback"),
        ({"my_chat_member": {}}, "other"),
    ],
)
def test_the_kind_of_an_update(body: dict[str, Any], kind: str) -> None:
    assert wire.kind_of(body) == kind


def test_a_lane_is_the_chat_and_the_thread_of_a_forum() -> None:
    assert wire.chat_of({"message": message()}) == "-5"
    assert wire.chat_of({"message": message(message_thread_id=9)}) == "-5"
    assert wire.chat_of({"message": message(message_thread_id=9, is_topic_message=True)}) == "-5:9"
    assert wire.chat_of({"callback_query": {"message": message()}}) == "-5"
    assert wire.chat_of({"poll": {}}) == ""


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("sendmessage", True),
        ("sendphoto", True),
        ("copymessage", True),
        ("sendchataction", False),
        ("sendmessagedraft", False),
        ("editmessagetext", False),
        ("getupdates", False),
    ],
)
def test_what_counts_as_a_reply(method: str, reply: bool) -> None:
    assert wire.is_reply(method) is reply
