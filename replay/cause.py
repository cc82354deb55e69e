"""Why a handoff went as it went: the first thing that broke, by the events that prove it.

A decision names its reason in the protocol's few words; what lies behind it is computed here from what stands before and after: a
silent process that was found stopped was frozen, a deadline that passed while green's polls were refused is a deaf adapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from journal import events as e
from journal.events import Phase, Process, Side
from journal.record import Record
from replay.fold import State

CauseCode = Literal[
    "operator", "preflight", "not_started", "not_taken_up", "did_not_boot", "died", "frozen", "hung", "left_behind", "not_loaded",
    "digests", "not_let_go", "not_connected", "deaf", "no_sample", "late", "unconfirmed", "divergence", "fault",
]  # fmt: skip
"""``died``: the process ended, by itself or killed. ``frozen``: it was stopped. ``hung``: it ran and gave no sign of life."""
Guilty = Side | None


@dataclass(frozen=True, slots=True)
class Cause:
    """What broke, on which side, in which phase; ``seqs`` prove it, ``at`` is where it showed. ``facts`` is JSON-able."""

    code: CauseCode
    side: Guilty
    phase: Phase
    at: int
    seqs: tuple[int, ...]
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Life:
    """One process of the handoff, as far as the record tells."""

    side: Side
    named: int
    seated: int | None = None
    connected: int | None = None
    samples: list[tuple[int, bool]] = field(default_factory=list)


class Causes:
    """Follow the records of one handoff, each with the state before it; then ask for what was found."""

    def __init__(self) -> None:
        self._lives: dict[Process, _Life] = {}
        self._losses: list[tuple[Record, e.ProcessLost, Phase]] = []
        self._decided: tuple[Record, e.HandoffRollback | e.HandoffFailed, State] | None = None
        self._diverged: dict[int, e.DivergenceDetected] = {}
        self._entered = 0

    def follow(self, before: State, record: Record) -> None:
        """Take up one more record."""
        event, process = record.event, record.process
        if isinstance(event, e.HandoffRollback | e.HandoffFailed) and self._decided is None:
            self._decided = (record, event, before)
            self._entered = before.entered.seq if before.entered else record.seq
        elif isinstance(event, e.HandoffRequested) and before.head.owning:
            owner = before.head.owning
            self._lives[owner] = _Life("blue", record.seq, seated=record.seq, connected=record.seq)
        elif isinstance(event, e.GreenSpawned):
            self._lives[event.green] = _Life("green", record.seq)
        elif isinstance(event, e.ProcessStarted):
            self._lives.setdefault(process, _Life(event.side, record.seq)).seated = record.seq
        elif isinstance(event, e.AdapterConnected) and process in self._lives:
            self._lives[process].connected = record.seq
        elif isinstance(event, e.HealthSampled) and process in self._lives:
            polls = bool(event.polls) and all(event.polls.values())
            self._lives[process].samples.append((record.seq, polls))
        elif isinstance(event, e.ProcessLost):
            self._losses.append((record, event, before.head.phase))
        elif isinstance(event, e.DivergenceDetected):
            self._diverged[record.seq] = event

    def found(self) -> tuple[Cause, ...]:
        """What broke, the first cause first; nothing when nothing did. A process that was ended by the decision itself is none."""
        decided = self._of_decision()
        told = set(decided.seqs) if decided else set()
        ends = self._decided[0].seq if self._decided else None
        losses = [
            self._loss(record, event, phase)
            for record, event, phase in self._losses
            if record.seq not in told and event.how != "ended_old" and not (ends and self._follows(record, event, ends))
        ]
        return tuple(sorted([*([decided] if decided else []), *losses], key=lambda cause: cause.at))

    def _follows(self, record: Record, event: e.ProcessLost, ends: int) -> bool:
        """Whether it was ended because of the decision at seq ``ends``, and not of itself."""
        return record.seq > ends and event.how == "ended_late"

    # ------------------------------------------------------------------------------------------- decisions

    def _of_decision(self) -> Cause | None:
        if self._decided is None:
            return None
        record, event, before = self._decided
        if isinstance(event, e.HandoffFailed):
            return self._failed(record, event)
        match event.reason:
            case "operator":
                return Cause("operator", None, event.phase, record.seq, (record.seq,))
            case "green_lost" | "blue_lost":
                side: Side = "green" if event.reason == "green_lost" else "blue"
                lost = next(
                    ((r, v, p) for r, v, p in reversed(self._losses) if v.side == side and r.seq < record.seq), None
                )
                return (
                    self._loss(*lost, decision=record, detail=event.detail)
                    if lost
                    else self._plain(record, event, "died", side)
                )
            case "green_silent":
                lost = next(((r, v, p) for r, v, p in self._losses if v.side == "green" and r.seq > record.seq), None)
                return self._silent(record, event, lost)
            case "divergence":
                seqs = {record.seq, *event.evidence}
                rule = next((self._diverged[s] for s in event.evidence if s in self._diverged), None)
                facts: dict[str, object] = {}
                ended = next(
                    (each for each in self._losses if each[1].side == "green" and each[0].seq > record.seq), None
                )
                if rule and rule.rule == "samples" and ended and ended[1].how in ("ended_silent", "ended_stopped"):
                    return self._silent(record, event, ended)
                if rule:
                    seqs |= set(rule.evidence)
                    facts = {"rule": rule.rule, "measured": rule.measured, "limit": rule.limit}
                return Cause("divergence", "green", event.phase, record.seq, tuple(sorted(seqs)), facts)
            case "deadline" if event.phase == "baking":  # green was well, and nobody said so in time
                return Cause("unconfirmed", None, event.phase, record.seq, tuple(sorted({record.seq, *event.evidence})))
            case "deadline":
                return self._late(record, event.phase)
            case "digests":
                return self._plain(record, event, "digests", "green")
            case _:
                return self._plain(record, event, "fault", before.head.side_of(record.process))

    def _plain(self, record: Record, event: e.HandoffRollback, code: CauseCode, side: Guilty) -> Cause:
        seqs = tuple(sorted({record.seq, *event.evidence}))
        return Cause(code, side, event.phase, record.seq, seqs, {"detail": event.detail} if event.detail else {})

    def _failed(self, record: Record, event: e.HandoffFailed) -> Cause:
        detail = {"detail": event.detail} if event.detail else {}
        proof = tuple(sorted({self._entered, record.seq}))
        if record.role == "operator" and event.reason == "fault":
            return Cause("operator", None, "requested", record.seq, proof)
        if event.reason == "deadline":
            return Cause("not_taken_up", "blue", "requested", record.seq, proof, detail)
        if event.reason == "blue_lost":
            lost = next((each for each in reversed(self._losses) if each[1].side == "blue"), None)
            if lost is not None:
                return self._loss(*lost, decision=record)
            return Cause("died", "blue", "requested", record.seq, proof, detail)
        preflight = event.reason == "preflight" or event.detail.startswith("preflight:")
        code: CauseCode = "preflight" if preflight else "not_started" if event.reason == "spawn" else "fault"
        return Cause(code, None if code == "fault" else "green", "requested", record.seq, proof, detail)

    def _silent(
        self, record: Record, event: e.HandoffRollback, lost: tuple[Record, e.ProcessLost, Phase] | None
    ) -> Cause:
        seqs = {record.seq, *event.evidence}
        code: CauseCode = "hung"
        green = self._green()
        if lost is not None:
            seqs.add(lost[0].seq)
            code = "frozen" if lost[1].how == "ended_stopped" else "hung"
        if code == "hung" and green is not None and green.seated is None:
            code = "did_not_boot"
            seqs.add(green.named)
        return Cause(code, "green", event.phase, record.seq, tuple(sorted(seqs)))

    def _late(self, record: Record, phase: Phase) -> Cause:
        """A deadline is never the cause: what was missing when it passed is."""
        seqs, green = {self._entered, record.seq}, self._green()
        last = [seq for seq, _ in green.samples[-1:]] if green else []
        side: Guilty = "green"
        if green is None or (phase == "init" and green.seated is None):
            code: CauseCode = "did_not_boot"
            seqs.update([green.named] if green else [])
        elif phase == "init":
            code = "not_loaded"
            seqs.update([green.seated or green.named, *last])
        elif phase == "ack":
            code, side = "not_let_go", "blue"
        elif phase == "active" and green.connected is None:
            code = "not_connected"
            seqs.update(last)
        elif phase == "active":
            since = green.connected or 0
            after = [(seq, polls) for seq, polls in green.samples if seq > since]
            code = "no_sample" if not after else "late" if any(polls for _, polls in after) else "deaf"
            seqs.update([since, *(seq for seq, _ in after[-1:])])
        else:
            code = "late"
        return Cause(code, side, phase, record.seq, tuple(sorted(seqs)))

    # ------------------------------------------------------------------------------------------- losses

    def _loss(
        self, record: Record, event: e.ProcessLost, phase: Phase, *, decision: Record | None = None, detail: str = ""
    ) -> Cause:
        life = self._lives.get(event.process)
        seqs = {record.seq, *((decision.seq,) if decision else ())}
        code: CauseCode = _HOW[event.how]
        if event.side == "green" and life is not None and life.seated is None:
            seqs.add(life.named)
            if code == "hung" or (
                code == "died" and not detail.startswith("signal")
            ):  # a signal is nothing that green did
                code = "did_not_boot"
        facts: dict[str, object] = {"pid": event.process.pid, **({"detail": detail} if detail else {})}
        return Cause(code, event.side, phase, record.seq, tuple(sorted(seqs)), facts)

    def _green(self) -> _Life | None:
        return next((life for life in reversed(self._lives.values()) if life.side == "green"), None)


def first(causes: Iterable[Cause]) -> Cause | None:
    """The first of them, which is why the handoff went as it went."""
    return next(iter(causes), None)


_HOW: dict[str, CauseCode] = {
    "died": "died",
    "ended_stopped": "frozen",
    "ended_silent": "hung",
    "ended_late": "left_behind",
    "ended_old": "left_behind",
}
