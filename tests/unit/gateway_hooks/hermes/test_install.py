"""Enabling the plugin changes one line of config.yaml and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_hooks.gateway import GatewayFault
from gateway_hooks.hermes import install

CONFIG = """\
# My gateway
model:
  provider: custom   # the cheap one
  base_url: 'http://127.0.0.1:1/v1'

plugins:
  enabled:
  - other   # keep
display: {busy_input_mode: queue}
"""


def test_enabling_adds_one_line_and_keeps_comments() -> None:
    after = install.enable(CONFIG)
    assert install.enabled(after)
    assert after.splitlines() == [*CONFIG.splitlines()[:8], "  - handoff-journal", *CONFIG.splitlines()[8:]]


def test_enabling_twice_changes_nothing() -> None:
    once = install.enable(CONFIG)
    assert install.enable(once) == once


def test_disabling_gives_the_text_back() -> None:
    assert install.disable(install.enable(CONFIG)) == CONFIG
    assert install.disable(CONFIG) == CONFIG


def test_indented_lists_stay_indented() -> None:
    indented = CONFIG.replace("  - other", "    - other")
    assert "\n    - handoff-journal\n" in install.enable(indented)


@pytest.mark.parametrize("text", ["", "# nothing here yet\n", "model: {default: m}\n", "plugins:\n", "plugins: {}\n"])
def test_a_config_without_plugins_gets_the_section(text: str) -> None:
    after = install.enable(text)
    assert install.enabled(after)
    assert all(line in after for line in text.splitlines() if line.startswith(("#", "model")))


def test_a_plugin_that_was_disabled_by_name_is_enabled() -> None:
    text = "plugins:\n  enabled: []\n  disabled: [handoff-journal, other]\n"
    assert not install.enabled(text)
    assert install.enabled(install.enable(text))
    assert "other" in install.enable(text)


@pytest.mark.parametrize("text", ["plugins: 5\n", "- a\n", "plugins: {enabled: yes}\n", "a: [\n"])
def test_a_config_that_hermes_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(GatewayFault):
        install.enable(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        CONFIG.encode(),
        CONFIG.encode().replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbfmodel: {}\n",
        b"model:   {default: m}   # mine, and no line end",
        b"plugins:\n",
        b"plugins: {}  # none\nmodel:\n    - a\n",
        b"plugins: {enabled: []}\n",
        b"plugins: {enabled: [other], disabled: [handoff-journal, more]}\nx: 'y'\n",
        b"plugins:\n  enabled:\n    - other",
    ],
)
def test_switched_on_and_off_a_config_is_what_it_was_to_the_byte(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    for _ in range(3):
        backup = install.install(tmp_path)
        assert install.enabled(path.read_text(encoding="utf-8"))
        assert backup == tmp_path / install.BACKUP
        assert backup.read_bytes() == text
        install.uninstall(tmp_path)
        assert path.read_bytes() == text


def test_a_link_to_a_config_stays_a_link(tmp_path: Path) -> None:
    real, home = tmp_path / "dotfiles" / "hermes.yaml", tmp_path / "home"
    real.parent.mkdir()
    home.mkdir()
    real.write_text(CONFIG)
    (home / "config.yaml").symlink_to(real)
    install.install(home)
    assert install.enabled(real.read_text())
    install.uninstall(home)
    assert real.read_text() == CONFIG
    assert (home / "config.yaml").readlink() == real
    assert [path.name for path in real.parent.iterdir()] == ["hermes.yaml"]


def test_a_section_that_was_made_for_the_plugin_goes_with_it_though_others_wrote_meanwhile() -> None:
    text = "# mine\nmodel: {a: 1}  # this\n"
    later = install.enable(text) + "# more\ndisplay: {b: 2}\n"
    assert install.disable(later) == text + "# more\ndisplay: {b: 2}\n"
    assert install.disable(install.enable(text)) == text
    assert install.disable(install.enable("")) == ""


def test_no_text_from_before_an_install_is_ever_written_over(tmp_path: Path) -> None:
    path, texts = tmp_path / "config.yaml", [CONFIG, CONFIG + "# two\n", CONFIG + "# three\n"]
    for text in [*texts, *texts]:
        path.write_text(text)
        install.install(tmp_path)
        path.write_text(path.read_text() + "# edited meanwhile\n")
        install.uninstall(tmp_path)
        assert path.read_text() == text + "# edited meanwhile\n"
    kept = [install.BACKUP, f"{install.BACKUP}.2", f"{install.BACKUP}.3"]
    assert [(tmp_path / name).read_text() for name in kept] == texts
    assert not (tmp_path / f"{install.BACKUP}.4").exists()
    assert "handoff-journal" in (tmp_path / install.WITH).read_text()


def test_a_text_with_the_plugin_is_never_taken_for_the_one_from_before(tmp_path: Path) -> None:
    """An earlier version kept the text of an uninstall under that name, too."""
    path = tmp_path / "config.yaml"
    path.write_text(install.enable(CONFIG))
    (tmp_path / install.BACKUP).write_text(install.enable(CONFIG))
    install.uninstall(tmp_path)
    assert path.read_text() == CONFIG


def test_installing_keeps_the_old_text_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    path.chmod(0o640)
    assert install.install(tmp_path)
    assert not install.install(tmp_path)
    assert (tmp_path / install.BACKUP).read_text(encoding="utf-8") == CONFIG
    assert path.stat().st_mode & 0o777 == 0o640
    assert install.uninstall(tmp_path)
    assert path.read_text(encoding="utf-8") == CONFIG


def test_what_somebody_writes_into_a_config_after_it_was_read_is_not_written_over(tmp_path: Path) -> None:
    """Making the journal lies between the two, which may wait for its gate."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    change = install.planned(tmp_path, on=True)
    assert change is not None
    path.write_text(edited := CONFIG.replace("the cheap one", "the good one"))
    with pytest.raises(GatewayFault, match="changed meanwhile"):
        install.carry_out(change)
    assert path.read_text() == edited
    assert list(tmp_path.iterdir()) == [path]
