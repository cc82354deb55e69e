"""Whatever is done to the file or the disk: one clear line with its exit code, an end, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_hooks.cli import main
from gateway_hooks.gateway import Ticket, Update
from gateway_hooks.inbox import Inbox
from journal.errors import DiskTrouble, NotAJournal
from journal.pseudonyms import Pseudonyms
from journal.record import Draft, Stamp, Writer
from journal.store import Journal, Reader, create
from journal.trouble import onward
from journal.verify import verify
from tests.builders import BLUE, OPERATOR, ROOT, WAIT_S, Child, out_of_descriptors, preflight, started, writer

GOLDEN = (ROOT / "tests" / "golden" / "finished.db").read_bytes()
PAGE = 4096
READING = (["status"], ["log"], ["replay"], ["audit"], ["verify"], ["export", "OUT"], ["export", "--csv", "OUT2"])


def damaged(seed: int) -> bytes:
    """A journal with a torn page, wild bytes, a lost end, or two pages in each other's place."""
    dice, content = random.Random(seed), bytearray(GOLDEN)
    one, two = (dice.randrange(len(content) // PAGE) * PAGE for _ in range(2))
    match seed % 5:
        case 0:
            content[one + PAGE // 2 : one + PAGE] = bytes(PAGE // 2)
        case 1:
            content[one + PAGE // 2 : one + PAGE] = dice.randbytes(PAGE // 2)
        case 2:
            for _ in range(20):
                content[dice.randrange(len(content))] = dice.randrange(256)
        case 3:
            del content[dice.randrange(1, len(content)) :]
        case _:
            content[one : one + PAGE], content[two : two + PAGE] = content[two : two + PAGE], content[one : one + PAGE]
    return bytes(content)


@pytest.mark.parametrize("seed", range(31))
def test_a_damaged_file_is_a_line_and_an_end_whatever_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    """Each command runs under a limit of processor time: a page that led back once kept ``status`` in a circle for ever."""
    path = tmp_path / "damaged.db"
    path.write_bytes(damaged(seed))
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 30, hard))
    try:
        for words in READING:
            code = main([*(w.replace("OUT", str(tmp_path / "out")) for w in words), "--journal", str(path)])
            told = capsys.readouterr().err
            assert code in (0, 1, 3, 5), words
            assert "unexpected" not in told, words
            assert told.count("\n") == (0 if code in (0, 1) else 1), words
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def test_a_page_that_leads_back_is_not_followed_in_a_circle(tmp_path: Path) -> None:
    with pytest.raises(NotAJournal, match="seq 3 follows seq 48"):
        onward([(19,), (3,)], 48, tmp_path)
    assert onward([(49,), (50,)], 48, tmp_path) == [(49,), (50,)]
    assert onward([], 48, tmp_path) == []


class Served:
    """An inbox over a journal that it owns."""

    def __init__(self, folder: Path, clock: Callable[[], Stamp]) -> None:
        create(folder, at_ns=1)
        self.journal = Journal(folder, clock)
        self.journal.append(Draft(started()), writer=writer(BLUE))
        self.inbox = Inbox(self.journal, Pseudonyms(b"k" * 32), Writer(BLUE, "operator"), os.urandom, taking=True)

    def again(self) -> list[Update]:
        """What a successor is fed."""
        fed: list[Ticket] = []
        self.inbox.let_go()
        self.inbox.take_hold()
        with closing(Reader(self.journal.path)) as reader:
            self.inbox.take_up(self.journal.head, reader, fed.append)
            assert verify(reader, head=None).good
        return [ticket.update for ticket in fed]


@pytest.fixture
def served(tmp_path: Path, clock: Callable[[], Stamp]) -> Iterator[Served]:
    made = Served(tmp_path / "handoff", clock)
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps({"text": "\ud83d alone \udc00"}).encode(),
        "raw \ud800 surrogate".encode("utf-8", "surrogatepass"),
        b"\xff\xfe no utf-8 at all \x00",
        json.dumps({"n": float("nan")}).encode(),
        b"x" * 10_000_000,
        b"",
    ],
    ids=["lone surrogate", "raw surrogate", "no utf-8", "NaN", "10 MB", "empty"],
)
def test_an_update_is_accepted_whatever_is_in_it_and_fed_again_unchanged(served: Served, payload: bytes) -> None:
    served.inbox.accept("telegram", "bot", [Update("1", "text", "ada", payload)], 2)
    assert [update.payload for update in served.again()] == [payload]


