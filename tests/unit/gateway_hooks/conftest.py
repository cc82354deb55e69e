"""Fixtures for what stands on top of the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.gateway_hooks.homes import Home, a_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with a journal and two living processes."""
    with a_home(tmp_path) as found:
        yield found
