"""Why a handoff went as it went: the cause behind a decision's few words, with the events that prove it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from journal import events as e
from replay.audit import audit
from replay.brief import Answer, brief, headline, why
from replay.cause import Cause, first
from tests.builders import BLUE, GREEN, OPERATOR
from tests.unit.replay.histories import History, connected, started


def cause_of(history: History) -> Cause:
    found = first(audit(lambda: history.records).causes)
    assert found is not None
    return found


def answers(history: History) -> dict[str, Answer]:
    return {answer.question: answer for answer in brief(audit(lambda: history.records))}


def roll_back(history: History, reason: str, *evidence: int, detail: str = "") -> History:
    phase = history.head.phase
    history.say(BLUE, e.HandoffRollback(phase=phase, reason=reason, evidence=evidence, detail=detail))  # type: ignore[arg-type]
    return history


def fail(reason: str, detail: str = "", who: e.Process = BLUE) -> Callable[[], History]:
    def made() -> History:
        history = History().requested()
        history.say(who, e.HandoffFailed(reason=reason, detail=detail))  # type: ignore[arg-type]
        return history

    return made


def lost(phase: str, how: str = "died", detail: str = "") -> Callable[[], History]:
    """Green is gone, and blue decides on it."""

    def made() -> History:
        history: History = getattr(History(), phase)()
        return roll_back(history, "green_lost", history.lose("green", BLUE, how), detail=detail)

    return made


def silent(phase: str, how: str) -> Callable[[], History]:
    """Green is silent, blue decides, and ends it."""

    def made() -> History:
        history: History = getattr(History(), phase)().wait(20)
        history = roll_back(history, "green_silent", history.state.seen["green"].seq)
        history.lose("green", BLUE, how)
        return history

    return made


def unseated() -> History:
    history = History().requested()
    history.say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
    return history


def never_seated() -> History:
    history = unseated().wait(61)
    return roll_back(history, "deadline", history.state.steps[-1].moment.seq)


def died_unseated() -> History:
    history = unseated()
    return roll_back(history, "green_lost", history.lose("green", BLUE), detail="exit code 74")


def late(phase: str) -> Callable[[], History]:
    def made() -> History:
        history: History = getattr(History(), phase)().wait(61)
        return roll_back(history, "deadline", history.state.steps[-1].moment.seq)

    return made


def deaf(polls: int, samples: int) -> Callable[[], History]:
    def made() -> History:
        history = History().connected()
        for _ in range(samples):
            history.sample(GREEN, polls=polls)
        history.wait(31)
        return roll_back(history, "deadline", history.state.steps[-1].moment.seq)

    return made


def diverged() -> History:
    history = History().baking()
    rule = e.DivergenceDetected(rule="p95", measured=9.5, limit=2.0, evidence=(history.sample(GREEN),))
    return roll_back(history, "divergence", history.say(BLUE, rule))


def blue_lost(how: str) -> Callable[[], History]:
    def made() -> History:
        history = History().baking()
        history.wait(20).lose("blue", GREEN, how)
        return history

    return made


CASES: list[tuple[str, Callable[[], History], tuple[str, str | None, str]]] = [
    ("the operator in the bake", lambda: History().rolled_back(), ("operator", None, "baking")),
    ("withdrawn", fail("fault", "withdrawn by the operator", OPERATOR), ("operator", None, "requested")),
    ("preflight", fail("spawn", "preflight: the sessions' file is gone"), ("preflight", "green", "requested")),
    ("not started", fail("spawn", "cannot start /nope"), ("not_started", "green", "requested")),
    ("not taken up", fail("deadline", who=OPERATOR), ("not_taken_up", "blue", "requested")),
    ("blue dead", fail("blue_lost", who=OPERATOR), ("died", "blue", "requested")),
    ("never seated", never_seated, ("did_not_boot", "green", "init")),
    ("died unseated", died_unseated, ("did_not_boot", "green", "init")),
    ("died", lost("baking", detail="signal 9"), ("died", "green", "baking")),
    ("frozen holding the gate", lost("active", "ended_stopped"), ("frozen", "green", "active")),
    ("frozen", silent("baking", "ended_stopped"), ("frozen", "green", "baking")),
    ("hung", silent("ack", "ended_silent"), ("hung", "green", "ack")),
    ("hung before its seat", lambda: roll_back(unseated().wait(61), "green_silent"), ("did_not_boot", "green", "init")),
    ("not loaded", late("init"), ("not_loaded", "green", "init")),
    ("not let go", late("ack"), ("not_let_go", "blue", "ack")),
    ("not connected", late("active"), ("not_connected", "green", "active")),
    ("deaf", deaf(0, 2), ("deaf", "green", "active")),
    ("no sample", deaf(0, 0), ("no_sample", "green", "active")),
    ("late though polling", deaf(3, 1), ("late", "green", "active")),
    ("unconfirmed", late("baking"), ("unconfirmed", None, "baking")),
    ("digests", lambda: roll_back(History().init().flushed(), "digests", detail="routing"), ("digests", "green", "init")),
    ("divergence", diverged, ("divergence", "green", "baking")),
    ("fault", lambda: roll_back(History().ack(), "fault", detail="cannot pause"), ("fault", "blue", "ack")),
    ("blue died", blue_lost("died"), ("died", "blue", "baking")),
    ("blue frozen", blue_lost("ended_stopped"), ("frozen", "blue", "baking")),
    ("blue hung", blue_lost("ended_silent"), ("hung", "blue", "baking")),
]  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_cause_behind_a_decision_is_named_with_its_proof(
    made: Callable[[], History], expected: tuple[str, str | None, str]
) -> None:
    history = made()
    cause = cause_of(history)
    assert (cause.code, cause.side, cause.phase) == expected
    assert cause.at in cause.seqs
    assert set(cause.seqs) <= {record.seq for record in history.records}
    assert why(cause)
    told = answers(history)
    assert told["why"].words.startswith(why(cause))
    assert told["do"].words


def test_every_code_of_a_cause_has_words_and_an_advice() -> None:
    from typing import get_args

    from replay.brief import _DO, _WHY
    from replay.cause import CauseCode

    assert set(_WHY) == set(_DO) == set(get_args(CauseCode))


def test_a_good_handoff_has_no_cause_and_nothing_is_to_be_done() -> None:
    told = answers(History().complete())
    assert [told[q].words for q in ("why", "do")] == ["nothing went wrong", "Nothing."]
    assert headline(audit(lambda: History().complete().records)) == "The new runtime serves"


def test_a_divergence_is_proved_by_the_samples_of_its_rule() -> None:
    history = diverged()
    seqs = cause_of(history).seqs
    types = [record.type for record in history.records if record.seq in seqs]
    assert types == ["HEALTH_SAMPLED", "DIVERGENCE_DETECTED", "HANDOFF_ROLLBACK"]
    assert "p95: 9.5, at most 2" in answers(history)["why"].words


def test_how_a_process_ended_is_told_in_words() -> None:
    assert "the disk refused (exit code 74)" in answers(died_unseated())["why"].words
    assert "signal 9" in answers(lost("baking", detail="signal 9")())["why"].words


def test_a_process_that_the_decision_ended_is_no_second_cause() -> None:
    assert len(audit(lambda: silent("baking", "ended_stopped")().records).causes) == 1


def test_two_deaths_are_two_causes_the_first_one_first() -> None:
    history = History().baking()
    history.wait(1).lose("green", BLUE)
    roll_back(history, "green_lost", history.seq)
    history.lose("blue", OPERATOR, role="keeper")
    assert [(c.code, c.side) for c in audit(lambda: history.records).causes] == [("died", "green"), ("died", "blue")]


def test_nobody_who_serves_is_said_first_and_to_be_mended_first() -> None:
    history = History().ack()
    history.lose("blue", GREEN)
    told = answers(history)
    assert (told["serving"].tone, told["serving"].words.split()[0]) == ("bad", "nobody")
    assert told["do"].words.startswith("Start the gateway")


def test_an_owner_that_does_not_poll_does_not_serve() -> None:
    history = History().active()
    told = answers(history)
    assert told["serving"].tone == "bad"
    assert "nobody polls" in told["serving"].words
    history.say(GREEN, connected())
    assert answers(history)["serving"].tone == "good"


def test_what_is_unclear_is_named_with_what_to_do() -> None:
    history = History().ack()
    message = history.accept(1)
    history.intend(history.turn(message))
    history.lose("blue", GREEN)
    told = answers(history)
    assert told["twice"].words == f"unclear whether answered: message {message}"
    assert f"Look into the chat of message {message}" in told["do"].words


def test_a_blue_that_was_started_again_is_a_side_like_the_first() -> None:
    history = History().baking()
    history.lose("blue", GREEN)
    other = BLUE.model_copy(update={"pid": BLUE.pid + 1})
    history.say(other, started("blue", serving=False))
    history.wait(30).lose("blue", GREEN, "ended_silent")
    assert [(c.code, c.side) for c in audit(lambda: history.records).causes] == [("died", "blue"), ("hung", "blue")]
