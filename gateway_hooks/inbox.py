"""The ledger that a gateway writes with: the durable inbox and outbox, over the journal.

An update is in the journal before its platform can consider it consumed. What was accepted and not started is the owner's to take
up, whatever happened to it since: "key already known" never means "drop".
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gateway_hooks.degraded import UNWRITABLE, Trouble
from gateway_hooks.gateway import Ticket, Update
from journal import events as e
from journal.errors import AlreadyTaken, Busy, HandoffError, Refused
from journal.head import Head, verdicts
from journal.pseudonyms import Pseudonyms, seal
from journal.record import Draft, Receipt, Writer
from journal.store import Journal, Reader

log = logging.getLogger("handoff_journal")
PATIENCE = 10
"""How often an append waits for the gate before it gives up."""
GATHERED = frozenset({"text", "album", "other"})
"""Kinds that a gateway may gather for a moment before their turn begins."""
LONGEST = 100
"""Characters of a platform's update number that an event takes as they are."""
_SETTLES: dict[e.TurnOutcome, e.SettledAs] = {
    "answered": "answered",
    "no_reply": "no_reply",
    "failed": "no_reply",
    "cancelled": "no_reply",
}


class Inbox:
    """``gateway_hooks.gateway.Ledger`` over a journal. Thread-safe; every method is a durable append and blocks for it.

    ``on_busy`` is called with the holder's pid when the gate was not free in time, before it is tried again.
    ``taking`` is whether what comes in goes to dispatch; while it is False everything waits in the journal.
    ``trouble`` is why nothing can be appended. What comes in then, while no handoff is open, is message 0: nothing is written of it.
    """

    def __init__(
        self, journal: Journal, names: Pseudonyms, writer: Writer, entropy: Callable[[int], bytes], *, taking: bool
    ) -> None:
        self._journal = journal
        self.names = names
        self._writer = writer
        self.entropy = entropy
        self.on_busy: Callable[[int | None], None] = lambda _holder: None
        self._lock = threading.RLock()
        self._dispatched: set[int] = set()
        self.taking = taking
        self._still = False
        self._unread: set[str] = set()
        self.trouble = Trouble()
        self._owed: list[tuple[Callable[..., None], int, str]] = []

    def accept(
        self, platform: str, account: str, updates: Sequence[Update], next_offset: int | None
    ) -> tuple[Ticket, ...]:
        """See the port. Raises ``StaleEpoch`` when this process does not own the adapters."""
        who = self.names.of("a", account)
        drafts = [self._accepted(platform, who, account, update) for update in updates]
        if next_offset is not None:
            drafts.append(Draft(e.AdapterOffset(platform=platform, account=who, next_offset=next_offset)))
        with self._lock:
            try:
                self._spare()
                receipts = self._append(*drafts)
            except UNWRITABLE:
                if not self.taking or not self._may_go_without():  # what nobody here begins is the platform's to keep
                    raise
                self.trouble.goes_on_without()
                return tuple(Ticket(0, platform, account, update, dispatch=True) for update in updates)
            return tuple(
                Ticket(receipt.seq, platform, account, update, self._claim(receipt.seq))
                for receipt, update in zip(receipts, updates, strict=False)
            )

    def _append(self, *drafts: Draft, patience: int = PATIENCE) -> tuple[Receipt, ...]:
        """Append, and wait for a gate that is held: a turn must not be dropped because somebody else is slow, or stopped."""
        if self.trouble.last is not None and self.trouble.for_good:
            raise self.trouble.last
        for attempt in range(1, patience + 1):
            try:
                receipts = self._journal.append(*drafts, writer=self._writer)
                self.trouble.over()
                return receipts
            except Busy as error:
                if attempt == patience:
                    raise
                self.on_busy(error.holder)
            except UNWRITABLE as error:
                self.trouble.met(error)
                raise
        raise AssertionError("unreachable")

    def _spare(self) -> None:
        """Raise why no message is accepted while the last room on the disk is kept for the end of the handoff."""
        if self.trouble.spares is not None:
            if self._journal.catch_up().open:
                raise self.trouble.spares
            self.trouble.spares = None

    def _may_go_without(self) -> bool:
        """Whether we own the adapters and no handoff is open, so that nobody else waits for what we cannot write; or serve alone."""
        if self.trouble.alone:
            return True
        with suppress(HandoffError):
            self._journal.catch_up()
        head = self._journal.head
        return head.owning == self._writer.process and not head.open

    def _accepted(self, platform: str, who: str, account: str, update: Update) -> Draft:
        payload, digest = seal(_pack(platform, account, update), self.entropy(16))
        event = e.MessageAccepted(
            platform=platform, account=who, chat=self.names.of("c", f"{platform}:{update.chat}"), kind=update.kind,
            update_id=_short(update.update_id), digest=digest,
        )  # fmt: skip
        key = f"{platform}:{who}:{_short(update.update_id)}:{_short(update.stamp)}"
        return Draft(event, key=key, payload=payload)

    def _claim(self, seq: int) -> bool:
        """Whether this update goes to dispatch now. Not when it waits its turn behind its lane, or somebody had it before."""
        head = self._journal.head
        if not self.taking:  # a batch that was still on its way to disk when we let go
            return False
        self._unread |= _foreign_lanes(head, self._writer.process)
        waiting = _waiting(head, self._dispatched)
        if seq not in waiting or head.messages[seq].chat in self._unread:
            return False
        lane = head.messages[seq].chat
        if any(head.messages[s].chat == lane for s in waiting if s < seq):
            return False
        if self._overtakes(head, seq) or self._comes_late(head, seq):
            return False
        self._dispatched.add(seq)
        return True

    def take_up(self, head: Head, reader: Reader, feed: Callable[[Ticket], None]) -> None:
        """Feed the owner's gateway what is due, in order: accepted, not started, its lane not held by the other side.

        Under the lock, so that an update of the same chat which arrives meanwhile comes after it.
        """
        with self._lock:
            self._dispatched &= head.messages.keys() | self._journal.head.messages.keys()
            self._unread |= _foreign_lanes(head, self._writer.process)
            stay = set(self._unread)
            for seq in _waiting(head, self._dispatched) if self.trouble.last is None else ():
                lane = head.messages[seq].chat
                if self._overtakes(head, seq) or self._comes_late(head, seq):
                    stay.add(lane)
                payload = reader.payload(seq) if lane not in stay else None
                if payload is not None and self.taking:
                    self._dispatched.add(seq)
                    feed(_unpack(seq, payload.data))

    def _overtakes(self, head: Head, seq: int) -> bool:
        """Whether it might begin before one of another kind that was dispatched before it: a gateway gathers an album for longer than
        a text. While a turn of the chat runs, it keeps what comes in order itself; and who gives a command waits for nothing.
        """
        lane, kind = head.messages[seq][:2]
        if kind not in GATHERED:
            return False
        before = (head.messages[s] for s in self._dispatched if s < seq and s in head.messages)
        other = any(m.chat == lane and m.turn is None and m.kind in GATHERED and m.kind != kind for m in before)
        return other and lane not in _lanes(head, lambda holder: holder == self._writer.process)

    def _comes_late(self, head: Head, seq: int) -> bool:
        """Whether it would begin after one that was said later, since its own turn could not be opened: that one comes back first."""
        after = (head.messages[s] for s in self._dispatched if s > seq and s in head.messages)
        return any(m.chat == head.messages[seq].chat and m.turn is None and m.due is None for m in after)

    def unread(self, head: Head) -> bool:
        """Whether a turn of the other side has ended whose words this side has not loaded yet. Its chat waits until ``read``."""
        lanes = _foreign_lanes(head, self._writer.process)
        with self._lock:
            self._unread |= lanes
            return bool(self._unread - lanes)

    def read(self, head: Head) -> None:
        """The gateway has loaded what stood on disk at ``head``, or later."""
        with self._lock:
            self._unread = _foreign_lanes(head, self._writer.process)

    def let_go(self) -> None:
        """The gateway has let go and thrown away what it had not started: none of it counts as dispatched any more."""
        with self._lock:
            self.taking = self._still = False
            self._dispatched.clear()

    def hold_still(self) -> None:
        """What comes in from here waits in the journal; what was dispatched goes on."""
        with self._lock:
            self._still = self._still or self.taking
            self.taking = self.taking and not self._still

    def go_on(self) -> None:
        """After ``hold_still``: what has waited is taken up next, before what comes in."""
        with self._lock:
            self.taking = self.taking or self._still
            self._still = False

    def take_hold(self) -> None:
        """The gateway polls again: what comes in is dispatched."""
        with self._lock:
            self.taking = True

    def start(self, messages: Sequence[int], session: str) -> int:
        """See the port. Raises ``StaleEpoch`` or ``AlreadyTaken``. Turn 0 is over messages that are not in the journal.

        What comes behind a message of its chat that could not be started comes back with it, so that they stay in order.
        """
        known = tuple(seq for seq in messages if seq)
        if not known:
            return 0
        with self._lock:
            if self._leaves_behind(known):
                self._dispatched.difference_update(known)
                raise AlreadyTaken(f"message {known[0]} waits behind an earlier one of its chat", hint="it comes back")
        (receipt,) = self._take(Draft(e.TurnStarted(messages=known, session=self.names.of("s", session))), *known)
        return receipt.seq

    def _leaves_behind(self, known: tuple[int, ...]) -> bool:
        """Whether an earlier message of one of these chats has come back and is to be taken up before."""
        held = self._journal.head.messages
        lanes = {held[seq].chat: seq for seq in reversed(known) if seq in held}
        free = [seq for seq in _waiting(self._journal.head, self._dispatched) if seq not in known]
        return any(seq < lanes.get(held[seq].chat, 0) for seq in free)

    def _take(self, draft: Draft, *messages: int) -> tuple[Receipt, ...]:
        """Append what takes these messages. When that fails they come back, those that are free: the journal has them."""
        try:
            return self._append(draft)
        except Exception:
            with self._lock:
                self._dispatched.difference_update(messages)
            raise

    def join(self, turn: int, message: int) -> None:
        """See the port."""
        if turn and message:
            self._take(Draft(e.TurnJoined(turn=turn, message=message), cause=turn), message)
        elif message:
            self.settle(message, "merged")

    def intend(self, turn: int, part: int, of: int | None = None) -> None:
        """See the port. Raises ``LostHold``: do not send."""
        if turn:
            self._append(Draft(e.ReplyIntended(turn=turn, part=part, of=of), cause=turn))

    def sent(self, turn: int, part: int, reference: str | None) -> None:
        """See the port. While this process serves without the journal nothing is said, and the reply counts as ambiguous."""
        try:
            if turn:
                self._append(Draft(e.ReplySent(turn=turn, part=part, reference=reference), cause=turn))
        except UNWRITABLE:
            if not self.trouble.alone:
                raise

    def finish(self, turn: int, outcome: e.TurnOutcome) -> None:
        """See the port. The first message of a merged turn is settled as the turn ended, the others as merged.

        Where a part was intended and its sending never confirmed, nobody knows: all of them are ambiguous. What cannot be written now
        is owed, so that the chat goes on: see ``pay``.
        """
        if turn:
            self._now_or_later(self._finish, turn, outcome)

    def settle(self, message: int, outcome: e.SettledAs) -> None:
        """See the port. What cannot be written now is owed, as an end of a turn is."""
        if message:
            with self._lock:
                self._dispatched.add(message)  # whatever becomes of this, nobody here is to begin it
            self._now_or_later(self._settle, message, outcome)

    def _now_or_later(self, write: Callable[..., None], seq: int, outcome: str) -> None:
        """The gateway will not say it again: left out, a turn would hold its chat for as long as this process lives."""
        try:
            write(seq, outcome)
        except (Busy, *UNWRITABLE) as error:
            log.warning("the end of %d is written down later: %s", seq, error)
            self._owed.append((write, seq, outcome))

    def pay(self) -> None:
        """Write what is owed, in its order. Raises what still stands in the way, without waiting for the gate more than once.

        For one thread only, the manager's: it takes what others put behind.
        """
        while self._owed:
            write, seq, outcome = self._owed[0]
            with suppress(Refused):  # we were settled meanwhile, or somebody else has it
                write(seq, outcome, patience=1)
            del self._owed[0]

    def close(self) -> None:
        """Write what is owed, and end the turns that the record still shows of a gateway that runs none any more, as if it had died.

        A message over which nothing was said is abandoned, and reported: nobody knows what became of it.
        """
        self.pay()
        head, me = self._journal.catch_up(), self._writer.process
        due = verdicts(head, me)
        for number, turn in head.turns.items():
            if turn.holder == me:
                log.error("turn %d was never finished; it is closed as the record has it", number)
                outcome: e.TurnOutcome = "answered" if turn.sent else "cancelled"
                settled = {seq: due.get(seq, "abandoned") for seq in turn.messages if seq in head.messages}
                self._append(*_ends(number, outcome, settled), patience=1)

    def _finish(self, turn: int, outcome: e.TurnOutcome, patience: int = PATIENCE) -> None:
        head = self._journal.head
        held = head.turns.get(turn)
        messages = [seq for seq in held.messages if seq in head.messages] if held else []
        unknown = bool(held and held.intended - held.sent)
        settled: dict[int, e.SettledAs] = {}
        for n, seq in enumerate(messages):
            settled[seq] = "merged" if n and outcome == "answered" else _SETTLES[outcome]
            settled[seq] = "ambiguous" if unknown else settled[seq]
        self._append(*_ends(turn, outcome, settled), patience=patience)

    def _settle(self, message: int, outcome: e.SettledAs, patience: int = PATIENCE) -> None:
        self._append(Draft(e.MessageSettled(message=message, outcome=outcome), cause=message), patience=patience)


