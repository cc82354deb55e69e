"""What people wrote, and who they are, goes through the real inbox, and stands nowhere once it is settled and quiet."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks import wording
from gateway_hooks.gateway import Update, Watcher
from gateway_hooks.inbox import Inbox
from gateway_hooks.manager import Manager
from gateway_hooks.process import System
from journal import events as e
from journal.bell import read_head
from journal.export import to_database
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Writer
from journal.store import Journal, Reader, create, read_key
from journal.verify import verify
from replay.fold import State
from tests.builders import ROOT
from tests.unit.gateway_hooks.idle import IdleGateway

RUNS = 200
TEXT, TOKEN, PHONE, WATCHED = "xyzzy-said", "8123456:AAxyzzy-token", "+49170xyzzy", "xyzzy-watched"
SECRETS = ("xyzzy", TOKEN, "8123456")
"""Every marked word holds the first; none of them may be found, in whatever encoding a file may have."""


class Place:
    """A home with a manager over a gateway that answers nobody; the log of this process is kept."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "handoff"
        create(self.folder, at_ns=1)
        system = System()
        self.me = system.me()
        self.journal = Journal(self.folder, system.now)
        writer = Writer(self.me, "operator")
        self.journal.append(
            Draft(e.ProcessStarted(side="blue", serving=True, gateway="idle", version="1", runtime="same")),
            writer=writer,
        )
        self.inbox = Inbox(self.journal, Pseudonyms(read_key(self.folder)), writer, os.urandom, taking=True)
        self.log = io.StringIO()
        self.manager = Manager(self.journal, IdleGateway(), self.inbox, system, writer, _no_green, polling=True)

    def files_with(self, *words: str) -> list[str]:
        found = []
        for path in sorted(p for p in self.home.rglob("*") if p.is_file()):
            content = _bytes_of(path)
            if any(word.encode(code) in content for word in words for code in ("utf-8", "utf-16-le", "utf-16-be")):
                found.append(path.name)
        return found


def _bytes_of(path: Path) -> bytes:
    """Read by another process: opening a file here that SQLite has open would drop its locks."""
    code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True).stdout


def _no_green(_: State) -> e.Process:
    raise AssertionError


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "home")
    handler = logging.StreamHandler(made.log)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    yield made
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    made.manager.stop()
    made.manager._reader.close()
    made.manager._bell.close()
    made.journal.close()


def _update(n: int) -> Update:
    body = {"message": {"text": f"{TEXT} {n % 7} ü", "from": PHONE, "token": TOKEN}}
    return Update(str(n), "text", f"{PHONE}{n % 5}", json.dumps(body, ensure_ascii=False).encode())


def _live(place: Place, first: int = 0) -> None:
    """Messages are accepted, merged, answered, refused; a watcher is handed over and adopted."""
    inbox = place.inbox
    for n in range(first, first + RUNS, 2):
        one, two = inbox.accept("telegram", TOKEN, [_update(n), _update(n + 1)], n + 2)
        if n % 6 == 0:
            inbox.settle(one.message, "refused")
            inbox.settle(two.message, "no_reply")
            continue
        turn = inbox.start([one.message], f"agent:main:telegram:dm:{PHONE}")
        inbox.join(turn, two.message)
        inbox.intend(turn, 0, 1)
        inbox.sent(turn, 0, str(n))
        inbox.finish(turn, "answered")
    watcher = Watcher(f"{WATCHED}-name", f"{WATCHED} pid 7".encode())
    draft = wording.handed_over(place.manager._names, watcher, b"s" * 16)
    (receipt,) = place.journal.append(draft, writer=Writer(place.me, "operator"))
    place.manager._say(e.WatcherAdopted(handed_over=receipt.seq))


def test_the_marks_are_found_where_they_have_to_be(place: Place) -> None:
    """Else the next test could not fail."""
    place.inbox.accept("telegram", TOKEN, [_update(0)], 1)
    assert place.files_with("xyzzy") == ["journal.db-wal"]
    assert place.files_with("8123456") == ["journal.db-wal"]


