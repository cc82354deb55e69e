"""The judge of a simulation: what must hold at every moment and at the end, from the platform's word and the record.

It keeps books of its own (who owns, who claims, who died) and never asks the product what it thinks. ``bad`` is what was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway_hooks.inbox import Inbox
from journal import events as e
from journal.events import Process
from journal.record import Record
from replay.check import check
from replay.fold import fold

if TYPE_CHECKING:
    from tests.sim.machine import Proc
    from tests.sim.simulation import Simulation

LETS_GO_S = 12.0
Key = tuple[str, int]
"""(account, number) of what a person sent."""
WRITES_NS = 3_000_000_000
"""So soon does a manager write what it could not, once the journal can be written."""


class Judge:
    """See the module. ``unjournaled`` are messages that a gateway took while the journal could not be written and no handoff was
    open; ``broken`` those in whose turn an append failed: neither is promised anything but not to be answered twice."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.bad: list[str] = []
        self.unjournaled: list[Key] = []
        self.broken: set[Key] = set()
        self.cursor = 0
        self.blue: Process | None = None
        self.green: Process | None = None
        self.expected: Process | None = None
        self.owner = "blue"
        self.claims: dict[str, Process] = {}
        self.names: dict[str, str] = {}
        self.accepted: dict[Key, int] = {}
        self.wish_of: dict[int, Key] = {}
        self.settled: dict[int, list[str]] = defaultdict(list)
        self.holders: dict[int, list[Process]] = defaultdict(list)
        self.turns: dict[int, tuple[Process, list[int]]] = {}
        self.intended: dict[int, set[int]] = defaultdict(set)
        self.lost: list[Process] = []
        self.begun: dict[str, int] = {}
        self.owned_ns: dict[Process, int] = {}
        self.alone_ns: dict[Process, int] = {}
        self.flushed: dict[Process, dict[str, str]] = defaultdict(dict)

    def say(self, what: str) -> None:
        """Something that must not be."""
        self.bad.append(what)

    # ------------------------------------------------------------------------ at every moment

    def polled(self, proc: Proc, account: str, offset: int | None) -> None:
        """``proc`` has polled: alone, with a claim, and it confirms nothing that is not in the journal."""
        self.look()
        for other in self.sim.procs:
            if other is not proc and other.status == "running" and account in other.gateway.pollers:
                self.say(f"{proc.name} polls {account} beside {other.name}")
        if self.claims.get(account) != proc.process and not self._serves_alone(proc):
            self.say(f"{proc.name} polls {account} without a claim")
        self._lets_go(proc, account)
        known = self.accepted.keys() | set(self.unjournaled)
        for wish in self.sim.platform.arrived.get(account, []):
            if offset is not None and wish.n < offset and (account, wish.n) not in known:
                self.say(f"{proc.name} confirms {account}/{wish.n}, which is not in the journal")

    def _serves_alone(self, proc: Proc) -> bool:
        """Whether it serves without a journal that it cannot write a claim into, or could not until its manager's last turn."""
        ledger, now_ns = proc.gateway.ledger, self.sim.mono_ns
        if isinstance(ledger, Inbox) and ledger.trouble.alone:
            self.alone_ns[proc.process] = now_ns
        return now_ns - self.alone_ns.get(proc.process, -WRITES_NS) < WRITES_NS

    def _lets_go(self, proc: Proc, account: str) -> None:
        """Who has lost the adapters stops polling soon, once nothing keeps it from that."""
        owned = self.owned_ns.get(proc.process)
        if proc.process == self._owning:
            self.owned_ns[proc.process] = self.sim.mono_ns
        elif owned is not None and not any(call == "pause" for call, _ in proc.gateway.faults):
            since_ns = max(owned, proc.hindered_ns)
            if self.sim.mono_ns - since_ns > LETS_GO_S * 1e9:
                self.say(
                    f"{proc.name} goes on polling {account}, which it lost {(self.sim.mono_ns - owned) / 1e9:.0f} s ago"
                )

    def started(self, proc: Proc, chat: str, wishes: tuple[Key, ...], memory: int) -> None:
        """A turn begins: with all that was said in its chat in mind, and not before what was sent earlier."""
        self.look()
        unseen = any(
            key in self.unjournaled for key in self._of_chat(chat)
        )  # nobody can wait for a turn that is in no record
        if memory != self.sim.said.get(chat, 0) and not unseen and not proc.gateway.blind:
            self.say(f"{proc.name} starts a turn in {chat} knowing {memory} of {self.sim.said.get(chat, 0)} messages")
        for key in wishes:
            if key not in self.unjournaled and key not in self.broken:
                self._in_order(chat, key)

    def _of_chat(self, chat: str) -> list[Key]:
        return [(w.account, w.n) for wishes in self.sim.platform.arrived.values() for w in wishes if w.chat == chat]

    def _in_order(self, chat: str, key: Key) -> None:
        last = self.begun.get(chat, -1)
        if key[1] < last and not self.holders[self.accepted.get(key, 0)][:-1]:
            self.say(f"{key} is begun after {last} of the same chat")
        self.begun[chat] = max(last, key[1])

    def look(self) -> None:
        """Read what is new in the record."""
        records = self.sim.disk.records
        while self.cursor < len(records):
            record = records[self.cursor]
            self.cursor += 1
            if record.seq != self.cursor:
                self.say(f"seq {record.seq} stands at {self.cursor}")
            self._follow(record)

    def _follow(self, record: Record) -> None:
        event, who = record.event, record.process
        if event.ADMISSION == "owner" and who != self._owning:
            self.say(f"seq {record.seq}: {event.TYPE} of {who.pid}, which does not own the adapters")
        match event:
            case e.HandoffRequested():
                self.blue, self.green, self.expected, self.owner = self._owning, None, None, "blue"
            case e.GreenSpawned(green=green):
                self.expected = green
            case e.SessionFlushed(part=part, digest=digest):
                self.flushed[who][part] = digest
            case e.HandoffAck(digests=digests) if self.blue is not None:
                self._agree(record.seq, self.blue, digests)
            case e.HandoffActive() | e.HandoffSeized():
                if any(p == self.blue for p in self.claims.values()) and isinstance(event, e.HandoffActive):
                    self.say(f"seq {record.seq}: blue hands over what it holds")
                self.owner = "green"
            case e.BlueServing():
                if any(p != who for p in self.claims.values()):
                    self.say(f"seq {record.seq}: blue takes what green holds")
                if self.owner == "green" and self.green is not None:
                    self._agree(record.seq, self.green, event.digests)
                self.owner = "blue"
            case e.ProcessStarted(side=side):
                self._sit(side, who, record.seq)
            case e.ProcessExited():
                self._rise(who)
            case e.ProcessLost(process=process):
                self._died(process, record.seq)
            case e.AdapterConnected(account=account):
                account = self.names[account]
                if self.claims.get(account, who) != who:
                    self.say(f"seq {record.seq}: {who.pid} claims {account}, which {self.claims[account].pid} holds")
                self.claims[account] = who
            case e.AdapterPaused(account=account):
                account = self.names[account]
                if self.claims.get(account) == who:
                    del self.claims[account]
            case e.MessageAccepted(account=account, update_id=number):
                self._accepted((self.names[account], int(number)), record.seq)
            case e.TurnStarted(messages=messages):
                self.turns[record.seq] = (who, list(messages))
                for m in messages:
                    if sum(holder in self.lost for holder in self.holders[m]) >= 2:
                        self.say(
                            f"seq {record.seq}: {self.wish_of[m]} is begun again, though two processes died over it"
                        )
                    self.holders[m].append(who)
            case e.TurnJoined(turn=turn, message=message):
                self.turns[turn][1].append(message)
                self.holders[message].append(who)
            case e.ReplyIntended(turn=turn, part=part) | e.ReplySent(turn=turn, part=part):
                if self.turns[turn][0] != who or who in self.lost:
                    self.say(f"seq {record.seq}: {who.pid} speaks in a turn that it does not hold")
                self.intended[turn].add(part)
            case e.MessageSettled(message=message, outcome=outcome):
                self.settled[message].append(outcome)
            case _:
                pass

    def _agree(self, seq: int, owner: Process, digests: Mapping[str, str]) -> None:
        """Who takes over has read what the owner flushed last."""
        if any(digests.get(part) != digest for part, digest in self.flushed[owner].items()):
            self.say(f"seq {seq}: what was loaded is not what {owner.pid} flushed")

    @property
    def _owning(self) -> Process | None:
        return self.blue if self.owner == "blue" else self.green

    def _sit(self, side: str, who: Process, seq: int) -> None:
        if (self.blue if side == "blue" else self.green) not in (None, who):
            self.say(f"seq {seq}: {who.pid} sits down on somebody")
        if side == "blue":
            self.blue = who
        else:
            self.green = who

    def _rise(self, who: Process) -> None:
        self.blue = None if self.blue == who else self.blue
        self.green = None if self.green == who else self.green

    def _died(self, process: Process, seq: int) -> None:
        found = self.sim.find(process)
        if found is not None and found.status != "dead":
            self.say(f"seq {seq}: {found.name} is declared lost, and lives")
        self.lost.append(process)
        self.claims = {a: p for a, p in self.claims.items() if p != process}
        self._rise(process)

    def _accepted(self, key: Key, seq: int) -> None:
        if key in self.accepted:
            self.say(f"{key} is accepted twice, at {self.accepted[key]} and {seq}")
        self.accepted[key], self.wish_of[seq] = seq, key

    # ------------------------------------------------------------------------ at the end

    def verdict(self) -> list[str]:
        """Everything that is wrong with a run that is over."""
        self.look()
        taken: dict[tuple[Key, int], int] = defaultdict(int)
        asked: set[Key] = set()
        parts_of: dict[Key, int] = {}
        for request in self.sim.platform.requests:
            for key in request.wishes:
                asked.add(key)
                taken[key, request.part] += request.taken
                parts_of[key] = request.of
        for (key, part), times in taken.items():
            if times > 1 and key not in self.unjournaled:
                self.say(f"part {part} of the answer to {key} was sent {times} times")
        for wishes in self.sim.platform.arrived.values():
            for wish in wishes:
                key = (wish.account, wish.n)
                if key in self.unjournaled:
                    continue
                parts = [taken[key, part] for part in range(parts_of.get(key, 1))]
                self._one(key, wish.kind, wish.silent, parts, key in asked)
        self._fold()
        return self.bad

    def _one(self, key: Key, kind: str, silent: bool, parts: list[int], asked: bool) -> None:
        seq = self.accepted.get(key)
        if seq is None:
            self.say(f"{key} is lost: it is not in the journal")
            return
        outcomes = self.settled[seq]
        if len(outcomes) != 1:
            self.say(f"{key} (seq {seq}) is settled as {outcomes or 'nothing'}")
            return
        (outcome,) = outcomes
        deaths = [p for p in self.holders[seq] if p in self.lost]
        right = {
            "answered": all(parts),
            "merged": any(parts),
            "no_reply": silent or key in self.broken,
            "ambiguous": asked or self._intended(seq),
            "abandoned": len(deaths) >= (1 if kind == "command" else 2) and not any(parts),
            "refused": False,
        }[outcome]
        if outcome == "merged" and (silent or key in self.broken):
            return
        if not right:
            self.say(f"{key} (seq {seq}) is settled as {outcome}; parts sent {parts}, {len(deaths)} deaths")

    def _intended(self, seq: int) -> bool:
        """Whether a part was about to be sent when its process died: nobody can know more than that."""
        return any(
            seq in messages and self.intended[turn] and (holder in self.lost or self.wish_of[seq] in self.broken)
            for turn, (holder, messages) in self.turns.items()
        )

    def _fold(self) -> None:
        records = self.sim.disk.records
        whole = fold(records)
        cut = self.sim.random.randrange(len(records) + 1)
        if fold(records[cut:], fold(records[:cut])) != whole:
            self.say(f"folding up to {cut} and then the rest is not folding all")
        for proc in self.sim.procs:
            if proc.place is not None and not proc.over:
                state = proc.place._manager._state
                if state != fold(records[: state.head.seq]):
                    self.say(f"{proc.name} has folded something else")
        for difference in check(records).differences:
            self.say(f"replay --check: {difference}")
        if whole.head != self.sim.operator_journal().catch_up():
            self.say("the journal's head is not the state's")
