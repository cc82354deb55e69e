"""The page: first who serves, what suffered, why and what to do; then the drawings, the tables and the proofs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from replay.audit import Audit, Finding, Source
from replay.brief import Answer, brief, headline
from replay.cause import first
from replay.check import Checked
from replay.html.curves import curves
from replay.html.lanes import lanes
from replay.html.listing import events_table, listing
from replay.html.markup import Markup, el, joined, safe
from replay.html.scene import Scene, scene
from replay.html.style import STYLE
from replay.html.window import windows
from replay.prose import finding_line
from replay.render import check_line
from replay.timeline import read
from replay.times import at, span

QUESTIONS = {
    "serving": "Is my gateway serving?", "lost": "Was anything lost?", "twice": "Was anything answered twice?",
    "why": "What went wrong, and why?", "do": "What must I do?",
}  # fmt: skip
TOLD = 40
"""Findings that are told one by one."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Proofs:
    """What the page cannot see by itself: ``chain`` is the word of ``verify``; ``journal`` names what was read."""

    chain: str
    checked: Checked
    journal: str


def page(audit: Audit, source: Source, proofs: Proofs) -> str:
    """The whole page as text, to be written as UTF-8. Reads the record three times more."""
    timeline = read(source())
    handoff = next((h for h in timeline.handoffs if h.id == audit.handoff.id), audit.handoff)
    seen = scene(source(), timeline, handoff)
    cause = first(audit.causes)
    named = {*(s for f in audit.findings[:TOLD] for s in f.seqs), *(s for c in audit.causes for s in c.seqs)}
    found = listing(source(), handoff, named)
    link = _Links(found.seqs, {r.seq: seen.at(r) for r in found.shown})
    sections = {
        "happened": ("What happened", _story(audit, link)),
        "timeline": ("Timeline", _drawings(seen)),
        "messages": ("Messages", _messages(audit, link)),
        "phases": ("Phases", _phases(audit, link)),
        "health": ("Health of both sides", curves(seen)),
        "events": ("Events", events_table(found, handoff, frozenset(cause.seqs) if cause else frozenset())),
        "proof": ("Can this be trusted?", _proof(audit, proofs)),
    }
    nav = el("nav", [el("a", name, href=f"#{id_}") for id_, (name, _) in sections.items()], aria_label="On this page")
    bodies = [
        el("section", el("h2", name, id=f"{id_}-h"), inner, id=id_, aria_labelledby=f"{id_}-h")
        for id_, (name, inner) in sections.items()
    ]
    body = el("body", _top(audit), el("main", _answers(audit, link), nav, bodies))
    return safe("<!doctype html>\n") + el("html", _head(audit), body, lang="en") + "\n"


def _head(audit: Audit) -> Markup:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        el("title", f"{headline(audit)}, handoff {audit.handoff.id}"),
        el("style", safe(STYLE)),
    )


def _top(audit: Audit) -> Markup:
    handoff = audit.handoff
    answers = brief(audit)
    tone = (
        "bad" if any(a.tone == "bad" for a in answers) else "warn" if any(a.tone == "warn" for a in answers) else "good"
    )
    when = at(handoff.stays[0].since.at_ns)[:19]
    sub = f"Handoff {handoff.id} to runtime {handoff.runtime}. Asked for on {when} UTC, {_took(audit)}."
    return el("header", el("h1", headline(audit)), el("p", sub, class_="sub"), class_=tone)


def _took(audit: Audit) -> str:
    lasted = span(audit.handoff.elapsed_s)
    return f"open for {lasted} at the end of the record" if audit.outcome == "open" else f"over after {lasted}"


def _answers(audit: Audit, link: _Links) -> Markup:
    return el("dl", [_answer(each, link) for each in brief(audit)], class_="answers")


def _answer(answer: Answer, link: _Links) -> Markup:
    words = answer.words[:1].upper() + answer.words[1:]
    shown = el("dd", words if words.endswith(".") else f"{words}.", " ", link.all(answer.seqs))
    return el("div", el("dt", QUESTIONS[answer.question]), shown, class_=f"{answer.tone} {answer.question}")


