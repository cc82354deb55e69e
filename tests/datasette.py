"""Every view of an export, asked of a real datasette by the command of ``docs/sql.md``: ``python -m tests.datasette DATASETTE``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from journal.export import to_database
from journal.schema import VIEWS
from journal.store import Reader
from tests.builders import ROOT

SERVE = ("datasette", "serve", "--immutable", "handoff.db")


def main(program: str) -> int:
    with tempfile.TemporaryDirectory() as folder, closing(Reader(ROOT / "tests" / "golden" / "finished.db")) as reader:
        to_database(reader, Path(folder) / "handoff.db")
        for view in VIEWS:
            words = [str(Path(program).absolute()), *SERVE[1:], "--get", f"/handoff/{view}.json"]
            told = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
            print(f"{view}: {len(json.loads(told.stdout)['rows'])} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
