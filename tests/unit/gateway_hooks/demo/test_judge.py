"""The judge reads a wire log rightly, in the plain cases and in those where a gateway could hide something."""

from __future__ import annotations

import pytest

from gateway_hooks.demo.judge import Disorder, Verdict, judge
from gateway_hooks.demo.wire import Call, Outcome, Said

MS = 1_000_000


class Log:
    """Writes a wire log by hand; times in milliseconds."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.calls: list[Call] = []
        self._message_id = 0

    def say(self, text: str, *, chat: int = 1, at: int = 0) -> Log:
        number = len(self.said)
        self.said.append(Said(100 + number, at * MS, chat, self._next(), "message", text))
        return self

    def send(
        self, text: str, *, chat: int = 1, at: int = 0, pid: int = 7, taken: bool = True, outcome: Outcome = "answered"
    ) -> Log:
        self._call("sendMessage", at, at + 1, pid, chat_id=chat, text=text, outcome=outcome)
        if taken:
            self._last(message_id=self._next())
        return self

    def edit(self, text: str, message_id: int, *, chat: int = 1, at: int = 0) -> Log:
        self._call("editMessageText", at, at + 1, 7, chat_id=chat, text=text)
        return self._last(message_id=message_id)

    def poll(self, begin: int, end: int | None, *, pid: int = 7) -> Log:
        self._call("getUpdates", begin, end, pid, outcome="answered" if end is not None else "open")
        return self

    def judge(self, *reported: str, end: int | None = None) -> Verdict:
        return judge(self.said, self.calls, reported=reported, end_ns=None if end is None else end * MS)

    def _call(self, method: str, begin: int, end: int | None, pid: int, **more: object) -> None:
        end_ns = None if end is None else end * MS
        call = Call(len(self.calls), method, 0, 0, begin * MS, pid=pid, end_ns=end_ns)
        self.calls.append(call)
        self._last(**more)

    def _last(self, **changes: object) -> Log:
        call = self.calls[-1]
        fields = {name: getattr(call, name) for name in Call.__dataclass_fields__}
        self.calls[-1] = Call(**{**fields, **changes})
        return self

    def _next(self) -> int:
        self._message_id += 1
        return self._message_id


def test_an_answered_message_is_answered_and_its_answerer_known() -> None:
    verdict = Log().say("hi [m1]").send("answer [m1]", at=30, pid=42).judge()
    assert (verdict.sent, verdict.answered, verdict.lost) == (("m1",), ("m1",), ())
    assert verdict.answered_by("m1") == ("pid 42",)
    assert verdict.answers[0].waited_ms == 31.0
    assert verdict.kept


def test_silence_is_loss() -> None:
    verdict = Log().say("hi [m1]").judge()
    assert verdict.lost == ("m1",)
    assert not verdict.kept


def test_a_refused_send_is_no_answer() -> None:
    assert Log().say("hi [m1]").send("answer [m1]", taken=False).judge().lost == ("m1",)


def test_two_messages_are_two_answers_even_when_reported() -> None:
    log = Log().say("hi [m1]").send("answer [m1]").send("answer [m1]")
    assert log.judge().answered_twice == ("m1",)
    assert log.judge("m1").answered_twice == ("m1",)
    assert not log.judge("m1").kept


def test_an_answer_streamed_by_edits_counts_once_with_its_last_text() -> None:
    log = Log().say("hi [m1]").send("ans")
    message_id = log.calls[-1].message_id
    assert message_id is not None
    verdict = log.edit("answer [m", message_id).edit("answer [m1]", message_id).judge()
    assert (verdict.answered, verdict.answered_twice, verdict.kept) == (("m1",), (), True)


def test_a_reported_reply_whose_send_was_begun_is_ambiguous_not_lost() -> None:
    log = Log().say("hi [m1]").send("answer [m1]", taken=False, outcome="aborted")
    assert log.judge("m1").ambiguous == ("m1",)
    assert log.judge("m1").lost == ()
    assert log.judge().lost == ("m1",), "unreported it is lost"


def test_a_report_without_any_send_is_unfounded_and_the_message_lost() -> None:
    verdict = Log().say("hi [m1]").judge("m1")
    assert (verdict.lost, verdict.ambiguous, verdict.unfounded) == (("m1",), (), ("m1",))
    assert not verdict.kept


def test_a_reported_reply_that_arrived_is_answered_and_ambiguous() -> None:
    verdict = Log().say("hi [m1]").send("answer [m1]", outcome="dropped").judge("m1")
    assert (verdict.answered, verdict.ambiguous, verdict.lost) == (("m1",), ("m1",), ())
    assert verdict.kept


@pytest.mark.parametrize("text", ["unasked", "answer [m9]"])
def test_what_answers_nobody_is_unasked(text: str) -> None:
    verdict = Log().say("hi [m1]").send("answer [m1]").send(text).judge()
    assert [sent.text for sent in verdict.unasked] == [text]
    assert not verdict.kept


def test_an_answer_in_the_wrong_chat_is_unasked_and_the_message_lost() -> None:
    verdict = Log().say("hi [m1]", chat=1).send("answer [m1]", chat=2).judge()
    assert verdict.lost == ("m1",)
    assert len(verdict.unasked) == 1


def test_other_words_of_the_bot_are_notices() -> None:
    verdict = Log().say("hi [m1]").send("Queued for the next turn.").send("answer [m1]").judge()
    assert [sent.text for sent in verdict.notices] == ["Queued for the next turn."]
    assert verdict.kept


def test_answers_out_of_order_in_one_chat_are_found() -> None:
    verdict = Log().say("a [m1]").say("b [m2]").send("answer [m2]").send("answer [m1]").judge()
    assert verdict.disorder == (Disorder(chat_id=1, late="m1", early="m2"),)
    assert not verdict.kept


def test_other_chats_and_merged_answers_are_not_out_of_order() -> None:
    log = Log().say("a [m1]", chat=1).say("b [m2]", chat=2).send("answer [m2]", chat=2).send("answer [m1]", chat=1)
    assert log.judge().disorder == ()
    merged = Log().say("a [m1]").say("b [m2]").say("c [m3]").send("answer [m2] [m1]").send("answer [m3]")
    assert merged.judge().disorder == ()


def test_a_message_between_two_merged_ones_is_late() -> None:
    log = Log().say("a [m1]").say("b [m2]").say("c [m3]").send("answer [m1] [m3]").send("answer [m2]")
    assert log.judge().disorder == (Disorder(chat_id=1, late="m2", early="m3"),)


def test_the_second_answer_of_a_message_is_doubled_not_disordered() -> None:
    verdict = Log().say("a [m1]").say("b [m2]").send("answer [m1]").send("answer [m2]").send("answer [m1]").judge()
    assert (verdict.answered_twice, verdict.disorder) == (("m1",), ())


@pytest.mark.parametrize(
    ("polls", "end", "gap"),
    [
        ([(0, 100), (101, 200)], 200, (1.0, 100)),
        ([(0, 100), (102, 200), (450, 500)], 500, (250.0, 200)),
        ([(0, 500), (100, 200), (300, 400), (510, 600)], 600, (10.0, 500)),
        ([(0, 100), (90, None)], 5000, (0.0, 0)),
        ([(0, 100)], 400, (300.0, 100)),
        ([(0, 100), (101, 900), (1500, 1600)], 1000, (100.0, 900)),
        ([(50, 60)], 60, (0.0, 50)),
        ([], 1000, (0.0, 0)),
    ],
)
def test_the_gap_is_the_longest_time_without_an_open_poll(
    polls: list[tuple[int, int | None]], end: int, gap: tuple[float, int]
) -> None:
    log = Log()
    for begin_ms, end_ms in polls:
        log.poll(begin_ms, end_ms)
    verdict = log.judge(end=end)
    assert (verdict.gap_ms, verdict.gap_at_ns) == (gap[0], gap[1] * MS)


def test_pollers_are_told_in_turns() -> None:
    log = Log().poll(0, 10, pid=1).poll(11, 20, pid=1).poll(30, 40, pid=2).poll(41, None, pid=2)
    assert [(turn.client, turn.polls, turn.end_ns) for turn in log.judge().pollers] == [
        ("pid 1", 2, 20 * MS),
        ("pid 2", 2, None),
    ]


def test_what_a_start_threw_away_is_named() -> None:
    log = Log().say("hi [m1]")
    log.calls.append(Call(0, "deleteWebhook", 0, 0, 0, end_ns=1, outcome="answered", update_ids=(100,)))
    assert log.judge().dropped == (100,)
    assert log.judge().lost == ("m1",)


def test_a_said_edit_does_not_ask_again() -> None:
    log = Log().say("hi [m1]").send("answer [m1]").say("hi again [m1]")
    assert log.judge().kept
