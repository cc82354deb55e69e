"""Every bad place a journal can be in, through the front door: one clear line, its exit code, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from journal.errors import Unusable
from journal.record import Draft, Stamp, Writer
from journal.store import Journal, Reader
from journal.verify import verify
from tests.builders import OPERATOR, ROOT, preflight
from tests.unit.gateway_hooks.homes import a_home
from tests.unit.gateway_hooks.plight import NOBODY, Told

READING = [["status"], ["log"], ["replay", "--at", "5"], ["verify"], ["export", "OUT"], ["log", "--json"]]
WRITING = [["complete", "--no-wait"], ["rollback", "--no-wait"], ["rollback", "--no-wait", "--json"]]
Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def grounds() -> Iterator[Path]:
    """A folder that everybody may enter; ``grounds / "model"`` is a home in its bake, whose processes live."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        with a_home(place / "model") as home:
            home.bake()
            home.journal.close()
            yield place
    finally:
        shutil.rmtree(place)


def _copy(grounds: Path, name: str) -> Path:
    shutil.copytree(grounds / "model", grounds / name)
    return grounds / name


@pytest.fixture
def bad(grounds: Path) -> Iterator[Path]:
    """A copy to be spoilt."""
    home = _copy(grounds, "bad")
    yield home
    for path in (home, home / "handoff"):
        path.chmod(0o700)
    shutil.rmtree(home)