@dataclass(frozen=True, slots=True)
class _Links:
    """Seqs as links into the table of events, where they stand in it."""

    there: frozenset[int]
    after_s: Mapping[int, float]

    def one(self, seq: int) -> Markup:
        return el("a", str(seq), href=f"#e{seq}") if seq in self.there else el("span", str(seq))

    def all(self, seqs: Iterable[int], most: int = 6) -> Markup | None:
        shown = list(seqs)
        if not shown:
            return None
        parts = [joined(", " if n else "", self.one(seq)) for n, seq in enumerate(shown[:most])]
        return el("span", "seq ", parts, ", ..." if len(shown) > most else "", class_="seqs")


def _story(audit: Audit, link: _Links) -> Markup:
    findings = [finding for finding in audit.findings if finding.code != "in_flight"]
    if not findings:
        return el("p", "Nothing that an audit would name.")
    left = len(findings) - TOLD
    more = (
        el("p", f"And {left} more findings: 'handoff-journal audit --json' names them.", class_="note")
        if left > 0
        else None
    )
    return joined(el("ol", [_told(finding, link) for finding in findings[:TOLD]], class_="story"), more)


def _told(finding: Finding, link: _Links) -> Markup:
    after = link.after_s.get(finding.at)
    time = el("time", "" if after is None else f"{after:+.3f} s" if abs(after) < 1000 else f"{after / 3600:+.2f} h")
    words = el("span", _sentence(finding), link.all(finding.seqs), class_="bad" if finding.level == "bad" else None)
    return el("li", time, words)


def _sentence(finding: Finding) -> str:
    line = finding_line(finding)
    return f"{line[:1].upper()}{line[1:]}. "


_KEY = (
    ("b", "blue owns, polls, answers"),
    ("g", "green does"),
    ("l", "lives, owns nothing"),
    ("r", "nobody polls, or broken off"),
)


def _drawings(seen: Scene) -> Markup:
    figures = [
        el(
            "figure",
            el("figcaption", f"{window.name}, {span(window.length_s)}, to scale"),
            lanes(seen, window, f"w{n}"),
        )
        for n, window in enumerate(windows(seen))
    ]
    key = el("ul", [el("li", el("i", class_=kind), words) for kind, words in _KEY], class_="key")
    return joined(key, figures)


def _messages(audit: Audit, link: _Links) -> Markup:
    rows = [
        el("tr", el("th", name, scope="row"), el("td", f"{n:,}", class_="num")) for name, n in audit.messages.items()
    ]
    names = el("tr", el("th", "what became of them", scope="col"), el("th", "messages", scope="col", class_="num"))
    table = el("table", el("caption", "Messages by outcome"), el("thead", names), el("tbody", rows), class_="small")
    flying = [finding for finding in audit.findings if finding.code == "in_flight"]
    return joined([el("p", _sentence(finding), link.all(finding.seqs)) for finding in flying[:TOLD]], table)


def _phases(audit: Audit, link: _Links) -> Markup:
    rows = [
        el(
            "tr",
            el("th", stay.phase.replace("_", " "), scope="row"),
            el("td", "" if stay.elapsed_s is None else span(stay.elapsed_s), class_="num"),
            el("td", stay.type, " by ", stay.role, " ", link.all((stay.since.seq,))),
        )
        for stay in audit.handoff.stays
    ]
    names = el(
        "tr",
        el("th", "phase", scope="col"),
        el("th", "lasted", scope="col", class_="num"),
        el("th", "entered by", scope="col"),
    )
    return el("table", el("caption", "Phases of the handoff"), el("thead", names), el("tbody", rows), class_="small")


def _proof(audit: Audit, proofs: Proofs) -> Markup:
    seq, digest = audit.head
    kept = el("code", f"{seq}:{digest.hex()}", class_="hash")
    later = " shows later that nothing up to there was taken away. "
    step = el("code", f"handoff-journal replay {audit.handoff.id} --step")
    return joined(
        el("p", f"The chain of hashes: {proofs.chain}. Recorded against decided: {check_line(proofs.checked)}."),
        el("p", "Read from ", el("code", proofs.journal), ". The record ended at ", kept, "."),
        el(
            "p",
            "Keep that elsewhere: ",
            el("code", "handoff-journal verify --head SEQ:HASH"),
            later,
            step,
            " walks through it.",
        ),
    )
