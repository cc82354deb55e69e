"""The vocabulary: every event that can stand in the journal, with its model and version.

An event's name and version are data, never a class path. Version 1 of a model is never edited: a change is version 2 with an
upcaster. No text, token, phone number or clear chat id stands in a body; ``Pseudonym`` fields are made by ``journal.pseudonyms``.
The envelope (seq, who, when, epoch, hashes) is ``journal.record.Record``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
)

Role = Literal["blue", "green", "operator", "keeper"]
Side = Literal["blue", "green"]
Phase = Literal[
    "idle", "requested", "init", "ack", "active", "baking", "complete", "rolling_back", "rolled_back", "failed"
]
Admission = Literal["owner", "holder", "protocol"]
UpdateKind = Literal["text", "command", "callback", "edit", "album", "other"]
SettledAs = Literal["answered", "no_reply", "merged", "refused", "ambiguous", "abandoned"]
TurnOutcome = Literal["answered", "no_reply", "failed", "cancelled"]

Short = Annotated[str, StringConstraints(max_length=200)]
Pseudonym = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,2}_[0-9a-f]{16}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}$")]
Seq = PositiveInt


class Event(BaseModel):
    """Base of all bodies. ``TYPE`` and ``V`` are stored as columns, ``ADMISSION`` says which rule of the law admits it."""

    # what does not fit is never quoted: a traceback must not tell what a person wrote
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)
    TYPE: ClassVar[str]
    V: ClassVar[int] = 1
    ADMISSION: ClassVar[Admission]


class Process(BaseModel):
    """One incarnation of a process: its pid, its start time in clock ticks since boot, and the boot it lived in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    pid: PositiveInt
    started: NonNegativeInt
    boot: Short

    def __eq__(self, other: object) -> bool:
        """Field by field; pydantic's own costs ten times as much, and the law compares processes at every append."""
        return self is other or (
            isinstance(other, Process) and (self.pid, self.started, self.boot) == (other.pid, other.started, other.boot)
        )

    def __hash__(self) -> int:
        return hash((self.pid, self.started, self.boot))


class Limits(BaseModel):
    """Seconds each phase may take, and when a side counts as silent. Defaults are those of the protocol's table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    requested_s: NonNegativeFloat = 10.0
    init_s: NonNegativeFloat = 60.0
    ack_s: NonNegativeFloat = 30.0
    active_s: NonNegativeFloat = 30.0
    rolling_back_s: NonNegativeFloat = 10.0
    silent_s: NonNegativeFloat = 15.0
    frozen_s: NonNegativeFloat = 3.0
    sample_s: PositiveFloat = 5.0
    confirm_samples: PositiveInt = 2


class RuleLimits(BaseModel):
    """What is told otherwise of a rule of divergence; None leaves what ``replay.diverge`` has. See its ``Rule``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    factor: NonNegativeFloat | None = None
    floor: NonNegativeFloat | None = None
    least: PositiveInt | None = None


# ---------------------------------------------------------------------------------------------- the handoff itself


class HandoffRequested(Event):
    """An operator asks for handoff ``handoff`` to ``runtime``; ``bake_s`` is how long blue stands by after CONFIRM."""

    TYPE: ClassVar[str] = "HANDOFF_REQUESTED"
    ADMISSION: ClassVar[Admission] = "protocol"
    handoff: Short
    runtime: Short
    bake_s: NonNegativeFloat
    limits: Limits = Limits()


class HandoffTerms(Event):
    """What else is asked, right behind the request: somebody's word within ``confirm_within_s``, other limits of ``rules``."""

    TYPE: ClassVar[str] = "HANDOFF_TERMS"
    ADMISSION: ClassVar[Admission] = "protocol"
    confirm_within_s: PositiveFloat | None = None
    rules: dict[Short, RuleLimits] = Field(default_factory=dict)


