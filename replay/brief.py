"""What somebody who was woken up wants to know in ten seconds: who serves, what suffered, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from replay.audit import Audit
from replay.cause import Cause, first

Tone = Literal["good", "warn", "bad", "plain"]
NAMED = 8
"""How many messages are named one by one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A short question, its answer in words, how it should be felt, and the seqs that prove it."""

    question: str
    words: str
    tone: Tone
    seqs: tuple[int, ...] = ()


def brief(audit: Audit) -> tuple[Answer, ...]:
    """Five answers, in the order in which they are asked."""
    return (
        _serving(audit),
        _suffered(audit, "lost", "lost"),
        _twice(audit),
        _why(audit),
        Answer("do", _do(audit), "plain"),
    )


def why(cause: Cause) -> str:
    """A cause as a sentence without its full stop."""
    return _WHY[cause.code](
        {"side": cause.side or "a side", "phase": cause.phase, **cause.facts, "detail": _detail(cause)}
    )


def headline(audit: Audit) -> str:
    """The outcome in a few words."""
    return {
        "complete": "The new runtime serves",
        "rolled_back": "Rolled back: the old runtime serves",
        "failed": "It came to nothing: nobody changed",
        "open": f"Under way, in phase {audit.handoff.phase.replace('_', ' ')}",
    }[audit.outcome]


def _serving(audit: Audit) -> Answer:
    owned = audit.serving
    if owned is None or owned.process is None:
        since = f" since seq {owned.since.seq}" if owned else ""
        return Answer(
            "serving", f"nobody{since}: no process owns the adapters", "bad", (owned.since.seq,) if owned else ()
        )
    if audit.deaf:
        words = (
            f"{owned.side}, process {owned.process.pid}, owns the adapters, but nobody polls {', '.join(audit.deaf)}"
        )
        return Answer("serving", words, "bad", (owned.since.seq,))
    which = "the new runtime" if owned.side == "green" else "the old runtime"
    runtime = which if audit.last else "after a later handoff"
    words = f"{owned.side} ({runtime}), process {owned.process.pid}, epoch {owned.epoch}, since seq {owned.since.seq}"
    return Answer("serving", words, "good", (owned.since.seq,))


def _named(audit: Audit, code: str) -> list[int]:
    return [int(str(f.facts["message"])) for f in audit.findings if f.code == code]


def _count(messages: list[int]) -> str:
    more = f" and {len(messages) - NAMED} more" if len(messages) > NAMED else ""
    listed = f"{', '.join(map(str, messages[:NAMED]))}{more}"
    return f"message {listed}" if len(messages) == 1 else f"{len(messages)} messages ({listed})"


def _suffered(audit: Audit, question: str, code: str) -> Answer:
    found = _named(audit, code)
    if not found:
        return Answer(question, f"nothing, of {audit.messages.get('accepted', 0)} messages", "good")
    return Answer(question, _count(found), "bad", _proof(audit, code))


def _twice(audit: Audit) -> Answer:
    doubled, unclear = _named(audit, "doubled"), _named(audit, "ambiguous")
    if not doubled and not unclear:
        return Answer("twice", "nothing was answered twice, no answer is unclear", "good")
    words = [f"answered twice {_count(doubled)}"] if doubled else []
    words += [f"unclear whether answered: {_count(unclear)}"] if unclear else []
    seqs = _proof(audit, "doubled") + _proof(audit, "ambiguous")
    return Answer("twice", "; ".join(words), "bad" if doubled else "warn", seqs)


def _proof(audit: Audit, code: str) -> tuple[int, ...]:
    return tuple(sorted({seq for f in audit.findings if f.code == code for seq in f.seqs}))[: 2 * NAMED]


def _why(audit: Audit) -> Answer:
    cause = first(audit.causes)
    if cause is None:
        return Answer(
            "why", "nothing went wrong" if audit.outcome in ("complete", "open") else "the record does not say", "good"
        )
    more = len(audit.causes) - 1
    words = why(cause) + (f"; then {'; '.join(why(c) for c in audit.causes[1:3])}" if more else "")
    return Answer("why", words, "plain" if cause.code == "operator" else "warn", cause.seqs)


def _do(audit: Audit) -> str:
    todo = []
    owned = audit.serving
    if owned is None or owned.process is None:
        todo.append("Start the gateway: it goes on from the journal.")
    elif audit.deaf:
        todo.append("See 'handoff-journal doctor': the owner does not poll.")
    if lost := _named(audit, "lost"):
        todo.append(f"Nobody will answer {_count(lost)}: write yourself.")
    if doubled := _named(audit, "doubled"):
        todo.append(f"Look at what was answered twice ({_count(doubled)}).")
    if unclear := _named(audit, "ambiguous"):
        todo.append(
            f"Look into the chat of {_count(unclear)}: the answer may be there or not, and is never sent again."
        )
    if abandoned := _named(audit, "abandoned"):
        todo.append(f"Look at what these ask for before you repeat it: {_count(abandoned)}.")
    cause = first(audit.causes)
    if cause is not None:
        todo.append(_DO[cause.code].format(side=cause.side, log=_log(audit, cause)))
    elif audit.outcome == "open":
        todo.append("Wait, or end it: 'handoff-journal complete' or 'rollback'.")
    return " ".join(todo) or "Nothing."


def _log(audit: Audit, cause: Cause) -> str:
    return "the gateway's own log" if cause.side == "blue" else f"handoff/{audit.handoff.id}.green.log"


def _detail(cause: Cause) -> str:
    text = str(cause.facts.get("detail", ""))
    for form, words in _ENDS:
        if found := form.fullmatch(text):
            text = words.format(*found.groups())
            break
    return f": {text}" if text else ""


_ENDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"signal 9"), "killed from outside or by the kernel (signal 9)"),
    (re.compile(r"signal (\d+)"), "ended by signal {0}"),
    (re.compile(r"exit code 0"), "it was told to end, or ended by itself (exit code 0)"),
    (re.compile(r"exit code 74"), "the disk refused (exit code 74)"),
    (re.compile(r"exit code 75"), "the journal was busy, or another process serves (exit code 75)"),
    (re.compile(r"exit code (\d+)"), "it gave up with exit code {0}"),
)
"""What ``gateway_hooks.wording.ended`` wrote, in words."""

_WHY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "operator": lambda f: (
        "the operator withdrew it" if f["phase"] == "requested" else f"the operator rolled it back in {f['phase']}"
    ),
    "preflight": lambda f: f"green was not started, preflight found a reason{f['detail'].replace(': preflight', '')}",
    "not_started": lambda f: f"green could not be started{f['detail']}",
    "not_taken_up": lambda f: "blue did not take the request up in time",
    "did_not_boot": lambda f: f"green did not boot: it never took its seat{f['detail']}",
    "died": lambda f: f"{f['side']} died in phase {f['phase']}{f['detail']}",
    "frozen": lambda f: f"{f['side']} was frozen (stopped from outside) in phase {f['phase']}, and was ended",
    "hung": lambda f: f"{f['side']} hung in phase {f['phase']}: it ran and gave no sign of life, and was ended",
    "left_behind": lambda f: f"{f['side']} did not let go in time, and was ended",
    "not_loaded": lambda f: "green took its seat and did not load in time what blue had flushed",
    "digests": lambda f: f"green read another state than blue had flushed{f['detail']}",
    "not_let_go": lambda f: "blue did not let go of its adapters in time",
    "not_connected": lambda f: "green did not connect in time",
    "deaf": lambda f: "green was deaf: it connected, and none of its polls came back clean",
    "no_sample": lambda f: "green connected, and gave no sample of its health in time",
    "late": lambda f: f"phase {f['phase']} took longer than it may",
    "unconfirmed": lambda f: "nobody confirmed the new runtime in time",
    "divergence": lambda f: _diverged(f),
    "fault": lambda f: f"{f['side']} failed at its own part{f['detail']}",
}

_DO: dict[str, str] = {
    "operator": "Nothing: it was your word.",
    "preflight": "Mend what preflight names, look with 'promote --dry-run', and promote again.",
    "not_started": "Correct the runtime in runtimes.toml, look with 'promote --dry-run', and promote again.",
    "not_taken_up": "See 'handoff-journal doctor': the gateway is stopped, or its loop is stuck.",
    "did_not_boot": "Read green's log, {log}, and try its command by hand before you promote again.",
    "died": "Find out what ended {side}: read {log}, and dmesg for the kernel's killer.",
    "frozen": "Find out what stopped {side}: a debugger, kill -STOP, a paused container.",
    "hung": "Find out what blocked the loop of {side}: read {log}.",
    "left_behind": "Look at what {side} was doing: read {log}.",
    "not_loaded": "Read green's log, {log}: loading was slow, or failed.",
    "digests": "See that green uses the same home, and that its version reads the old one's state.",
    "not_let_go": "Read the gateway's own log: pausing its adapters failed.",
    "not_connected": "Read green's log, {log}: connecting failed.",
    "deaf": "Look whether somebody else polls with this token, at the token and at the network; then promote again.",
    "no_sample": "Read green's log, {log}: its loop was busy.",
    "late": "Read green's log, {log}; a slow machine may need a longer limit.",
    "unconfirmed": "Promote again, and say 'handoff-journal confirm' in time.",
    "divergence": "Look at the health curves and at green's log, {log}, before you promote again.",
    "fault": "Read {log}.",
}


def _diverged(f: Mapping[str, Any]) -> str:
    if "rule" not in f:
        return "green was worse than blue"
    return f"green was worse than blue by the rule {f['rule']}: {f['measured']:g}, at most {f['limit']:g}"
