"""Handoffs made by hand to be looked at: a rule that fires, markup in every text, a day-long bake, a request that comes to nothing."""

from __future__ import annotations

import math

from journal import events as e
from journal.events import Process
from tests.builders import ACCOUNT, BLUE, GREEN, OPERATOR
from tests.unit.replay.histories import ADAPTER, History

EVIL = "</p><script src=http://x>alert(1)</script>\"'><img onerror=x>&amp;\u202e\x00\ud800"


def eventful() -> History:
    """A rollback by a rule, a killed green, an ambiguous answer."""
    history = History().baking()
    history.intend(history.turn(history.accept(1)))
    rule = e.DivergenceDetected(rule="turn-errors", measured=0.5, limit=0.1, evidence=(history.sample(GREEN),))
    history.say(BLUE, rule)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="divergence", detail="detail", evidence=(history.seq,)))
    history.lose("green", BLUE)
    history.say(BLUE, e.BlueServing(flushed_seq=history.head.flushed_seq, digests={}))
    history.say(BLUE, e.AdapterConnected(platform="telegram", account=ACCOUNT))
    history.sample(BLUE)
    return history


def hostile() -> History:
    """Every text that a journal can bring along is markup."""
    short = EVIL.replace("\ud800", "")
    history = History()
    history.say(BLUE, e.ProcessStarted(side="blue", serving=True, gateway=short, version=short, runtime=short))
    history.say(BLUE, e.AdapterConnected(platform=short, account=ACCOUNT))
    history.say(OPERATOR, e.HandoffRequested(handoff=short, runtime=short, bake_s=1.0))
    history.say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
    found = e.PreflightFinding(code=short, severity="error", text=short)
    history.say(BLUE, e.PreflightChecked(findings=(found,)), e.SessionFlushed(part=short, count=1, digest="ab" * 32))
    history.say(BLUE, e.AdapterLost(platform=short, account=ACCOUNT, reason=short))
    history.say(BLUE, e.DivergenceDetected(rule=short, measured=1.0, limit=0.5, evidence=(1,)))
    history.say(BLUE, e.HandoffRollback(phase="init", reason="fault", detail=short, evidence=(1,)))
    return history


def failed() -> History:
    history = History().requested()
    history.say(BLUE, e.HandoffFailed(reason="spawn", detail="cannot start"))
    return history


def sample(
    history: History, who: Process, *, lag_ms: float, waiting: int = 0, answered: int = 0, errors: int = 0
) -> int:
    """A health sample with something in it; returns its seq."""
    turns = sum(1 for turn in history.head.turns.values() if turn.holder == who)
    health = e.HealthSampled(
        loop_lag_ms=lag_ms, turns=turns, waiting=waiting, answered=answered, errors=errors, rss_mb=80.0 + answered / 4,
        polls={ADAPTER: answered + 1},
    )  # fmt: skip
    return history.say(who, health)


def busy_rollback() -> History:
    """Traffic, a handoff, a green that grows slow, a rule that fires, an ambiguous answer, and blue again."""
    history = History().serving()
    number = 0
    for second in range(40):
        for _ in range(2):
            number += 1
            history.wait(0.2).answer(history.accept(number, chat=number % 7))
        sample(history, BLUE, lag_ms=1.5 + math.sin(second), answered=number)
    slow = history.turn(history.accept(1000, chat=8))
    history.wait(0.5).say(OPERATOR, e.HandoffRequested(handoff="h-1", runtime="hermes-0.19", bake_s=86400.0))
    history.wait(0.02).say(BLUE, e.GreenSpawned(green=GREEN), e.HandoffInit(green=GREEN))
    history.wait(1.4).say(
        GREEN, e.ProcessStarted(side="green", serving=False, gateway="hermes", version="0.19.0", runtime="hermes-0.19")
    )
    history.wait(0.1).flushed().say(
        GREEN, e.HandoffAck(flushed_seq=history.head.flushed_seq, digests={"routing": "ab" * 32})
    )
    history.wait(0.01).say(
        BLUE, e.AdapterPaused(platform="telegram", account=ACCOUNT, next_offset=7), e.HandoffActive(turns=1)
    )
    history.wait(0.012).say(GREEN, e.AdapterConnected(platform="telegram", account=ACCOUNT))
    history.wait(0.4)
    samples = (sample(history, GREEN, lag_ms=1.0), sample(history, GREEN, lag_ms=1.1))
    history.say(GREEN, e.HandoffConfirm(samples=samples))
    history.wait(0.8).intend(slow)
    history.sent(slow)
    history.finish(slow)
    evidence = []
    for second in range(12):
        number += 1
        message = history.wait(0.4).accept(number, chat=number % 7)
        history.wait(0.3 + second / 10).answer(message)
        evidence.append(
            sample(history, GREEN, lag_ms=2.0 + second**2, answered=second, waiting=second // 3, errors=second // 6)
        )
    rule = e.DivergenceDetected(rule="p95-turn-time", measured=9.5, limit=3.1, evidence=tuple(evidence[-3:]))
    turn = history.turn(history.accept(2000, chat=9))
    history.intend(turn)
    history.accept(2001, chat=9)
    fired = history.say(BLUE, rule)
    history.wait(0.003).say(
        BLUE, e.HandoffRollback(phase="baking", reason="divergence", detail="p95-turn-time", evidence=(fired,))
    )
    history.wait(0.05).lose("green", BLUE, "ended_late")
    history.say(BLUE, e.BlueServing(flushed_seq=history.head.flushed_seq, digests={}))
    history.wait(0.004).say(BLUE, e.AdapterConnected(platform="telegram", account=ACCOUNT))
    for second in range(6):
        history.wait(0.6).answer(
            next(seq for seq, m in history.head.messages.items() if m.turn is None)
            if not second
            else history.accept(3000 + second)
        )
        sample(history, BLUE, lag_ms=1.4, answered=number + second)
    return history


def a_day() -> History:
    """A bake of a day with some thousand messages, that ends well."""
    history = History().baking(86400.0)
    for number in range(1500):
        message = history.wait(57.0).accept(number, chat=number % 40)
        history.answer(message)
        if number % 3 == 0:
            sample(history, GREEN, lag_ms=1.0 + (number % 17) / 4, answered=number)
    history.wait(2000)
    history.say(BLUE, e.HandoffComplete(sample=sample(history, GREEN, lag_ms=1.0, answered=1500)))
    return history
