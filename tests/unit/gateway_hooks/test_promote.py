"""``promote`` and its kin: what they wait for, what they say, and when they stop waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from gateway_hooks.cli import main
from gateway_hooks.commands import findings, following, promote
from gateway_hooks.commands.durations import duration
from gateway_hooks.commands.following import follow, request_is_lost, wait_until
from gateway_hooks.commands.progress import Plain, Silent, tell
from gateway_hooks.commands.shared import Given
from gateway_hooks.orders import Operator
from gateway_hooks.process import System
from journal import events as e
from journal.errors import HandoffError
from journal.head import TRANSITIONS
from journal.record import Writer
from journal.store import Journal, Reader
from replay.fold import State, apply
from tests.builders import EXAMPLES, ROOT, WAIT_S
from tests.unit.gateway_hooks.homes import Home, parsed


@pytest.fixture
def operator(home: Home) -> Iterator[Operator]:
    opened = Operator(home.folder)
    yield opened
    opened.close()


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: a keeper that ought to have refused would stay."""
    command = [sys.executable, "-m", "gateway_hooks.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)


def never(_: State) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("10m", 600), ("90s", 90), ("1.5h", 5400), ("2d", 172800)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert duration(*_option(), text) == seconds


@pytest.mark.parametrize("text", ["24", "soon", "-1h", "1h30m", "", "31d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        duration(*_option(), text)


def _option() -> tuple[click.Context, click.Parameter]:
    return click.Context(click.Command("promote")), click.Option(["--bake"])


def test_a_request_that_nobody_takes_up_ends_as_failed_while_somebody_waits(home: Home, operator: Operator) -> None:
    home.serve().request(requested_s=0.0)
    state = wait_until(operator, "h-1", Silent(), never, timeout_s=WAIT_S)
    assert state.failure is not None
    assert (state.head.phase, state.failure.reason) == ("failed", "deadline")


def test_a_request_is_lost_with_its_gateway_or_with_its_deadline(home: Home) -> None:
    home.serve().request()
    assert not request_is_lost(home.state(), home.system)
    home.system.end(home.blue)
    assert request_is_lost(home.state(), home.system)


def test_nobody_waits_for_ever_when_both_sides_are_gone(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.bake()
    home.system.end(home.blue)
    home.system.end(home.green)
    monkeypatch.setattr(following, "ALONE_S", 0.0)
    with pytest.raises(HandoffError, match="both sides of h-1 are gone in phase baking") as raised:
        wait_until(operator, "h-1", Silent(), never, timeout_s=WAIT_S)
    assert "start the gateway" in raised.value.hint


def test_an_order_that_is_not_carried_out_in_time_is_said_to_stand(home: Home, operator: Operator) -> None:
    home.bake()
    with pytest.raises(HandoffError, match="h-1 is in phase baking after 0 s; what was ordered stands"):
        wait_until(operator, "h-1", Silent(), never, timeout_s=0.0)


def test_ctrl_c_that_hits_while_the_journal_is_being_closed_is_not_swallowed(
    home: Home, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.bake()
    close = Reader.close

    def interrupted(reader: Reader) -> None:
        close(reader)
        raise KeyboardInterrupt

    monkeypatch.setattr(Reader, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wait_until(operator, "h-1", Silent(), lambda _: True, timeout_s=WAIT_S)


def test_following_ends_with_its_own_handoff_though_another_has_begun(home: Home, operator: Operator) -> None:
    home.serve().request()
    home.say(home.blue, e.HandoffFailed(reason="fault"))
    later = operator.promote("same", 60.0, e.Limits())
    state = wait_until(operator, "h-1", Silent(), never, timeout_s=WAIT_S)
    assert (state.head.handoff, state.head.phase) == ("h-1", "failed")
    state = wait_until(operator, later, Silent(), lambda s: s.head.phase == "requested", timeout_s=WAIT_S)
    assert state.head.handoff == later


def test_only_what_is_new_is_told_on_request(home: Home) -> None:
    home.bake()
    told: list[str] = []
    after = home.say(home.system.me(), e.HandoffCompleteRequested()) - 1
    steps = follow(home.folder, "h-1", Plain(told.append), after=after)
    assert any(state.complete_requested for state, _ in steps)
    steps.close()
    assert len(told) == 1
    assert "HANDOFF_COMPLETE_REQUESTED" in told[0]


def test_every_step_of_the_protocol_is_told(home: Home) -> None:
    home.bake()
    with_closing = Reader(home.folder / "journal.db")
    records = list(with_closing.all())
    with_closing.close()
    state, told = State(), []
    for record in records:
        state = apply(state, record)
        line = tell(record, state)
        if line is not None:
            told.append(line.split()[4])
    assert told[0] == "HANDOFF_REQUESTED"
    assert set(told) >= {r.type for r in records if r.type in TRANSITIONS}


def test_every_event_that_moves_a_phase_has_words() -> None:
    from replay.telling import _BETWEEN, _STEPS

    assert {model.TYPE for model in _STEPS} >= set(TRANSITIONS)
    assert {**_STEPS, **_BETWEEN}.keys() == {type(event) for event in EXAMPLES}


def test_rollback_without_waiting_gives_the_order_and_returns(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    assert home.run("rollback", "--no-wait", "--json") == 0
    answer = parsed(capsys.readouterr().out)
    assert (answer["outcome"], answer["phase"], answer["reason"]) == ("running", "rolling_back", "operator")
    assert answer["steps"][-1]["role"] == "operator"


def test_a_withdrawn_request_counts_as_rolled_back(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve().request()
    assert home.run("rollback") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "h-1 failed: fault (withdrawn by the operator)"


def in_bake(home: Home) -> None:
    home.bake()


def asked_for(home: Home) -> None:
    home.serve().request()


def at_rest(home: Home) -> None:
    home.serve()


def hanging(home: Home) -> None:
    """A gateway that can only be taken over by force."""
    home.serve()
    home.system.end(home.blue)


STANDS = [
    (in_bake, ("rollback",), "HANDOFF_ROLLBACK", "goes on without you"),
    (in_bake, ("complete",), "HANDOFF_COMPLETE_REQUESTED", "goes on without you"),
    (in_bake, ("confirm",), "BAKE_CONFIRMED", "goes on without you"),
    (asked_for, ("rollback",), "HANDOFF_FAILED", "the request for h-1 is withdrawn"),
    (at_rest, ("promote",), "HANDOFF_REQUESTED", "goes on without you"),
    (hanging, ("promote", "--force"), "HANDOFF_REQUESTED", "goes on without you"),
]


@pytest.mark.parametrize(("made", "words", "said", "told"), STANDS, ids=[" ".join(words) for _, words, *_ in STANDS])
@pytest.mark.parametrize("before", [False, True], ids=["after the append", "before it"])
def test_ctrl_c_around_the_append_of_an_order_tells_what_stands(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Home], None],
    words: tuple[str, ...],
    said: str,
    told: str,
    before: bool,
) -> None:
    """It is put off until the append is done, and comes before the command has heard of it."""
    made(home)

    def interrupted(append: Callable[..., object]) -> Callable[..., object]:
        def appended(journal: Journal, *given: object, writer: Writer) -> object:
            if before:
                raise KeyboardInterrupt
            receipts = append(journal, *given, writer=writer)
            signal.raise_signal(signal.SIGINT)
            return receipts

        return appended

    for name in ("append", "append_after"):
        monkeypatch.setattr(Journal, name, interrupted(getattr(Journal, name)))
    monkeypatch.setattr(System, "spawn", lambda *_, **__: home.green)
    rest = ("--", sys.executable) if "--force" in words else ()
    assert main([words[0], "--home", str(home.path), *words[1:], *rest]) == 130
    last = home.records()[-1]
    heard = capsys.readouterr().err
    if before:
        assert ("nothing was asked for" if words[0] == "promote" else "nothing was ordered") in heard
    else:
        assert said in [record.type for record in home.records() if record.process == last.process]
        assert told in heard
        assert (last.handoff or "") in heard


def test_the_evidence_is_named_by_what_stands_there(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    seq = home.say(home.blue, e.ProcessLost(side="green", process=home.green, how="died"))
    home.say(home.blue, e.HandoffRollback(phase="baking", reason="green_lost", evidence=(seq,)))
    following.report(Given(home=home.path).place(), home.state())
    assert capsys.readouterr().out.splitlines()[-1] == f"  evidence: seq {seq} PROCESS_LOST"


def test_a_promote_asks_with_the_limits_of_its_runtime(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.serve()
    (home.folder / "runtimes.toml").write_text("[next]\nlimits = { init_s = 240 }\nhealth = { loop = { floor = 5 } }\n")
    monkeypatch.setattr(promote, "_watch", lambda *_: 0)
    assert home.run("promote", "--runtime", "next") == 0
    state = home.state()
    assert state.limits == e.Limits(init_s=240)
    assert state.terms is not None
    assert state.terms.rules["loop"].floor == 5


def test_orders_to_a_copy_of_a_journal_are_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    copy = home.folder / "copy.db"
    copy.write_bytes(b"")
    for name in ("promote", "rollback", "complete"):
        assert home.run(name, "--journal", str(copy)) == 3
        assert "is a copy: no gateway follows it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["promote"],
        ["promote", "--dry-run"],
        ["confirm"],
        ["complete"],
        ["rollback"],
        ["resume"],
        ["run", "--", sys.executable, "-c", ""],
    ],
)
def test_an_export_called_journal_db_is_no_live_journal_and_nothing_is_made_beside_it(
    home: Home, tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    home.bake()
    copy = tmp_path_factory.mktemp("elsewhere") / "journal.db"
    assert home.run("export", str(copy)) == 0
    before = copy.read_bytes()
    done = typed("--journal", str(copy), *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done
    assert f"{copy} is a copy, since there is no key beside it" in done.stderr
    assert [path.name for path in copy.parent.iterdir()] == ["journal.db"]
    assert copy.read_bytes() == before


def test_a_home_whose_key_is_lost_is_kept_all_the_same(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.folder / "key").unlink()
    assert typed("--home", str(home.path), "run", "--", sys.executable, "-c", "").returncode == 0
    assert home.run("rollback") == 3
    assert "restore its key" in capsys.readouterr().err


TELLS = "import os, sys; open(sys.argv[1], 'w').write(os.environ.get('HERMES_HOME', 'nothing'))"


@pytest.mark.parametrize("told", [None, "/elsewhere"])
@pytest.mark.parametrize("words", [("run",), ("promote", "--force", "--no-wait")], ids=" ".join)
def test_a_gateway_is_started_in_the_home_that_was_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("HERMES_HOME", raising=False)
    if told:
        monkeypatch.setenv("HERMES_HOME", told)
    if words[0] == "promote":
        hanging(home)
    monkeypatch.chdir(home.path.parent)
    left = tmp_path / "left"
    code = f"import sys; from gateway_hooks.commands import following; following.ALONE_S = 0; {_MAIN}"
    typed_here = ["--home", home.path.name, *words, "--", sys.executable, "-c", TELLS, str(left)]
    subprocess.run([sys.executable, "-P", "-c", code, *typed_here], timeout=WAIT_S, check=False)
    assert left.read_text() == str(home.path)


_MAIN = "from gateway_hooks.cli import main; sys.exit(main())"

# ------------------------------------------------------------------------------------------- --dry-run and doctor


def codes(home: Home, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    code = home.run(*words, "--json")
    answer = parsed(capsys.readouterr().out)
    assert code == (0 if answer["good"] else 1)
    return {f["code"]: f["severity"] for f in answer["findings"] if f["severity"] != "ok"}


def test_a_dry_run_of_a_home_in_order_finds_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    before = home.state().head.seq
    assert codes(home, capsys, "promote", "--dry-run") == {}
    assert home.state().head.seq == before


def test_a_dry_run_finds_an_open_handoff(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.bake()
    assert codes(home, capsys, "promote", "--dry-run") == {"handoff.open": "error"}


def test_a_dry_run_finds_a_gateway_that_is_dead_or_stopped(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    home.freeze(home.blue)
    assert codes(home, capsys, "promote", "--dry-run") == {"gateway": "error"}
    home.system.end(home.blue)
    assert codes(home, capsys, "promote", "--dry-run") == {"gateway": "error"}


def test_a_dry_run_finds_a_gateway_that_shows_no_sign_of_life(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.serve()
    monkeypatch.setattr("gateway_hooks.hanging.IDLE_SAMPLE_S", -3600.0)
    assert codes(home, capsys, "promote", "--dry-run") == {"gateway.silent": "warning"}
    monkeypatch.setattr(findings, "SILENT_AFTER_S", 0.0)
    assert codes(home, capsys, "promote", "--dry-run") == {"gateway.silent": "error"}


def test_a_dry_run_starts_the_runtimes_interpreter_and_asks_for_the_plugin(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve()
    python = home.path / "python"
    (home.folder / "runtimes.toml").write_text(f'[next]\npython = "{python}"\n')
    assert codes(home, capsys, "promote", "--dry-run", "--runtime", "next") == {"runtime": "error"}
    python.write_text("#!/bin/sh\necho no module named gateway_hooks >&2; exit 1\n")
    python.chmod(0o755)
    assert home.run("promote", "--dry-run", "--runtime", "next") == 1
    assert "no module named gateway_hooks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "name", "key"),
    [
        ("next = 3", "next", "next is no runtime"),
        ("[next]\nvenv = 3", "next", "venv"),
        ('[next]\ncommand = "-m other"', "next", "command"),
        ("[next]\nenv = { A = 1 }", "next", "env.A"),
        ("[same]\nvenv = 'x'", "same", "[same]"),
    ],
)
def test_a_dry_run_tells_of_a_runtime_that_is_written_wrongly_beside_all_else(
    home: Home, capsys: pytest.CaptureFixture[str], text: str, name: str, key: str
) -> None:
    home.serve()
    (home.folder / "runtimes.toml").write_text(f"{text}\n")
    for words in (["promote", "--dry-run"], ["doctor"]):
        home.run(*words, "--runtime", name, "--json")
        found = {f["code"]: f for f in parsed(capsys.readouterr().out)["findings"]}
        assert found["runtime"]["severity"] == "error"
        assert key in found["runtime"]["text"]
        assert {"journal", "gateway", "disk", "gate"} <= set(found)
    assert home.run("promote", "--runtime", name) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.count("\n"), key in err, "runtimes.toml" in err) == (1, True, True)


def test_a_dry_run_finds_a_disk_that_is_full(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.serve()
    monkeypatch.setattr(findings, "LEAST_FREE_MB", 2**40)
    assert codes(home, capsys, "promote", "--dry-run") == {"disk": "error"}


def test_doctor_finds_a_tail_that_was_removed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    seq = home.serve().state().head.seq
    bell = home.folder / "bell" / "head"
    bell.write_text(f"{seq + 1} {'ab' * 32}\n")
    assert codes(home, capsys, "doctor") == {"journal.tail": "error"}
    bell.write_text(f"{seq} {'ab' * 32}\n")
    assert codes(home, capsys, "doctor") == {"journal.tail": "error"}


def test_doctor_finds_a_missing_key_and_modes_that_let_others_in(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.serve()
    home.folder.chmod(0o750)
    assert codes(home, capsys, "doctor") == {"modes": "error"}
    home.folder.chmod(0o700)
    (home.folder / "key").unlink()
    assert codes(home, capsys, "doctor") == {"key": "error"}


def test_doctor_finds_a_gate_that_does_not_open(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    with home.journal.gate.held():
        assert codes(home, capsys, "doctor") == {"gate": "error"}


def test_doctor_says_how_each_adapter_changes_hands(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.serve()
    (home.path / "config.yaml").write_text("platforms: {matrix: {enabled: true}, irc: {enabled: false}}\n")
    home.run("doctor", "--json")
    found = parsed(capsys.readouterr().out)["findings"]
    ways = [f["text"].split(",")[0] for f in found if f["code"] == "adapter"]
    assert ways == ["matrix: general", "telegram: warm"]


@pytest.mark.parametrize(
    "line", ["TELEGRAM_WEBHOOK_URL=https://a.example/x", "export TELEGRAM_WEBHOOK_URL = 'https://a'"]
)
def test_a_telegram_that_delivers_by_itself_changes_hands_the_general_way(
    home: Home, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    home.serve()
    for text, way in (("TELEGRAM_WEBHOOK_URL=\n", "warm"), (f"A=1\n{line}\n", "general")):
        (home.path / ".env").write_text(text)
        for words in (["doctor"], ["promote", "--dry-run"]):
            home.run(*words, "--json")
            found = {f["code"]: f["text"] for f in parsed(capsys.readouterr().out)["findings"]}
            assert way in found["adapter"]


def test_doctor_looks_at_a_named_runtime_though_nobody_serves(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert codes(home, capsys, "doctor", "--runtime", "nope")["runtime"] == "error"


def test_doctor_misses_no_key_where_nothing_was_installed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (home.folder / "key", *home.folder.glob("journal.db*")):
        path.unlink()
    assert "key" not in codes(home, capsys, "doctor")


def test_doctor_of_a_home_without_a_journal_says_so_and_goes_on(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for path in home.folder.glob("journal.db*"):
        path.unlink()
    assert codes(home, capsys, "doctor")["journal"] == "error"


def test_an_environment_without_handoff_journal_is_named_with_what_to_type(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # out of the checkout, which an interpreter would find it in
    venv.create(tmp_path / "bare", with_pip=False)
    (home.folder / "runtimes.toml").write_text(f'[next]\nvenv = "{tmp_path / "bare"}"\n')
    found = findings.runtime_finding(home.folder, "next")
    assert found.severity == "error"
    assert found.text.endswith(f"{tmp_path}/bare/bin/python -m pip install handoff-journal")
