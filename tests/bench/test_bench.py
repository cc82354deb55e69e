"""The benchmark itself: it runs, it fills every key, and what it compares does the same work. No figure is judged here."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from journal.store import Reader
from journal.verify import verify
from tests.bench.__main__ import TARGETS, main, table
from tests.bench.workload import Bare, beginning, drafts, fill, rows

TINY = ["--events", "60", "--lone", "3", "--appends", "4", "--rounds", "2", "--saturated-s", "0.05"]


def test_the_benchmark_writes_a_figure_for_every_key_that_needs_no_hermes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "bench.json"
    assert main([*TINY, "--json", str(found)]) == 0
    figures = json.loads(found.read_text())["figures"]
    assert [key for key in TARGETS if key not in figures] == ["hermes_gap_ratio", "hermes_tax_ratio"]
    assert all(figure["value"] >= 0 for figure in figures.values())
    printed = capsys.readouterr().out
    assert all(key in printed for key in figures)


def test_a_figure_passes_at_its_target_and_fails_beyond_it() -> None:
    lines = table({"append_single_ratio": {"value": 0.88}, "tail_late": {"value": 1}, "verify_ratio": {"value": 1.4}})
    assert [("pass" in line, "FAIL" in line) for line in lines[1:]] == [(True, False), (False, True), (True, False)]


def test_bare_sqlite_ends_with_the_very_rows_of_the_journal(tmp_path: Path) -> None:
    events = list(drafts(40))
    encoded = rows(tmp_path / "ours", events)
    with closing(Bare(tmp_path / "bare.db", beginning(tmp_path / "ours"))) as bare:
        for row in encoded:
            bare.insert([row])
    with closing(Reader(tmp_path / "bare.db")) as one, closing(Reader(tmp_path / "ours" / "journal.db")) as two:
        assert one.rows("events", after=0) == two.rows("events", after=0)
        assert one.rows("payloads", after=0) == two.rows("payloads", after=0)


def test_the_journal_that_is_read_is_a_good_one(tmp_path: Path) -> None:
    fill(tmp_path / "handoff", 75)
    with closing(Reader(tmp_path / "handoff" / "journal.db")) as reader:
        verdict = verify(reader, head=None)
    assert verdict.good
    assert verdict.events == 77
