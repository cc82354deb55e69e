"""What a side does while the journal cannot be written; ``replay.alone`` decides, here stands how it is carried out."""

from __future__ import annotations

import itertools
import logging

from gateway_hooks.degraded import UNWRITABLE
from gateway_hooks.gateway import Gateway
from gateway_hooks.inbox import Inbox
from gateway_hooks.lookout import Lookout
from gateway_hooks.process import World
from journal.errors import Tampered
from journal.events import Process
from journal.reader import Reader
from journal.reserve import Reserve
from replay.alone import ServeAlone, alone
from replay.decide import EndPeer, View
from replay.fold import State, fold, state_of

log = logging.getLogger("handoff_journal")
TRY_S = 1.0
"""How often it is tried to write all the same."""


class Without:
    """The manager's hands for as long as nothing can be appended."""

    def __init__(
        self, gateway: Gateway, inbox: Inbox, world: World, me: Process, reserve: Reserve, seen: Lookout
    ) -> None:
        self._gateway = gateway
        self._inbox = inbox
        self._world = world
        self._me = me
        self._reserve = reserve
        self._seen = seen

    def refolded(self, reader: Reader, state: State) -> State:
        """The record as of now; of one that was altered, what stands before that; of one that cannot be read, what was read."""
        trouble = self._inbox.trouble.last
        try:
            if not isinstance(trouble, Tampered):
                return state_of(reader, state)
            if state.head.seq < trouble.seq:
                return state
            return fold(itertools.takewhile(lambda r: r.seq < trouble.seq, reader.all()))
        except UNWRITABLE:
            if trouble is None:
                raise
            return state

    def tries(self, view: View) -> bool:
        """Whether to go on for one turn as if it could be written; a journal that is gone for good is left to a person."""
        due = view.now.mono_ns - self._seen.tried_ns > TRY_S * 1e9
        if due:
            self._seen.tried_ns = view.now.mono_ns
        return due and not self._inbox.trouble.for_good

    def act(self, state: State, view: View) -> bool:
        """Pay with the reserve, or see who serves without. True when there may be more to do at once."""
        head, trouble, seen = state.head, self._inbox.trouble, self._seen
        if head.open and trouble.last is not None and not trouble.for_good and self._reserve.give_back():
            trouble.gave_the_reserve()
            seen.fault = seen.fault or trouble.last.message[:200]
            seen.tried_ns = 0
            return True
        match alone(state, view, self._me, (view.now.mono_ns - seen.moved_ns) / 1e9):
            case EndPeer(side):
                peer = head.process(side) or head.expected_green
                if peer is not None:
                    log.critical("process %d is ended: nothing can be agreed on with it without the journal", peer.pid)
                    self._world.end(peer)
                return True
            case ServeAlone():
                trouble.alone = True
                trouble.goes_on_without()
                if not seen.polling or seen.torn:
                    self._gateway.connect()
                    seen.polling, seen.torn = True, False
                if not self._inbox.taking:  # as after a connect, or where it held still, or had not read up yet
                    self._read_up()
                    self._inbox.take_hold()
        return False

    def _read_up(self) -> None:
        """Load what the other side wrote, if that is possible: nobody waits for it any more."""
        try:
            self._gateway.load()
        except Exception as error:
            log.warning("serving with what this process has in memory: %s", error)
