"""What a real Hermes does to whoever takes its adapters away: each trap once, on real processes. A missing Hermes is a failure.

Starting a gateway takes seconds, so the traps share a few lives, and each test asks what became of its own.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway_hooks.demo.judge import Verdict
from gateway_hooks.demo.run import Options, run
from gateway_hooks.demo.shapes import BOT_ID
from gateway_hooks.hermes import seams
from journal.events import Process
from tests.e2e.hermes_life import JOBS, PLUGIN, Life, Line, body
from tests.hermes_venv import hermes_venv

HOME, SLOW, SLOWEST, BATCH, ODD, NEW = 101, 110, 115, 112, 120, 130
JOB, LATE_JOB = 140, 141
CUT, TORN, THROWN, COMMAND = 150, 151, 152, 153
PHONE = 491701234567
LONG, GATHERS = 4000, {"HERMES_TELEGRAM_TEXT_BATCH_SPLIT_DELAY_SECONDS": "3"}
"""So long a text waits so many seconds for its rest; other texts wait a fifth of a second, which a busy machine may sleep away."""
HERMES_GIVES_UP_S = 4.5
"""Hermes tries a reply again 2 to 3 and 4 to 5 s later; 5 s are over when polling is restarted."""


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of an environment that holds hermes-agent 0.19.0 and this project."""
    return str(hermes_venv("0.19.0") / "bin" / "python")


def lived(life: Life, story: Callable[[Life], Awaitable[None]]) -> Verdict:
    """Play a story; the judge's word on it, from before its gateways are ended."""

    async def play() -> Verdict:
        async with life:
            await story(life)
            return life.verdict()

    return asyncio.run(play())


# --------------------------------------------------------------------------- there, back again, and there for good


@dataclass
class Handoffs:
    """A handoff that is rolled back out of its bake, and one that is completed; all that is odd in both."""

    life: Life
    lines: dict[str, Line] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    routed_after_blue: set[int] = field(default_factory=set)
    blue_exit_code: int | None = None
    marker_after_exit: bool = True
    job_lived_on: bool = False
    job_ended_by_itself: bool = False
    verdict: Verdict | None = None

    async def play(self, life: Life) -> None:
        """The story."""
        said, who = self.lines, self.processes
        who["blue"] = await life.serve()
        said["first"] = life.say(HOME)
        said["job"] = self._job(JOB, "first")
        await life.answers(said["first"], said["job"])
        self._odd(ODD, "idle", said["first"])
        await life.answers(said["idle text"], said["idle edit"], said["idle album"])
        await life.quiet()
        life.hold_slow()
        said["slow"] = life.say(SLOW, slow_s=0.1)
        said["slowest"] = life.say(SLOWEST, slow_s=3.0)
        await life.asked(said["slow"])
        await life.asked(said["slowest"])
        handing_over = asyncio.create_task(life.promote(bake_s=120))
        await life.until(lambda s: s.head.phase != "init", "green has loaded", timeout_s=60)
        self._odd(ODD, "crossing", said["first"])
        who["green"] = await handing_over
        self._odd(SLOW, "behind", said["slow"])
        said["new"] = life.say(NEW)
        said["late job"] = self._job(LATE_JOB, "late")
        await life.answers(said["new"], said["late job"])
        life.let_slow_go()
        await life.answers(said["behind text"], said["behind edit"], said["behind album"], said["slowest"])
        await life.quiet()
        self.routed_after_blue = life.routed()
        await life.roll_back()
        said["again"] = life.say(NEW)
        self._let_go("late")
        await life.answers(said["again"])
        await life.holds(lambda: len(life.sends(LATE_JOB)) > 1, "the end of green's job is reported")
        handing_over = asyncio.create_task(life.promote(bake_s=1))
        await life.until(lambda s: s.head.owner == "green", "green owns", timeout_s=60)
        said["second"] = life.say(NEW)
        who["second green"] = await handing_over
        await life.until(lambda s: s.head.phase == "complete", "the handoff is complete", timeout_s=60)
        self.blue_exit_code = await life.ends(who["blue"])
        self.marker_after_exit = (life.home / ".clean_shutdown").exists()
        said["last"] = life.say(HOME)
        await life.answers(said["second"], said["last"])  # time enough for the job to write into its pipe
        self.job_lived_on = not self._done("first").exists()
        self._let_go("first")
        await life.holds(lambda: len(life.sends(JOB)) > 1, "the end of blue's job is reported")
        self.job_ended_by_itself = self._done("first").exists()
        await life.quiet()

    def _job(self, chat: int, name: str) -> Line:
        return self.life.say(chat, f"job {self.life.folder / name}.go {self._done(name)}")

    def _let_go(self, name: str) -> None:
        (self.life.folder / f"{name}.go").touch()

    def _done(self, name: str) -> Path:
        return self.life.folder / f"{name}.done"

    def _odd(self, chat: int, when: str, edited: Line) -> None:
        """Everything at once that is not a plain text in a chat of its own, and two quick texts in the chat beside it."""
        life = self.life
        album, rest = life.album(chat)  # first: Hermes itself lets texts overtake an album
        said = {
            "album": album, "album, rest": rest, "text": life.say(chat), "command": life.order(chat, "/status"),
            "edit": life.edit(edited), "press": life.press(chat), "quick": life.say(chat + 1), "quicker": life.say(chat + 1),
        }  # fmt: skip
        self.lines |= {f"{when} {name}": line for name, line in said.items()}


