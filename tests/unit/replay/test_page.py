"""The page of an audit: nothing from the journal becomes markup, nothing is fetched, everything has words, and it stays small."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from journal import events as e
from replay.audit import audit
from replay.check import check
from replay.html.listing import ROWS
from replay.html.markup import el, escaped
from replay.html.page import Proofs, page
from replay.html.scene import read_scene
from replay.html.style import STYLE
from replay.html.window import Window, windows
from tests.builders import BLUE, GREEN
from tests.unit.replay.histories import History
from tests.unit.replay.tales import EVIL, eventful, failed, hostile

EMPTY = {"meta", "br", "link", "hr"}


class Reading(HTMLParser):
    """What a browser would see; raises where tags are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def page_of(history: History, chain: str = "the chain holds") -> str:
    records = history.records
    return page(audit(lambda: records), lambda: records, Proofs(chain, check(records), "journal.db"))


HISTORIES = {
    "open": lambda: History().ack(),
    "complete": lambda: History().complete(),
    "rolled back": lambda: History().rolled_back(),
    "eventful": eventful,
    "hostile": hostile,
    "failed": failed,
}


@pytest.mark.parametrize("made", HISTORIES.values(), ids=HISTORIES)
def test_the_page_is_balanced_and_fetches_and_runs_nothing(made: object) -> None:
    assert callable(made)
    text = page_of(made())
    seen = Reading(text)
    assert not set(seen.tags) & {"script", "img", "iframe", "link", "object", "embed", "form", "base", "foreignobject"}
    assert not seen.of("src")
    assert all(value.startswith("#") for value in seen.of("href"))
    assert not [name for _, name, _ in seen.attributes if name.startswith("on") or name == "style"]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in "".join(seen.of("content"))


def test_markup_in_a_journal_is_shown_and_never_obeyed() -> None:
    text = page_of(hostile())
    seen = Reading(text)
    assert "</p><script src=http://x>alert(1)</script>" in seen.text
    assert "\u202e" not in text
    assert "\x00" not in text
    text.encode()
    harmless = Reading(page_of(hostile()).replace(escaped(EVIL.replace("\ud800", "")), "x"))
    assert seen.tags == harmless.tags


def test_an_attribute_cannot_be_left_by_its_value() -> None:
    assert el("a", EVIL, title=EVIL).count("<") == 2
    assert '"' not in re.sub(r'title="[^"]*"', "", el("a", title=EVIL))


@pytest.mark.parametrize("made", HISTORIES.values(), ids=HISTORIES)
def test_every_part_has_a_heading_every_table_its_headers_and_every_drawing_words(made: object) -> None:
    assert callable(made)
    seen = Reading(page_of(made()))
    assert seen.tags["h1"] == 1
    assert seen.tags["h2"] == seen.tags["section"] == 7
    assert seen.tags["caption"] == seen.tags["table"] == 3
    assert set(seen.of("scope")) == {"col", "row"}
    ids = seen.of("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in seen.of("href")} <= set(ids)
    assert {i for value in seen.of("aria-labelledby") for i in value.split()} <= set(ids)
    images = [tag for tag, name, value in seen.attributes if (name, value) == ("role", "img")]
    named = [1 for tag, name, _ in seen.attributes if tag == "svg" and name in ("aria-label", "aria-labelledby")]
    assert len(images) == len(named)
    assert ("html", "lang", "en") in seen.attributes


def test_the_page_begins_with_the_five_answers() -> None:
    text = Reading(page_of(eventful())).text
    places = [
        text.index(words) for words in ("Is my gateway serving?", "Was anything lost?", "What must I do?", "Timeline")
    ]
    assert places == sorted(places)
    assert "turn-errors: 0.5, at most 0.1" in text


def test_a_long_journal_stays_small_and_says_what_was_left_out() -> None:
    history = History().baking()
    for number in range(1200):
        history.answer(history.accept(number, chat=number))
    history.wait(60).say(BLUE, e.HandoffComplete(sample=history.sample(GREEN)))
    text = page_of(history)
    seen = Reading(text)
    total = history.seq - history.records[3].seq + 1
    assert len(text) < 250_000
    assert seen.tags["tr"] < ROWS
    assert f"of {total} events" in seen.text
    assert "handoff-journal log --handoff h1" in seen.text
    assert "up to" in seen.text


def test_a_long_bake_is_drawn_whole_and_its_ends_enlarged() -> None:
    history = History().baking(86400.0)
    history.wait(80000).sample(GREEN)
    history.say(BLUE, e.HandoffRollback(phase="baking", reason="fault", detail="x"))
    history.lose("green", BLUE)
    history.say(BLUE, e.BlueServing(flushed_seq=history.head.flushed_seq, digests={}))
    drawn = windows(read_scene(history.records))
    assert [w.name.split()[0] for w in drawn] == ["The", "There:", "Back:"]
    assert drawn[0].length_s > 80000
    assert all(w.length_s < 10 for w in drawn[1:])
    assert Reading(page_of(history)).tags["figure"] == 3 + 6


def test_a_drawing_is_to_scale() -> None:
    window = Window("w", -1.0, 9.0)
    assert [window.x(at) for at in (-2.0, -1.0, 4.0, 9.0, 20.0)] == [0.0, 0.0, 50.0, 100.0, 100.0]
    assert list(window.ticks()) == [0, 2, 4, 6, 8]
    scene = read_scene(History().rolled_back().records)
    owned = [(bar.side, bar.since_s < 0) for bar in scene.owned]
    assert owned == [("blue", True), ("green", False), ("blue", False)]
    (gap,) = [g for g in scene.gaps if g.until_s is not None][:1]
    assert gap.until_s is not None
    assert gap.until_s - gap.since_s == pytest.approx(gap.ms / 1e3)


# ------------------------------------------------------------------------------------------- colours


def _palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root\{([^}]*)\}", STYLE.replace("\n", ""))
    read = [dict(re.findall(r"--(\w+):(#[0-9a-f]{3,6})", block)) for block in blocks]
    light = read[0]
    return {"light": light, "dark": {**light, **read[1]}, "print": {**light, **read[2]}}


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_words_stand_out_from_what_is_behind_them(theme: str) -> None:
    colours = _palettes()[theme]
    pairs = [("ink", b) for b in ("bg", "card", "warn2", "bad2", "blue2", "green2")]
    pairs += [(c, b) for c in ("soft", "blue", "green", "bad", "warn") for b in ("bg", "card")]
    pairs += [("warn", "warn2"), ("bad", "bad2"), ("blue", "warn2"), ("green", "warn2")]
    poor = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: found for pair, found in poor.items() if found < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sides_can_be_told_apart_from_their_shades(theme: str) -> None:
    colours = _palettes()[theme]
    assert contrast(colours["blue"], colours["blue2"]) >= 3
    assert contrast(colours["green"], colours["green2"]) >= 3
