"""The timeline as lanes, drawn to scale: blue, green, the platform and the operator under the phases.

Places along time are percentages and heights are pixels, so that words keep their size on any screen and no script is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from journal.events import Side
from replay.html.markup import Markup, el, joined
from replay.html.scene import Bar, Mark, Scene
from replay.html.window import Window, stay_times
from replay.times import span

ROWS, ROW = 7, 6
CROWD = 250
"""More turns than that are drawn as how many there were at once."""
BINS = 120
PHONE, LETTER = 340.0, 6.4
"""Width of a phone's drawing and of a letter in it, in pixels: what does not fit there is not written."""
OWNERS = {"active": "green", "baking": "green", "complete": "green", "rolling_back": "back"}


def lanes(scene: Scene, window: Window, name: str) -> Markup:
    """One drawing as ``<svg>``, with its title and description."""
    draw = _Drawing(scene, window)
    draw.phases()
    for side in ("blue", "green"):
        draw.side(side)
    draw.platform()
    draw.operator()
    draw.axis()
    described = f"{window.name}, {span(window.length_s)}. Phases: " + ", ".join(
        f"{stay.phase.replace('_', ' ')} at {_time(since)}" for stay, since, _ in stay_times(scene)
    )
    return el(
        "svg", el("title", f"{window.name}, to scale", id=f"{name}-t"), el("desc", described, id=f"{name}-d"),
        el("g", draw.behind), el("g", draw.parts), class_="lanes", role="img", width="100%", height=draw.y,
        aria_labelledby=f"{name}-t {name}-d",
    )  # fmt: skip


