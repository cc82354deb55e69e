"""Walk the parts of a long record in processes of their own, one for each core."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gateway_hooks.process import output_of
from journal.errors import HandoffError
from journal.parts import Other, cuts
from journal.reader import Reader
from journal.walk import Found, Head, Part, Walk

LEAST = 100_000
"""Events in a part. A process starts in the time in which another walks about 50,000."""
TIMEOUT_S = 3600.0
_PART = TypeAdapter(Part)


@contextmanager
def among_processes(reader: Reader, head: Head | None) -> Iterator[Sequence[Other]]:
    """As many processes as there are cores for this one, as far as each has enough to do: a ``Split``."""
    stretches = cuts(reader, len(os.sched_getaffinity(0)), LEAST)
    with ThreadPoolExecutor(max(1, len(stretches))) as threads:
        yield [_Elsewhere(cut[0], threads.submit(_ask, reader.path, cut, head)) for cut in stretches]


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    after: int
    said: Future[str]

    def result(self) -> Part | None:
        try:
            return _PART.validate_json(self.said.result())
        except (HandoffError, ValidationError):
            return None


def _ask(path: Path, cut: tuple[int, bytes, int], head: Head | None) -> str:
    after, hash_, until = cut
    kept = [str(head[0]), head[1].hex()] if head else []
    command = [sys.executable, "-P", "-m", "gateway_hooks.side_by_side"]
    return output_of([*command, str(path), str(after), hash_.hex(), str(until), *kept], timeout_s=TIMEOUT_S)


def main(path: str, after: str, hash_: str, until: str, *kept: str) -> int:
    """Walk one part and print it as JSON; 1 and nothing when anything is wrong with it."""
    head = (int(kept[0]), bytes.fromhex(kept[1])) if kept else None
    try:
        with closing(Reader(Path(path))) as reader:
            part = Walk(head).part(reader, int(after), bytes.fromhex(hash_), int(until))
    except (Found, HandoffError):
        return 1
    print(_PART.dump_json(part).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
