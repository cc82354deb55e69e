"""What blue had imported, green has imported before it polls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway_hooks.hermes.warmth import FILE, Warmth, importable


def test_green_imports_what_blue_left_and_passes_over_what_it_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_blue_knew_me.py").write_text("seen = True\n")
    (tmp_path / "breaks.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / FILE).write_text("breaks\nnot_of_this_version\nonly_blue_knew_me\n")
    Warmth(tmp_path).take()
    assert sys.modules.pop("only_blue_knew_me").seen


def test_blue_leaves_names_that_can_be_imported_elsewhere(tmp_path: Path) -> None:
    Warmth(tmp_path).leave()
    names = (tmp_path / FILE).read_text().split()
    assert "json" in names
    assert "__main__" not in names


def test_a_module_that_a_loader_made_up_is_not_named() -> None:
    assert importable({"hermes_plugins.telegram": sys.modules["json"], "json": sys.modules["json"]}) == {"json"}


def test_nothing_left_is_nothing_to_take(tmp_path: Path) -> None:
    Warmth(tmp_path).take()
    assert not (tmp_path / FILE).exists()
