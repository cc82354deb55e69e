"""A Hermes that is not known, or lacks a seam, is named and left alone."""

from __future__ import annotations

from typing import Any

from gateway_hooks.gateway import AdapterInfo
from gateway_hooks.hermes import seams


def there(_name: str) -> Any:
    return object()


def without(*names: str) -> Any:
    def find(name: str) -> Any:
        if name in names:
            raise AttributeError(name)
        return object()

    return find


def test_a_known_hermes_with_all_seams_is_welcome() -> None:
    for version in seams.KNOWN:
        assert seams.findings(installed=version, find=there)[0].severity == "ok"


def test_an_unknown_hermes_is_refused_by_its_version() -> None:
    (finding,) = seams.findings(installed="0.20.0", find=there)
    assert (finding.code, finding.severity) == ("hermes.version", "error")
    assert "0.20.0" in finding.text


def test_a_missing_seam_is_named_with_what_it_is_needed_for() -> None:
    name = "gateway.run:GatewayRunner._run_agent"
    (finding,) = seams.findings(installed="0.19.0", find=without(name))
    assert finding.code == "hermes.seam"
    assert name in finding.text
    assert "where turns begin" in finding.text


def test_a_seam_of_a_later_version_is_not_missed_in_an_earlier_one() -> None:
    late = "gateway.delivery_ledger:sweep_recoverable"
    assert seams.missing(installed="0.18.2", find=without(late)) == ()
    assert [seam.name for seam in seams.missing(installed="0.19.0", find=without(late))] == [late]


def test_no_seam_is_listed_twice() -> None:
    names = [seam.name for seam in seams.SEAMS]
    assert len(names) == len(set(names))


def test_an_adapter_that_lacks_a_seam_is_named() -> None:
    finding = seams.adapter_findings(object())[0]
    assert "_start_polling_resilient" in finding.text


def test_what_changes_hands_slowly_is_said() -> None:
    adapters = (AdapterInfo("telegram", "7", "warm"), AdapterInfo("discord", "8", "general"))
    (finding,) = seams.way_findings(adapters)
    assert "discord" in finding.text
