"""What one notice in a chat says of a handoff, from its first word to its last: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from replay.fold import State


@dataclass(frozen=True, slots=True)
class Notice:
    """``final`` says that nothing follows, so that the text stays."""

    handoff: str
    text: str
    final: bool


def notice(state: State) -> Notice | None:
    """The notice as it should read now; None where there has been no handoff."""
    head, asked = state.head, state.request
    if asked is None or head.handoff is None:
        return None
    to = "the same runtime" if asked.runtime == "same" else f"runtime {asked.runtime}"
    words, final = {
        "requested": ("the new gateway is being started; this one serves", False),
        "init": ("the new gateway is starting; this one serves", False),
        "ack": ("the new gateway is ready to take over", False),
        "active": ("the new gateway takes over", False),
        "baking": (f"the new gateway serves; the old one stands by{_until(state)}", False),
        "complete": ("complete, the new gateway stays", True),
        "rolling_back": (f"rolling back, because {_why(state)}", False),
        "rolled_back": (f"rolled back, the old gateway serves. Why: {_why(state)}", True),
        "failed": (f"came to nothing, the gateway serves as before. Why: {_why(state)}", True),
    }.get(head.phase, ("", True))
    return Notice(head.handoff, f"Handoff to {to}: {words}.", final) if words else None


def _until(state: State) -> str:
    """When the bake ends, and whose word it waits for."""
    confirmed, asked = state.step("HANDOFF_CONFIRM"), state.request
    if confirmed is None or asked is None:
        return ""
    at_ns = confirmed.moment.at_ns
    if state.word_within_s is not None:
        return f", and takes back at {_clock(at_ns, state.word_within_s)} unless somebody says /handoff confirm"
    return f" until {_clock(at_ns, asked.bake_s)}"


def _clock(at_ns: int, later_s: float) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9 + later_s, UTC):%H:%M} UTC"


def _why(state: State) -> str:
    """The reason in a few words, with what the record adds to it."""
    said = state.rollback or state.failure
    if said is None:
        return "nobody has said why"
    detail = f" ({said.detail})" if said.detail else ""
    rule = state.divergence[1] if state.divergence else None
    match said.reason:
        case "divergence" if rule is not None:
            return f"the new gateway was worse by the rule {rule.rule}: {rule.measured:g}, at most {rule.limit:g}"
        case "deadline":
            within = state.terms.confirm_within_s if state.terms else None
            unheard = within is not None and not state.confirmed and state.step("HANDOFF_CONFIRM") is not None
            return "nobody confirmed it in time" if unheard else f"a phase took longer than it may{detail}"
        case reason:
            return f"{_REASONS[reason]}{detail}"


_REASONS = {
    "operator": "somebody said so",
    "green_lost": "the new gateway died",
    "green_silent": "the new gateway gave no sign of life",
    "blue_lost": "the old gateway died",
    "divergence": "the new gateway was worse than the old one",
    "digests": "the new gateway had read another state",
    "fault": "something failed",
    "preflight": "preflight found a reason",
    "spawn": "the new gateway could not be started",
}
