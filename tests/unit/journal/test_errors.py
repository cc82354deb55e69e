from __future__ import annotations

import re

import pytest

from journal import errors
from journal.errors import Busy, HandoffError, IllegalTransition, Tampered


def _all(base: type[HandoffError]) -> list[type[HandoffError]]:
    return [base, *(c for sub in base.__subclasses__() if sub.__module__ == base.__module__ for c in _all(sub))]


def test_the_tree_at_the_top_of_the_module_is_the_real_one() -> None:
    drawn: list[tuple[str, str]] = []
    above = {0: "HandoffError"}
    for branch, name in re.findall(r"^ {4}([ │├└─]+)(\w+)", errors.__doc__ or "", flags=re.MULTILINE):
        depth = len(branch) // 4
        above[depth] = name
        drawn.append((name, above[depth - 1]))
    assert drawn == [(kind.__name__, kind.__bases__[0].__name__) for kind in _all(HandoffError)[1:]]


def test_the_exit_codes_drawn_are_the_real_ones() -> None:
    for name, code in re.findall(r"(\w+) \(exit (\d+)\)", errors.__doc__ or ""):
        for kind in _all(getattr(errors, name)):
            assert kind.exit_code == int(code)


@pytest.mark.parametrize(("hint", "line"), [("do this", "it broke; do this"), ("", "it broke")])
def test_a_line_says_what_is_wrong_and_what_to_do(hint: str, line: str) -> None:
    assert IllegalTransition("it broke", hint=hint).line() == line


def test_an_error_carries_what_its_catcher_needs() -> None:
    assert Busy("busy", holder=7).holder == 7
    assert Tampered("bad", seq=3).seq == 3
