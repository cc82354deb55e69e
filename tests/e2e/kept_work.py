"""Green answers many messages in the bake, the operator rolls back, and blue is asked what it knows of them.

``python -m tests.e2e.kept_work --way hermes --messages 500``; exit code 1 when something was not kept. Judged from the platform's
log, from what the model was asked, and from the gateway's own tables; the journal says only who settled what.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.load import FIRST_CHAT, Player, plan
from gateway_hooks.demo.markers import answered, mark, markers
from gateway_hooks.demo.rig import Rig
from gateway_hooks.demo.run import LIMITS, _settled, _warm_up
from gateway_hooks.demo.wire import Call
from gateway_hooks.orders import Operator
from journal import events as e
from journal.events import Process
from journal.record import Record
from replay.check import check
from replay.fold import State
from tests.hermes_venv import hermes_venv

Way = Literal["reference", "hermes", "upgrade"]
MOST, LEAST = 40, 16
"""So many chats at most, and at least; each is asked about in the end, which costs a turn."""
BEFORE = 4
"""Chats that blue knows before the handoff; the others are green's alone."""
IN_FLIGHT = range(FIRST_CHAT, FIRST_CHAT + 3)
SLOW_S = 8.0
RATE: dict[Way, float] = {"reference": 10.0, "hermes": 3.0, "upgrade": 3.0}
PATIENT = LIMITS.model_copy(update={"silent_s": 15.0, "sample_s": 2.0})
"""On a machine that is busy otherwise most samples of every half second come late, which is for the rules a reason to roll back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a run. ``missing`` says in words what blue does not know; ``began`` how often the model was asked about
    each turn that was in flight at the rollback, and ``ended_by`` who settled it."""

    by_green: int
    verdict: Verdict
    phase: str
    missing: tuple[str, ...]
    backwards: tuple[tuple[int, int], ...]
    handed_twice: int
    began: dict[str, int] = field(default_factory=dict)
    ended_by: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wrong(self) -> tuple[str, ...]:
        """What should not have been."""
        found = [f"lost {self.verdict.lost}"] if self.verdict.lost else []
        found += [f"answered twice {self.verdict.answered_twice}"] if self.verdict.answered_twice else []
        found += [f"unasked {self.verdict.unasked}"] if self.verdict.unasked else []
        found += [f"out of order {self.verdict.disorder}"] if self.verdict.disorder else []
        found += [f"unfounded {self.verdict.unfounded}"] if self.verdict.unfounded else []
        found += [f"the handoff ended in {self.phase}"] if self.phase != "rolled_back" else []
        found += [f"an offset went back {self.backwards}"] if self.backwards else []
        found += [f"in flight: {m} settled by {by}" for m, by in self.ended_by.items() if len(by) != 1]
        return (*found, *self.missing)

    def told(self) -> str:
        """One line for a person."""
        v = self.verdict
        again = sum(times - 1 for times in self.began.values())
        by = dict(Counter(who for each in self.ended_by.values() for who in each))
        return (
            f"{self.by_green} answered by green, {self.phase}; of {len(v.sent)}: {len(v.answered)} answered, {len(v.lost)} lost,"
            f" {len(v.answered_twice)} twice, {len(v.ambiguous)} ambiguous; {len(self.missing)} not known to blue;"
            f" {len(self.backwards)} offsets back, {self.handed_twice} updates handed over twice;"
            f" in flight {len(self.ended_by)}, settled by {by}, begun again {again}"
        )