@pytest.fixture(scope="module")
def handoffs(python: str, tmp_path_factory: pytest.TempPathFactory) -> Handoffs:
    told = Handoffs(Life(tmp_path_factory.mktemp("handoffs"), python, plugins=(PLUGIN, JOBS)))
    told.verdict = lived(told.life, told.play)
    return told


def test_nothing_is_lost_or_doubled_and_the_only_turns_nobody_asked_for_are_the_reports_of_two_jobs(
    handoffs: Handoffs,
) -> None:
    verdict = handoffs.verdict
    assert verdict is not None
    assert not [*verdict.lost, *verdict.answered_twice, *verdict.ambiguous, *verdict.disorder, *verdict.dropped]
    assert sorted(sent.chat_id for sent in verdict.unasked) == [JOB, LATE_JOB]


WHEN = ("idle", "crossing", "behind")
ODDITIES = ("text", "command", "edit", "press", "album", "album, rest", "quick", "quicker")


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("what", ODDITIES)
def test_whatever_a_person_does_ends_in_one_settlement_and_is_started_once(
    handoffs: Handoffs, when: str, what: str
) -> None:
    line = handoffs.lines[f"{when} {what}"]
    fate = handoffs.life.fate(line)
    assert len(fate) == 1
    assert fate[0] in ({"no_reply"} if what == "press" else {"answered", "merged"})
    assert len(handoffs.life.turns(line)) == 1


@pytest.mark.parametrize("when", WHEN)
def test_quick_texts_become_one_turn_that_settles_both(handoffs: Handoffs, when: str) -> None:
    life, first, second = handoffs.life, handoffs.lines[f"{when} quick"], handoffs.lines[f"{when} quicker"]
    assert (life.fate(first), life.fate(second)) == (["answered"], ["merged"])
    assert life.turns(first) == life.turns(second)


def test_a_command_is_answered_once_in_an_idle_chat_and_in_one_whose_turn_the_other_side_runs(
    handoffs: Handoffs,
) -> None:
    for chat, commands in ((ODD, 2), (SLOW, 1)):
        assert sum("Gateway Status" in text for text in handoffs.life.sends(chat)) == commands


def test_a_chat_whose_turn_blue_still_runs_waits_for_it_and_its_rows_alternate(handoffs: Handoffs) -> None:
    life, lines = handoffs.life, handoffs.lines
    blue = next(r.process for r in life.turns(lines["slow"]))
    assert blue == handoffs.processes["blue"]
    finished = [
        r for r in life.records() if r.type == "TURN_FINISHED" and body(r)["turn"] == life.turns(lines["slow"])[0].seq
    ]
    for name in ODDITIES[:6]:  # not the quick ones, which are in a chat of their own
        (turn,) = life.turns(lines[f"behind {name}"])
        assert turn.process == handoffs.processes["green"]
        assert turn.seq > finished[0].seq
    assert life.sends(SLOW)[0] == f"answer [{lines['slow'].marker}]"
    roles = [role for role, _ in life.rows(SLOW)]
    assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_chat_that_only_green_knows_survives_what_blue_writes(handoffs: Handoffs) -> None:
    """The last that wrote its table was blue, at the end of its slowest turn; after the rollback blue knows that chat."""
    life = handoffs.life
    assert life.turns(handoffs.lines["slowest"])[0].process == handoffs.processes["blue"]
    assert {NEW, SLOWEST} <= handoffs.routed_after_blue
    again = handoffs.lines["again"]
    assert [asked.history for asked in life.model.asked if again.marker in asked.found] == [3]
    assert life.turns(again)[0].process == handoffs.processes["blue"]
    roles = [role for role, _ in life.rows(NEW)]
    assert roles == ["user", "assistant"] * 3


