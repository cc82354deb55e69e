"""What ``docs/sql.md`` shows works: every command, every view with the columns that it names."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from journal.export import to_database
from journal.schema import VIEWS
from journal.store import Reader
from tests.builders import ROOT
from tests.datasette import SERVE

TEXT = (ROOT / "docs" / "sql.md").read_text()
GOLDEN = [ROOT / "tests" / "golden" / f"{name}.db" for name in ("finished", "rolled_back", "killed_blue")]
ENV = {**os.environ, "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="module", params=GOLDEN, ids=lambda path: path.stem)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``handoff.db``, the export of a golden journal."""
    folder = tmp_path_factory.mktemp("sql")
    with closing(Reader(request.param)) as reader:
        to_database(reader, folder / "handoff.db")
    return folder


def shown(tool: str) -> list[list[str]]:
    """The command lines of that tool, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words[0] == tool]


def test_the_sqlite_utils_commands_work_and_find_something(place: Path) -> None:
    assert len(shown("sqlite-utils")) == 5
    for words in shown("sqlite-utils"):
        told = subprocess.run(
            [sys.executable, "-m", "sqlite_utils", *words[1:]], cwd=place, env=ENV, capture_output=True, text=True
        )
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.strip()


def test_the_datasette_command_is_the_one_that_is_tried() -> None:
    """Datasette is no dependency: ``make datasette`` installs it beside the project and asks it for every view."""
    assert shown("datasette") == [[*SERVE]]


def test_the_export_command_is_the_one_of_the_front_door() -> None:
    assert shown("handoff-journal") == [["handoff-journal", "export", "handoff.db"]]


def test_the_python_example_runs(place: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    told = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_that_the_page_names(place: Path, view: str) -> None:
    (row,) = re.findall(rf"^\| `{view}` \| [^:]*: (.*?)(?:;.*)? \|$", TEXT, flags=re.MULTILINE)
    with closing(sqlite3.connect(f"{(place / 'handoff.db').as_uri()}?mode=ro", uri=True)) as connection:
        asked = connection.execute(f"SELECT * FROM {view}")
        assert re.findall(r"`(\w+)`", row) == [name for name, *_ in asked.description]


@pytest.mark.parametrize("table", ["events", "payloads", "migrations"])
def test_a_table_has_the_columns_that_the_page_names(place: Path, table: str) -> None:
    (row,) = re.findall(rf"^\| `{table}` \| [^:]*: (.*) \|$", TEXT, flags=re.MULTILINE)
    with closing(sqlite3.connect(f"{(place / 'handoff.db').as_uri()}?mode=ro", uri=True)) as connection:
        asked = connection.execute(f"SELECT * FROM {table}")
        assert re.findall(r"`(\w+)`", row) == [name for name, *_ in asked.description]


def test_the_views_say_what_happened(place: Path) -> None:
    """Against the events themselves: nothing is left out, and nothing stands twice."""
    with closing(sqlite3.connect(f"{(place / 'handoff.db').as_uri()}?mode=ro", uri=True)) as connection:

        def count(sql: str) -> int:
            return int(connection.execute(sql).fetchone()[0])

        for view, type_ in (
            ("handoffs", "HANDOFF_REQUESTED"),
            ("messages", "MESSAGE_ACCEPTED"),
            ("turns", "TURN_STARTED"),
        ):
            assert count(f"SELECT count(*) FROM {view}") == count(f"SELECT count(*) FROM events WHERE type = '{type_}'")
        settled = count("SELECT count(*) FROM events WHERE type = 'MESSAGE_SETTLED'")
        assert count("SELECT count(*) FROM messages WHERE outcome <> 'open'") == settled > 0
        assert count("SELECT count(*) FROM handoffs WHERE outcome = 'open'") == 0