async def keep(folder: Path, way: Way, messages: int) -> Kept:
    """Green answers ``messages`` in the bake; a rollback over turns in flight and more messages; a question to blue in each chat."""
    rig, runtime = _world(folder, way)
    async with rig:
        blue = rig.start()
        await rig.until(lambda s: s.head.owning == blue and bool(s.head.connected), "blue serves", timeout_s=60)
        await _warm_up(rig)
        said: list[tuple[int, str]] = []

        def say(chat: int, marker: str, slow_s: float | None = None) -> None:
            said.append((chat, marker))
            rig.bot.say(chat, f"what of {mark(marker, slow_s=slow_s)}")

        for place in range(BEFORE):
            say(FIRST_CHAT + place, f"m{90001 + place}")
        await _all_answered(rig, [m for _, m in said], 60)
        await asyncio.to_thread(
            _order, rig, lambda o: o.promote(runtime, 3600.0, PATIENT, e.HandoffTerms(confirm_within_s=3600.0))
        )
        state = await rig.until(
            lambda s: s.head.phase in ("baking", "failed", "rolled_back"), "the bake", timeout_s=120
        )
        green = state.head.green
        assert state.head.phase == "baking", state.failure or state.rollback
        assert green is not None
        chats_used = min(MOST, max(LEAST, messages // 4))
        traffic = plan(
            messages=messages, rate=RATE[way], chats=chats_used, slow_s=0.0, quick_pairs=messages // 25, seed=5
        )
        await Player(rig.bot.say).play(traffic)
        await _all_answered(rig, [item.marker for item in traffic], 120)
        for place, chat in enumerate(IN_FLIGHT):
            say(chat, f"m{91001 + place}", SLOW_S)
        flying = [m for _, m in said[-len(IN_FLIGHT) :]]
        await rig.until(lambda s: len(s.head.turns) >= len(flying), "turns in flight", timeout_s=60)
        say(IN_FLIGHT[0], "m92001")  # waits for the turn in its chat
        across = asyncio.create_task(_across(say))
        await asyncio.to_thread(_order, rig, lambda o: o.rollback())
        await rig.until(lambda s: s.head.phase == "rolled_back", "the rollback", timeout_s=120)
        await across
        await _settled(rig, 0, timeout_s=90)
        asked_from = len(rig.model.asked)
        before = dict(_transcripts(rig.home, way))
        chats = sorted({item.chat_id for item in traffic})
        for chat in chats:
            say(chat, f"m{94000 + chat}")
        verdict = await _settled(rig, 0, timeout_s=120)
        records, ended = rig.records(), rig.read()
        missing = [
            *_not_in(before, [(item.chat_id, item.marker) for item in traffic]),
            *_not_in(
                dict(_transcripts(rig.home, way)),
                [*((item.chat_id, item.marker) for item in traffic), *((chat, f"m{94000 + chat}") for chat in chats)],
            ),
            *(_not_told(rig, before, chats, asked_from) if way != "reference" else ()),
            *_sides(rig, ended, records, green, [item.marker for item in traffic]),
        ]
        calls = rig.bot.log.calls
        by_green = sum(r.type == "MESSAGE_SETTLED" and r.process == green for r in records)
        return Kept(
            by_green, verdict, ended.head.phase, tuple(missing), tuple(_backwards(calls)), _handed_twice(calls),
            _begun(rig, records, flying), _ended_by(rig, records, flying),
        )  # fmt: skip


def _world(folder: Path, way: Way) -> tuple[Rig, str]:
    if way == "reference":
        return Rig(folder, "reference"), "same"
    python = {version: str(hermes_venv(version) / "bin" / "python") for version in ("0.18.2", "0.19.0")}
    if way == "hermes":
        return Rig(folder, "hermes", python=python["0.19.0"]), "same"
    (folder / "home" / "handoff").mkdir(parents=True, mode=0o700)
    command = '["-m", "hermes_cli.main", "gateway", "run", "-v"]'
    (folder / "home" / "handoff" / "runtimes.toml").write_text(
        f'[next]\npython = "{python["0.19.0"]}"\ncommand = {command}\n'
    )
    return Rig(folder, "hermes", python=python["0.18.2"]), "next"


def _order(rig: Rig, give: Callable[[Operator], object]) -> None:
    with closing(Operator(rig.journal)) as operator:
        give(operator)


async def _across(say: Callable[[int, str], None]) -> None:
    for place in range(12):
        say(FIRST_CHAT + 10 + place % 6, f"m{93001 + place}")
        await asyncio.sleep(0.15)


async def _all_answered(rig: Rig, wanted: Sequence[str], timeout_s: float) -> None:
    """Wait until each of them stands in its chat as answered."""
    end, open_ = time.monotonic() + timeout_s, set(wanted)
    while open_:
        calls = rig.bot.log.calls
        open_ -= {m for call in calls if call.message_id for m in answered(call.text or "")}
        assert time.monotonic() < end, f"not answered within {timeout_s:g} s: {sorted(open_)}; look at {rig.folder}"
        await asyncio.sleep(0.1)


# ---------------------------------------------------------------------------------------------- what is held against it


def _transcripts(home: Path, way: Way) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Chat, and what was said there by role, as the gateway's own tables have it: by the routing table."""
    file, query = (
        ("reference.db", "SELECT r.chat, t.role, t.text FROM routing r JOIN transcripts t ON t.session = r.session ORDER BY t.id")
        if way == "reference"
        else (
            "state.db",
            "SELECT g.session_key, m.role, m.content FROM gateway_routing g JOIN messages m"
            " ON m.session_id = json_extract(g.entry_json, '$.session_id') WHERE m.active = 1 ORDER BY m.id",
        )
    )  # fmt: skip
    found: dict[int, list[tuple[str, str]]] = {}
    with closing(sqlite3.connect(f"{(home / file).as_uri()}?mode=ro", uri=True)) as db:
        for key, role, words in db.execute(query):
            if role in ("user", "assistant") and words:
                found.setdefault(int(str(key).rsplit(":", 1)[-1]), []).append((role, words))
    yield from found.items()


def _not_in(known: dict[int, list[tuple[str, str]]], wanted: Sequence[tuple[int, str]]) -> Iterator[str]:
    """What stands not exactly once as a question and once as an answer in its own chat's transcript."""
    for role, name in (("user", "question"), ("assistant", "answer")):
        count = Counter(
            (chat, m) for chat, rows in known.items() for who, words in rows if who == role for m in markers(words)
        )
        yield from (
            f"{name} {m} stands {count[chat, m]} times in chat {chat}" for chat, m in wanted if count[chat, m] != 1
        )


def _not_told(
    rig: Rig, before: dict[int, list[tuple[str, str]]], chats: Sequence[int], asked_from: int
) -> Iterator[str]:
    """Blue, asked once more in each chat, tells the model of all that was said there before. The reference gateway has no model."""
    told = {m: a.history for a in rig.model.asked[asked_from:] for m in a.found if a.kind == "turn"}
    for chat in chats:
        things, known = told.get(f"m{94000 + chat}", 0), len(before.get(chat, []))
        if things <= known:
            yield f"in chat {chat} blue told the model of {things} things, {known} and a question were said"


def _sides(rig: Rig, state: State, records: Sequence[Record], green: Process, wanted: Sequence[str]) -> Iterator[str]:
    """Green has settled all that it was to answer; blue has read just what green flushed; the record agrees with the rules."""
    settled = {r.event.message: r.process for r in records if isinstance(r.event, e.MessageSettled)}
    who = {m: settled.get(seq) for m, seq in _seqs(rig, records, wanted).items()}
    yield from (f"{m} was answered by {process}, not by green" for m, process in who.items() if process != green)
    serving = next(r.event for r in records if isinstance(r.event, e.BlueServing))
    flushed = {
        r.event.part: r.event.digest for r in records if isinstance(r.event, e.SessionFlushed) and r.process == green
    }
    if serving.digests != flushed:
        yield f"green flushed {flushed}, blue serves on {serving.digests}"
    if state.head.owner != "blue":
        yield f"{state.head.owner} owns the adapters"
    yield from (f"replay --check: {difference}" for difference in check(list(records)).differences)


def _backwards(calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """Pairs of offsets that polls named, the later one lower. A poll that names none asks for what is not confirmed."""
    named = [call.offset for call in calls if call.method == "getUpdates" and call.offset]
    yield from ((a, b) for a, b in pairwise(named) if b < a)


def _handed_twice(calls: Sequence[Call]) -> int:
    handed = Counter(update for call in calls if call.method == "getUpdates" for update in call.update_ids)
    return sum(times > 1 for times in handed.values())


def _begun(rig: Rig, records: Sequence[Record], wanted: Sequence[str]) -> dict[str, int]:
    """How many turns were started over the messages with these marks."""
    turns = [r.event.messages for r in records if isinstance(r.event, e.TurnStarted)]
    return {m: sum(seq in turn for turn in turns) for m, seq in _seqs(rig, records, wanted).items()}


def _ended_by(rig: Rig, records: Sequence[Record], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Which side settled the messages with these marks, each time it was settled."""
    settled = [(r.event.message, r.role or "") for r in records if isinstance(r.event, e.MessageSettled)]
    return {m: [role for message, role in settled if message == seq] for m, seq in _seqs(rig, records, wanted).items()}


def _seqs(rig: Rig, records: Sequence[Record], wanted: Sequence[str]) -> dict[str, int]:
    update = {m: str(said.update_id) for said in rig.bot.log.said for m in markers(said.text)}
    accepted = {r.event.update_id: r.seq for r in records if isinstance(r.event, e.MessageAccepted)}
    return {m: accepted[update[m]] for m in wanted}


def main() -> int:
    """Play one way; 1 when something was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=("reference", "hermes", "upgrade"), default="hermes")
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument(
        "--folder", type=Path, help="kept; otherwise a scratch folder that is kept when something went wrong"
    )
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kept-work-"))
    kept = asyncio.run(keep(folder, given.way, given.messages))
    print(f"{given.way}: {kept.told()}")
    for each in kept.wrong:
        print(f"   WRONG: {each}")
    if kept.wrong:
        print(f"look at {folder}")
    return 1 if kept.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