def test_blue_exits_cleanly_and_leaves_no_mark_of_a_shutdown_that_was_none(handoffs: Handoffs) -> None:
    assert handoffs.blue_exit_code == 0
    assert not handoffs.marker_after_exit


def test_a_background_process_outlives_the_gateway_that_started_it_and_its_end_is_reported_by_the_next(
    handoffs: Handoffs,
) -> None:
    life = handoffs.life
    assert handoffs.job_lived_on
    assert handoffs.job_ended_by_itself, "it did not die of writing into a pipe that nobody reads"
    (report,) = [c for c in life.bot.log.calls if c.chat_id == JOB and c.text == "unasked"]
    assert report.pid == handoffs.processes["second green"].pid


def test_a_background_process_that_green_started_in_a_bake_is_reported_after_the_rollback(handoffs: Handoffs) -> None:
    (report,) = [c for c in handoffs.life.bot.log.calls if c.chat_id == LATE_JOB and c.text == "unasked"]
    assert report.pid == handoffs.processes["blue"].pid


def test_a_green_does_not_count_as_a_start_after_a_crash(handoffs: Handoffs) -> None:
    starts = (handoffs.life.home / "gateway-starts.log").read_text().split()
    assert len(starts) == 1
    assert not list(handoffs.life.home.rglob("restart_loop.json"))


# --------------------------------------------------------------------------------- trouble, and starting again


@dataclass
class Restarts:
    """A gateway that has trouble with the platform, is killed, started again, told to end, and started again."""

    life: Life
    lines: dict[str, Line] = field(default_factory=dict)
    killed_with: set[str] = field(default_factory=set)
    confirmed_unasked: dict[str, list[str]] = field(default_factory=dict)
    ended_in_time: bool = False
    thrown_away: list[int] = field(default_factory=list)
    conflict_retried: bool = False
    payloads_left: int = -1
    verdict: Verdict | None = None

    async def play(self, life: Life) -> None:
        """The story."""
        gateway = await life.serve()
        said = self.lines
        said["first"] = life.say(HOME)
        await life.answers(said["first"])
        await life.quiet()
        await self._misfortunes(life)
        await self._in_flight(life, "kill")
        life.bot.faults.hold("sendMessage", "after")
        said["kill, taken"] = life.say(TORN)
        await life.answers(said["kill, taken"])  # it stands in the chat, and nobody was told
        self.lines |= await self._batch(life, "kill")
        life.system.end(gateway)
        life.bot.faults.release("sendMessage")
        gateway = await self._again(life, "kill")
        await self._in_flight(life, "end")
        self.lines |= await self._batch(life, "end")
        self.ended_in_time = await asyncio.to_thread(life.system.ask_to_end, gateway, wait_s=20.0)
        await self._again(life, "end")
        with closing(sqlite3.connect(f"{(life.journal / 'journal.db').as_uri()}?mode=ro", uri=True)) as db:
            await life.holds(lambda: not db.execute("SELECT COUNT(*) FROM payloads").fetchone()[0], "words are erased")
            self.payloads_left = 0

    async def _misfortunes(self, life: Life) -> None:
        said, faults = self.lines, life.bot.faults
        faults.fail_next("getUpdates", 409, calls=2)
        said["conflict"] = life.say(THROWN)
        await life.answers(said["conflict"])
        faults.drop_next_send()
        said["cut"] = life.say(CUT)
        await life.answers(said["cut"])
        faults.fail_next("sendMessage", 429)
        said["flooded"] = life.say(CUT + 10)
        said["phone"] = life.say(PHONE, user=HOME)
        await life.answers(said["flooded"], said["phone"])
        await life.holds(lambda: "conflict retry 1" in life.log_of(0), "polling was restarted after the conflict")
        self.conflict_retried = True
        faults.fail_next("getUpdates", 502)
        seen = len(life.bot.log.calls)
        said["trouble"] = life.say(THROWN)
        await life.holds(lambda: any(c.status == 502 for c in life.bot.log.calls[seen:]), "a poll has failed")
        faults.hold("getUpdates")  # the library's last poll before it starts anew: what that brings is thrown away

        def last_poll() -> bool:
            return any(
                c.method == "getUpdates" and c.timeout_s == 0 and not c.end_ns for c in life.bot.log.calls[seen:]
            )

        await life.holds(last_poll, "polling is restarted after network trouble")
        said["thrown"] = life.say(THROWN)
        await asyncio.sleep(HERMES_GIVES_UP_S)  # on the reply to the first, which it refuses to send all this time
        faults.release("getUpdates")
        await life.answers(said["trouble"], said["thrown"])
        polls = [c for c in life.bot.log.calls[seen:] if c.method == "getUpdates" and c.timeout_s == 0]
        self.thrown_away = [number for poll in polls for number in poll.update_ids]
        await life.quiet()

    async def _in_flight(self, life: Life, when: str) -> None:
        """A turn that runs, and a text that waits behind it."""
        said = self.lines
        life.hold_slow()
        said[f"{when}, slow"] = life.say(SLOW, slow_s=0.5)
        await life.asked(said[f"{when}, slow"])
        said[f"{when}, behind"] = life.say(SLOW)
        await life.confirmed(said[f"{when}, behind"])

    async def _batch(self, life: Life, when: str) -> dict[str, Line]:
        """Texts that the platform has forgotten and that no turn has seen: they wait in memory to be merged, being so long that
        Hermes expects the rest of them."""
        words = "what about " + LONG * "x"
        batch = {f"{when}, {name}": life.say(BATCH, words) for name in ("quick", "quicker")}
        await life.confirmed(*batch.values())
        found = {marker for asked in life.model.asked for marker in asked.found}
        self.confirmed_unasked[when] = [line.marker for line in batch.values() if line.marker not in found]
        return batch

    async def _again(self, life: Life, when: str) -> Process:
        """While nobody polls somebody writes; then start the gateway as a service manager would."""
        self.lines[f"{when}, meanwhile"] = life.say(COMMAND)
        life.let_slow_go()  # what was cut off has nobody who waits for it any more
        gateway = await life.serve()
        await life.answers(*(line for name, line in self.lines.items() if name.startswith(when)))
        await life.quiet()
        return gateway


