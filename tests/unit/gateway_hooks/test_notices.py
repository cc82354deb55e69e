"""One notice per handoff: posted once, edited by whoever serves, and no reason for anything else to fail."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable

import pytest

from gateway_hooks.notices import TRIES, Notices, Posted
from journal import events as e
from replay.fold import State
from replay.notice import notice
from tests.builders import health
from tests.unit.gateway_hooks.homes import Home


class Chat:
    """A home channel that several processes speak in."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.refuses = 0


class Mouth:
    """One process' way there."""

    def __init__(self, chat: Chat, *, serves: bool = True) -> None:
        self.chat, self.serves = chat, serves
        self.cut = False

    def mine(self) -> bool:
        return self.serves

    def post(self, text: str) -> Posted | None:
        self._refuse()
        self.chat.messages.append(text)
        if self.cut:
            raise ConnectionError("sent, and nobody knows")
        return Posted("telegram", "99", str(len(self.chat.messages) - 1))

    def edit(self, posted: Posted, text: str) -> None:
        self._refuse()
        self.chat.messages[int(posted.message)] = text

    def _refuse(self) -> None:
        if self.chat.refuses:
            self.chat.refuses -= 1
            raise ConnectionError("no way there")


class Town:
    """A home, its chat, and the notices of a blue and a green."""

    def __init__(self, home: Home) -> None:
        self.home, self.chat, self.now_s = home, Chat(), 0.0
        self.blue, self.green = Mouth(self.chat), Mouth(self.chat, serves=False)

    def notices(self, mouth: Mouth) -> Notices:
        return Notices(self.home.folder, self.home.state, mouth)

    def look(self, *all_: Notices) -> None:
        for each in all_:
            self.now_s += 100.0
            each.look(self.now_s)

    def take_over(self) -> None:
        self.blue.serves, self.green.serves = False, True


@pytest.fixture
def town(home: Home) -> Town:
    return Town(home)


def test_one_message_is_posted_by_blue_and_edited_by_green_up_to_its_last_word(town: Town) -> None:
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    assert town.chat.messages == []
    home.request()
    town.look(blue)
    assert town.chat.messages == ["Handoff to the same runtime: the new gateway is being started; this one serves."]
    home.come_to_bake()
    town.take_over()
    green = town.notices(town.green)
    town.look(blue, green)
    assert len(town.chat.messages) == 1
    assert "the new gateway serves; the old one stands by until" in town.chat.messages[0]
    home.say(home.system.me(), e.HandoffCompleteRequested())
    home.say(home.blue, e.HandoffComplete(sample=home.say(home.green, health())))
    town.look(blue, green)
    assert town.chat.messages == ["Handoff to the same runtime: complete, the new gateway stays."]


def test_a_rollback_is_told_with_its_reason(town: Town) -> None:
    home = town.home.serve().request()
    blue = town.notices(town.blue)
    town.look(blue)
    home.say(home.blue, e.HandoffFailed(reason="preflight", detail="no room"))
    town.look(blue)
    assert town.chat.messages == [
        "Handoff to the same runtime: came to nothing, the gateway serves as before. Why: preflight found a reason (no room)."
    ]


def test_a_crash_between_post_and_record_gives_one_notice_more_and_no_third(town: Town) -> None:
    home = town.home.serve()
    first = town.notices(town.blue)
    town.look(first)
    home.request()
    town.blue.cut = True
    town.look(first)
    (home.folder / "notice.json").write_text('{"handoff": "h-')
    town.blue.cut = False
    again = town.notices(town.blue)
    for _ in range(5):
        town.look(again)
    assert len(town.chat.messages) == 2


class Killed(BaseException):
    """The process is gone: nobody catches it."""


