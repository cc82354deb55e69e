"""The loop of one side: tail, decide, act, append.

It runs in a thread of its own in the gateway's process, so that a gateway whose loop hangs is noticed from beside it. All
judgement is ``replay.decide``'s; here stands only how each action is carried out, and what is looked at before the next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pydantic import ValidationError

from gateway_hooks import wording
from gateway_hooks.degraded import UNWRITABLE
from gateway_hooks.gateway import Gateway, GatewayFault, Watcher
from gateway_hooks.hanging import IDLE_SAMPLE_S
from gateway_hooks.hanging import Without as Sign
from gateway_hooks.health import Examiner
from gateway_hooks.inbox import Inbox
from gateway_hooks.lookout import Lookout
from gateway_hooks.pacing import Pace
from gateway_hooks.process import REAPED_S, World
from gateway_hooks.settling import free_gate, settle
from gateway_hooks.without import Without
from journal import events as e
from journal.errors import Busy, HandoffError, IllegalTransition, Refused
from journal.events import Process, Side
from journal.head import adapter_key
from journal.record import Draft, Writer
from journal.reserve import Reserve
from journal.store import Journal, Reader
from journal.tail import Doorbell
from replay import decide as d
from replay.fold import State, state_of

log = logging.getLogger("handoff_journal")
ACTIVE_SAMPLE_S = 0.2
RETRY_S = 0.3
TIDY_S = 5.0
LOADS = 10
"""How often loading is tried before an owner serves without."""
Spawner = Callable[[State], Process]
"""Runs preflight and starts green. Raises ``HandoffError`` with the reason."""


class Manager(threading.Thread):
    """Drives a gateway's side of every handoff, until its process ends.

    ``leaving`` is set once its process was asked to end. Whoever asks may have asked the other side too, so what becomes of that is
    no ground for anything any more: it still samples, pays what it owes and lets go, and decides nothing else.
    """

    def __init__(
        self,
        journal: Journal,
        gateway: Gateway,
        inbox: Inbox,
        world: World,
        writer: Writer,
        spawner: Spawner,
        *,
        polling: bool,
        freed: Process | None = None,
        reader: Reader | None = None,
        bell: Doorbell | None = None,
        idle_sample_s: float = IDLE_SAMPLE_S,
    ) -> None:
        """``freed`` is whom this process had to end before it could start, since it was stopped while it held the gate.

        ``reader`` and ``bell`` are what the loop follows the journal with, else its own. At rest it samples each ``idle_sample_s``.
        """
        super().__init__(name="handoff-journal", daemon=True)
        self._journal = journal
        self._gateway = gateway
        self._inbox = inbox
        self._world, self._writer, self._spawner = world, writer, spawner
        self._names = inbox.names
        self._reader = reader or Reader(journal.path)
        self._bell = bell or Doorbell(journal.folder / "bell")
        self._state = State()
        self._seen = Lookout(polling=polling)
        self._freed = freed
        self._ended: dict[Process, str] = {}
        self._examiner = Examiner(reader or Reader(journal.path))
        inbox.on_busy = self._free_gate
        self._over = threading.Event()
        self.handed_over = self.leaving = False
        self._reserve = Reserve(journal.folder)
        self._pace = Pace()
        self._idle_sample_s = idle_sample_s
        self._sign = Sign(journal.folder, writer.process)
        self._without = Without(gateway, inbox, world, writer.process, self._reserve, self._seen)

    # --------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Until the process is told to exit. Trouble is logged once a kind, and tried again: a side never gives up quietly."""
        troubles: set[str] = set()
        while not self._over.is_set():
            try:
                if self.step():
                    continue
                troubles.clear()
                self._bell.wait(ACTIVE_SAMPLE_S if self._state.head.open else 1.0)
            except IllegalTransition as error:  # the other side was faster: look again
                log.info("decided too late: %s", error)
                self._bell.wait(0.02)
            except Busy as error:
                log.error("%s", error.line())
                self._free_gate(error.holder)
                self._seen.tried_ns = self._world.now().mono_ns
            except UNWRITABLE as error:
                self._inbox.trouble.met(error)
                self._seen.tried_ns = self._world.now().mono_ns  # by now: to wait for a lock may take longer than TRY_S
                self._bell.wait(RETRY_S)
            except (HandoffError, OSError) as error:
                if str(error) not in troubles:
                    log.error("%s", wording.line(error))
                    troubles.add(str(error))
                self._bell.wait(RETRY_S)
            except Exception:
                log.exception("handoff-journal: unexpected; going on")
                self._bell.wait(RETRY_S)

    def stop(self) -> None:
        """End the loop at its next turn."""
        self._over.set()
        self._bell.poke()

    def step(self) -> bool:
        """One turn: refold, look, decide, act. True when something was done."""
        self._state = state = self._without.refolded(self._reader, self._state)
        me = state.head.side_of(self._writer.process)
        if me is None:
            return self._lost_seat()
        view = self._seen.look(state, me, self._writer.process, self._world, self._gateway, self._bell.poke)
        self._sign.show(self._inbox.trouble.last is not None and state.head.owner == me)
        if self._inbox.trouble.last is not None and not self._without.tries(view):
            return not self.leaving and self._without.act(state, view)
        if self._sample(view, me):  # what was said before it counts, and the record shows that it was known
            self._state = state = state_of(self._reader, state)
            me = state.head.side_of(self._writer.process)
            if me is None:
                return self._lost_seat()
            view = self._seen.look(state, me, self._writer.process, self._world, self._gateway, self._bell.poke)
        diverged = self._examiner.look(state, view) if not self.leaving else None
        if diverged is not None:
            self._decide(diverged)
            return True
        self._inbox.pay()
        action = d.decide(state, view)
        action = action if not self.leaving or action == d.LetGo(active=False) else None
        acted = self._act(action, me) if action is not None else False
        if state.head.owner == me and self._seen.polling:
            self._serve_chats()
        self._tidy(view)
        return acted

    def _free_gate(self, holder: int | None) -> None:
        self._freed = free_gate(self._world, holder) or self._freed

    def _lost_seat(self) -> bool:
        """We were settled as dead (stopped for long, perhaps) or have said goodbye: write nothing, hold nothing, go."""
        log.error("this process has no seat in the journal any more: it lets go of its adapters and ends")
        self._over.set()
        try:
            self._gateway.pause()
        finally:
            self._gateway.end()
        return False

    # --------------------------------------------------------------------------------------- actions

    def _act(self, action: d.Action, me: Side) -> bool:
        match action:
            case d.Say(event):
                self._decide(event)
            case d.Settle(side):
                self._settle(side, "died")
            case d.EndPeer(side, how):
                self._end_peer(side, how)
            case d.Spawn():
                self._spawn()
            case d.Flush():
                return self._flush()
            case d.Load(flushed_seq):
                self._load(flushed_seq)
            case d.LetGo(active):
                self._let_go(active)
            case d.Serve(flushed_seq):
                return self._serve(flushed_seq)
            case d.Connect():
                self._connect(me)
            case d.Exit():
                self._exit()
        return True

    def _say(self, *events: e.Event) -> None:
        self._journal.append(*(Draft(event) for event in events), writer=self._writer)
        self._inbox.trouble.over()

    def _decide(self, *events: e.Event) -> None:
        """Say what was decided on the state as folded: refused when the phase has moved since, even to the same of another handoff."""
        phase_seq = self._state.head.phase_seq
        self._journal.append(*(Draft(event, phase_seq=phase_seq) for event in events), writer=self._writer)
        self._inbox.trouble.over()

    def _settle(self, side: Side, how: str) -> None:
        process = self._state.head.process(side) or (self._state.head.expected_green if side == "green" else None)
        head = self._journal.catch_up()
        if process is not None and process in (head.process(side), head.expected_green):
            how = "ended_stopped" if process == self._freed else self._ended.get(process, how)
            self._seen.peer_end = (
                wording.ended(self._world.exit_code(process, wait_s=REAPED_S)) if how == "died" else ""
            )
            self._journal.append(*settle(head, side, process, how), writer=self._writer)

    def _end_peer(self, side: Side, how: str) -> None:
        head = self._state.head
        process = head.process(side) or (head.expected_green if side == "green" else None)
        if process is not None:
            self._ended = {process: how}  # it may be possible to say so only later
            self._world.end(process)
            self._settle(side, how)

    def _spawn(self) -> None:
        if not self._reserve.hold():
            self._decide(e.HandoffFailed(reason="fault", detail="the disk has no room for the journal's reserve"))
            return
        try:
            green = self._spawner(self._state)
        except (HandoffError, OSError) as error:
            self._decide(e.HandoffFailed(reason="spawn", detail=wording.line(error)[:200]))
            return
        self._decide(e.GreenSpawned(green=green), e.HandoffInit(green=green))

    def _flush(self, *, force: bool = False) -> bool:
        """Flush, and say so when something changed since the last word; the whole set, so that one seq covers it."""
        head = self._state.head
        if not force and not self._pace.due(head, self._world.now().mono_ns):
            return False
        parts = self._gateway.flush()
        new = {p.part: p.digest for p in parts} != dict(head.flushed)
        self._pace.flushed(head, self._state.limits, self._world.now().mono_ns, new=new)
        if new:
            self._say(*(wording.flushed(p) for p in parts))
        return new

    def _load(self, flushed_seq: int) -> None:
        self._seen.loaded = {p.part: p.digest for p in self._gateway.load()}
        self._seen.loaded_seq = flushed_seq

    def _let_go(self, active: bool) -> None:
        """Pause, and hand over in one append. The flush before it is outside of the time in which nobody polls."""
        if active:
            self._flush(force=True)
        try:
            offsets = self._gateway.pause()
        except Exception as error:
            self._seen.torn = True
            self._gateway.sample()  # a loop that hangs is for the other side to judge
            self._seen.fault = str(error)[:200] or type(error).__name__
            raise
        self._seen.polling = False
        self._inbox.let_go()
        self._inbox.pay()  # what has come to be owed meanwhile, while it is ours to settle
        head = self._journal.catch_up()
        mine = [a for a, p in head.connected.items() if p == self._writer.process]
        clear = {wording.adapter(self._names, a): offset for a, offset in offsets.items()}
        drafts = [Draft(wording.paused(adapter, clear.get(adapter))) for adapter in mine]
        if active:
            drafts += [wording.handed_over(self._names, w, self._inbox.entropy(16)) for w in self._gateway.watchers()]
            drafts.append(Draft(e.HandoffActive(turns=self._gateway.turns())))
        if drafts:
            self._journal.append(*drafts, writer=self._writer)
        self._flush(force=True)

    def _serve(self, flushed_seq: int) -> bool:
        digests: dict[str, str] = {}
        if self._state.head.owner == "green" and self._state.head.green is not None:
            digests = {p.part: p.digest for p in self._gateway.load()}
        try:
            self._say(e.BlueServing(flushed_seq=flushed_seq, digests=digests))
        except IllegalTransition as error:
            log.info("not yet: %s", error)
            self._bell.wait(0.05)
            return True
        self._seen.polling = self._seen.polling and not self._seen.half
        return True

    def _connect(self, me: Side) -> None:
        """Claim and poll. What the other side wrote last is read after that: what comes in meanwhile waits in the journal."""
        if self._seen.half:  # begin from nothing
            self._gateway.pause()
            self._seen.polling = False
            self._inbox.let_go()
        self._claim()
        try:
            self._gateway.connect()
        except Exception as error:
            self._seen.fault = str(error)[:200] or type(error).__name__
            raise
        self._seen.torn, self._seen.fault = False, ""
        self._seen.polling = True
        log.info("%s polls under epoch %d", me, self._state.head.epoch)

    def _claim(self) -> None:
        """Say which adapters we take, as far as the record does not say so yet."""
        mine = {a for a, p in self._journal.catch_up().connected.items() if p == self._writer.process}
        claims = wording.claims(self._names, self._gateway.identity())
        if new := [c for c in claims if adapter_key(c.platform, c.account) not in mine]:
            self._journal.append(*(Draft(c, epoch=self._state.head.epoch) for c in new), writer=self._writer)

    def _serve_chats(self) -> None:
        """While we own and poll: read what the other side has written since, adopt what it left, take up what waits."""
        head = self._state.head
        if self._writer.process not in head.connected.values():  # without the journal it connected without a word
            self._claim()
        if self._pace.still(head, self._world.now().mono_ns):
            self._inbox.hold_still()
            return
        self._inbox.go_on()
        if self._inbox.unread(head) or not self._inbox.taking:
            self._read_up()
            self._adopt()
            self._inbox.read(head)
            self._inbox.take_hold()
        self._inbox.take_up(head, self._reader, self._gateway.take_up)

    def _read_up(self) -> None:
        """Load what the other side wrote. Who owns serves in the end, even with nothing but what it has in memory."""
        try:
            self._gateway.load()
            self._seen.unread = 0
        except Exception:
            self._seen.unread += 1
            if self._seen.unread < LOADS:
                raise
            self._seen.unread = 0
            log.exception("what the other side wrote cannot be loaded; serving with what this process has in memory")

    def _adopt(self) -> None:
        watchers = {seq: self._reader.payload(seq) for seq in self._state.watchers}
        if watchers:
            try:
                self._gateway.adopt([Watcher(str(seq), p.data) for seq, p in watchers.items() if p])
            except Exception:
                log.exception("process watchers could not be adopted; they stay in the journal")
                return
            self._say(*(e.WatcherAdopted(handed_over=seq) for seq in watchers))

    def _exit(self) -> None:
        """End for good. As a keeper only after a goodbye: this very process would be taken for a blue that hangs, and ended."""
        try:
            self._inbox.close()
            self._say(e.ProcessExited())
            self.handed_over = self._state.head.phase == "complete"
        except Refused as error:  # the other side settles us
            log.error("leaves without a word: %s", error)
        self._over.set()
        self._gateway.end()

    # --------------------------------------------------------------------------------------- beside the decisions

    def _sample(self, view: d.View, me: Side) -> bool:
        """Record a health sample when one is due. True when one stands."""
        head, limits = self._state.head, self._state.limits
        alone = head.blue is None or head.green is None
        every = self._idle_sample_s if alone and not head.open else limits.sample_s
        if head.phase == "active" and me == "green":
            every = min(every, ACTIVE_SAMPLE_S)
        if self._inbox.trouble.last is not None:  # a sample tells whether the journal can be written again
            every = min(every, limits.sample_s)
        if view.now.mono_ns - self._seen.sampled_ns < every * 1e9:
            return False
        self._seen.sampled_ns = view.now.mono_ns
        try:
            h = self._gateway.sample()
        except GatewayFault as error:
            log.error("no health sample: %s", error.line())
            return False
        try:
            sampled = wording.sampled(self._names, h)
        except ValidationError as error:  # no sample is not a good one
            log.error("no health sample: %s is no number that can be", error.errors()[0]["loc"][0])
            return False
        self._say(sampled)
        return True

    def _tidy(self, view: d.View) -> None:
        if self._state.head.owner == view.me and view.now.mono_ns - self._seen.tidied_ns > TIDY_S * 1e9:
            self._seen.tidied_ns = view.now.mono_ns
            if self._seen.polling and self._inbox.taking:
                self._adopt()  # what could not be adopted at first
            self._journal.catch_up()  # what the other side has erased counts too
            self._journal.tidy()
            if not self._state.head.open:
                self._reserve.hold()
