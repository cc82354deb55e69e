"""``log``, ``replay``, ``audit`` and ``verify`` on an exported file alone: what they print, and what they end with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway_hooks.cli import main
from tests.builders import GREEN
from tests.golden.make import bad, finished, killed_blue, rolled_back
from tests.unit.replay.histories import History

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns its exit code and what it printed."""

    def running(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return running


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return finished().export(tmp_path / "export.db")


def altered(path: Path) -> Path:
    """Somebody changed seq 5 behind the triggers' back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET at_ns = at_ns + 1 WHERE seq = 5")
    return path


# ---------------------------------------------------------------------------------------------- log


def test_log_prints_every_event_once_and_in_order(run: Run, good: Path) -> None:
    code, out, err = run("log", "--journal", good)
    assert (code, err) == (0, "")
    assert [int(line.split()[0]) for line in out.splitlines()] == list(range(1, 49))


def test_log_can_be_narrowed_to_a_family_of_types(run: Run, good: Path) -> None:
    _, out, _ = run("log", "--journal", good, "--type", "handoff_", "--type", "PROCESS_EXITED", "--json")
    assert [json.loads(line)["type"] for line in out.splitlines()] == [
        "HANDOFF_REQUESTED", "HANDOFF_INIT", "HANDOFF_ACK", "HANDOFF_ACTIVE", "HANDOFF_CONFIRM", "HANDOFF_COMPLETE",
        "PROCESS_EXITED",
    ]  # fmt: skip


@pytest.mark.parametrize("begin", ["40", "2023-11-14T22:13:50+00:00", "2023-11-14T22:13:50"])
def test_log_begins_where_it_is_told(run: Run, good: Path, begin: str) -> None:
    _, out, _ = run("log", "--journal", good, "--since", begin)
    assert int(out.split()[0]) == (40 if begin == "40" else 39)


def test_log_begins_some_time_ago(run: Run, good: Path) -> None:
    assert run("log", "--journal", good, "--since", "10m") == (0, "", "")


def test_log_can_be_narrowed_to_a_handoff(run: Run, tmp_path: Path) -> None:
    journal = bad().export(tmp_path / "bad.db")
    _, out, _ = run("log", "--journal", journal, "--handoff", "h1")
    assert [int(line.split()[0]) for line in out.splitlines()] == list(range(4, 18))


@pytest.mark.parametrize("option", [("--type", "NOTHING"), ("--since", "yesterday")])
def test_log_says_what_it_does_not_understand(run: Run, good: Path, option: tuple[str, str]) -> None:
    code, out, err = run("log", "--journal", good, *option)
    assert (code, out, len(err.splitlines())) == (2, "", 1)


# ---------------------------------------------------------------------------------------------- replay


def test_replay_shows_the_steps_and_who_polled(run: Run, good: Path) -> None:
    code, out, _ = run("replay", "--journal", good)
    assert code == 0
    assert out.splitlines()[0] == "handoff h1 to runtime next: complete"
    assert "who polled" in out


def test_replay_shows_the_state_at_a_seq(run: Run, good: Path) -> None:
    code, out, _ = run("replay", "--journal", good, "--at", 23, "--json")
    state = json.loads(out)["state"]
    assert (code, state["seq"], state["phase"], state["owner"], state["epoch"]) == (0, 23, "active", "green", 2)
    assert run("replay", "--journal", good, "--at", 23)[1].startswith("at        seq 23, ")


def test_replay_finds_nothing_beyond_the_end(run: Run, good: Path) -> None:
    code, _, err = run("replay", "--journal", good, "--at", 49)
    assert (code, err) == (3, "handoff-journal: the journal ends at seq 48; name a seq up to there\n")


def test_replay_checks_recorded_against_decided(run: Run, good: Path) -> None:
    code, out, _ = run("replay", "--journal", good, "--check")
    assert code == 0
    assert out.splitlines()[-1] == "recorded against decided: 48 events, each as the law and its decision want it"


def test_replay_ends_with_1_and_the_first_difference(run: Run, tmp_path: Path) -> None:
    journal = bad().export(tmp_path / "bad.db")
    code, out, _ = run("replay", "--journal", journal, "--check", "--json")
    assert code == 1
    assert json.loads(out)["check"]["first"] == {"seq": 15, "field": "samples", "expected": None, "actual": [14]}


def test_replay_checks_one_handoff_alone(run: Run, tmp_path: Path) -> None:
    journal = bad().export(tmp_path / "bad.db")
    assert run("replay", "h2", "--journal", journal, "--check")[0] == 0
    assert run("replay", "h1", "--journal", journal, "--check")[0] == 1


def test_replay_checks_a_journal_without_handoffs(run: Run, tmp_path: Path) -> None:
    journal = History().serving().export(tmp_path / "quiet.db")
    assert run("replay", "--journal", journal, "--check")[0] == 0
    assert run("replay", "--journal", journal)[0] == 3


# ---------------------------------------------------------------------------------------------- audit


@pytest.mark.parametrize(
    ("made", "code"), [(finished, 0), (rolled_back, 1), (killed_blue, 1)], ids=["finished", "rolled back", "abandoned"]
)
def test_audit_ends_with_what_it_found(run: Run, tmp_path: Path, made: Callable[[], History], code: int) -> None:
    journal = made().export(tmp_path / "export.db")
    found, out, err = run("audit", "--journal", journal)
    assert (found, err) == (code, "")
    assert out.startswith("handoff h1 to runtime next: ")


def test_audit_in_json_has_findings_proofs_and_the_check(run: Run, good: Path) -> None:
    answer: dict[str, Any] = json.loads(run("audit", "h1", "--journal", good, "--json")[1])
    assert (answer["outcome"], answer["good"], answer["check"]["first"]) == ("complete", True, None)
    assert answer["head"]["seq"] == 48
    assert all(finding["seqs"] for finding in answer["findings"])


def test_audit_ends_with_1_where_the_record_differs(run: Run, tmp_path: Path) -> None:
    journal = bad().export(tmp_path / "bad.db")
    code, out, _ = run("audit", "h1", "--journal", journal)
    assert code == 1
    assert "1 of 14 events differ; first seq 15, samples" in out


def test_audit_does_not_read_a_record_that_was_tampered_with(run: Run, good: Path) -> None:
    code, out, err = run("audit", "--journal", altered(good))
    assert (code, out) == (5, "")
    assert "seq 5 is not what was appended" in err


def test_audit_without_a_handoff_has_nothing_to_act_on(run: Run, tmp_path: Path) -> None:
    journal = History().serving().export(tmp_path / "quiet.db")
    assert run("audit", "--journal", journal)[0] == 3


# ---------------------------------------------------------------------------------------------- verify


def test_verify_prints_the_head_to_keep_and_accepts_it(run: Run, good: Path) -> None:
    code, out, _ = run("verify", "--journal", good)
    assert code == 0
    kept = out.splitlines()[-1].split()[-1]
    assert run("verify", "--journal", good, "--head", kept)[0] == 0


def test_verify_ends_with_5_and_the_first_bad_seq(run: Run, good: Path) -> None:
    code, out, err = run("verify", "--journal", altered(good))
    assert (code, out) == (5, "")
    assert err.startswith("handoff-journal: first bad seq 5: ")
    assert err.endswith("; trust nothing after it; compare with an export\n")
    code, out, _ = run("verify", "--journal", good, "--json")
    assert (code, json.loads(out)["bad"]) == (5, 5)


def test_verify_misses_what_a_kept_head_knows(run: Run, good: Path) -> None:
    code, _, err = run("verify", "--journal", good, "--head", "99:" + "00" * 32)
    assert code == 5
    assert "first bad seq 49" in err


@pytest.mark.parametrize("head", ["7", "7:zz", "x:" + "00" * 32, "0:" + "00" * 32])
def test_verify_refuses_what_is_no_head(run: Run, good: Path, head: str) -> None:
    assert run("verify", "--journal", good, "--head", head)[0] == 2


def test_verify_compares_with_the_bell_of_a_live_journal(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "handoff"
    (folder / "bell").mkdir(parents=True)
    history = finished()
    history.export(folder / "journal.db")
    (folder / "bell" / "head").write_text(f"{history.seq} {history.head.hash.hex()}\n")
    assert "it contains the kept head, seq 48" in run("verify", "--home", tmp_path)[1]
    history.sample(GREEN)
    (folder / "bell" / "head").write_text(f"{history.seq} {history.head.hash.hex()}\n")
    assert run("verify", "--home", tmp_path)[0] == 5


# ---------------------------------------------------------------------------------------------- everywhere


@pytest.mark.parametrize("command", ["log", "replay", "audit", "verify"])
def test_a_journal_that_is_not_there_or_is_none_is_one_line(run: Run, tmp_path: Path, command: str) -> None:
    code, out, err = run(command, "--journal", tmp_path / "none.db")
    assert (code, out, len(err.splitlines())) == (3, "", 1)
    other = tmp_path / "other.db"
    other.write_text("something else\n" * 100)
    code, out, err = run(command, "--journal", other)
    assert (code, out, len(err.splitlines())) == (5, "", 1)


def test_an_export_has_one_form(run: Run, good: Path, tmp_path: Path) -> None:
    code, out, err = run("--journal", good, "export", "--csv", "--jsonl", tmp_path / "copy")
    assert (code, out) == (2, "")
    assert "--jsonl or --csv, not both" in err
    assert not (tmp_path / "copy").exists()
