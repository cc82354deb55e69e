"""``install --systemd``: the drop-in beside Hermes' own unit, what it says, and that it goes again."""

from __future__ import annotations

import configparser
import shlex
import sys
from pathlib import Path

import pytest

from gateway_hooks import unit
from gateway_hooks.cli import main
from gateway_hooks.commands import units
from gateway_hooks.gateway import GatewayFault
from tests.unit.gateway_hooks.homes import parsed

STOCK = """[Unit]
Description=Hermes Agent Gateway - Messaging Platform Integration
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=/opt/hermes/bin/python -m hermes_cli.main --profile two gateway run
WorkingDirectory=/opt
Environment="PATH=/opt/hermes/bin:/usr/bin"
Environment="HERMES_HOME={home}"
Restart=always
RestartSec=5
RestartForceExitStatus=75
RestartPreventExitStatus=78
KillMode=mixed
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""


class Person:
    """Somebody with a Hermes home and systemd units."""

    def __init__(self, path: Path) -> None:
        self.home, self.folder = path / ".hermes", path / ".config" / "systemd" / "user"
        self.home.mkdir()
        (self.home / "config.yaml").write_text("model: {}\n")
        self.unit = self.folder / "hermes-gateway.service"
        self.drop_in = self.folder / "hermes-gateway.service.d" / "10-handoff-journal.conf"

    def stock(self, home: Path | None = None) -> str:
        """Hermes has made its unit."""
        text = STOCK.format(home=home or self.home)
        self.folder.mkdir(parents=True)
        self.unit.write_text(text)
        return text

    def run(self, *words: str) -> int:
        return main([*words, "--home", str(self.home)])


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(units, "SYSTEM", tmp_path / "system")
    return Person(tmp_path)


def service(text: str) -> dict[str, str]:
    """The last word of each setting, as systemd has it."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return dict(parser["Service"])


def test_the_drop_in_puts_the_keeper_in_front_of_hermes_own_command_and_leaves_its_unit_alone(person: Person) -> None:
    stock = person.stock()
    assert person.run("install", "--systemd") == 0
    assert person.unit.read_text() == stock
    said = service(person.drop_in.read_text())
    assert shlex.split(said["ExecStart"]) == [
        *(sys.executable, "-P", "-m", "gateway_hooks.cli", "--home", str(person.home), "run", "--"),
        *("/opt/hermes/bin/python", "-m", "hermes_cli.main", "--profile", "two", "gateway", "run"),
    ]
    assert (said["Type"], said["NotifyAccess"], said["KillMode"]) == ("notify", "main", "mixed")
    assert (said["Restart"], said["RestartPreventExitStatus"]) == ("on-failure", "78")
    assert int(said["WatchdogSec"]) > 100
    assert "\nExecStart=\n" in person.drop_in.read_text(), "what the unit starts is taken back first"


def test_print_shows_it_and_writes_nothing(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    person.stock()
    before = sorted(person.home.parent.rglob("*"))
    assert person.run("install", "--systemd", "--print") == 0
    assert "Type=notify" in capsys.readouterr().out
    assert sorted(person.home.parent.rglob("*")) == before


def test_doing_it_again_changes_nothing_and_what_somebody_wrote_there_is_kept(
    person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    person.stock()
    person.run("install", "--systemd")
    text = person.drop_in.read_text()
    capsys.readouterr()
    assert person.run("install", "--systemd", "--json") == 0
    assert parsed(capsys.readouterr().out)["unit"] == [{"path": str(person.drop_in), "changed": False}]
    person.drop_in.write_text(text + "# mine\n")
    person.run("install", "--systemd")
    assert person.drop_in.read_text() == text
    assert person.drop_in.with_name(person.drop_in.name + units.BACKUP).read_text() == text + "# mine\n"


def test_without_a_unit_one_is_written_for_the_hermes_beside_this_command(
    person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert person.run("install", "--systemd") == 3
    assert "hermes gateway install" in capsys.readouterr().err
    assert not (person.home / "handoff").exists(), "nothing is done by halves"
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.19.0")
    assert person.run("install", "--systemd") == 0
    assert shlex.split(service(person.unit.read_text())["ExecStart"])[1:] == ["-m", "hermes_cli.main", "gateway", "run"]
    assert "hermes_cli.main gateway run" in service(person.drop_in.read_text())["ExecStart"]
    person.run("uninstall")
    assert not person.unit.exists()
    assert not person.drop_in.parent.exists()


def test_uninstall_takes_away_the_drop_in_and_nothing_else(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    stock = person.stock()
    person.run("install", "--systemd")
    (person.drop_in.parent / "mine.conf").write_text("[Service]\n")
    capsys.readouterr()
    assert person.run("uninstall", "--json") == 0
    assert parsed(capsys.readouterr().out)["unit"] == [str(person.drop_in)]
    assert person.unit.read_text() == stock
    assert [path.name for path in person.drop_in.parent.iterdir()] == ["mine.conf"]


def test_a_unit_of_another_home_is_neither_written_nor_taken_away(
    person: Person, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stock = person.stock(home=tmp_path / "other")
    assert person.run("install", "--systemd") == 2
    assert "--unit NAME" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text("model: {}\n")
    assert main(["install", "--systemd", "--unit", "hermes-gateway", "--home", str(other)]) == 0
    assert person.run("install") == 0
    assert person.run("uninstall") == 0
    assert person.drop_in.is_file()
    assert person.unit.read_text() == stock


def test_a_system_unit_is_taken_where_the_user_has_none(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    units.SYSTEM.mkdir()
    (units.SYSTEM / "hermes-gateway.service").write_text(STOCK.format(home=person.home))
    assert person.run("install", "--systemd") == 0
    assert (units.SYSTEM / "hermes-gateway.service.d" / "10-handoff-journal.conf").is_file()
    assert "sudo systemctl daemon-reload" in capsys.readouterr().out


def test_a_folder_that_may_not_be_written_is_one_clear_line(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    person.stock()
    person.drop_in.parent.write_text("no folder")
    assert person.run("install", "--systemd") == 74
    assert "--print" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--print",), ("--unit", "x")])
def test_options_of_the_unit_need_it_to_be_asked_for(person: Person, words: tuple[str, ...]) -> None:
    assert person.run("install", *words) == 2


@pytest.mark.parametrize(
    ("home", "name"),
    [
        (".hermes", "hermes-gateway"),
        (".hermes/profiles/coder", "hermes-gateway-coder"),
        ("data", "hermes-gateway"),
        ("data/profiles/two", "hermes-gateway-two"),
    ],
)
def test_the_unit_is_called_as_hermes_calls_it(tmp_path: Path, home: str, name: str) -> None:
    assert unit.name_of(tmp_path / home, tmp_path) == name


@pytest.mark.parametrize(
    ("word", "line"),
    [("plain", "plain"), ("a b", '"a b"'), ('q"\\', '"q\\"\\\\"'), ("50%", "50%%"), ("$HOME", "$$HOME")],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, line: str) -> None:
    assert unit.line([word]) == line


def test_a_line_break_cannot_stand_in_a_unit(tmp_path: Path) -> None:
    with pytest.raises(GatewayFault):
        unit.line(["a\nb"])
    assert unit.started_by("[Service]\nExecStart=\nExecStart=-/bin/x y\n") == "/bin/x y"
    assert unit.started_by("[Service]\n") is None