@pytest.mark.parametrize("name", ["\ud800", "x" * 5000, "", "ü\n\x00"])
def test_an_update_is_accepted_whatever_it_is_called(served: Served, name: str) -> None:
    for _ in range(2):  # and known again
        served.inbox.accept("telegram", name[:50], [Update(name, "text", name, b"hello", stamp=name)], 2)
    (update,) = served.again()
    assert (update.update_id, update.chat, update.payload) == (name, name, b"hello")


@pytest.mark.parametrize("at_ns", [0, -1, 2**62, -(2**63), 2**63 - 1])
def test_a_clock_that_jumps_changes_no_order(
    folder: Path, capsys: pytest.CaptureFixture[str], clock: Callable[[], Stamp], at_ns: int
) -> None:
    times = iter([clock(), Stamp(at_ns, 5), clock()])
    journal = Journal(folder, lambda: next(times))
    for _ in range(3):
        journal.append(Draft(preflight()), writer=writer(OPERATOR))
    journal.close()
    for words in (["log"], ["log", "--json"], ["status"], ["verify"]):
        assert main([*words, "--journal", str(folder / "journal.db")]) == 0
    assert "unexpected" not in capsys.readouterr().err


def _mounted(place: Path) -> bool:
    """A real small disk where we may mount one."""
    place.mkdir()
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    return told.returncode == 0


_FILLER = """
import resource, signal, sys; from pathlib import Path
from journal.store import Journal, create; from journal.record import Draft, Stamp; from journal.errors import DiskTrouble, NotAJournal
from tests.builders import *
folder = Path(sys.argv[1]); create(folder, at_ns=1)
if sys.argv[2] == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))
journal = Journal(folder, lambda: Stamp(1, 1))
while True:
    try: print(journal.append(Draft(preflight()), writer=writer(OPERATOR))[0].seq, flush=True)
    except DiskTrouble as error: print(error.exit_code, error.line(), flush=True); break
(folder.parent / "ballast").unlink(missing_ok=True)
print("last", flush=True); input()
try: print(journal.append(Draft(preflight()), writer=writer(OPERATOR))[0].seq, flush=True)
except DiskTrouble: print("still full", flush=True)
input()
"""


@pytest.mark.parametrize("kind", ["disk", "limit"])
def test_on_a_full_disk_an_append_is_refused_and_what_was_acknowledged_stands(tmp_path: Path, kind: str) -> None:
    """``disk`` is a tmpfs of 1 MB; where nothing may be mounted a limit on the size of files stands in for it."""
    place = tmp_path / "small"
    mounted = kind == "disk" and _mounted(place)
    place.mkdir(exist_ok=True)
    try:
        (place / "ballast").write_bytes(bytes(200_000))
        with Child(_FILLER, str(place / "handoff"), "disk" if mounted else "limit") as filler:
            told = []
            while (line := filler.line()) != "last":
                told.append(line)
            acknowledged = [int(line) for line in told[:-1]]
            assert told[-1].startswith("74 ")
            assert acknowledged == list(range(1, len(acknowledged) + 1))
            assert len(acknowledged) > 20
            filler.go()
            after = filler.line()
            assert after == (str(len(acknowledged) + 1) if mounted else "still full"), "room was made on the disk"
            with closing(Reader(place / "handoff" / "journal.db")) as reader:
                assert [r.seq for r in reader.all()] == [*acknowledged, *([int(after)] if mounted else [])]
                assert verify(reader, head=None).good
            filler.go()
            filler.wait(WAIT_S)
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def test_without_descriptors_a_line_tells_and_an_open_journal_goes_on(journal: Journal) -> None:
    journal.append(Draft(preflight()), writer=writer(OPERATOR))
    with out_of_descriptors():
        assert journal.append(Draft(preflight()), writer=writer(OPERATOR))[0].seq == 2
        with pytest.raises(DiskTrouble, match="unable to open"):
            Reader(journal.path)