def test_nothing_that_was_said_stands_anywhere_once_it_is_settled_and_quiet(place: Place, tmp_path: Path) -> None:
    _live(place)
    assert place.files_with("xyzzy") == ["journal.db-wal"]
    place.manager._seen.tidied_ns = -(10**18)  # five seconds later
    place.manager.step()
    assert place.files_with(*SECRETS) == []
    told = place.log.getvalue()
    home = str(place.home)
    for words in (
        ["status"],
        ["log"],
        ["replay", "--at", "20"],
        ["verify"],
        ["doctor"],
        ["audit"],
        ["replay", "--check"],
    ):
        for as_json in ([], ["--json"]):
            asked = subprocess.run(
                [sys.executable, "-m", "gateway_hooks.cli", *words, *as_json, "--home", home],
                cwd=ROOT, capture_output=True, text=True, env={**os.environ, "HANDOFF_JOURNAL_DEBUG": "1"},
            )  # fmt: skip
            told += asked.stdout + asked.stderr
    with closing(Reader(place.journal.path)) as reader:
        assert verify(reader, head=read_head(place.folder / "bell")).good
        to_database(reader, tmp_path / "copy.db")
        assert reader.rows("payloads", after=0) == []
    told += (tmp_path / "copy.db").read_bytes().decode("latin-1")
    assert [word for word in SECRETS if word in told] == []


def test_equal_texts_have_different_digests(place: Place) -> None:
    _live(place)
    with closing(Reader(place.journal.path)) as reader:
        digests = [r.event.digest for r in reader.all() if isinstance(r.event, e.MessageAccepted)]
    assert len(set(digests)) == len(digests) == RUNS


def test_the_very_same_message_has_another_digest_the_second_time(place: Place) -> None:
    """Same number, chat and text, given twice by the platform: nothing but the salt differs, so nobody can try words out."""
    for stamp in ("1", "2"):
        place.inbox.accept("telegram", TOKEN, [Update("7", "text", PHONE, TEXT.encode(), stamp=stamp)], None)
    with closing(Reader(place.journal.path)) as reader:
        one, two = (r for r in reader.all() if isinstance(r.event, e.MessageAccepted))
        words = [reader.payload(r.seq) for r in (one, two)]
    assert words[0] is not None
    assert words[1] is not None
    assert words[0].data == words[1].data
    assert words[0].salt != words[1].salt
    assert one.event.digest != two.event.digest  # type: ignore[attr-defined]


def test_words_that_another_process_has_erased_are_tidied_too(place: Place) -> None:
    other = Journal(place.folder, System().now)
    (ticket,) = place.inbox.accept("telegram", TOKEN, [_update(1)], 2)
    other.append(Draft(e.MessageSettled(message=ticket.message, outcome="refused")), writer=Writer(place.me, "blue"))
    place.manager._seen.tidied_ns = -(10**18)
    place.manager._seen.sampled_ns = System().now().mono_ns  # it says nothing itself meanwhile
    place.manager.step()
    assert place.files_with("xyzzy") == []
    other.close()


def test_no_traceback_tells_what_was_said(place: Place) -> None:
    told = ""
    for attempt in (
        lambda: e.ReplySent(turn=1, part=0, reference=TEXT * 100),
        lambda: e.MessageAccepted(
            platform="p", account=PHONE, chat=PHONE, kind=TEXT, update_id=TEXT * 100, digest=TEXT  # type: ignore[arg-type]
        ),
        lambda: e.parse("REPLY_SENT", 1, json.dumps({"turn": TEXT})),
        lambda: place.inbox.accept(TEXT * 100, TOKEN, [_update(1)], 2),
        lambda: place.inbox.sent(1, 0, TEXT),
        lambda: place.inbox.settle(99, TEXT),  # type: ignore[arg-type]
    ):  # fmt: skip
        try:
            attempt()
        except Exception:
            told += traceback.format_exc()
    assert told.count("Traceback") >= 6
    messages = [line for line in told.splitlines() if not line.startswith("    ")]
    assert [line for line in messages if "xyzzy" in line] == []