@pytest.fixture(scope="module")
def restarts(python: str, tmp_path_factory: pytest.TempPathFactory) -> Restarts:
    told = Restarts(Life(tmp_path_factory.mktemp("restarts"), python, env=GATHERS))
    told.verdict = lived(told.life, told.play)
    return told


def test_trouble_and_two_restarts_lose_nothing_double_nothing_and_make_no_turn_of_their_own(restarts: Restarts) -> None:
    verdict = restarts.verdict
    assert verdict is not None
    assert not [*verdict.lost, *verdict.answered_twice, *verdict.unasked, *verdict.disorder, *verdict.dropped]
    assert not verdict.unfounded
    assert set(verdict.ambiguous) == {restarts.lines["cut"].marker, restarts.lines["kill, taken"].marker}


def test_a_reply_whose_connection_was_cut_is_read_once_and_called_ambiguous(restarts: Restarts) -> None:
    line = restarts.lines["cut"]
    assert restarts.life.sends(CUT) == [f"answer [{line.marker}]"], "no second attempt, and no notice of a failure"
    assert restarts.life.fate(line) == ["ambiguous"]


def test_a_reply_that_the_platform_has_put_off_is_sent_again_and_counts_as_one(restarts: Restarts) -> None:
    line = restarts.lines["flooded"]
    assert restarts.life.sends(CUT + 10) == [f"answer [{line.marker}]"]
    assert restarts.life.fate(line) == ["answered"]


def test_polling_that_the_adapter_restarts_by_itself_loses_nothing(restarts: Restarts) -> None:
    thrown = restarts.lines["thrown"]
    assert restarts.conflict_retried
    assert thrown.update_id in restarts.thrown_away
    for name in ("conflict", "trouble", "thrown"):
        assert restarts.life.fate(restarts.lines[name]) == ["answered"]
        assert len(restarts.life.turns(restarts.lines[name])) == 1


@pytest.mark.parametrize("when", ["kill", "end"])
def test_what_a_gateway_held_when_it_ended_is_taken_up_by_one_recoverer(restarts: Restarts, when: str) -> None:
    """The turn in flight is run again, what waited behind it and in the batch for the first time, nothing is dropped."""
    life, lines = restarts.life, restarts.lines
    assert restarts.confirmed_unasked[when] == [lines[f"{when}, quick"].marker, lines[f"{when}, quicker"].marker]
    assert len(life.turns(lines[f"{when}, slow"])) == 2
    for name in ("slow", "behind", "quick", "quicker", "meanwhile"):
        (fate,) = life.fate(lines[f"{when}, {name}"])
        assert fate in {"answered", "merged"}
    for name in ("behind", "quick", "quicker", "meanwhile"):
        assert len(life.turns(lines[f"{when}, {name}"])) == 1


