"""What a side sees that no event says: the world right now, and what the loop remembers of it from one turn to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway_hooks.gateway import Gateway
from gateway_hooks.process import World
from journal.events import Process, Side
from replay.decide import PeerIs, View
from replay.fold import State

AWAKE_S = 2.0
"""A longer pause between two looks is one in which we could not see the other side's signs of life."""


@dataclass
class Lookout:
    """``polling`` to ``fault`` are as in ``replay.decide.View``; times are monotonic nanoseconds, 0 for never.

    ``torn`` says that a pause may have worked in part, whoever is to blame. ``peer_end`` is how the last process of the other side
    ended; ``unread`` how often loading what it wrote has failed in a row.
    ``last_seq`` is the last event seen, at ``moved_ns``; ``tried_ns`` when writing was last tried in spite of trouble.
    """

    polling: bool
    loaded: Mapping[str, str] = field(default_factory=dict)
    loaded_seq: int = -1
    fault: str = ""
    torn: bool = False
    stopped_since_ns: int | None = None
    watched: Process | None = None
    sampled_ns: int = 0
    tidied_ns: int = 0
    looked_ns: int = 0
    awake_ns: int = 0
    unread: int = 0
    peer_end: str = ""
    last_seq: int = -1
    moved_ns: int = 0
    tried_ns: int = 0

    @property
    def half(self) -> bool:
        """Whether the adapters may be half let go or half connected: then only a pause and a connect make them whole."""
        return self.torn or bool(self.fault)

    def look(
        self, state: State, me: Side, process: Process, world: World, gateway: Gateway, poke: Callable[[], None]
    ) -> View:
        """Look at the other side's process and at our own gateway; ``poke`` is called once that process has ended."""
        head, now = state.head, world.now()
        peer = head.green or head.expected_green if me == "blue" else head.blue
        peer_is: PeerIs = world.probe(peer) if peer else "none"
        if peer and peer != self.watched and peer_is != "dead":
            self.watched = peer
            world.watch(peer, poke)
        if peer_is != "stopped":
            self.stopped_since_ns = None
        elif self.stopped_since_ns is None:
            self.stopped_since_ns = now.mono_ns
        if now.mono_ns - self.looked_ns > AWAKE_S * 1e9:
            self.awake_ns = now.mono_ns
        self.looked_ns = now.mono_ns
        if head.seq != self.last_seq:
            self.last_seq, self.moved_ns = head.seq, now.mono_ns
        awake_s = (now.mono_ns - self.awake_ns) / 1e9
        stopped_s = (now.mono_ns - self.stopped_since_ns) / 1e9 if self.stopped_since_ns else 0.0
        unsaid = head.owner != me and process in head.connected.values()  # whoever owns now waits for our word
        return View(
            me, now, process.boot, peer_is, stopped_s, self.polling or unsaid, self.loaded, self.loaded_seq,
            gateway.turns(), self.fault, self.peer_end, awake_s,
        )  # fmt: skip
