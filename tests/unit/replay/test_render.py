"""What a person reads fits on a screen and says what the data says; JSON carries all of it."""

from __future__ import annotations

import json

import pytest

from journal import events as e
from replay.audit import audit
from replay.check import check
from replay.data import fingerprint, of_audit, of_check, of_record, of_state, of_timeline
from replay.prose import audit_text
from replay.render import check_line, phase_lines, record_line, state_text, timeline_text
from replay.timeline import read
from replay.times import at, span
from tests.builders import BLUE, GREEN, handed_over
from tests.unit.replay.histories import History, connected, paused


def killed_blue() -> History:
    history = History().ack()
    history.intend(history.turn(history.accept(1)))
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.say(GREEN, connected())
    return history


def crowd() -> History:
    """Everything that an audit can tell, and thirty ambiguous replies."""
    history = History().ack()
    for number in range(30):
        history.intend(history.turn(history.accept(number, chat=number)))
    history.say(BLUE, handed_over())
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.say(GREEN, connected())
    return history


def text_of(history: History) -> str:
    records = history.records
    return audit_text(audit(lambda: records), check(records), "the chain holds")


def test_a_good_audit_begins_with_its_outcome_in_words() -> None:
    lines = text_of(History().complete()).splitlines()
    assert lines[0].startswith("handoff h1 to runtime next: complete after 60 s")
    assert lines[1] == "the new runtime serves; no message was lost, doubled, ambiguous or abandoned."


def test_an_audit_ends_with_the_head_to_keep() -> None:
    history = History().complete()
    assert text_of(history).splitlines()[-1] == f"head      {history.seq}:{history.head.hash.hex()}"


def test_an_audit_names_what_suffered_first_and_its_proof() -> None:
    text = text_of(killed_blue())
    assert "but replies are ambiguous" in text.splitlines()[1]
    (line,) = [line for line in text.splitlines() if line.startswith("  ! ")]
    assert line.startswith("  ! message 11 is ambiguous")
    assert "[11, 12, 13, 14, 15]" in text
    assert "died in phase ack, 1 turn with 1 message in its hands" in " ".join(text.split())


@pytest.mark.parametrize("made", [crowd, killed_blue, lambda: History().rolled_back(), lambda: History().active()])
def test_an_audit_fits_on_a_screen(made: object) -> None:
    assert callable(made)
    lines = text_of(made()).splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines) <= 80


def test_a_crowd_is_counted_and_not_told_one_by_one() -> None:
    assert "26 ambiguous" in " ".join(text_of(crowd()).split("and ", 1)[1].split())


def test_steps_and_pollers_stand_in_the_timeline() -> None:
    history = History().rolled_back()
    timeline = read(history.records)
    text = timeline_text(timeline.select(), timeline.polls_in(timeline.select()))
    assert text.splitlines()[0] == "handoff h1 to runtime next: rolled back"
    assert "BLUE_SERVING by blue (process 1001)" in text
    assert text.count("telegram:a_0000000000000000") == 3


def test_a_phase_line_says_where_when_how_long_and_who() -> None:
    history = History().requested().wait(2.0)
    history.sample(BLUE)
    (line,) = phase_lines(read(history.records).select())
    assert line == "4  2023-11-14 22:13:20.003  requested  2.0 s  HANDOFF_REQUESTED by operator (process 1004)"


def test_a_state_is_told_line_by_line() -> None:
    history = History().ack()
    history.turn(history.accept(1))
    lines = dict(line.split(maxsplit=1) for line in state_text(history.state).splitlines())
    assert lines["phase"] == "ack, by HANDOFF_ACK of green at seq 10"
    assert lines["turns"] == "12 over [11] in blue"
    assert lines["owner"] == "blue, epoch 1"


def test_the_state_of_nothing_can_be_told() -> None:
    assert "none yet" in state_text(History().state)


def test_a_difference_is_told_with_both_sides() -> None:
    history = History().serving()
    history.plant(BLUE, paused(), epoch=9)
    assert check_line(check(history.records)) == "1 of 4 events differ; first seq 4, epoch: expected 1, recorded 9"


def test_a_long_event_is_cut_at_the_width() -> None:
    history = History().requested()
    assert all(len(record_line(record)) <= 150 for record in history.records)
    assert record_line(history.records[3]).endswith("...")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0018, "1.8 ms"),
        (0.4, "0.4 s"),
        (60, "60 s"),
        (600, "10 min"),
        (86400, "24 h"),
        (172800, "48 h"),
        (172900, "2 days"),
        (302400, "3.5 days"),
        (860000, "10 days"),
        (2592000, "30 days"),
        (95292000, "1103 days"),
    ],
)
def test_a_time_is_told_in_its_own_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_moment_is_told_in_utc_to_the_millisecond() -> None:
    assert at(1_700_000_000_123_999_999) == "2023-11-14 22:13:20.123"


def test_everything_can_be_told_in_json() -> None:
    history = crowd()
    records = history.records
    found = audit(lambda: records)
    answers = [of_audit(found), of_check(check(records)), of_state(history.state), of_timeline(read(records))]
    back = [json.loads(json.dumps(answer)) for answer in (*answers, of_record(records[0]))]
    assert back[0]["head"] == {"seq": history.seq, "hash": history.head.hash.hex()}
    assert len([f for f in back[0]["findings"] if f["code"] == "ambiguous"]) == 30
    assert back[1]["first"] is None
    assert back[2]["phase"] == "active"
    assert back[3]["handoffs"][0]["id"] == "h1"
    assert back[4]["body"]["side"] == "blue"


def test_a_fingerprint_is_64_hex_digits() -> None:
    assert len(bytes.fromhex(fingerprint(History().state))) == 32
