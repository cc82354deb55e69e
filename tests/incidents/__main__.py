"""All incidents: ``python -m tests.incidents [--only WORDS] [--piece N/M] [--keep DIR]``. Exit code 1 when one is wrong."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.incidents.deeds import INCIDENTS
from tests.incidents.play import play


def main() -> int:
    """Play them one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.incidents", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--keep", type=Path, help="keep journals and logs there; otherwise only those of wrong audits")
    parser.add_argument("--piece", default="1/1", help="the second of five pieces: 2/5")
    given = parser.parse_args()
    piece, pieces = map(int, given.piece.split("/"))
    folder = given.keep or Path(tempfile.mkdtemp(prefix="incidents-"))
    chosen = [incident for incident in INCIDENTS if given.only in incident.name][piece - 1 :: pieces]
    wrong = 0
    for number, incident in enumerate(chosen, 1):
        begun = time.monotonic()
        place = folder / f"{number:02d}"
        try:
            played = asyncio.run(play(incident, place))
            causes = [f"{c['code']} {c['side'] or ''} {c['seqs']}" for c in played.answer["causes"][:1]]
            told = f"{played.outcome:<12} {'; '.join(causes)}"
            bad = played.wrong
        except AssertionError as error:
            told, bad = "did not end", (str(error),)
        wrong += bool(bad)
        print(f"{number:>2} {incident.name:<40} {time.monotonic() - begun:5.1f} s  {told}", flush=True)
        for each in bad:
            print(f"   WRONG: {each}", flush=True)
        if not bad and not given.keep:
            shutil.rmtree(place)
    if not wrong and not given.keep:
        shutil.rmtree(folder)
    print(f"{len(chosen) - wrong} of {len(chosen)} causes named rightly{f'; see {folder}' if wrong else ''}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
