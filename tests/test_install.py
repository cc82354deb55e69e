"""Installing beside Hermes changes nothing of what Hermes was installed with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hermes_venv import BEFORE, VERSIONS, hermes_venv, pip


@pytest.fixture(params=VERSIONS)
def installed(request: pytest.FixtureRequest) -> Path:
    """An environment in which Hermes came first and this project second."""
    return hermes_venv(request.param)


def _pins(freeze: str) -> dict[str, str]:
    pairs = (line.split("==") for line in freeze.splitlines() if "==" in line)
    return {name.lower(): version for name, version in pairs}


def test_no_package_that_stood_there_changes_its_version(installed: Path) -> None:
    before, after = _pins((installed / BEFORE).read_text()), _pins(pip(installed, "freeze", "--all"))
    assert "hermes-agent" in before
    assert {name: after.get(name) for name in before} == before


def test_everything_installed_fits_together(installed: Path) -> None:
    assert "No broken requirements" in pip(installed, "check")


def test_the_project_is_there_and_hermes_can_find_it(installed: Path) -> None:
    assert "handoff-journal" in pip(installed, "list")
    assert (installed / "bin" / "handoff-journal").is_file()
    shown = pip(installed, "show", "--files", "handoff-journal")
    assert "entry_points.txt" in shown
