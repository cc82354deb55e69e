"""``log --follow`` and ``export`` beside living writers: as a person at another terminal types them."""

from __future__ import annotations

import csv
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from journal import events as e
from journal.store import Reader
from journal.verify import verify
from tests.builders import ROOT, WAIT_S, health, preflight
from tests.unit.gateway_hooks.homes import Home

FRONT_DOOR = [sys.executable, "-m", "gateway_hooks.cli"]


class Following:
    """The command in a process of its own, its lines as they come."""

    def __init__(self, home: Home, words: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [*FRONT_DOOR, "log", "--follow", *words, "--home", str(home.path)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def seqs(self, count: int) -> list[int]:
        """The next so many lines, each by its seq."""
        return [int(self._lines.get(timeout=WAIT_S).split()[0]) for _ in range(count)]

    def objects(self, count: int) -> list[dict[str, object]]:
        return [json.loads(self._lines.get(timeout=WAIT_S)) for _ in range(count)]

    def end(self) -> tuple[int, str]:
        """Its exit code and what it complained of, once it has ended."""
        code = self.process.wait(WAIT_S)
        self._reading.join(WAIT_S)
        assert self.process.stderr
        return code, self.process.stderr.read()


@contextmanager
def following(home: Home, *words: str) -> Iterator[Following]:
    """Leaving ends it."""
    found = Following(home, words)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait(WAIT_S)
        found._reading.join(WAIT_S)
        for pipe in (found.process.stdout, found.process.stderr):
            assert pipe
            pipe.close()


def test_what_comes_is_printed_once_and_in_order_until_ctrl_c(home: Home) -> None:
    home.serve()
    with following(home) as found:
        assert found.seqs(3) == [1, 2, 3]
        for seq in range(4, 24):
            home.say(home.system.me(), preflight())
            assert found.seqs(1) == [seq]
        found.process.send_signal(signal.SIGINT)
        assert found.end() == (0, "")


def test_types_and_a_beginning_narrow_what_comes_too(home: Home) -> None:
    home.serve()
    with following(home, "--type", "health", "--since", "3", "--json") as found:
        for _ in range(3):
            home.say(home.system.me(), preflight())
            home.say(home.blue, health())
        assert [(o["seq"], o["type"]) for o in found.objects(4)] == [(n, "HEALTH_SAMPLED") for n in (3, 5, 7, 9)]


def test_a_handoff_is_followed_to_the_next_ones_request_and_no_further(home: Home) -> None:
    home.serve().request()
    with following(home, "--handoff", "h-1", "--json") as found:
        assert [o["type"] for o in found.objects(1)] == ["HANDOFF_REQUESTED"]
        last = home.say(home.blue, e.HandoffFailed(reason="preflight"))
        home.say(home.system.me(), e.HandoffRequested(handoff="h-2", runtime="same", bake_s=1.0))
        assert [o["seq"] for o in found.objects(1)] == [last]
        assert found.end() == (0, "")


def test_a_reader_who_has_seen_enough_ends_it_quietly(home: Home) -> None:
    home.serve()
    read, write = os.pipe()
    process = subprocess.Popen(
        [*FRONT_DOOR, "log", "-f", "--home", str(home.path)],
        cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    with process:
        home.say(home.system.me(), preflight())
        home.say(home.system.me(), preflight())
        assert process.wait(WAIT_S) == 141
        assert process.stderr
        assert process.stderr.read() == ""


@pytest.mark.parametrize("form", ["", "--jsonl", "--csv"])
def test_an_export_of_any_form_is_whole_while_somebody_appends(home: Home, tmp_path: Path, form: str) -> None:
    home.serve()
    over = threading.Event()

    def append() -> None:
        while not over.is_set():
            home.say(home.system.me(), preflight(), preflight())
            home.journal.tidy()

    writing = threading.Thread(target=append)
    writing.start()
    try:
        for n in range(3):
            target = tmp_path / f"copy-{n}"
            asked = subprocess.run(
                [*FRONT_DOOR, "export", str(target), *([form] if form else []), "--home", str(home.path), "--json"],
                cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S * 3, check=False,
            )  # fmt: skip
            assert (asked.returncode, asked.stderr) == (0, "")
            told = json.loads(asked.stdout)
            assert _seqs(target, form) == list(range(1, told["events"] + 1))
            assert told["head"]["seq"] == told["events"]
            assert told["events"] % 2 == 1, "never half an append"
    finally:
        over.set()
        writing.join(WAIT_S)


def _seqs(path: Path, form: str) -> list[int]:
    if form == "--jsonl":
        return [json.loads(line)["seq"] for line in path.read_text().splitlines()]
    if form == "--csv":
        with path.open(newline="") as file:
            return [int(row["seq"]) for row in csv.DictReader(file)]
    with closing(Reader(path)) as reader:
        assert verify(reader, head=None).good
        return [record.seq for record in reader.all()]