class HandoffInit(Event):
    """Blue has spawned green, which is a live process."""

    TYPE: ClassVar[str] = "HANDOFF_INIT"
    ADMISSION: ClassVar[Admission] = "protocol"
    green: Process


class HandoffAck(Event):
    """Green has loaded what was flushed up to ``flushed_seq``; its digests of the named parts agree with blue's.

    Zero when blue fell silent before its first flush: green has loaded what stands on disk.
    """

    TYPE: ClassVar[str] = "HANDOFF_ACK"
    ADMISSION: ClassVar[Admission] = "protocol"
    flushed_seq: NonNegativeInt
    digests: dict[str, Digest]


class HandoffActive(Event):
    """Blue has let go of every adapter: green owns them from here, under the next epoch."""

    TYPE: ClassVar[str] = "HANDOFF_ACTIVE"
    ADMISSION: ClassVar[Admission] = "protocol"
    turns: NonNegativeInt


class HandoffSeized(Event):
    """Green takes the adapters from a blue that is dead (``lost``) or silent; a silent one is ended before green connects."""

    TYPE: ClassVar[str] = "HANDOFF_SEIZED"
    ADMISSION: ClassVar[Admission] = "protocol"
    reason: Literal["lost", "silent"]


class HandoffConfirm(Event):
    """Green polls cleanly and is healthy; ``samples`` are the seqs that show it. The bake begins."""

    TYPE: ClassVar[str] = "HANDOFF_CONFIRM"
    ADMISSION: ClassVar[Admission] = "protocol"
    samples: tuple[Seq, ...]


class BakeConfirmed(Event):
    """Somebody says that green is good: the handoff does not roll back for want of that word. The bake goes on."""

    TYPE: ClassVar[str] = "BAKE_CONFIRMED"
    ADMISSION: ClassVar[Admission] = "protocol"


class HandoffCompleteRequested(Event):
    """The operator ends the bake early."""

    TYPE: ClassVar[str] = "HANDOFF_COMPLETE_REQUESTED"
    ADMISSION: ClassVar[Admission] = "protocol"


class HandoffComplete(Event):
    """The bake is over: green stays. ``sample`` is the fresh health sample of green that it rests on."""

    TYPE: ClassVar[str] = "HANDOFF_COMPLETE"
    ADMISSION: ClassVar[Admission] = "protocol"
    sample: Seq


class HandoffRollback(Event):
    """Blue must serve again. ``phase`` is the phase in which it was decided, ``evidence`` the seqs that it rests on."""

    TYPE: ClassVar[str] = "HANDOFF_ROLLBACK"
    ADMISSION: ClassVar[Admission] = "protocol"
    phase: Phase
    reason: Literal["operator", "green_lost", "green_silent", "blue_lost", "deadline", "divergence", "digests", "fault"]
    detail: Short = ""
    evidence: tuple[Seq, ...] = ()


class HandoffFailed(Event):
    """A request that came to nothing; nobody changed."""

    TYPE: ClassVar[str] = "HANDOFF_FAILED"
    ADMISSION: ClassVar[Admission] = "protocol"
    reason: Literal["preflight", "spawn", "deadline", "blue_lost", "fault"]
    detail: Short = ""


class HandoffResumed(Event):
    """A process that was started again found this handoff open, and what it found."""

    TYPE: ClassVar[str] = "HANDOFF_RESUMED"
    ADMISSION: ClassVar[Admission] = "protocol"
    phase: Phase


class BlueServing(Event):
    """Blue has loaded what green flushed and owns the adapters (again)."""

    TYPE: ClassVar[str] = "BLUE_SERVING"
    ADMISSION: ClassVar[Admission] = "protocol"
    flushed_seq: NonNegativeInt
    digests: dict[str, Digest]


# ---------------------------------------------------------------------------------------------- processes


