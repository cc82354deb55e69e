"""Make the golden journals: ``python -m tests.golden.make`` in the project's folder.

What was made once is kept for ever: a file that stands is never written again. A new version of the vocabulary gets new journals
beside the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from journal import events as e
from journal.record import Record
from replay.audit import audit
from replay.check import check
from replay.data import fingerprint, of_check
from replay.fold import fold
from replay.timeline import read
from tests.builders import BLUE, DIGESTS, GREEN, OPERATOR, handed_over
from tests.unit.replay.histories import History, connected, paused

HERE = Path(__file__).parent


def finished() -> History:
    """Traffic before, during and after; a turn that blue finishes after it let go; a watcher; the bake's whole length."""
    history = History().init(bake_s=30.0)
    history.answer(history.accept(1), history.accept(2))
    under_way = history.turn(history.accept(3, chat=2))
    history.flushed().say(GREEN, e.HandoffAck(flushed_seq=history.head.flushed_seq, digests=DIGESTS))
    watcher = history.say(BLUE, paused(), handed_over(), e.HandoffActive(turns=1)) + 1
    history.say(GREEN, connected(), e.WatcherAdopted(handed_over=watcher))
    behind = history.accept(4, chat=2)
    history.confirm()
    history.intend(under_way)
    history.sent(under_way)
    history.finish(under_way)
    history.answer(behind)
    history.wait(30)
    history.sample(BLUE)
    history.say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    history.say(BLUE, e.ProcessExited())
    history.answer(history.accept(5))
    return history


def rolled_back() -> History:
    """Green dies in the bake between an intention and its record: one reply is ambiguous, one message is taken up by blue."""
    history = History().baking()
    history.intend(history.turn(history.accept(1)))
    free = history.turn(history.accept(2, chat=2))
    assert free
    lost = history.lose("green", BLUE)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(lost,)))
    history.say(BLUE, e.BlueServing(flushed_seq=0, digests=DIGESTS))
    history.say(BLUE, connected())
    history.answer(min(history.head.messages))
    return history


def killed_blue() -> History:
    """Blue dies in ack with a command in hand: it is abandoned, green seizes, and finishes the bake alone."""
    history = History().ack(bake_s=20.0)
    history.turn(history.accept(1, kind="command"))
    waiting = history.accept(2)
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.say(GREEN, connected())
    history.answer(waiting)
    history.confirm()
    history.wait(20)
    history.say(GREEN, e.HandoffComplete(sample=history.sample(GREEN)))
    return history


def bad() -> History:
    """The chain is good and the law admits every event, but green confirmed on one sample, before it had polled cleanly."""
    history = History().connected(bake_s=0.0)
    sample = history.sample(GREEN, polls=0)
    history.say(GREEN, e.HandoffConfirm(samples=(sample,)))
    history.say(BLUE, e.HandoffComplete(sample=sample))
    history.say(BLUE, e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="next", bake_s=60.0))
    return history


JOURNALS: tuple[Callable[[], History], ...] = (finished, rolled_back, killed_blue, bad)


def verdict(records: Sequence[Record]) -> dict[str, Any]:
    """What is compared for ever: the state, the steps, recorded against decided, the findings and what proves them."""
    found = audit(lambda: records, "h1")
    return {
        "head": records[-1].hash.hex(),
        "state": fingerprint(fold(records)),
        "steps": [
            f"{stay.since.seq} {stay.type} by {stay.role}: {stay.phase}" for stay in read(records).select("h1").stays
        ],
        "check": of_check(check(records)),
        "audit": {
            "outcome": found.outcome,
            "messages": dict(found.messages),
            "findings": [f"{f.level} {f.code} {list(f.seqs)}" for f in found.findings],
        },
    }


def main() -> None:
    for journal in JOURNALS:
        path = HERE / f"{journal.__name__}.db"
        if path.exists():
            print(f"{path.name} stands already")
            continue
        history = journal()
        history.export(path)
        path.with_suffix(".json").write_text(json.dumps(verdict(history.records), indent=2) + "\n")
        print(f"{path.name}: {history.seq} events")


if __name__ == "__main__":
    main()
