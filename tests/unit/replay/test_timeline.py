"""Phases, owners, pollers and gaps by seq and time, and the choice of one handoff by name."""

from __future__ import annotations

import pytest

from journal import events as e
from journal.errors import NothingHere
from replay.audit import audit
from replay.timeline import read
from tests.builders import BLUE, GREEN, OPERATOR
from tests.unit.replay.histories import ADAPTER, History, connected


def test_a_journal_without_a_handoff_has_an_owner_and_a_poller() -> None:
    timeline = read(History().serving().records)
    assert timeline.handoffs == ()
    assert [(o.side, o.process, o.epoch) for o in timeline.owned] == [("blue", BLUE, 1)]
    assert [(p.adapter, p.process, p.until) for p in timeline.polled] == [(ADAPTER, BLUE, None)]


def test_an_empty_journal_has_nothing() -> None:
    timeline = read([])
    assert (timeline.handoffs, timeline.owned, timeline.polled, timeline.last) == ((), (), (), None)


def test_phases_follow_each_other_with_who_said_so_and_how_long_they_lasted() -> None:
    history = History().connected()
    history.wait(2.0)
    history.confirm()
    (handoff,) = read(history.records).handoffs
    assert [stay.phase for stay in handoff.stays] == ["requested", "init", "ack", "active", "baking"]
    active = handoff.stays[3]
    assert (active.type, active.role, active.process) == ("HANDOFF_ACTIVE", "blue", BLUE)
    assert active.elapsed_s == pytest.approx(2.004)
    assert handoff.open
    assert handoff.stays[-1].elapsed_s == 0.0


def test_the_phase_of_an_open_handoff_lasts_to_the_end_of_the_record() -> None:
    history = History().ack().wait(3.0)
    history.sample(BLUE)
    (handoff,) = read(history.records).handoffs
    assert handoff.stays[-1].elapsed_s == pytest.approx(3.001)


def test_a_phase_at_rest_has_no_end() -> None:
    (handoff,) = read(History().complete().records).handoffs
    assert (handoff.phase, handoff.open, handoff.stays[-1].elapsed_s) == ("complete", False, None)
    assert handoff.elapsed_s == pytest.approx(60, abs=0.1)


def test_the_owner_changes_with_the_epoch() -> None:
    owned = read(History().rolled_back().records).owned
    assert [(o.side, o.epoch, o.type) for o in owned] == [
        ("blue", 1, "PROCESS_STARTED"),
        ("green", 2, "HANDOFF_ACTIVE"),
        ("blue", 3, "BLUE_SERVING"),
    ]
    assert [o.until.seq if o.until else None for o in owned] == [owned[1].since.seq, owned[2].since.seq, None]


def test_a_green_that_stayed_is_the_blue_of_the_next_handoff() -> None:
    history = two()
    timeline = read(history.records)
    first, second = timeline.handoffs
    assert [(handoff.called(timeline.owned[-1]).side, timeline.owned[-1].process) for handoff in (first, second)] == [
        ("green", GREEN),
        ("blue", GREEN),
    ]
    assert [(p.side, p.process) for p in timeline.polls_in(second)] == [("blue", GREEN)]
    assert [(p.side, p.process) for p in timeline.polls_in(first)] == [("blue", BLUE), ("green", GREEN)]
    serving = audit(lambda: iter(history.records)).serving
    assert serving is not None
    assert (serving.side, serving.process) == ("blue", GREEN)


def test_a_lost_owner_leaves_nobody() -> None:
    history = History().ack()
    history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    assert [o.process for o in read(history.records).owned] == [BLUE, None, GREEN]


def test_the_gap_runs_from_the_pause_to_the_next_claim() -> None:
    history = History().active().wait(0.5)
    seq = history.say(GREEN, connected())
    (gap,) = read(history.records).gaps()
    assert (gap.adapter, gap.ended, gap.connected) == (ADAPTER, "paused", seq)
    assert gap.ms == gap.at_most_ms == pytest.approx(501.0)


def test_the_gap_of_a_lost_process_may_have_begun_when_it_was_last_heard() -> None:
    history = History().ack()
    history.sample(BLUE)
    history.wait(2.0)
    lost = history.lose("blue", GREEN)
    history.say(GREEN, e.HandoffSeized(reason="lost"))
    history.wait(1.0).say(GREEN, connected())
    (gap,) = read(history.records).gaps()
    assert (gap.since, gap.ended) == (lost, "lost")
    assert gap.ms == pytest.approx(1002.0)
    assert gap.at_most_ms == pytest.approx(3003.0)


def test_a_gap_that_lasts_is_measured_to_the_end_of_the_record() -> None:
    history = History().active().wait(4.0)
    history.sample(GREEN)
    (gap,) = read(history.records).gaps()
    assert gap.connected is None
    assert gap.ms == pytest.approx(4001.0)


def two() -> History:
    history = History().complete()
    history.say(BLUE, e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h2", runtime="next", bake_s=1.0))
    return history


def test_a_handoff_reaches_to_the_next_request() -> None:
    first, second = read(two().records).handoffs
    assert first.last + 1 == second.first == second.last


def test_the_last_handoff_is_chosen_without_a_name() -> None:
    assert read(two().records).select().id == "h2"


def test_a_handoff_is_chosen_by_its_name_or_its_beginning() -> None:
    timeline = read(two().records)
    assert timeline.select("h1").id == "h1"
    assert read(History().complete().records).select("h").id == "h1"


def test_a_whole_name_is_no_mere_beginning() -> None:
    history = History().complete()
    history.say(BLUE, e.ProcessExited())
    history.say(OPERATOR, e.HandoffRequested(handoff="h10", runtime="next", bake_s=1.0))
    assert read(history.records).select("h1").id == "h1"


def test_an_ambiguous_beginning_chooses_nothing() -> None:
    with pytest.raises(NothingHere, match="2 handoffs begin with h"):
        read(two().records).select("h")


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(NothingHere, match="no handoff is called h3") as error:
        read(two().records).select("h3")
    assert "h1, h2" in error.value.hint


def test_a_journal_without_handoffs_has_none_to_choose() -> None:
    with pytest.raises(NothingHere, match="no handoff"):
        read(History().serving().records).select()
