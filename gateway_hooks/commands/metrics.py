"""``status --metrics``: the same facts in the text format of Prometheus, for a collector that reads files.

Every label has a small, fixed set of values: no account, chat or process ever becomes one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from journal.events import Phase, SettledAs, Side
from journal.record import Stamp
from replay.fold import State

PREFIX = "handoff_journal"
SIDES: tuple[Side, ...] = get_args(Side)
Sample = tuple[Mapping[str, str], float]


def exposition(state: State, found: Mapping[str, Any], now: Stamp, boot: str) -> str:
    """The text of all metrics; ``found`` is what ``status`` shows.

    Args:
        state: What the journal says.
        found: As ``status.describe`` gives it.
        now: The time, for ages.
        boot: That of this machine: its monotonic clock says nothing of samples that were taken elsewhere, or before.
    """
    text: list[str] = []
    for name, kind, told, samples in _metrics(state, found, now, boot):
        text += [f"# HELP {PREFIX}_{name} {told}", f"# TYPE {PREFIX}_{name} {kind}"]
        text += [f"{PREFIX}_{name}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join(text) + "\n"


def _metrics(
    state: State, found: Mapping[str, Any], now: Stamp, boot: str
) -> Iterable[tuple[str, str, str, Sequence[Sample]]]:
    head = state.head
    yield "time_seconds", "gauge", "When this was written, UTC since 1970.", [({}, now.at_ns / 1e9)]
    yield "events", "gauge", "The journal's last seq.", [({}, float(head.seq))]
    yield (
        "phase",
        "gauge",
        "1 for the phase of the open or last handoff.",
        _one_of("phase", get_args(Phase), head.phase),
    )
    if found["phase_s"] is not None:
        yield "phase_seconds", "gauge", "For how long the phase has lasted.", [({}, float(found["phase_s"]))]
    yield "epoch", "gauge", "How often the adapters have changed hands.", [({}, float(head.epoch))]
    yield "owner", "gauge", "1 for the side that owns the adapters.", _one_of("side", SIDES, head.owner)
    up = [({"side": s}, 1.0 if (found["sides"][s] or {}).get("is") == "running" else 0.0) for s in SIDES]
    yield "side_up", "gauge", "1 when the process of a side runs and is not stopped.", up
    adapters = Counter((a.split(":", 1)[0], head.side_of(p) or "none") for a, p in head.connected.items())
    polls = [({"platform": p, "side": s}, float(n)) for (p, s), n in sorted(adapters.items())]
    yield "adapters_connected", "gauge", "Adapters that a side has claimed, by platform.", polls
    yield "turns", "gauge", "Turns in flight.", [({"side": s}, float(found["turns"][s])) for s in SIDES]
    yield "messages_accepted_total", "counter", "Messages that platforms handed over.", [({}, float(state.accepted))]
    yield "messages_open", "gauge", "Messages that are not settled yet.", [({}, float(len(head.messages)))]
    settled = [({"outcome": o}, float(state.settled.get(o, 0))) for o in get_args(SettledAs)]
    yield "messages_settled_total", "counter", "Messages by what became of them.", settled
    yield from _health(state, now, boot)
    if state.steps:
        ends = ("open", "complete", "rolled_back", "failed")
        outcome = (found["outcome"] or {}).get("outcome", "open")
        yield "last_handoff", "gauge", "1 for how the last handoff ended.", _one_of("outcome", ends, outcome)


def _health(state: State, now: Stamp, boot: str) -> Iterable[tuple[str, str, str, Sequence[Sample]]]:
    last = {side: state.samples[side][-1] for side in SIDES if state.samples.get(side)}
    ages = [({"side": s}, round(x.moment.elapsed_s(now.at_ns, now.mono_ns, boot), 3)) for s, x in last.items()]
    yield "sample_age_seconds", "gauge", "How old the last health sample of a side is.", ages
    lag = [({"side": s}, x.health.loop_lag_ms / 1e3) for s, x in last.items()]
    yield "loop_lag_seconds", "gauge", "How late the loop of a side was at its last sample.", lag
    waiting = [({"side": s}, float(x.health.waiting)) for s, x in last.items()]
    yield "waiting", "gauge", "Messages that waited in a side at its last sample.", waiting
    errors = [({"side": s}, float(x.health.errors)) for s, x in last.items()]
    yield "errors_total", "counter", "Turns that broke in a side, since its process started.", errors
    memory = [({"side": s}, x.health.rss_mb * 2**20) for s, x in last.items()]
    yield "resident_memory_bytes", "gauge", "Memory of a side at its last sample.", memory


def _one_of(label: str, values: Iterable[str], true: str) -> list[Sample]:
    return [({label: value}, 1.0 if value == true else 0.0) for value in values]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
