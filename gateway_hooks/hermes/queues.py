"""Hermes' own queues between an update and its turn: who waits in them, who was folded into whom, and how to empty them.

Texts wait 180 ms in a batch; photos and albums in batches of their own; what comes while a chat is busy waits in a slot, in a
line behind the slot, or in a debounce buffer; and what comes while a gateway starts waits in yet another list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gateway_hooks.hermes.inbox import Inbox


class Queues:
    """The queues of one runner and of its adapters that we journal."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._inboxes: dict[int, tuple[Any, Inbox]] = {}
        self._coming: dict[object, str] = {}
        self._inside: Counter[str] = Counter()
        self._followups: dict[str, tuple[Inbox | None, str]] = {}

    def watch(self, adapter: Any, inbox: Inbox) -> None:
        """Count an adapter in."""
        self._inboxes[id(adapter)] = (adapter, inbox)

    def retire(self, adapter: Any) -> None:
        """Count an adapter out that was replaced, and throw away what waits for it: a task of its own would run that once more."""
        found = self._inboxes.pop(id(adapter), None)
        if found is not None:
            self._empty([found])

    @property
    def inboxes(self) -> tuple[Inbox, ...]:
        return tuple(inbox for _, inbox in self._inboxes.values())

    def whose(self, event: Any) -> tuple[Inbox | None, str]:
        """Return the inbox that knows an event, and the update id under which it does."""
        update_id = _update_id(event)
        if update_id:
            for _, inbox in self._inboxes.values():
                if update_id in inbox:
                    return inbox, update_id
        return None, update_id

    def stale(self, event: Any) -> bool:
        """Whether an event was journaled and is not ours to run any more: thrown away in a pause, or settled."""
        inbox, update_id = self.whose(event)
        return bool(update_id and self._inboxes) and inbox is None

    def fold(self, into: Any, event: Any) -> None:
        """Hermes has merged ``event`` into ``into``."""
        inbox, update_id = self.whose(event)
        if inbox is None or into is None or into is event:
            return
        if not inbox.merge(_update_id(into), update_id):
            into.platform_update_id = event.platform_update_id  # an event of Hermes' own now speaks for this message

    def coming(self, event: Any) -> Callable[[], object]:
        """A task for the event was made and has not begun; what is returned says that it has, or never will."""
        token = object()
        self._coming[token] = _update_id(event)
        return lambda: self._coming.pop(token, None)

    @contextmanager
    def inside(self, event: Any) -> Iterator[None]:
        """The event is on its way through Hermes, to a queue or to its turn, which can take a while."""
        update_id = _update_id(event)
        self._inside[update_id] += 1
        try:
            yield
        finally:
            self._inside[update_id] -= 1
            self._inside += Counter()  # without those that came to nothing

    def note_followup(self, session: str, event: Any) -> None:
        """The event was taken out of its queue to run next in the session's task."""
        self._followups[session] = self.whose(event)

    def forget_followup(self, session: str) -> tuple[Inbox | None, str] | None:
        """Return and forget what was to run next in a session: ``(None, "")`` for an event that Hermes made itself."""
        return self._followups.pop(session, None)

    def will_queue(self, event: Any, session: str) -> bool:
        """Whether ``_handle_message`` is about to put the event off instead of running it."""
        runner = self._runner
        starting = getattr(runner, "_startup_restore_in_progress", False)
        if starting and not getattr(event, "_hermes_startup_restore_replay", False):
            return True
        return session in runner._running_agents and not event.get_command()

    def holds(self, update_id: str) -> bool:
        """Whether an event waits somewhere and will come up by itself."""
        return update_id in self._queued()

    def of(self, session: str) -> set[str]:
        """The update ids of what waits behind a session's turn."""
        slots = [getattr(adapter, "_pending_messages", {}).get(session) for adapter, _ in self._inboxes.values()]
        line = (getattr(self._runner, "_queued_events", None) or {}).get(session, [])
        return {_update_id(event) for event in (*slots, *line) if event is not None} - {""}

    def move_up(self, session: str) -> None:
        """The first of a session's line takes the slot, when that is free.

        Hermes does so at the end of an agent's run only: what waits behind a command would stay there until somebody writes again.
        """
        lines = getattr(self._runner, "_queued_events", None) or {}
        line = lines.get(session) or []
        for adapter, inbox in self._inboxes.values() if line else ():
            slots = getattr(adapter, "_pending_messages", None)
            if slots is not None and session not in slots and any(_update_id(event) in inbox for event in line):
                slots[session] = line.pop(0)
                if not line:
                    del lines[session]
                return

    def ids(self) -> set[str]:
        """The update ids of all events that wait somewhere, or are being put there."""
        return self._queued() | set(self._inside)

    def _queued(self) -> set[str]:
        found = {_update_id(event) for event in self._waiting()}
        return found | set(self._coming.values()) | {update_id for _, update_id in self._followups.values()}

    def empty(self) -> None:
        """Throw away everything that waits and that the journal has; what Hermes made itself stays."""
        self._empty(list(self._inboxes.values()))

    def _empty(self, pairs: Sequence[tuple[Any, Inbox]]) -> None:
        runner, inboxes = self._runner, [inbox for _, inbox in pairs]
        for adapter, inbox in pairs:
            for tasks in ("_pending_text_batch_tasks", "_pending_photo_batch_tasks", "_media_group_tasks"):
                for task in list(getattr(adapter, tasks, {}).values()):
                    task.cancel()
            for name in ("_pending_text_batches", "_pending_photo_batches", "_media_group_events", "_pending_messages"):
                waiting = getattr(adapter, name, {})
                for key in [key for key, event in waiting.items() if _update_id(event) in inbox]:
                    del waiting[key]
            for session, state in list(_debounced(adapter).items()):
                if _update_id(state.event) in inbox:
                    adapter._discard_text_debounce(session)
        lines = getattr(runner, "_queued_events", None) or {}
        for session in list(lines):
            lines[session] = [event for event in lines[session] if not _known(event, inboxes)]
            if not lines[session]:
                del lines[session]
        restore = getattr(runner, "_startup_restore_queue", None)
        if restore:
            restore[:] = [event for event in restore if not _known(event, inboxes)]
        for session, (whose, update_id) in self._followups.items():
            self._followups[session] = (None if whose in inboxes else whose, update_id)
        for inbox in inboxes:
            inbox.throw_away()

    def merging(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Around ``merge_pending_message_event``: one slot for each busy chat."""

        def merge(pending: Any, session: str, event: Any, **options: Any) -> Any:
            before = pending.get(session)
            result = original(pending, session, event, **options)
            now = pending.get(session)
            if before is not None and now is before:
                self.fold(before, event)
            elif before is not None and now is event:
                self._keep_both(pending, session, before, event)
            return result

        return merge

    def _keep_both(self, pending: Any, session: str, before: Any, event: Any) -> None:
        """Hermes has put ``event`` into a slot in the place of ``before``, which would be lost: who was there first comes first.

        It does so with the follow-up that would be the fourth in one task, when another has moved up to the slot meanwhile.
        """
        if self.whose(before)[0] is None:
            return
        lines = getattr(self._runner, "_queued_events", None)
        if lines is None:
            lines = self._runner._queued_events = {}
        line = lines.setdefault(session, [])
        if _number(before) < _number(event):
            pending[session] = before
            line.append(event)
        else:
            line.insert(0, before)

    def batching(self, adapter: Any, name: str, key_of: Callable[..., str]) -> Callable[[Any], Callable[..., Any]]:
        """Around an adapter's method that puts an event into a batch; ``name`` is the dict of batches."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def enqueue(*arguments: Any) -> Any:
                result = original(*arguments)
                self._note_batched(getattr(adapter, name, {}), key_of, arguments)
                return result

            return enqueue

        return make

    def batching_later(self, adapter: Any, name: str) -> Callable[[Any], Callable[..., Any]]:
        """The same around an ``async`` method whose first argument is the key."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            async def enqueue(*arguments: Any) -> Any:
                result = await original(*arguments)
                self._note_batched(getattr(adapter, name, {}), lambda *given: str(given[0]), arguments)
                return result

            return enqueue

        return make

    def debouncing(self, adapter: Any) -> Callable[[Any], Callable[..., Any]]:
        """Around ``_queue_text_debounce``: texts in a busy chat in queue mode."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            async def queue(session: str, event: Any) -> Any:
                before = _debounced(adapter).get(session)
                result = await original(session, event)
                after = _debounced(adapter).get(session)
                if after is not None and after is before:
                    self.fold(after.event, event)
                return result

            return queue

        return make

    def _note_batched(self, batches: Any, key_of: Callable[..., str], arguments: tuple[Any, ...]) -> None:
        event = arguments[-1]
        inbox, update_id = self.whose(event)
        if inbox is None:
            return
        if any(waiting is event for waiting in batches.values()):
            inbox.carry(update_id)
        else:
            self.fold(batches.get(key_of(*arguments)), event)

    def _waiting(self) -> Iterator[Any]:
        for adapter, _ in self._inboxes.values():
            for name in ("_pending_text_batches", "_pending_photo_batches", "_media_group_events", "_pending_messages"):
                yield from list(getattr(adapter, name, {}).values())
            yield from (state.event for state in list(_debounced(adapter).values()))
        for line in list((getattr(self._runner, "_queued_events", None) or {}).values()):
            yield from list(line)
        yield from list(getattr(self._runner, "_startup_restore_queue", None) or [])


def _update_id(event: Any) -> str:
    update_id = getattr(event, "platform_update_id", None)
    return "" if update_id is None else str(update_id)


def _known(event: Any, inboxes: Sequence[Inbox]) -> bool:
    return any(_update_id(event) in inbox for inbox in inboxes)


def _number(event: Any) -> int:
    update_id = _update_id(event)
    return int(update_id) if update_id.isdecimal() else 0


def _debounced(adapter: Any) -> Any:
    store = getattr(adapter, "_text_debounce_store", None)
    return store() if callable(store) else {}
