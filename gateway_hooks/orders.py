"""What an operator may ask for: a handoff, its end, its undoing. Each is one event; who must act on it sees it in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from gateway_hooks.forcing import Freed, force, free, handoff_id
from gateway_hooks.process import System, undisturbed
from gateway_hooks.settling import WORD_S, settle
from journal import events as e
from journal.errors import Busy, IllegalTransition, NothingHere, Refused
from journal.head import Head
from journal.record import Draft, Record, Writer
from journal.store import Journal, Reader
from replay.decide import deadline_passed
from replay.fold import State, state_of


class Operator:
    """A person at this machine, with the journal of one home open for writing. Close it."""

    def __init__(self, folder: Path, *, by_force: bool = False) -> None:
        """``by_force``: who is stopped with the journal's gate in its hands does not stand in the way, see ``forcing.free``."""
        self._system = System()
        self._freed: Freed | None = None
        try:
            self.journal = Journal(folder, self._system.now, deadline_s=WORD_S)
        except Busy as error:
            if not by_force:
                raise
            self._freed = free(folder, self._system, error)
            self.journal = Journal(folder, self._system.now, deadline_s=WORD_S)
        self._writer = Writer(self._system.me(), "operator")
        self._opened_at = self.journal.head.seq

    def promote(self, runtime: str, bake_s: float, limits: e.Limits, terms: e.HandoffTerms | None = None) -> str:
        """Ask for a handoff, on these terms if any; returns its id.

        Raises:
            NothingHere: No living gateway serves this home.
            IllegalTransition: A handoff is open, or the last one's other side has not exited.
        """
        head = self.journal.catch_up()
        if head.phase == "requested":
            head = self._withdraw_if_late()
        self._require_living_owner(head)
        if head.open:
            raise IllegalTransition(
                f"handoff {head.handoff} is open, in phase {head.phase}",
                hint="watch it with 'handoff-journal status', or end it with 'rollback' or 'complete'",
            )
        self._settle_left_over(head)
        handoff = handoff_id(self._system.now())
        asked: list[e.Event] = [e.HandoffRequested(handoff=handoff, runtime=runtime, bake_s=bake_s, limits=limits)]
        self._say(*asked, *([terms] if terms else []))
        return handoff

    def force(
        self,
        runtime: str,
        bake_s: float,
        limits: e.Limits,
        terms: e.HandoffTerms | None,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
    ) -> str:
        """The same without the help of a gateway that hangs or is gone: see ``forcing.force``."""
        return force(self.journal, runtime, bake_s, limits, terms, command, env, self._freed)

    def rollback(self) -> str:
        """Roll the open handoff back; returns its id. Raises ``NothingHere`` when none is open."""
        head = self._require_open()
        while head.phase != "rolling_back":
            withdrawn = e.HandoffFailed(reason="fault", detail="withdrawn by the operator")
            asked = head.phase == "requested"
            order = withdrawn if asked else e.HandoffRollback(phase=head.phase, reason="operator")
            try:
                self._say(order, phase_seq=head.phase_seq)
                break
            except IllegalTransition:  # it went on while we spoke
                seen, head = head, self._require_open()
                if head.handoff != seen.handoff or head.phase_seq == seen.phase_seq:
                    raise
        return head.handoff or ""

    def confirm(self) -> str:
        """Say that green is good; returns the handoff's id. Raises ``NothingHere`` or ``IllegalTransition``."""
        head = self._require_open()
        self._say(e.BakeConfirmed())
        return head.handoff or ""

    def complete(self) -> str:
        """End the bake of the open handoff early; returns its id. Raises ``NothingHere`` or ``IllegalTransition``."""
        head = self._require_open()
        self._say(e.HandoffCompleteRequested())
        return head.handoff or ""

    def give_up(self, state: State) -> None:
        """Withdraw a request that its gateway has not taken up; nothing happens when it has meanwhile."""
        owner = state.head.owning
        dead = owner is None or self._system.probe(owner) == "dead"
        event = e.HandoffFailed(
            reason="blue_lost" if dead else "deadline",
            detail="the gateway died" if dead else "the gateway did not answer; is it stopped, or its process stuck?",
        )
        with suppress(IllegalTransition):
            self._say(event, phase_seq=state.head.phase_seq)

    def said(self, *types: str) -> Record | None:
        """What of these types this operator has said last, whether or not the one who asked for it has heard: Ctrl-C comes between."""
        with closing(Reader(self.journal.path)) as reader:
            said = [record for record in reader.all(after=self._opened_at) if record.process == self._writer.process]
        return next((record for record in reversed(said) if record.type in types), None)

    def close(self) -> None:
        """Let go of the journal."""
        with undisturbed():
            self.journal.close()

    def _say(self, *events: e.Event, phase_seq: int | None = None) -> None:
        with undisturbed():
            self.journal.append(*(Draft(event, phase_seq=phase_seq) for event in events), writer=self._writer)

    def _withdraw_if_late(self) -> Head:
        """An old request that nobody has taken up does not stand in the way of a new one."""
        with closing(Reader(self.journal.path)) as reader:
            state = state_of(reader)
        if state.head.phase == "requested" and deadline_passed(state, self._system.now(), self._writer.process.boot):
            self.give_up(state)
        return self.journal.catch_up()

    def _require_open(self) -> Head:
        head = self.journal.catch_up()
        if not head.open:
            raise NothingHere("no handoff is open", hint="'handoff-journal status' shows the last one")
        return head

    def _require_living_owner(self, head: Head) -> None:
        owner = head.owning
        if owner is None or self._system.probe(owner) == "dead":
            raise NothingHere(
                "no gateway runs in this home",
                hint="start it with the plugin enabled ('handoff-journal doctor' checks it)",
            )
        if self._system.probe(owner) == "stopped":
            raise NothingHere(
                f"the gateway, process {owner.pid}, is stopped", hint=f"continue it: kill -CONT {owner.pid}"
            )

    def _settle_left_over(self, head: Head) -> None:
        """A blue of the last handoff that was killed while it finished its turns, and that green has not settled yet."""
        side: e.Side = "green" if head.owner == "blue" else "blue"
        process = head.process(side)
        if process is not None and self._system.probe(process) == "dead":
            with undisturbed(), suppress(Refused):  # or green was faster
                head = self.journal.catch_up()  # what it said last stands before what is said of it
                self.journal.append(*settle(head, side, process, "died"), writer=self._writer)
