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
