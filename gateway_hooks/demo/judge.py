"""Who was answered, who was not, and how long nobody listened: read off the Bot API's wire log, and nothing else.

The judge is independent of the journal on purpose: it sees what people wrote and what stands in their chats. From the
journal it takes one thing only, the markers whose replies were reported as ambiguous, and it checks even that.

How a marker is judged, by the number of messages in its chat that answer it:

- 0, not reported: **lost**.
- 0, reported, and a request that would have answered it was begun: **ambiguous**, not lost.
- 0, reported, but no such request was ever begun: **lost**, and the report is **unfounded**; unless its process was hurt in the very
  moment in which it began: that is **ambiguous**, since nobody can know.
- 1: **answered**; when it was reported too, it is answered and ambiguous, for the reporter could not know.
- 2 or more: **answered twice**, whatever was reported. To report a reply does not allow sending it again.

So each marker that was sent is answered, or lost, or ambiguous without an answer. A message counts with its last text,
so an answer that is streamed by edits counts once; a request that the platform refused makes no message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from gateway_hooks.demo.listening import Poller, longest_gap, pollers
from gateway_hooks.demo.markers import UNASKED, answered, markers
from gateway_hooks.demo.wire import Call, Said


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the bot that answers a marker: where, by whom, and how long after the question."""

    marker: str
    chat_id: int
    message_id: int
    client: str
    waited_ms: float


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of the bot in a chat, with its last text. `place` is the number of the call that made it."""

    chat_id: int
    message_id: int
    text: str
    client: str
    at_ns: int
    place: int


@dataclass(frozen=True, slots=True)
class Disorder:
    """In a chat, `late` was written before `early` and answered after it, by another message."""

    chat_id: int
    late: str
    early: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the wire log says.

    Attributes:
        sent: Markers that people wrote, in order.
        unfounded: Markers reported as ambiguous without a request that would have answered them.
        unasked: Messages that answer nobody: a synthetic turn, an unknown marker, or the wrong chat.
        notices: Other messages of the bot, such as "queued" or "back online".
        dropped: Updates that a client threw away by ``drop_pending_updates``.
        gap_ms: The longest time between the first poll and the end in which no getUpdates was open.
        gap_at_ns: When it began.
        pollers: Who polled, in turns.
        answers: One for each marker and message that answers it, in the order of the wire.
    """

    sent: tuple[str, ...]
    answered: tuple[str, ...]
    lost: tuple[str, ...]
    answered_twice: tuple[str, ...]
    ambiguous: tuple[str, ...]
    unfounded: tuple[str, ...]
    unasked: tuple[Sent, ...]
    notices: tuple[Sent, ...]
    disorder: tuple[Disorder, ...]
    dropped: tuple[int, ...]
    gap_ms: float
    gap_at_ns: int
    pollers: tuple[Poller, ...]
    answers: tuple[Answer, ...]

    @property
    def kept(self) -> bool:
        """Whether the promises held: none lost, none twice, none unasked, none out of order, no report unfounded."""
        return not (self.lost or self.answered_twice or self.unasked or self.disorder or self.unfounded)

    def answered_by(self, marker: str) -> tuple[str, ...]:
        """Return the clients that answered a marker."""
        return tuple(answer.client for answer in self.answers if answer.marker == marker)