@pytest.mark.parametrize("at", ["ftruncate", "pwrite", "fsync"])
def test_a_process_killed_while_it_keeps_what_it_edited_leaves_one_notice(
    town: Town, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    home.request()
    town.look(blue)
    home.come_to_bake()
    town.take_over()

    def killed(*_: object) -> None:
        raise Killed

    green = town.notices(town.green)
    with monkeypatch.context() as patched:
        patched.setattr(f"gateway_hooks.notices.os.{at}", killed)
        with pytest.raises(Killed):
            town.look(green)
    town.green.serves, town.blue.serves = False, True
    home.say(home.blue, e.HandoffRollback(phase="baking", reason="green_lost"))
    town.look(blue)
    assert town.chat.messages == ["Handoff to the same runtime: rolling back, because the new gateway died."]


def test_a_post_whose_fate_is_unknown_is_tried_once_more_and_then_left(town: Town) -> None:
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    home.request()
    town.blue.cut = True
    for _ in range(5):
        town.look(blue)
    assert len(town.chat.messages) == 2


def test_a_platform_that_refuses_is_asked_again_and_not_for_ever(town: Town) -> None:
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    home.request()
    town.look(blue)
    home.say(home.blue, e.HandoffFailed(reason="spawn"))
    town.chat.refuses = 2
    for _ in range(3):
        town.look(blue)
    assert "came to nothing" in town.chat.messages[0]
    town.chat.refuses = 100
    home.say(home.system.me(), e.HandoffRequested(handoff="h-2", runtime="next", bake_s=60.0))
    for _ in range(2 * TRIES):
        town.look(blue)
    assert town.chat.refuses == 98


def test_what_was_over_before_a_process_came_is_no_news(town: Town) -> None:
    home = town.home.serve().request()
    home.say(home.blue, e.HandoffFailed(reason="spawn"))
    blue = town.notices(town.blue)
    town.look(blue, blue)
    assert town.chat.messages == []


def test_a_notice_whose_end_its_process_did_not_live_to_tell_is_brought_up_to_date_by_the_next(town: Town) -> None:
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    home.request()
    town.look(blue)
    home.say(home.blue, e.HandoffFailed(reason="deadline"))
    town.look(town.notices(town.blue))
    assert town.chat.messages == [
        "Handoff to the same runtime: came to nothing, the gateway serves as before. Why: a phase took longer than it may."
    ]


def test_a_record_that_nobody_has_read_yet_makes_no_old_handoff_new(town: Town) -> None:
    home = town.home.serve().request()
    home.say(home.blue, e.HandoffFailed(reason="spawn"))
    told = iter([State(), home.state()])
    blue = Notices(home.folder, lambda: next(told), town.blue)
    town.look(blue, blue)
    assert town.chat.messages == []


class Interval:
    """Something happens while somebody waits."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens: Callable[[], object] | None = happens

    def wait(self, timeout_s: float) -> bool:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return False


def test_what_the_other_side_posts_meanwhile_is_waited_for_and_edited(town: Town) -> None:
    home = town.home.serve()
    green = town.notices(town.green)
    town.green.serves = True
    town.look(green)
    home.request()
    held = os.open(home.folder / "notice.json", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)

    def posts() -> None:
        town.chat.messages.append("theirs")
        kept = {"handoff": "h-1", "text": "theirs", "posted": {"platform": "telegram", "chat": "99", "message": "0"}}
        os.pwrite(held, json.dumps(kept).encode(), 0)
        os.close(held)

    green._over = Interval(posts)  # type: ignore[assignment]
    town.look(green)
    assert [words.split(":")[0] for words in town.chat.messages] == ["Handoff to the same runtime"]
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(held)  # it was let go while green waited


def test_one_that_is_stopped_while_it_speaks_is_not_waited_for_for_ever(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_hooks.notices.LOCK_S", 0.2)
    home = town.home.serve()
    blue = town.notices(town.blue)
    town.look(blue)
    home.request()
    held = os.open(home.folder / "notice.json", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        town.look(blue)
    finally:
        os.close(held)
    assert len(town.chat.messages) == 1


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((e.HandoffRollback(phase="baking", reason="operator"),), "somebody said so"),
        ((e.HandoffRollback(phase="baking", reason="deadline"),), "a phase took longer than it may"),
        (
            (e.HandoffRollback(phase="baking", reason="green_lost", detail="signal 9"),),
            "the new gateway died (signal 9)",
        ),
    ],
)
def test_the_reason_of_a_rollback_in_the_bake_stands_in_the_text(
    home: Home, events: tuple[e.Event, ...], words: str
) -> None:
    home.bake()
    home.say(home.system.me(), *events)
    said = notice(home.state())
    assert said is not None
    assert (said.final, f"because {words}" in said.text) == (False, True)