class _Drawing:
    def __init__(self, scene: Scene, window: Window) -> None:
        self.y = 0
        self.parts: list[Markup] = []
        self.behind: list[Markup] = []
        self._scene, self._window = scene, window

    # --------------------------------------------------------------------------------------- lanes

    def phases(self) -> None:
        """A strip of the phases, coloured by who owns the adapters in them."""
        self._label("phase", "")
        for stay, since, until in stay_times(self._scene):
            if not self._window.sees(since, until):
                continue
            owner = OWNERS.get(stay.phase, "blue")
            words = stay.phase.replace("_", " ")
            self._bar(since, until, 20, f"phase {owner}", f"{words} from {_time(since)}, seq {stay.since.seq}")
            left, right = self._window.x(since), self._window.x(self._end(until))
            if (right - left) / 100 * PHONE > LETTER * len(words) + 8:
                self.parts.append(el("text", words, x=_pc(left), dx=5, y=self.y + 14, class_="in"))
        self.y += 26

    def side(self, side: Side) -> None:
        """A process's life, what it owned, its turns, and what befell it."""
        lives = [bar for bar in self._scene.lives if bar.side == side]
        self._label(side, ", ".join(dict.fromkeys(bar.label for bar in lives)) or "nobody")
        for bar in lives:
            self._bar(bar.since_s, bar.until_s, 10, f"life {side}", f"{side}, {bar.label}, lives", rounded=3)
        for bar in self._scene.owned:
            if bar.side == side:
                self._bar(
                    bar.since_s, bar.until_s, 10, f"own {side}", f"{side} {bar.label}, from seq {bar.seq}", rounded=3
                )
        for mark in self._scene.marks:
            if mark.lane == side:
                self._mark(mark, 5)
        self.y += 15
        self._turns([bar for bar in self._scene.turns if bar.side == side], side)
        self.y += 8

    def platform(self) -> None:
        """Who polled, when nobody did, and the messages as they came in."""
        self._label("platform", "who polls, and what came in")
        for adapter in dict.fromkeys(bar.label for bar in self._scene.polled):
            for bar in self._scene.polled:
                if bar.label == adapter:
                    words = f"{bar.side} polls {adapter} from seq {bar.seq}"
                    self._bar(bar.since_s, bar.until_s, 10, f"own {bar.side}", words)
            for gap in self._scene.gaps:
                if gap.adapter == adapter:
                    words = f"nobody polls {adapter} for {span(gap.ms / 1e3)}, from seq {gap.seq}"
                    self._bar(gap.since_s, gap.until_s, 10, "gap", words, least=2)
            self.y += 11
            self._gap_words(adapter)
        self._ticks(self._scene.accepted)
        self.y += 10

    def operator(self) -> None:
        """What a person said."""
        self._label("operator", "")
        said = [mark for mark in self._scene.marks if mark.lane == "operator"]
        for mark in said:
            self._mark(mark, 6, words=True)
        self.y += 22

    def axis(self) -> None:
        """The time, and a hair line through all lanes at each round second and each change of the phase."""
        for at in self._window.ticks():
            x = self._window.x(at)
            self.behind.append(el("line", x1=_pc(x), x2=_pc(x), y1=18, y2=self.y, class_="grid"))
            anchor = "start" if x < 8 else "end" if x > 92 else "middle"
            self.parts.append(el("text", _time(at), x=_pc(x), y=self.y + 12, class_="tick", text_anchor=anchor))
        for stay, since, _ in stay_times(self._scene):
            if self._window.sees(since, since):
                x = self._window.x(since)
                kind = "turned back" if stay.phase in ("rolling_back", "failed") else "turned"
                self.behind.append(el("line", x1=_pc(x), x2=_pc(x), y1=18, y2=self.y, class_=kind))
        self.y += 18

    # --------------------------------------------------------------------------------------- pieces

    def _label(self, name: str, more: str) -> None:
        words = [el("tspan", name, class_=f"name n-{name}"), el("tspan", f"  {more}" if more else "", class_="more")]
        self.parts.append(el("text", words, x=0, y=self.y + 11, class_="label", xml_space="preserve"))
        self.y += 16

    def _end(self, until_s: float | None) -> float:
        return self._window.until_s if until_s is None else until_s

    def _bar(
        self,
        since_s: float,
        until_s: float | None,
        height: int,
        kind: str,
        words: str,
        *,
        least: int = 1,
        rounded: int = 0,
    ) -> None:
        if not self._window.sees(since_s, until_s):
            return
        left, right = self._window.x(since_s), self._window.x(self._end(until_s))
        wide = right - left
        if wide / 100 * PHONE < least:
            line = el(
                "line",
                el("title", words),
                x1=_pc(left),
                x2=_pc(left),
                y1=self.y,
                y2=self.y + height,
                class_=f"{kind} thin",
            )
            self.parts.append(line)
            return
        self.parts.append(
            el(
                "rect",
                el("title", words),
                x=_pc(left),
                y=self.y,
                width=_pc(wide),
                height=height,
                rx=rounded,
                class_=kind,
            )
        )

    def _mark(self, mark: Mark, down: int, *, words: bool = False) -> None:
        if not self._window.sees(mark.at_s, mark.at_s):
            return
        x, y = self._window.x(mark.at_s), self.y + down
        told = f"{mark.label}, seq {mark.seq}, at {_time(mark.at_s)}"
        shape = "M-5,-5L5,5M-5,5L5,-5" if mark.bad else "M0,-6L6,0L0,6L-6,0Z"
        kind = "cross" if mark.bad else f"stone {mark.lane}"
        drawn = el("svg", el("path", el("title", told), d=shape, class_=kind), x=_pc(x), y=y, overflow="visible")
        self.parts.append(drawn)
        if words:
            anchor, dx = ("end", -10) if x > 70 else ("start", 10)
            self.parts.append(el("text", mark.label, x=_pc(x), dx=dx, y=y + 4, class_="more", text_anchor=anchor))

    def _turns(self, turns: Sequence[Bar], side: Side) -> None:
        """Each turn a thin bar, or a hill of how many there were at once."""
        seen = sorted((b for b in turns if self._window.sees(b.since_s, b.until_s)), key=lambda b: b.since_s)
        if len(seen) > CROWD:
            self._hill(seen, side)
            return
        rows: list[float] = []
        hidden = 0
        top = self.y
        for bar in seen:
            row = next((n for n, free in enumerate(rows) if free <= bar.since_s), len(rows))
            if row >= ROWS:
                hidden += 1
                continue
            rows[row : row + 1] = [self._end(bar.until_s)]
            self.y = top + row * ROW
            state = "not over" if bar.until_s is None else "over" if bar.good else "broken off"
            words = f"{bar.label} of {side}, {state}, from {_time(bar.since_s)}"
            self._bar(
                bar.since_s, bar.until_s, ROW - 2, f"turn {side}" if bar.good else "turn bad", words, least=2, rounded=2
            )
        self.y = top + len(rows) * ROW
        if hidden:
            self.parts.append(
                el("text", f"and {hidden} more turns at the same time", x=0, y=self.y + 11, class_="more")
            )
            self.y += 14

    def _hill(self, turns: Sequence[Bar], side: Side) -> None:
        width = self._window.length_s / BINS
        counts = []
        for n in range(BINS):
            since = self._window.since_s + n * width
            counts.append(sum(1 for t in turns if t.since_s <= since + width and self._end(t.until_s) >= since))
        most = max(counts)
        points = " ".join(
            f"{n},{30 - 28 * count / most:.1f} {n + 1},{30 - 28 * count / most:.1f}" for n, count in enumerate(counts)
        )
        hill = el("polygon", points=f"0,30 {points} {BINS},30", class_=f"turn {side}")
        inner = el(
            "svg", hill, x=0, y=self.y, width="100%", height=30, viewBox=f"0 0 {BINS} 30", preserveAspectRatio="none"
        )
        self.parts.append(joined(inner, el("text", f"up to {most} turns at once", x=0, y=self.y + 42, class_="more")))
        self.y += 46

    def _gap_words(self, adapter: str) -> None:
        """How long nobody polled, where there is room for it; the longest first."""
        placed: list[float] = []
        for gap in sorted((g for g in self._scene.gaps if g.adapter == adapter), key=lambda g: -g.ms):
            x = self._window.x(gap.since_s)
            if self._window.sees(gap.since_s, gap.until_s) and all(abs(x - other) > 18 for other in placed):
                placed.append(x)
                anchor = "start" if x < 8 else "end" if x > 92 else "middle"
                self.parts.append(
                    el("text", span(gap.ms / 1e3), x=_pc(x), y=self.y + 12, class_="gapword", text_anchor=anchor)
                )
        self.y += 17 if placed else 4

    def _ticks(self, times: Sequence[float]) -> None:
        """A short stroke for each message; when there are many, for each moment in which any came."""
        places = {round(self._window.x(t) * (BINS * 4) / 100) for t in times if self._window.sees(t, t)}
        drawn = [
            el(
                "line",
                x1=_pc(p / (BINS * 4) * 100),
                x2=_pc(p / (BINS * 4) * 100),
                y1=self.y,
                y2=self.y + 6,
                class_="came",
            )
            for p in sorted(places)
        ]
        self.parts.append(el("g", el("title", "messages came in"), drawn))
        self.y += 8


def _pc(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def _time(at_s: float) -> str:
    if at_s == 0:
        return "0"
    sign = "-" if at_s < 0 else "+"
    size = abs(at_s)
    if size < 0.0995:
        return f"{sign}{size * 1e3:.3g} ms"
    return (
        f"{sign}{size:.3g} s"
        if size < 120
        else f"{sign}{size / 60:.3g} min"
        if size < 7200
        else f"{sign}{size / 3600:.3g} h"
    )
