"""The deliberate breaks of ``tests/breaks.py`` still apply; whether tests notice them is for ``make breaks`` to say."""

from __future__ import annotations

import pytest

from tests.breaks import BREAKS, Break
from tests.builders import ROOT


@pytest.mark.parametrize("found", BREAKS, ids=lambda found: found.name)
def test_a_deliberate_break_still_finds_its_place_and_its_tests(found: Break) -> None:
    assert (ROOT / found.file).read_text().count(found.old) == 1
    assert found.new != found.old
    if not found.tests.startswith("-m "):
        file, _, name = found.tests.partition("::")
        assert (ROOT / file).exists()
        assert f"def {name}" in (ROOT / file).read_text() if name else True
