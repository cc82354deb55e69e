"""The page about Hermes lists every seam, names only tests that exist, and no method is wrapped that it does not list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from gateway_hooks.hermes import seams
from tests.builders import ROOT

PAGE = ROOT / "docs" / "hermes.md"
PLUGIN = ROOT / "gateway_hooks" / "hermes"


def rows() -> list[str]:
    """The table of seams, as it should stand on the page."""
    adapter = [(f"{seams.ADAPTERS}.{seam.name}", seam) for seam in seams.ADAPTER]
    named = [*((seam.name, seam) for seam in seams.SEAMS), *adapter]
    return [f"| `{name}` | {seam.why} | {seam.since} |" for name, seam in named]


def test_the_page_lists_every_seam_as_it_is() -> None:
    text = PAGE.read_text().partition("## Every seam")[2]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows()


def test_the_page_names_the_versions_that_are_known() -> None:
    assert f"**hermes-agent {' and '.join(seams.KNOWN)}**" in PAGE.read_text()
    assert f"python-telegram-bot {' and '.join(seams.TELEGRAM_LIBRARY)}." in PAGE.read_text()


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }
    assert named
    assert named <= there


def wrapped(path: Path) -> set[str]:
    """The names that a module hands to ``wrap``, as far as they stand there in words."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = [call.args[1] for call in calls if getattr(call.func, "id", "") == "wrap"]
    return {str(name.value) for name in names if isinstance(name, ast.Constant)}


def test_nothing_is_wrapped_that_is_no_seam() -> None:
    known = {re.split("[:.]", seam.name)[-1] for seam in (*seams.SEAMS, *seams.ADAPTER)}
    found = {name for path in PLUGIN.glob("*.py") for name in wrapped(path)}
    assert len(found) > 30
    assert found <= known
