"""Health curves of both sides, one small drawing a measure, with the rule that fired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from journal.events import HealthSampled, Side
from replay.html.markup import Markup, el, joined
from replay.html.scene import Sample, Scene
from replay.html.window import Window
from replay.times import span

HIGH = 64
POINTS = 240
"""As many points of a side are drawn at most: of each stretch the highest."""
SIDES: tuple[Side, Side] = ("blue", "green")
Value = Callable[[HealthSampled], float]
MEASURES: tuple[tuple[str, str, Value], ...] = (
    ("loop lag", "ms", lambda h: h.loop_lag_ms),
    ("turns in flight", "", lambda h: h.turns),
    ("messages waiting", "", lambda h: h.waiting),
    ("answers so far", "", lambda h: h.answered),
    ("errors so far", "", lambda h: h.errors),
    ("memory", "MB", lambda h: h.rss_mb),
)


def curves(scene: Scene) -> Markup:
    """A figure for each measure, and the rules that fired in words; a sentence when nobody sampled."""
    samples = [s for s in scene.samples if s.at_s <= scene.end_s]
    if not samples:
        return el("p", "No health sample stands in this part of the record.")
    window = Window("health", min(s.at_s for s in samples), max(scene.end_s, max(s.at_s for s in samples)))
    fired = [
        el("p", f"A rule fired: {rule.rule} was {rule.measured:g}, at most {rule.limit:g}. ", class_="bad")
        for _, rule in scene.fired
    ]
    counts = {side: sum(1 for s in samples if s.side == side) for side in SIDES}
    told = el(
        "p",
        f"{counts['blue']} samples of blue and {counts['green']} of green, over {span(window.length_s)}. ",
        "The dotted line is the request" + (", the red one the rule that fired." if scene.fired else "."),
        class_="note",
    )
    panels = [_panel(name, unit, value, samples, scene, window) for name, unit, value in MEASURES]
    return joined(fired, told, el("div", panels, class_="panels"))


def _panel(name: str, unit: str, value: Value, samples: Sequence[Sample], scene: Scene, window: Window) -> Markup:
    most = max(value(s.health) for s in samples)
    top = most if most > 0 else 1.0
    lines = [_line(side, value, samples, top, window) for side in SIDES]
    evidence = {seq for _, rule in scene.fired for seq in rule.evidence}
    dots = [
        el("circle", cx=f"{window.x(s.at_s):.2f}%", cy=round(_y(value(s.health), top), 1), r=3, class_=f"dot {s.side}")
        for s in samples
        if s.seq in evidence
    ]
    uprights = [_upright(window.x(0.0), "asked"), *(_upright(window.x(at), "fired") for at, _ in scene.fired)]
    words = "; ".join(
        f"{side} {_number(of[0], '')} to {_number(of[-1], '')}, max {_number(max(of), unit)}"
        for side in SIDES
        if (of := [value(s.health) for s in samples if s.side == side])
    )
    base = el("line", x1=0, x2="100%", y1=HIGH - 0.5, y2=HIGH - 0.5, class_="grid")
    drawing = el(
        "svg", base, uprights, lines, dots, role="img", aria_label=f"{name}: {words}", width="100%", height=HIGH
    )
    caption = el("figcaption", el("span", name, class_="what"), el("span", f"max {_number(most, unit)}", class_="most"))
    return el("figure", caption, drawing, el("p", words, class_="note"), class_="panel")


def _line(side: Side, value: Value, samples: Sequence[Sample], top: float, window: Window) -> Markup | None:
    points = [(window.x(s.at_s), value(s.health)) for s in samples if s.side == side]
    if not points:
        return None
    stretch = max(1, -(-len(points) // POINTS))
    thinned = [max(points[n : n + stretch], key=lambda p: p[1]) for n in range(0, len(points), stretch)]
    if len(thinned) == 1:
        x, y = thinned[0]
        return el("circle", cx=f"{x:.2f}%", cy=round(_y(y, top), 1), r=2, class_=f"dot {side}")
    path = " ".join(f"{x:.2f},{_y(y, top):.1f}" for x, y in thinned)
    line = el("polyline", points=path, class_=f"curve {side}", vector_effect="non-scaling-stroke")
    return el("svg", line, x=0, y=0, width="100%", height=HIGH, viewBox=f"0 0 100 {HIGH}", preserveAspectRatio="none")


def _y(value: float, top: float) -> float:
    return HIGH - 2 - (HIGH - 6) * max(0.0, value) / top


def _upright(x: float, kind: str) -> Markup:
    return el("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=0, y2=HIGH, class_=kind)


def _number(value: float, unit: str) -> str:
    text = f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"
    return f"{text} {unit}".rstrip()
