"""What a chat may order, word by word."""

from __future__ import annotations

import pytest

from gateway_hooks.hermes.chat import words


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ("", ["status"]),
        ("status", ["status"]),
        ("promote", ["promote", "--no-wait"]),
        ("promote next", ["promote", "--runtime", "next", "--no-wait"]),
        ("promote next --confirm-within 10m", ["promote", "--runtime", "next", "--confirm-within", "10m", "--no-wait"]),
        ("rollback", ["rollback", "--no-wait"]),
        ("confirm", ["confirm"]),
        ("audit", ["audit"]),
    ],
)
def test_a_chat_gives_the_same_orders_and_waits_for_no_bake(raw: str, command: list[str]) -> None:
    assert words(raw) == command


@pytest.mark.parametrize(
    "raw",
    [
        "uninstall",
        "promote --home /elsewhere",
        "status --journal x",
        "rollback now",
        "promote 'next",
        "promote --force",
    ],
)
def test_a_chat_may_give_no_other_order(raw: str) -> None:
    assert words(raw) is None
