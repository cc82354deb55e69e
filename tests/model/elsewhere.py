"""The named tests that catch what no schedule kills: the unit tests are collected once and run over each mutant, in this process."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType

import pytest

from tests.model.mutants import MODULES, Mutant, rebuilt, without

LONGEST_S = 20.0
"""A unit test that takes so long will not end."""
LOOKED_AT = (
    "tests/unit/journal/test_law.py",
    "tests/unit/replay/test_decide.py",
    "tests/unit/replay/test_check.py",
)


def caught(mutants: Iterable[Mutant]) -> dict[str, str]:
    """The first test that fails without what a mutant takes out, and does not fail with it, by the mutant's name."""
    runner = _Runner(list(mutants))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", *LOOKED_AT], plugins=[runner])
    assert runner.ran > 100, "the unit tests did not run"
    return runner.found


class _Runner:
    """Runs those tests that need no fixture, as plain functions."""

    def __init__(self, mutants: list[Mutant]) -> None:
        self._mutants = mutants
        self.found: dict[str, str] = {}
        self.ran = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = [(item, _parameters(item)) for item in session.items if isinstance(item, pytest.Function)]
        plain = [(item, given) for item, given in items if set(item.fixturenames) <= given.keys()]
        self.ran = len(plain)
        users = {*(item.module for item, _ in plain), sys.modules["tests.builders"]}
        for module, real in MODULES.items():
            with exchanged(real, getattr(rebuilt(module), module), users):
                sound = [(item, given) for item, given in plain if not _fails(item, given)]
            for mutant in [m for m in self._mutants if m.module == module]:
                with exchanged(real, getattr(without(mutant), module), users):
                    failing = next((item for item, given in sound if _fails(item, given)), None)
                if failing is not None:
                    self.found[mutant.name] = failing.nodeid.split("[")[0]
        return True


def _parameters(item: pytest.Function) -> dict[str, object]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def _fails(item: pytest.Function, given: dict[str, object]) -> bool:
    """Whether a test fails, or goes on without end."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        item.obj(**given)
    except (Exception, pytest.fail.Exception):
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError


@contextmanager
def exchanged(real: ModuleType, other: ModuleType, users: set[ModuleType]) -> Iterator[None]:
    """Every name that ``users`` have imported from ``real`` means that of ``other`` meanwhile."""
    before = [
        (user, name, value)
        for user in users
        for name, value in vars(user).items()
        if value is real or (getattr(value, "__module__", "") == real.__name__ and hasattr(other, name))
    ]
    for user, name, value in before:
        setattr(user, name, other if value is real else getattr(other, name))
    try:
        yield
    finally:
        for user, name, value in before:
            setattr(user, name, value)
