"""A reply part between the journal and the platform: announced before, recorded after, never sent twice when nobody knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_hooks.hermes import wire
from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.turns import FRAME, Frame
from journal.errors import DiskTrouble, HandoffError, IllegalTransition, LostHold, Refused

TAKEN = b'{"ok":true,"result":{"message_id":7}}'


class TimedOut(Exception):
    """Stands for the Telegram library's."""


class Forbidden(Exception):
    """Stands for the Telegram library's."""


class Ledger:
    """Records what it is told, and refuses to announce when told so."""

    def __init__(self, refusal: HandoffError | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._refusal = refusal

    def intend(self, turn: int, part: int) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.told.append(("intend", turn, part))

    def sent(self, turn: int, part: int, reference: str | None) -> None:
        self.told.append(("sent", turn, part, reference))


class Request:
    """The library's request object: gives the prepared answers, one for each request."""

    def __init__(self, *answers: tuple[int, bytes] | Exception) -> None:
        self.requests = 0
        self._answers = iter(answers)

    async def do_request(self, url: str) -> tuple[int, bytes]:
        self.requests += 1
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def frame(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frame]:
    """A turn that is replying, and errors in place of the library's."""
    monkeypatch.setattr(wire, "module", lambda _: SimpleNamespace(TimedOut=TimedOut, Forbidden=Forbidden))
    token = FRAME.set(Frame("s", turn=5, stage="replying"))
    found = FRAME.get()
    assert found is not None
    yield found
    FRAME.reset(token)


def send(request: Request, ledger: Ledger, *, held: bool = True) -> tuple[Any, ...]:
    """Have a turn send once; what came of it."""

    async def go() -> tuple[Any, ...]:
        hold = Hold(held=held, green=False)
        hold.ledger = ledger  # type: ignore[assignment]
        wire.tap_sends(request, hold)
        return tuple(await asyncio.gather(request.do_request("bot/sendMessage"), return_exceptions=True))

    return asyncio.run(go())


def test_a_part_is_announced_sent_and_recorded_with_the_platforms_number() -> None:
    ledger, request = Ledger(), Request((200, TAKEN))
    send(request, ledger)
    assert ledger.told == [("intend", 5, 1), ("sent", 5, 1, "7")]


@pytest.mark.parametrize("refusal", [LostHold("not ours"), IllegalTransition("settled")])
def test_what_the_law_refuses_is_not_sent(refusal: HandoffError) -> None:
    request = Request((200, TAKEN))
    (outcome,) = send(request, Ledger(refusal))
    assert isinstance(outcome, Forbidden)
    assert request.requests == 0


def test_who_serves_goes_on_sending_when_the_journal_cannot_be_written() -> None:
    request = Request((200, TAKEN))
    assert send(request, Ledger(DiskTrouble("full"))) == ((200, TAKEN),)


def test_who_has_let_go_sends_nothing_that_the_other_side_does_not_know_of() -> None:
    request = Request((200, TAKEN))
    (outcome,) = send(request, Ledger(DiskTrouble("full")), held=False)
    assert isinstance(outcome, Forbidden)
    assert request.requests == 0


@pytest.mark.parametrize(
    "answer",
    [(502, b"<html>Bad Gateway</html>"), (504, b""), (200, b'{"ok":tr'), (200, b"[]"), ConnectionResetError()],
    ids=["a proxy's 502", "an empty 504", "half an answer", "another answer", "no answer"],
)
def test_a_part_that_may_have_arrived_is_not_announced_again_and_looks_like_a_time_out(
    answer: tuple[int, bytes] | Exception, frame: Frame
) -> None:
    ledger = Ledger()
    (outcome,) = send(Request(answer), ledger)
    assert isinstance(outcome, TimedOut)
    assert ledger.told == [("intend", 5, 1)]
    assert (frame.intended, frame.tried, frame.sent) == (1, 1, 0)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 502])
def test_a_part_that_the_platform_itself_refused_keeps_its_number_for_the_next_attempt(status: int) -> None:
    ledger = Ledger()
    refused = (status, b'{"ok":false,"error_code":1}')
    assert send(Request(refused), ledger) == (refused,)
    send(Request((200, TAKEN)), ledger)
    assert ledger.told == [("intend", 5, 1), ("sent", 5, 1, "7")]


def test_a_request_that_never_left_keeps_its_number() -> None:
    ledger = Ledger()
    (outcome,) = send(Request(type("ConnectError", (Exception,), {})()), ledger)
    assert type(outcome).__name__ == "ConnectError"
    send(Request((200, TAKEN)), ledger)
    assert ledger.told == [("intend", 5, 1), ("sent", 5, 1, "7")]


def test_a_part_whose_sender_is_cancelled_while_it_is_announced_is_sent_by_the_next_one() -> None:
    """As Hermes does with a consumer of streamed replies that has not ended five seconds after its agent."""
    free = threading.Event()

    class Slow(Ledger):
        def intend(self, turn: int, part: int) -> None:
            free.wait(10)
            if ("intend", turn, part) in self.told:
                raise Refused("intended already")
            super().intend(turn, part)

    ledger, request = Slow(), Request((200, TAKEN))

    async def go() -> Any:
        hold = Hold(held=True, green=False)
        hold.ledger = ledger  # type: ignore[assignment]
        wire.tap_sends(request, hold)
        streamed = asyncio.ensure_future(request.do_request("bot/sendMessage"))
        for _ in range(4):
            await asyncio.sleep(0)
        streamed.cancel()
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(streamed, return_exceptions=True)
        assert request.requests == 0
        return await request.do_request("bot/sendMessage")

    assert asyncio.run(go()) == (200, TAKEN)
    assert ledger.told == [("intend", 5, 1), ("sent", 5, 1, "7")]