class PreflightFinding(BaseModel):
    """One line of preflight: a stable code, how bad it is, and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    code: Short
    severity: Literal["ok", "warning", "error"]
    text: Short


class PreflightChecked(Event):
    """What preflight found before a handoff."""

    TYPE: ClassVar[str] = "PREFLIGHT_CHECKED"
    ADMISSION: ClassVar[Admission] = "protocol"
    findings: tuple[PreflightFinding, ...]


class GreenSpawned(Event):
    """Blue started this process as green."""

    TYPE: ClassVar[str] = "GREEN_SPAWNED"
    ADMISSION: ClassVar[Admission] = "protocol"
    green: Process


class ProcessStarted(Event):
    """A gateway process takes its seat. ``serving`` makes it the owner of its role's adapters under the next epoch."""

    TYPE: ClassVar[str] = "PROCESS_STARTED"
    ADMISSION: ClassVar[Admission] = "protocol"
    side: Side
    serving: bool
    gateway: Short
    version: Short
    runtime: Short


class ProcessExited(Event):
    """A gateway process says goodbye: it holds no adapter and no turn."""

    TYPE: ClassVar[str] = "PROCESS_EXITED"
    ADMISSION: ClassVar[Admission] = "protocol"


class ProcessLost(Event):
    """``process`` is certainly dead. Its holds are closed: see ``journal.law.verdicts`` for what becomes of its messages."""

    TYPE: ClassVar[str] = "PROCESS_LOST"
    ADMISSION: ClassVar[Admission] = "protocol"
    side: Side
    process: Process
    how: Literal["died", "ended_silent", "ended_late", "ended_old", "ended_stopped"]


# ---------------------------------------------------------------------------------------------- adapters


class AdapterConnected(Event):
    """The owner takes an adapter. Appended before it polls: nobody else may take it until it was paused or its owner lost."""

    TYPE: ClassVar[str] = "ADAPTER_CONNECTED"
    ADMISSION: ClassVar[Admission] = "owner"
    platform: Short
    account: Pseudonym


class AdapterOffset(Event):
    """Where an adapter account has read to; every update below ``next_offset`` is in the journal."""

    TYPE: ClassVar[str] = "ADAPTER_OFFSET"
    ADMISSION: ClassVar[Admission] = "owner"
    platform: Short
    account: Pseudonym
    next_offset: int


class AdapterPaused(Event):
    """This process does not poll that adapter any more. Always admitted from the process it speaks of."""

    TYPE: ClassVar[str] = "ADAPTER_PAUSED"
    ADMISSION: ClassVar[Admission] = "protocol"
    platform: Short
    account: Pseudonym
    next_offset: int | None = None


class AdapterLost(Event):
    """The owner's adapter is down."""

    TYPE: ClassVar[str] = "ADAPTER_LOST"
    ADMISSION: ClassVar[Admission] = "owner"
    platform: Short
    account: Pseudonym
    reason: Short


# ---------------------------------------------------------------------------------------------- messages and turns


class MessageAccepted(Event):
    """An update that a platform handed over, before the platform can consider it consumed. Its words stand in ``payloads``."""

    TYPE: ClassVar[str] = "MESSAGE_ACCEPTED"
    ADMISSION: ClassVar[Admission] = "owner"
    platform: Short
    account: Pseudonym
    chat: Pseudonym
    kind: UpdateKind
    update_id: Short
    digest: Digest


class TurnStarted(Event):
    """A turn over one or more messages; from here this very process holds them. The turn's number is this seq."""

    TYPE: ClassVar[str] = "TURN_STARTED"
    ADMISSION: ClassVar[Admission] = "owner"
    messages: tuple[Seq, ...]
    session: Pseudonym


class TurnJoined(Event):
    """A message that was merged into a turn under way."""

    TYPE: ClassVar[str] = "TURN_JOINED"
    ADMISSION: ClassVar[Admission] = "holder"
    turn: Seq
    message: Seq


class ReplyIntended(Event):
    """Part ``part`` of a reply is about to be sent; ``of`` is the number of parts, when known."""

    TYPE: ClassVar[str] = "REPLY_INTENDED"
    ADMISSION: ClassVar[Admission] = "holder"
    turn: Seq
    part: NonNegativeInt
    of: PositiveInt | None = None


