"""The pages that are looked at: journals that were kept, and tales made by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from journal.record import Record
from journal.store import Reader
from replay.audit import audit
from replay.check import check
from replay.html.page import Proofs, page
from tests.builders import ROOT
from tests.unit.replay import tales


def page_of(records: list[Record], chain: str = "the chain holds") -> str:
    """The page of a record's last handoff."""
    found = audit(lambda: records)
    checked = check(records).within(found.handoff.first, found.handoff.last)
    return page(found, lambda: records, Proofs(chain, checked, "journal.db"))


def _golden(name: str) -> Callable[[], str]:
    def made() -> str:
        with closing(Reader(ROOT / "tests" / "golden" / f"{name}.db")) as reader:
            return page_of(list(reader.all()))

    return made


GALLERY: dict[str, Callable[[], str]] = {
    "finished": _golden("finished"),
    "blue killed": _golden("killed_blue"),
    "rolled back by a rule": lambda: page_of(tales.busy_rollback().records),
    "hostile": lambda: page_of(tales.hostile().records),
    "a day": lambda: page_of(tales.a_day().records),
    "came to nothing": lambda: page_of(tales.failed().records),
}
