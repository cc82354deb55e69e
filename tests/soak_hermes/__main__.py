"""The soak: ``python -m tests.soak_hermes [--messages N] [--kills N] [--chats N] [--seed N] [--rate R] ...``.

It ends with 1 when a promise was broken, says how, and keeps the folder of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.hermes_venv import hermes_venv
from tests.soak_hermes.life import Options, Soak
from tests.soak_hermes.verdict import Outcome, judged


async def soak(folder: Path, options: Options, say: Callable[[str], None]) -> Outcome:
    """Play one soak in a folder of its own, and judge it."""
    began = time.monotonic()
    life = Soak(folder, options, python=str(hermes_venv("0.19.0") / "bin" / "python"), say=say)
    async with life:
        unfinished = await life.play()
        seconds = time.monotonic() - began
        return await asyncio.to_thread(judged, life, unfinished, seconds)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def main() -> int:
    """The command."""
    usual = Options()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=usual.messages)
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument("--chats", type=int, default=usual.chats)
    parser.add_argument("--rate", type=float, default=usual.rate, help="messages a second, when Hermes can follow")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--no-handoffs", action="store_true", help="kill a gateway that nobody promotes")
    parser.add_argument("--keep", type=Path, help="play it in this folder, and keep it")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    options = Options(given.messages, given.kills, given.chats, given.rate, given.seed, not given.no_handoffs)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # that clients go away is the point
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it ends its gateways first
    say(f"seed {options.seed}")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="handoff-soak-"))
    outcome = asyncio.run(soak(folder, options, say))
    say(outcome.told())
    if given.json:
        given.json.write_text(outcome.as_json())
    if outcome.wrong:
        say(f"{len(outcome.wrong)} wrong; the run is in {folder}")
        return 1
    if given.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