class ReplySent(Event):
    """The platform took the part."""

    TYPE: ClassVar[str] = "REPLY_SENT"
    ADMISSION: ClassVar[Admission] = "holder"
    turn: Seq
    part: NonNegativeInt
    reference: Short | None = None


class TurnFinished(Event):
    """The turn is over; its messages are settled in the same append."""

    TYPE: ClassVar[str] = "TURN_FINISHED"
    ADMISSION: ClassVar[Admission] = "holder"
    turn: Seq
    outcome: TurnOutcome


class MessageSettled(Event):
    """What became of a message, once and for all. Its words are erased with this event."""

    TYPE: ClassVar[str] = "MESSAGE_SETTLED"
    ADMISSION: ClassVar[Admission] = "holder"
    message: Seq
    outcome: SettledAs
    turn: Seq | None = None


class SessionFlushed(Event):
    """A named part of the state was brought to disk: how many entries, and their digest."""

    TYPE: ClassVar[str] = "SESSION_FLUSHED"
    ADMISSION: ClassVar[Admission] = "protocol"
    part: Short
    count: NonNegativeInt
    digest: Digest


class WatcherHandedOver(Event):
    """A background process watcher for the successor; its details stand in ``payloads`` until it is adopted."""

    TYPE: ClassVar[str] = "WATCHER_HANDED_OVER"
    ADMISSION: ClassVar[Admission] = "protocol"
    watcher: Pseudonym
    digest: Digest


class WatcherAdopted(Event):
    """The successor watches it now."""

    TYPE: ClassVar[str] = "WATCHER_ADOPTED"
    ADMISSION: ClassVar[Admission] = "protocol"
    handed_over: Seq


# ---------------------------------------------------------------------------------------------- health


class HealthSampled(Event):
    """One sample from a gateway's own loop. ``polls`` counts clean polls since it last connected, by adapter."""

    TYPE: ClassVar[str] = "HEALTH_SAMPLED"
    ADMISSION: ClassVar[Admission] = "protocol"
    loop_lag_ms: NonNegativeFloat
    turns: NonNegativeInt
    waiting: NonNegativeInt
    answered: NonNegativeInt
    errors: NonNegativeInt
    rss_mb: NonNegativeFloat
    polls: dict[str, NonNegativeInt] = Field(default_factory=dict)


class DivergenceDetected(Event):
    """A rule found green worse than blue was; ``evidence`` names the samples."""

    TYPE: ClassVar[str] = "DIVERGENCE_DETECTED"
    ADMISSION: ClassVar[Admission] = "protocol"
    rule: Short
    measured: float
    limit: float
    evidence: tuple[Seq, ...]


def _concrete(base: type[Event]) -> list[type[Event]]:
    return [c for sub in base.__subclasses__() for c in [sub, *_concrete(sub)]]


MODELS: dict[tuple[str, int], type[Event]] = {(m.TYPE, m.V): m for m in _concrete(Event)}
"""Every model by (type, version), in the order of this file."""


def parse(type_: str, version: int, body: str) -> Event:
    """The event of a stored body.

    Raises:
        KeyError: Nobody of this version knows that type and version.
        pydantic.ValidationError: The body does not fit its model.
    """
    return MODELS[type_, version].model_validate_json(body)


def same(stored: Event, offered: Event) -> bool:
    """Whether a key's second use is the same fact.

    A redelivered message has another salt, and another version may have read its kind or its lane otherwise: the key names it.
    """
    if isinstance(stored, MessageAccepted) and isinstance(offered, MessageAccepted):
        read = {"digest": offered.digest, "kind": offered.kind, "chat": offered.chat}
        return stored.model_copy(update=read) == offered
    if isinstance(stored, ProcessLost) and isinstance(offered, ProcessLost):  # dead is dead, however it came about
        return stored.process == offered.process
    return stored == offered
