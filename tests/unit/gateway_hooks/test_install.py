"""``install`` and ``uninstall``: done once or five times, and undone without losing the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_hooks.cli import main
from tests.unit.gateway_hooks.homes import Home, parsed

CONFIG = "# mine\nmodel: {provider: custom}   # this one\nplugins:\n  enabled:\n  - other\n"


@pytest.fixture
def hermes(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def run(hermes: Path, *words: str) -> int:
    return main([*words, "--home", str(hermes)])


def test_install_makes_a_journal_for_nobody_else_and_enables_the_plugin(
    hermes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(hermes, "install", "--json") == 0
    answer = parsed(capsys.readouterr().out)
    assert (answer["journal_created"], answer["config_changed"]) == (True, True)
    assert (hermes / "handoff").stat().st_mode & 0o777 == 0o700
    text = (hermes / "config.yaml").read_text()
    assert "- handoff-journal" in text
    assert "# this one" in text
    assert Path(answer["backup"]).read_text() == CONFIG


def test_installing_again_changes_nothing(hermes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(hermes, "install")
    text, key = (hermes / "config.yaml").read_text(), (hermes / "handoff" / "key").read_bytes()
    capsys.readouterr()
    assert run(hermes, "install", "--json") == 0
    answer = parsed(capsys.readouterr().out)
    assert (answer["journal_created"], answer["config_changed"], answer["backup"]) == (False, False, None)
    assert (hermes / "config.yaml").read_text() == text
    assert (hermes / "handoff" / "key").read_bytes() == key


def test_uninstall_disables_the_plugin_and_keeps_the_journal(hermes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(hermes, "install")
    capsys.readouterr()
    for _ in range(2):
        assert run(hermes, "uninstall") == 0
        assert f"kept: {hermes / 'handoff' / 'journal.db'}" in capsys.readouterr().out
    assert (hermes / "config.yaml").read_text() == CONFIG
    assert (hermes / "handoff" / "journal.db").is_file()


def test_uninstall_is_refused_while_a_handoff_is_open(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.path / "config.yaml").write_text(CONFIG)
    home.bake()
    assert home.run("uninstall") == 4
    assert "h-1 is open, in phase baking" in capsys.readouterr().err


def test_a_home_without_a_config_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("install", "uninstall"):
        assert run(tmp_path, name) == 3
        assert "there is no config.yaml" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_journal_is_never_taken_for_one(hermes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hermes / "handoff").mkdir()
    (hermes / "handoff" / "journal.db").write_text("precious words, no database, and long enough to be looked at" * 20)
    assert run(hermes, "install") == 5
    assert capsys.readouterr().err.count("\n") == 1
    assert (hermes / "handoff" / "journal.db").read_text().startswith("precious words")
    assert (hermes / "config.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"plugins: [", "line 1", "not valid YAML"),
        (b"model: {}\nmodel: {token: secret}\n", "line 2", "not valid YAML"),
        (b"a: 1\nb:\n\t- c\n", "line 3", "not valid YAML"),
        (b"a: 2026-13-45\n", "", "not valid YAML"),
        (b"a: " + b"[" * 5000, "", "not valid YAML"),
        (b"- a\n", "", "it holds a list, and Hermes expects a mapping"),
        (b"a: 1\nplugins: 5\n", "line 2", "plugins is a number, and Hermes expects a mapping"),
        (
            b"plugins:\n  x: 1\n  enabled: all\n",
            "line 3",
            "enabled is a single word or text, and Hermes expects a list",
        ),
        (b"plugins:\n  enabled: {a: 1}\n", "line 2", "enabled is a mapping, and Hermes expects a list"),
        (b"a: 1\nname: caf\xe9\n", "line 2", "is not UTF-8"),
    ],
)
def test_a_config_that_cannot_be_edited_is_one_line_before_anything_is_made(
    hermes: Path, capsys: pytest.CaptureFixture[str], text: bytes, line: str, said: str
) -> None:
    (hermes / "config.yaml").write_bytes(text)
    assert run(hermes, "install") == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"{hermes / 'config.yaml'}: " in err
    assert line in err
    assert said in err
    assert "; " in err
    assert "Commented" not in err
    assert "secret" not in err
    assert [path.name for path in hermes.iterdir()] == ["config.yaml"]
    assert (hermes / "config.yaml").read_bytes() == text


def test_a_journal_elsewhere_is_refused_since_the_plugin_would_not_find_it(
    hermes: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in ("install", "uninstall"):
        assert run(hermes, name, "--journal", str(other / "new" / "journal.db")) == 2
        err = capsys.readouterr().err
        assert f"looks for its journal at {hermes}/handoff/journal.db only" in err
        assert err.count("\n") == 1
    assert list(other.iterdir()) == []
    assert (hermes / "config.yaml").read_text() == CONFIG
    assert run(hermes, "install", "--journal", str(hermes / "handoff" / "journal.db")) == 0


def test_doctor_says_whether_the_plugin_is_enabled(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.path / "config.yaml").write_text(CONFIG)
    home.serve()
    home.run("doctor")
    assert "run 'handoff-journal install'" in capsys.readouterr().out
    home.run("install")
    home.run("doctor")
    assert "enabled in" in capsys.readouterr().out
