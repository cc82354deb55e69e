"""``docs/events.md`` says of every event what the code says: its name, version, admission, fields and sense."""

from __future__ import annotations

from pathlib import Path

from journal.events import MODELS, Event

CATALOGUE = Path(__file__).parent.parent / "docs" / "events.md"


def row(model: type[Event]) -> str:
    """The line of an event in the catalogue."""
    sense = " ".join((model.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    fields = ", ".join(f"`{name}`" for name in model.model_fields) or "-"
    return f"| `{model.TYPE}` | {model.V} | {model.ADMISSION} | {fields} | {sense} |"


def test_the_catalogue_has_a_line_for_every_event_and_no_other() -> None:
    written = [line for line in CATALOGUE.read_text().splitlines() if line.startswith("| `")]
    assert written == [row(model) for model in MODELS.values()]
