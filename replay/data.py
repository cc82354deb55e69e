"""The same as JSON: plain data of what the middle floor finds, and a fingerprint of a state that any machine can compare."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import BaseModel

from journal.events import Process
from journal.record import Record
from replay.audit import Audit
from replay.brief import brief, why
from replay.check import Checked
from replay.fold import Moment, State
from replay.grounds import Difference
from replay.timeline import Handoff, Timeline


def plain(value: Any) -> Any:
    """JSON-able data: dataclasses and models as objects, hashes in hex, sets in order, keys as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted(plain(each) for each in value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def of_record(record: Record) -> dict[str, Any]:
    """One event, its body parsed and not only as text."""
    found: dict[str, Any] = {**plain(record), "body": json.loads(record.body)}
    return found


def of_state(state: State) -> dict[str, Any]:
    """What a state says, in names that stay: new facts get new names."""
    head = state.head
    return {
        "seq": head.seq,
        "hash": head.hash.hex(),
        "handoff": head.handoff,
        "phase": head.phase,
        "owner": head.owner,
        "epoch": head.epoch,
        "blue": _process(head.blue),
        "green": _process(head.green),
        "expected_green": _process(head.expected_green),
        "connected": {adapter: _process(process) for adapter, process in sorted(head.connected.items())},
        "flushed": {"seq": head.flushed_seq, "parts": dict(sorted(head.flushed.items()))},
        "turns": {
            str(n): {
                "holder": _process(turn.holder),
                "messages": list(turn.messages),
                "intended": sorted(turn.intended),
                "sent": sorted(turn.sent),
            }
            for n, turn in sorted(head.turns.items())
        },
        "messages": {
            str(seq): {"kind": m.kind, "turn": m.turn, "attempts": m.attempts, "due": m.due}
            for seq, m in sorted(head.messages.items())
        },
        "accepted": state.accepted,
        "settled": dict(sorted(state.settled.items())),
        "offsets": dict(sorted(state.offsets.items())),
        "watchers": sorted(state.watchers),
        "steps": [
            {"seq": step.moment.seq, "type": step.type, "phase": step.phase, "role": step.role} for step in state.steps
        ],
        "losses": [
            {"seq": loss.moment.seq, "side": loss.side, "phase": loss.phase, "how": loss.how, "turns": loss.turns}
            for loss in state.losses
        ],
        "complete_requested": state.complete_requested,
        **({"terms": plain(state.terms), "confirmed": state.confirmed} if state.terms or state.confirmed else {}),
        "rollback": plain(state.rollback),
        "failure": plain(state.failure),
        "divergence": state.divergence[0] if state.divergence else None,
        "samples": {side: [s.moment.seq for s in kept] for side, kept in sorted(state.samples.items())},
        "seen": {side: moment.seq for side, moment in sorted(state.seen.items())},
    }


def fingerprint(state: State) -> str:
    """SHA-256 over a state's data, 64 hex digits: the same events give the same one everywhere."""
    return hashlib.sha256(json.dumps(of_state(state), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def of_timeline(timeline: Timeline) -> dict[str, Any]:
    """Handoffs with their phases, owners, pollers and gaps."""
    return {
        "handoffs": [of_handoff(handoff) for handoff in timeline.handoffs],
        "owned": plain(timeline.owned),
        "polled": plain(timeline.polled),
        "gaps": plain(timeline.gaps()),
        "head": _head(timeline.last, timeline.hash),
    }


def of_handoff(handoff: Handoff) -> dict[str, Any]:
    """A handoff with its phases."""
    found: dict[str, Any] = {**plain(handoff), "phase": handoff.phase, "elapsed_s": round(handoff.elapsed_s, 6)}
    return found


def of_check(checked: Checked) -> dict[str, Any]:
    """How many events were checked, the first difference, and all of them."""
    return {
        "events": checked.events,
        "first": plain(checked.first) if checked.first else None,
        "differences": [_difference(d) for d in checked.differences],
    }


def of_audit(audit: Audit) -> dict[str, Any]:
    """The handoff, its findings, and the head to keep."""
    return {
        "handoff": of_handoff(audit.handoff),
        "outcome": audit.outcome,
        "good": audit.good,
        "epochs": list(audit.epochs),
        "messages": dict(audit.messages),
        "causes": [{**plain(cause), "text": why(cause)} for cause in audit.causes],
        "brief": [plain(answer) for answer in brief(audit)],
        "findings": plain(audit.findings),
        "head": {"seq": audit.head[0], "hash": audit.head[1].hex()},
    }


def _difference(difference: Difference) -> dict[str, Any]:
    found: dict[str, Any] = plain(difference)
    return found


def _process(process: Process | None) -> str | None:
    return f"{process.pid}/{process.started}/{process.boot}" if process else None


def _head(last: Moment | None, digest: bytes) -> dict[str, Any] | None:
    return {"seq": last.seq, "hash": digest.hex()} if last else None