def test_a_reply_that_hermes_own_ledger_would_send_again_after_a_crash_is_not(restarts: Restarts) -> None:
    line = restarts.lines["kill, taken"]
    assert restarts.life.sends(TORN) == [f"answer [{line.marker}]"]
    assert restarts.life.fate(line) == ["ambiguous"]
    assert len(restarts.life.turns(line)) == 1


def test_a_question_that_is_asked_again_stands_once_in_the_transcript(restarts: Restarts) -> None:
    roles = [role for role, _ in restarts.life.rows(SLOW)]
    assert roles == ["user", "assistant"] * 2


def test_a_gateway_that_is_told_to_end_does_so_in_time(restarts: Restarts) -> None:
    assert restarts.ended_in_time


def test_turns_that_were_cut_off_do_not_count_towards_hermes_restart_loop(restarts: Restarts) -> None:
    assert not list(restarts.life.home.rglob("restart_loop.json"))
    assert len((restarts.life.home / "gateway-starts.log").read_text().split()) == 3


def test_a_number_that_could_be_somebodys_phone_is_nowhere_in_clear(restarts: Restarts) -> None:
    life = restarts.life
    assert life.fate(restarts.lines["phone"]) == ["answered"]
    assert restarts.payloads_left == 0
    with closing(sqlite3.connect(f"{(life.journal / 'journal.db').as_uri()}?mode=ro", uri=True)) as db:
        events = [str(row) for row in db.execute("SELECT * FROM events")]
    logged = (life.home / "logs" / "agent.log").read_text(errors="replace").splitlines()
    ours = [line for line in logged if " handoff_journal" in line]
    assert events
    assert ours
    for secret in (str(PHONE), str(BOT_ID), life.bot.token):
        assert not [text for text in (*events, *ours) if secret in text]
    files = [str(path) for path in life.journal.rglob("*") if path.is_file()]
    grep = subprocess.run(["grep", "-la", str(PHONE), *files], capture_output=True, text=True, check=False)
    assert grep.stdout == "", "not in the journal's file, nor in what SQLite keeps beside it"


# ----------------------------------------------------------------------------------- where the plugin stays out


A_NEWER_HERMES = """import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: "0.20.0" if name == "hermes-agent" else version(name)
"""


@dataclass
class Stranger:
    """A gateway that has the plugin enabled and must run as if it had not."""

    life: Life
    before: Line | None = None
    after: Line | None = None

    async def play(self, life: Life) -> None:
        """Somebody writes before the gateway starts, and again when it polls."""
        self.before = life.say(HOME)
        await life.serve()
        self.after = life.say(HOME)
        await life.answers(self.after, timeout_s=60)


def stayed_out(told: Stranger) -> None:
    """What Hermes does when it is alone: among the rest, it drops what came before it started."""
    verdict = lived(told.life, told.play)
    assert told.before is not None
    assert told.after is not None
    assert verdict.dropped == (told.before.update_id,)
    assert told.after.marker in verdict.answered


def test_a_hermes_that_is_not_known_runs_as_if_the_plugin_were_not_installed(python: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(A_NEWER_HERMES)
    told = Stranger(Life(tmp_path, python, env={"PYTHONPATH": str(tmp_path)}))
    stayed_out(told)
    assert "hermes-agent 0.20.0: known are" in told.life.log_of(0), "said where a person sees it"
    assert told.life.records() == []


def test_a_home_without_a_journal_runs_as_if_the_plugin_were_not_installed(python: str, tmp_path: Path) -> None:
    told = Stranger(Life(tmp_path, python, journal=False))
    stayed_out(told)
    assert not told.life.journal.exists()


# ---------------------------------------------------------------------------------------------- the other version


def test_the_older_hermes_that_is_known_is_promoted_too(tmp_path: Path) -> None:
    assert seams.KNOWN[0] == "0.18.2"
    python = str(hermes_venv("0.18.2") / "bin" / "python")
    options = Options("hermes", messages=16, rate=2.0, slow_s=6.0, bake_s=3.0, python=python)
    report, verdict, state, records = asyncio.run(run(tmp_path, options))
    assert report.outcome == "complete"
    assert report.blue_exit_code == 0
    assert (report.messages.lost, report.messages.answered_twice) == (0, 0)
    assert verdict.kept
    assert not verdict.dropped
    assert not state.head.messages
    versions = {json.loads(r.body)["version"] for r in records if r.type == "PROCESS_STARTED"}
    assert versions == {"0.18.2"}