def judge(
    said: Sequence[Said],
    calls: Sequence[Call],
    *,
    reported: Collection[str] = (),
    unknowable: Collection[str] = (),
    end_ns: int | None = None,
) -> Verdict:
    """Judge a run.

    Args:
        said: What people wrote (`WireLog.said`).
        calls: What the gateways did (`WireLog.calls`), also calls still open.
        reported: Markers whose replies the journal reported as ambiguous.
        unknowable: Markers of which nobody can know whether a request was begun (`knowable`): a report of them is founded.
        end_ns: Monotonic end of the time in which somebody should have listened; take it before the gateways are
            stopped. Without it, the last thing in the log.
    """
    asked = {marker: spoken for spoken in reversed(said) for marker in markers(spoken.text)}
    asked = dict(sorted(asked.items(), key=lambda entry: (entry[1].update_id, markers(entry[1].text).index(entry[0]))))
    messages = sent_messages(calls)
    answers = [
        Answer(marker, sent.chat_id, sent.message_id, sent.client, (sent.at_ns - asked[marker].at_ns) / 1e6)
        for sent in messages
        for marker in answered(sent.text)
        if marker in asked and asked[marker].chat_id == sent.chat_id
    ]
    count = {marker: sum(answer.marker == marker for answer in answers) for marker in asked}
    begun = {marker for call in calls if _speaks(call) for marker in answered(call.text or "")} | set(unknowable)
    excused = {marker for marker in reported if marker in begun}
    unasked = [sent for sent in messages if _is_unasked(sent, asked)]
    gap_ns, gap_at_ns = longest_gap(calls, _end(said, calls) if end_ns is None else end_ns)
    return Verdict(
        sent=tuple(asked),
        answered=tuple(marker for marker in asked if count[marker]),
        lost=tuple(marker for marker in asked if not count[marker] and marker not in excused),
        answered_twice=tuple(marker for marker in asked if count[marker] > 1),
        ambiguous=tuple(marker for marker in asked if marker in excused),
        unfounded=tuple(sorted(marker for marker in reported if marker not in begun)),
        unasked=tuple(unasked),
        notices=tuple(sent for sent in messages if sent not in unasked and not answered(sent.text)),
        disorder=tuple(_disorder(messages, list(asked), asked)),
        dropped=tuple(
            update for call in calls if call.method.lower().endswith("webhook") for update in call.update_ids
        ),
        gap_ms=gap_ns / 1e6,
        gap_at_ns=gap_at_ns,
        pollers=pollers(calls),
        answers=tuple(answers),
    )


def sent_messages(calls: Iterable[Call]) -> tuple[Sent, ...]:
    """Return the messages that the platform took from the bot, in that order, each with its last text."""
    taken: dict[tuple[int, int], Sent] = {}
    for call in calls:
        if not _speaks(call) or call.message_id is None or call.chat_id is None:
            continue
        key = (call.chat_id, call.message_id)
        if key in taken:
            taken[key] = replace(taken[key], text=call.text or taken[key].text)
        else:
            at_ns = call.begin_ns if call.end_ns is None else call.end_ns
            taken[key] = Sent(*key, call.text or "", call.client, at_ns, call.n)
    return tuple(sorted(taken.values(), key=lambda sent: (sent.message_id, sent.place)))


def _speaks(call: Call) -> bool:
    return call.method.lower().startswith(("send", "edit", "copy")) and call.method.lower() != "sendchataction"


def _is_unasked(sent: Sent, asked: dict[str, Said]) -> bool:
    found = answered(sent.text)
    strangers = [marker for marker in found if marker not in asked or asked[marker].chat_id != sent.chat_id]
    return bool(strangers) or (not found and sent.text.strip().startswith(UNASKED))


def _disorder(messages: Sequence[Sent], order: Sequence[str], asked: dict[str, Said]) -> Iterable[Disorder]:
    """Compare first answers only; markers of one message share its place."""
    place = {marker: at for at, marker in enumerate(order)}
    latest: dict[int, str] = {}
    done: dict[int, set[str]] = defaultdict(set)
    for sent in messages:
        ours = {marker for marker in answered(sent.text) if marker in asked and asked[marker].chat_id == sent.chat_id}
        new = sorted(ours - done[sent.chat_id], key=place.__getitem__)
        before = latest.get(sent.chat_id)
        for marker in new:
            if before is not None and place[marker] < place[before]:
                yield Disorder(sent.chat_id, late=marker, early=before)
        done[sent.chat_id] |= ours
        if new and (before is None or place[new[-1]] > place[before]):
            latest[sent.chat_id] = new[-1]


def _end(said: Sequence[Said], calls: Sequence[Call]) -> int:
    times = [call.begin_ns if call.end_ns is None else call.end_ns for call in calls]
    return max((*times, *(spoken.at_ns for spoken in said)), default=0)
