"""The table of events: all of a short handoff; of a long one what counts, with a clear word about the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from journal.head import TRANSITIONS
from journal.record import Record
from replay.html.markup import Markup, el, joined
from replay.telling import words
from replay.timeline import Handoff
from replay.times import at

ROWS = 400
EDGE = 60
"""So many of the first and the last events stand there in any case."""
COUNTS = frozenset(TRANSITIONS) | {
    "PREFLIGHT_CHECKED", "GREEN_SPAWNED", "PROCESS_STARTED", "PROCESS_EXITED", "PROCESS_LOST", "ADAPTER_CONNECTED", "ADAPTER_PAUSED",
    "ADAPTER_LOST", "HANDOFF_COMPLETE_REQUESTED", "HANDOFF_RESUMED", "DIVERGENCE_DETECTED",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """The events that are shown, in order, and how many there are in all."""

    shown: Sequence[Record]
    total: int
    seqs: frozenset[int] = field(default_factory=frozenset)


def listing(records: Iterable[Record], handoff: Handoff, named: Iterable[int]) -> Listing:
    """Choose what is shown of a handoff: events that are ``named`` as a proof, steps, and as many others as there is room for."""
    proof = set(named)
    kept: dict[int, Record] = {}
    head: list[Record] = []
    tail: list[Record] = []
    total = 0
    for record in records:
        if record.seq > handoff.last:
            break
        inside = record.seq >= handoff.first
        total += inside
        if record.seq in proof or (inside and record.type in COUNTS and len(kept) < 4 * ROWS):
            kept[record.seq] = record
        if inside and len(head) < ROWS:
            head.append(record)
        elif inside:
            tail = [*tail[-EDGE:], record]
    whole = total <= ROWS
    for record in [*head[: ROWS if whole else EDGE], *([] if whole else tail[-EDGE:])]:
        kept[record.seq] = record
    shown = [kept[seq] for seq in sorted(kept)]
    if len(shown) > 2 * ROWS:  # a handoff that was resumed without end
        shown = [*shown[:ROWS], *shown[-ROWS:]]
    return Listing(shown, total, frozenset(r.seq for r in shown))


def events_table(found: Listing, handoff: Handoff, marked: frozenset[int]) -> Markup:
    """The table; rows that prove the cause are ``marked``."""
    within = sum(1 for r in found.shown if handoff.first <= r.seq <= handoff.last)
    left = found.total - within
    said = f"All {found.total} events of this handoff, from seq {handoff.first} to {handoff.last}."
    if left:
        said = (
            f"{within} of {found.total} events: every step, every proof, the first and the last {EDGE}; "
            f"{left} are left out. This prints all of them: "
        )
    more = el("code", f"handoff-journal log --handoff {handoff.id}") if left else None
    names = el("tr", [el("th", name, scope="col") for name in ("seq", "after, s", "who", "what")])
    begun = handoff.stays[0].since
    body = [_row(r, begun.elapsed_s(r.at_ns, r.mono_ns, r.process.boot), r.seq in marked) for r in found.shown]
    table = el(
        "table",
        el("caption", "Events in the order of their seq"),
        el("thead", names),
        el("tbody", body),
        class_="events",
    )
    return joined(el("p", said, more, class_="note"), table)


def _row(record: Record, after_s: float, marked: bool) -> Markup:
    step = record.type in COUNTS
    kind = " ".join(name for name, on in (("step", step), ("proof", marked)) if on) or None
    who = el("td", f"{record.role} ", el("span", str(record.process.pid), class_="pid"), class_=f"who {record.role}")
    what = el("td", el("span", record.type, class_="type"), " ", el("span", words(record)))
    time = el("time", _after(after_s), datetime=at(record.at_ns).replace(" ", "T") + "Z")
    return el(
        "tr",
        el("th", str(record.seq), scope="row"),
        el("td", time, class_="num"),
        who,
        what,
        id=f"e{record.seq}",
        class_=kind,
    )


def _after(seconds: float) -> str:
    sign = "-" if seconds < 0 else "+"
    size = abs(seconds)
    if size < 100:
        return f"{sign}{size:.3f}"
    hours, rest = divmod(round(size), 3600)
    return f"{sign}{hours}:{rest // 60:02d}:{rest % 60:02d}"
