"""Look whether green diverges from what blue was: blue examines green while that owns the adapters.

Everything that is judged stands in the journal: a blue that starts in the middle of a bake comes to the same. The rules are
``replay.diverge``'s.
"""

from __future__ import annotations

from journal.events import DivergenceDetected, Process
from journal.record import Record
from journal.store import Reader
from replay.baseline import HOUR_S, MOST, Baseline, baseline
from replay.decide import View
from replay.diverge import RULES, judge, told
from replay.fold import State
from replay.observe import Observed

EVERY_S = 0.5
"""How often the rules are asked at most."""


class Examiner:
    """One for each side's manager; it keeps what it has read. ``reader`` is its own."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._green: Process | None = None
        self._handoff = ""
        self._baseline = Baseline()
        self._observed: Observed | None = None
        self._cursor = 0
        self._looked_ns = 0

    def look(self, state: State, view: View) -> DivergenceDetected | None:
        """What this side has to say of green now, if anything. Nothing of it is said twice in a handoff."""
        if state.divergence is not None:
            return None
        if view.me != "blue" or state.head.phase not in ("active", "baking") or state.head.green is None:
            self._observed = None
            return None
        if view.now.mono_ns - self._looked_ns < EVERY_S * 1e9:
            return None
        self._looked_ns = view.now.mono_ns
        observed = self._read(state, state.head.green)
        rules = told(RULES, state.terms.rules if state.terms else {})
        return judge(state, observed, self._baseline, rules, view.now, view.awake_s)

    def _read(self, state: State, green: Process) -> Observed:
        handoff = state.head.handoff or ""
        if self._observed is None or (self._handoff, self._green) != (handoff, green):
            if self._handoff != handoff:
                self._baseline = baseline(self._hour_before(state.steps[0].moment.seq))
            self._handoff, self._green = handoff, green
            began = self._began(state, green)
            self._cursor = began.seq
            self._observed = Observed(green, began.seq, began.mono_ns)
        for record in self._reader.all(after=self._cursor):
            if record.seq > state.head.seq:
                break
            self._observed.move(record)
            self._cursor = record.seq
        return self._observed

    def _began(self, state: State, green: Process) -> Record:
        """The event with which green's time began: it took the adapters, or its seat in the middle of the bake."""
        active = next(s for s in state.steps if s.type in ("HANDOFF_ACTIVE", "HANDOFF_SEIZED")).moment.seq
        began = self._at(active)
        for record in self._reader.all(after=active):
            if record.type == "PROCESS_STARTED" and record.process == green:
                began = record
        return began

    def _hour_before(self, request: int) -> list[Record]:
        """The records of the hour before the request, ``MOST`` of them at most, found by halving."""
        end = self._at(request)
        low, high = max(1, request - MOST), request
        while low < high:
            middle = (low + high) // 2
            if (end.at_ns - self._at(middle).at_ns) / 1e9 > HOUR_S:
                low = middle + 1
            else:
                high = middle
        found = []
        for record in self._reader.all(after=low - 1):
            if record.seq >= request:
                break
            found.append(record)
        return found

    def _at(self, seq: int) -> Record:
        """The record at ``seq``, or the first one after it where what stood before was archived."""
        return self._reader.records(after=seq - 1, limit=1)[0]