def _ends(turn: int, outcome: e.TurnOutcome, settled: Mapping[int, e.SettledAs]) -> list[Draft]:
    ends: list[e.Event] = [e.TurnFinished(turn=turn, outcome=outcome)]
    ends += [e.MessageSettled(message=seq, outcome=each, turn=turn) for seq, each in settled.items()]
    return [Draft(event, cause=turn) for event in ends]


def _waiting(head: Head, dispatched: set[int]) -> list[int]:
    return [s for s, m in head.messages.items() if m.turn is None and m.due is None and s not in dispatched]


def _foreign_lanes(head: Head, me: e.Process) -> set[str]:
    """Chats in which another process has a turn under way."""
    return _lanes(head, lambda holder: holder != me)


def _lanes(head: Head, holds: Callable[[e.Process], bool]) -> set[str]:
    return {
        head.messages[seq].chat
        for turn in head.turns.values()
        if holds(turn.holder)
        for seq in turn.messages
        if seq in head.messages
    }


def _short(name: str) -> str:
    """A platform's number as it is; in the place of one that no event can hold, its digest. An update is never refused for it."""
    raw = name.encode("utf-8", "surrogatepass")
    fits = len(name) <= LONGEST and raw == name.encode("utf-8", "replace")
    return name if fits else f"~{hashlib.sha256(raw).hexdigest()}"


def _pack(platform: str, account: str, update: Update) -> bytes:
    return json.dumps(
        [
            platform,
            account,
            update.update_id,
            update.kind,
            update.chat,
            update.payload.decode("utf-8", "surrogateescape"),
        ]
    ).encode()


def _unpack(seq: int, data: bytes) -> Ticket:
    platform, account, update_id, kind, chat, payload = json.loads(data)
    update = Update(update_id, kind, chat, payload.encode("utf-8", "surrogateescape"))
    return Ticket(seq, platform, account, update, dispatch=True)
