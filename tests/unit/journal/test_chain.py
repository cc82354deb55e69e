from __future__ import annotations

import hashlib
from typing import Any

import pytest

from journal.chain import GENESIS, link
from tests.builders import BLUE, GREEN

ROW: dict[str, Any] = {
    "prev": GENESIS, "seq": 1, "handoff": None, "type_": "PROCESS_EXITED", "version": 1, "role": "blue", "process": BLUE,
    "epoch": 1, "at_ns": 10, "mono_ns": 20, "key": None, "cause": None, "body": "{}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prev", bytes(32)), ("seq", 2), ("handoff", ""), ("handoff", "-"), ("type_", "X"), ("version", 2), ("role", "green"),
        ("process", GREEN), ("process", BLUE.model_copy(update={"boot": "b"})), ("epoch", 2), ("at_ns", 11), ("mono_ns", 21),
        ("key", ""), ("cause", 1), ("cause", 0), ("body", "[]"), ("body", "{} "), ("body", "é"),
    ],
)  # fmt: skip
def test_every_column_counts(column: str, value: Any) -> None:
    assert link(**{**ROW, column: value}) != link(**ROW)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"handoff": "a,b", "type_": "c"}, {"handoff": "a", "type_": "b,c"}),
        ({"type_": "X", "role": "1,r"}, {"type_": "X,1", "role": "r"}),
        ({"handoff": None}, {"handoff": ""}),
        ({"key": "1", "cause": 2}, {"key": "1,2"}),
        ({"key": "-"}, {"key": None}),
    ],
)
def test_text_cannot_slide_from_one_column_into_the_next(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert link(**{**ROW, **one}) != link(**{**ROW, **two})


def test_a_link_is_a_sha256() -> None:
    assert len(link(**ROW)) == 32
    assert hashlib.sha256(b"handoff-journal/1").digest() == GENESIS


def test_the_links_of_version_1_never_change() -> None:
    """Journals that exist were made with it."""
    assert link(**ROW).hex() == "669e0d77d5892298bb669d461c55c49c919a80430fcbc09dc1d56fe0a40c94a2"
