"""Which gateway stands behind the port: each kind in turn, its processes started once and used by all cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.stage import KINDS, Stage
from tests.contract.strings import Player


@pytest.fixture(scope="module", params=KINDS)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp(request.param), request.param) as stage:
        yield stage


@pytest.fixture
def blue(stage: Stage) -> Player:
    """A gateway that serves."""
    return stage.blue()


@pytest.fixture
def green(stage: Stage, blue: Player) -> Player:
    """A gateway of the same home that waits, beside ``blue``."""
    return stage.green()