def ask(grounds: Path, bad: Path, commands: list[list[str]], how: str = "") -> list[Told]:
    """Run them in a child that is in that plight."""
    good = _copy(grounds, "good")
    given = json.dumps({"good": str(good), "bad": str(bad), "how": how, "commands": commands})
    try:
        told = subprocess.run(
            [sys.executable, "-m", "tests.unit.gateway_hooks.plight", given],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(good)
    assert told.returncode == 0, told.stderr
    answers: list[Told] = json.loads(told.stdout)
    return answers


def is_a_line(words: list[str], told: Told) -> None:
    """Nothing when it went well; otherwise one line, or one object, that says what is wrong and what to do."""
    code, out, err = told
    assert "unexpected" not in err, (words, err)
    assert "Traceback" not in out + err, (words, err)
    assert len(err.splitlines()) == (1 if code > 1 else 0), (words, told)
    if code > 1 and "--json" in words:
        answer = json.loads(err)
        assert answer["exit_code"] == code
        assert answer["hint"]
    elif code > 1:
        assert "; " in err, err


def holds_what_was_acknowledged(home: Path, seq: int) -> None:
    with closing(Reader(home / "handoff" / "journal.db")) as reader:
        assert reader.last_seq() >= seq
        assert verify(reader, head=None).good


def _text(handoff: Path) -> None:
    (handoff / "journal.db").write_text("something else\n" * 100)


def _empty(handoff: Path) -> None:
    (handoff / "journal.db").write_bytes(b"")


def _truncated(handoff: Path) -> None:
    os.truncate(handoff / "journal.db", (handoff / "journal.db").stat().st_size // 2)


def _torn(handoff: Path) -> None:
    with (handoff / "journal.db").open("r+b") as file:
        file.seek(4096 + 512)
        file.write(bytes(range(256)) * 14)


def _newer(handoff: Path) -> None:
    _sql(handoff, "PRAGMA user_version = 99")


def _unknown(handoff: Path) -> None:
    _sql(
        handoff,
        "INSERT INTO events SELECT seq + 1, handoff, 'FUTURE_EVENT', v, role, pid, started, boot, epoch, at_ns, mono_ns,"
        " NULL, cause, body, hash, zeroblob(32) FROM events ORDER BY seq DESC LIMIT 1",
    )


def _sql(handoff: Path, statement: str) -> None:
    with closing(sqlite3.connect(handoff / "journal.db", isolation_level=None)) as connection:
        connection.execute(statement)


def _gone(handoff: Path) -> None:
    (handoff / "journal.db").unlink()


def _folder(handoff: Path) -> None:
    _gone(handoff)
    (handoff / "journal.db").mkdir()


def _circle(handoff: Path) -> None:
    _gone(handoff)
    (handoff / "journal.db").symlink_to("journal.db")


def _no_gate_no_bell(handoff: Path) -> None:
    (handoff / "gate").unlink()
    shutil.rmtree(handoff / "bell")


def _others_may_write_the_folder(handoff: Path) -> None:
    handoff.chmod(0o777)


def _others_may_write_the_file(handoff: Path) -> None:
    (handoff / "journal.db").chmod(0o666)


def _read_only_file(handoff: Path) -> None:
    _give_away(handoff)
    (handoff / "journal.db").chmod(0o400)


def _read_only_folder(handoff: Path) -> None:
    """As an archive would stand there: without the files beside it that a reader needs and may not make."""
    for path in handoff.glob("journal.db-*"):
        path.unlink()
    _give_away(handoff)
    (handoff / "journal.db").chmod(0o400)
    handoff.chmod(0o500)


def _somebody_elses(handoff: Path) -> None:
    handoff.chmod(0o700 if os.geteuid() == 0 else 0)


def _somebody_elses_to_look_at(handoff: Path) -> None:
    handoff.chmod(0o755 if os.geteuid() == 0 else 0)
    (handoff / "journal.db").chmod(0o644)


def _give_away(handoff: Path) -> None:
    """To the user that a stranger is; whoever is not root is that already."""
    if os.geteuid() == 0:
        for path in (handoff.parent, handoff, *handoff.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


@dataclass(frozen=True)
class Place:
    """How it is spoilt, what reading and writing end with, and whether a user without rights asks."""

    spoil: Spoil
    reading: set[int]
    writing: set[int]
    stranger: bool = False


PLACES = [
    Place(_text, {5}, {5}),
    Place(_empty, {5}, {5}),
    Place(_truncated, {5}, {5}),
    Place(_torn, {5}, {5}),
    Place(_newer, {5}, {5}),
    Place(_unknown, {0, 5}, {5}),
    Place(_gone, {3}, {3}),
    Place(_folder, {3}, {3}),
    Place(_circle, {3}, {3}),
    Place(_no_gate_no_bell, {0}, {0, 4}),
    Place(_others_may_write_the_folder, {0}, {5}),
    Place(_others_may_write_the_file, {0}, {5}),
    Place(_read_only_file, {0}, {74}, stranger=True),
    Place(_read_only_folder, {74}, {74}, stranger=True),
    Place(_somebody_elses, {74}, {74}, stranger=True),
    Place(_somebody_elses_to_look_at, {74}, {5, 74}, stranger=True),
]
SOUND = {_no_gate_no_bell, _others_may_write_the_folder, _others_may_write_the_file, _read_only_file, _read_only_folder}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.spoil.__name__.strip("_"))
def test_a_bad_place_is_one_line_with_its_exit_code(grounds: Path, bad: Path, place: Place) -> None:
    with closing(Reader(bad / "handoff" / "journal.db")) as reader:
        seq = reader.last_seq()
    place.spoil(bad / "handoff")
    told = ask(grounds, bad, READING + WRITING, how="stranger" if place.stranger else "")
    for words, answer in zip(READING + WRITING, told, strict=True):
        is_a_line(words, answer)
        assert answer[0] in (place.reading if words in READING else place.writing), (words, answer)
    if place.spoil in SOUND:
        holds_what_was_acknowledged(bad, seq)


def test_an_unknown_event_is_named_with_what_to_do(grounds: Path, bad: Path) -> None:
    _unknown(bad / "handoff")
    commands = [["status"], ["log"], ["verify"], ["rollback", "--no-wait"]]
    for words, (code, _, err) in zip(commands, ask(grounds, bad, commands), strict=True):
        assert code == 5, words
        assert "FUTURE_EVENT" in err or words == ["verify"], (words, err)


@pytest.mark.parametrize("limit", range(3, 12))
def test_without_descriptors_every_command_is_one_line(grounds: Path, bad: Path, limit: int) -> None:
    commands = [
        *READING,
        ["replay", "--check"],
        ["doctor"],
        *WRITING,
        ["promote", "--no-wait"],
        ["promote", "--dry-run"],
    ]
    told = ask(grounds, bad, commands, how=str(limit))
    for words, answer in zip(commands, told, strict=True):
        is_a_line(words, answer)
        assert answer[0] in ({0, 1, 4, 74} if words in WRITING or words[0] == "promote" else {0, 1, 74}), (
            words,
            answer,
        )
    assert limit > 4 or 74 in [answer[0] for answer in told]
    holds_what_was_acknowledged(bad, 1)


def test_a_writer_in_a_folder_of_others_is_told_before_it_writes(
    folder: Path, journal: Journal, clock: Callable[[], Stamp]
) -> None:
    for path, mode, fit in ((folder, 0o770, 0o700), (folder / "journal.db", 0o620, 0o600)):
        path.chmod(mode)
        with pytest.raises(Unusable, match="others may write") as caught:
            Journal(folder, clock)
        assert (caught.value.exit_code, f"chmod {fit:o}" in caught.value.hint) == (5, True)
        path.chmod(fit)
    assert journal.append(Draft(preflight()), writer=Writer(OPERATOR, "operator"))[0].seq == 1
