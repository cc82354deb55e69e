"""Who may not, or cannot, take a seat: a gateway runs without us, a green ends."""

from __future__ import annotations

import pytest

from gateway_hooks.hermes import plugin
from gateway_hooks.hermes.command import ROLE


def broken(_take: object) -> None:
    raise RuntimeError("the disk is on fire")


def test_an_unexpected_fault_lets_the_gateway_run_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugin, "enter", broken)
    monkeypatch.delenv(ROLE, raising=False)
    plugin.register(None)
    assert "the disk is on fire" in capsys.readouterr().err


def test_an_unexpected_fault_ends_a_green_which_would_be_a_second_gateway(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugin, "enter", broken)
    monkeypatch.setenv(ROLE, "green")
    with pytest.raises(SystemExit):
        plugin.register(None)
    assert "green cannot take its seat" in capsys.readouterr().err
