"""Whoever is killed between an intent and its request leaves what nobody can know; a moment later it is a loss."""

from __future__ import annotations

import pytest

from gateway_hooks.demo.judge import judge
from gateway_hooks.demo.knowable import KNOWABLE_NS, intents_of, unknowable
from gateway_hooks.demo.wire import Call, Said
from tests.builders import BLUE, GREEN
from tests.unit.replay.histories import History

SAID = [Said(1, 0, 101, 1, "message", "hello [m1]"), Said(2, 0, 102, 2, "message", "hello [m2]")]


def intended() -> tuple[History, int]:
    """Blue has announced its reply to the first message; and when that was."""
    history = History().serving()
    turn = history.turn(history.accept(1))
    history.accept(2)
    history.intend(turn)
    return history, history.records[-1].mono_ns


@pytest.mark.parametrize(("after_ns", "unknown"), [(-1000, {"m1"}), (KNOWABLE_NS, {"m1"}), (KNOWABLE_NS + 1, set())])
def test_a_reply_announced_in_the_moment_of_a_kill_is_neither_lost_nor_called_ambiguous_without_cause(
    after_ns: int, unknown: set[str]
) -> None:
    history, at_ns = intended()
    found = unknowable(history.records, SAID, [], {BLUE.pid: at_ns + after_ns})
    assert found == unknown
    verdict = judge(SAID[:1], [], reported={"m1"}, unknowable=found)
    assert verdict.lost == verdict.unfounded == (() if unknown else ("m1",))
    assert verdict.ambiguous == tuple(unknown)
    assert judge(SAID[:1], [], unknowable=found).lost == ("m1",), "what nobody reports is lost all the same"


def test_of_another_process_and_of_a_message_that_nobody_began_to_answer_all_is_known() -> None:
    history, at_ns = intended()
    assert set(intents_of(history.records, SAID)) == {"m1"}
    assert unknowable(history.records, SAID, [], {GREEN.pid: at_ns}) == set()


def test_where_requests_take_long_longer_is_waited_before_anything_is_known() -> None:
    history, at_ns = intended()
    slow_ns = 3 * KNOWABLE_NS
    call = Call(0, "sendMessage", 0, 0, at_ns + slow_ns, pid=BLUE.pid, text="answer [m1]", message_id=7)
    hurt = {BLUE.pid: at_ns + slow_ns}
    assert unknowable(history.records, SAID, [call], hurt) == {"m1"}
    assert unknowable(history.records, SAID, [], hurt) == set()
