from __future__ import annotations

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from journal import events as e
from journal.events import MODELS, parse
from tests.builders import BLUE, EXAMPLES, accepted, process

OWNER = {"ADAPTER_CONNECTED", "ADAPTER_OFFSET", "ADAPTER_LOST", "MESSAGE_ACCEPTED", "TURN_STARTED"}
HOLDER = {"TURN_JOINED", "REPLY_INTENDED", "REPLY_SENT", "TURN_FINISHED", "MESSAGE_SETTLED"}


def test_every_type_has_an_example_here() -> None:
    assert [(x.TYPE, x.V) for x in EXAMPLES] == list(MODELS)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_an_event_is_read_back_as_it_was_written(event: e.Event) -> None:
    assert parse(event.TYPE, event.V, to_json(event).decode()) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_a_field_that_nobody_knows_is_refused(event: e.Event) -> None:
    body = to_json(event).decode()
    wider = body[:-1] + (',"more":1}' if len(body) > 2 else '"more":1}')
    with pytest.raises(ValidationError):
        parse(event.TYPE, event.V, wider)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_the_stored_name_is_the_name_of_the_model(event: e.Event) -> None:
    camel = "".join(part.capitalize() for part in event.TYPE.split("_"))
    assert type(event).__name__ == camel


def test_the_six_handoff_messages_keep_their_names() -> None:
    names = {f"HANDOFF_{name}" for name in ("INIT", "ACK", "ACTIVE", "CONFIRM", "COMPLETE", "ROLLBACK")}
    assert names <= {type_ for type_, _ in MODELS}


def test_each_type_is_admitted_in_one_of_three_ways() -> None:
    ways = {x.TYPE: x.ADMISSION for x in EXAMPLES}
    assert {t for t, way in ways.items() if way == "owner"} == OWNER
    assert {t for t, way in ways.items() if way == "holder"} == HOLDER
    assert {t for t, way in ways.items() if way == "protocol"} == ways.keys() - OWNER - HOLDER


def test_an_unknown_type_or_version_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        parse("HANDOFF_ACK", 99, "{}")


@pytest.mark.parametrize("name", ["+491701234567", "c_123", "telegram:42", "c_" + "1" * 16 + "\n"])
def test_a_clear_name_is_no_pseudonym(name: str) -> None:
    event = accepted().event
    with pytest.raises(ValidationError):
        type(event).model_validate({**event.model_dump(), "chat": name})


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        EXAMPLES[0].handoff = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", ['{"rule":"x","measured":NaN,"limit":1.0,"evidence":[]}', "[]", "{", '"x"', "{}"])
def test_a_body_that_does_not_fit_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        parse("DIVERGENCE_DETECTED", 1, body)


def test_a_process_is_its_pid_its_start_and_its_boot() -> None:
    assert process(1) == BLUE
    assert hash(process(1)) == hash(BLUE)
    for other in ({"pid": 7}, {"started": 7}, {"boot": "another"}):
        assert BLUE.model_copy(update=other) != BLUE
    assert (BLUE.pid, BLUE.started, BLUE.boot) != BLUE
