"""An audit in plain words: what the findings say, each with the seqs that prove it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replay.audit import Audit, Finding
from replay.brief import Answer, brief
from replay.check import Checked
from replay.render import check_line, table
from replay.timeline import Handoff
from replay.times import at, span

KEPT = 4
"""How many findings of one kind are told one by one."""
WIDTH = 80
LINES = 40


def audit_text(audit: Audit, checked: Checked | None = None, chain: str | None = None) -> str:
    """A handoff's audit in at most ``LINES`` lines of ``WIDTH`` columns: the outcome, the answers, what happened, the figures.

    Args:
        checked: What ``check`` found in the handoff's events, when it was asked.
        chain: What ``verify`` said.
    """
    above = [*_wrapped(f"handoff {audit.handoff.id} {_outcome(audit)}"), *_wrapped(_suffered(audit)), ""]
    for answer in brief(audit):
        if answer.question in ("serving", "why", "do"):
            above += _wrapped(f"{answer.words}{_proof(answer)}", f"{answer.question:<10}")
    below = ["", *(_cut(line) for line in _phases(audit.handoff)), ""]
    counts = ", ".join(f"{n} {name}" for name, n in audit.messages.items() if name != "accepted")
    below += _wrapped(f"{audit.messages.get('accepted', 0)}{': ' if counts else ''}{counts}", "messages  ")
    below.append(f"epochs    {audit.epochs[0]} to {audit.epochs[1]}")
    below += _wrapped(check_line(checked), "decided   ") if checked is not None else []
    below += _wrapped(chain, "chain     ") if chain is not None else []
    below.append(f"head      {audit.head[0]}:{audit.head[1].hex()}")
    room = LINES - len(above) - len(below) - 2
    told = _told(audit.findings, room)
    return "\n".join([*above, *(["", "what happened", *told] if told else []), *below])


def finding_line(finding: Finding) -> str:
    """A finding in one sentence, without its proof."""
    return _PROSE[finding.code](finding.facts)


def _outcome(audit: Audit) -> str:
    handoff = audit.handoff
    return f"to runtime {handoff.runtime}: {audit.outcome.replace('_', ' ')} after {span(handoff.elapsed_s)}"


def _suffered(audit: Audit) -> str:
    ends = {
        "complete": "the new runtime serves",
        "rolled_back": "the old runtime serves again",
        "failed": "it came to nothing; nobody changed",
        "open": f"it is open, in phase {audit.handoff.phase}",
    }
    bad = sorted({_BAD[f.code] for f in audit.findings if f.level == "bad"})
    suffered = f"but {'; '.join(bad)}" if bad else "no message was lost, doubled, ambiguous or abandoned"
    return f"{ends[audit.outcome]}; {suffered}."


def _told(findings: Sequence[Finding], room: int) -> list[str]:
    """What happened, in as many lines as there is room for: first what is bad, then what comes first; in order."""
    kept = dict.fromkeys(_PROSE, 0)
    wanted = []
    for finding in sorted(findings, key=lambda f: f.level != "bad"):
        kept[finding.code] += 1
        if kept[finding.code] <= KEPT:
            wanted.append((finding, _wrapped(f"{finding_line(finding)}  {_seqs(finding)}", _MARK[finding.level])))
    while wanted and sum(len(lines) for _, lines in wanted) + 3 > room:
        wanted.pop(next((n for n in range(len(wanted) - 1, -1, -1) if wanted[n][0].code == "in_flight"), -1))
    shown = [finding for finding, _ in wanted]
    lines = [line for _, lines in sorted(wanted, key=lambda pair: findings.index(pair[0])) for line in lines]
    left = Counter(finding.code.replace("_", " ") for finding in findings if finding not in shown)
    if left:
        counted = ", ".join(f"{n} {code}" for code, n in left.items())
        lines += _wrapped(f"and {left.total()} more: {counted} (--json and --html name them)", "    ")
    return lines


_MARK = {"bad": "  ! ", "note": "    "}


def _phases(handoff: Handoff) -> list[str]:
    """The phases in order: where, when, how long, who said so."""
    rows = [
        (
            str(stay.since.seq),
            at(stay.since.at_ns)[11:],
            stay.phase,
            "" if stay.elapsed_s is None else span(stay.elapsed_s),
        )
        for stay in handoff.stays
    ]
    lines = table([(*row, f"{stay.type} by {stay.role}") for row, stay in zip(rows, handoff.stays, strict=True)])
    return [f"phases, on {at(handoff.stays[0].since.at_ns)[:10]} (UTC)", *(f"  {line}" for line in lines)]


def _wrapped(text: str, mark: str = "") -> list[str]:
    lines = textwrap.wrap(text, WIDTH - len(mark), break_on_hyphens=False) or [""]
    return [f"{mark if n == 0 else ' ' * len(mark)}{line}".rstrip() for n, line in enumerate(lines)]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _proof(answer: Answer) -> str:
    shown = ", ".join(map(str, answer.seqs[:6]))
    return f"  [{shown}]" if shown else ""


def _seqs(finding: Finding) -> str:
    shown = ", ".join(map(str, finding.seqs[:6]))
    return f"[{shown}{', ...' if len(finding.seqs) > 6 else ''}]"


def _died(f: Mapping[str, Any]) -> str:
    how = {
        "died": "died",
        "ended_silent": "was ended, silent",
        "ended_stopped": "was ended, frozen",
        "ended_late": "was ended, late",
        "ended_old": "was ended",
    }
    held = (
        f"{_count(f['turns'], 'turn')} with {_count(f['held'], 'message')} in its hands"
        if f["turns"]
        else "nothing in hand"
    )
    return (
        f"{f['side']} (process {f['pid']}) {how[f['how']]} in phase {f['phase']}, {held}, {len(f['waiting'])} waiting"
    )


def _took_over(f: Mapping[str, Any]) -> str:
    return (
        f"{f['side']} took the adapters under epoch {f['epoch']}, by {f['type']} of {f['by']} (process {f['by_pid']})"
    )


def _in_flight(f: Mapping[str, Any]) -> str:
    sides = [
        f"{side} {_count(f[side]['turns'], 'turn')} over {_count(f[side]['messages'], 'message')}"
        for side in ("blue", "green")
        if side in f and f[side]["turns"]
    ]
    return f"in flight at {f['type']}: {', '.join(sides) or 'no turn'}, {len(f['waiting'])} waiting"


def _gap(f: Mapping[str, Any]) -> str:
    lost = f", at most {span(f['at_most_ms'] / 1e3)}" if f["at_most_ms"] != f["ms"] else ""
    return f"nobody polled {f['adapter']} for {span(f['ms'] / 1e3)}{lost}{'' if f['over'] else ', to the end of the record'}"


def _rolled_back(f: Mapping[str, Any]) -> str:
    if f["reason"] == "operator":
        return f"the operator rolled back in {f['phase']}"
    evidence = ", ".join(f"{seq} {type_}".strip() for seq, type_ in f["evidence"].items())
    detail = f" ({f['detail']})" if f["detail"] else ""
    return f"{f['by']} rolled back in {f['phase']}: {f['reason']}{detail}{f', on {evidence}' if evidence else ''}"


def _failed(f: Mapping[str, Any]) -> str:
    detail = f" ({f['detail']})" if f["detail"] else ""
    return f"{f['by']} let the request fail: {f['reason']}{detail}"


def _diverged(f: Mapping[str, Any]) -> str:
    return f"green was worse than blue: {f['rule']} {f['measured']:g}, limit {f['limit']:g}"


def _watchers(f: Mapping[str, Any]) -> str:
    return f"{f['handed_over']} watchers handed over, {f['adopted']} adopted"


def _message(what: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda f: f"message {f['message']} {what.format(**f)}"


_PROSE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "died": _died,
    "took_over": _took_over,
    "in_flight": _in_flight,
    "gap": _gap,
    "rolled_back": _rolled_back,
    "failed": _failed,
    "diverged": _diverged,
    "watchers": _watchers,
    "lost": _message("is lost: {why}"),
    "doubled": _message("was answered in more than one turn"),
    "ambiguous": _message("is ambiguous: a reply may have been taken and was not recorded"),
    "abandoned": _message("was abandoned after {attempts} attempts"),
    "waiting": _message("waits for its turn"),
}
_BAD = {
    "lost": "messages were lost",
    "doubled": "messages were answered twice",
    "ambiguous": "replies are ambiguous",
    "abandoned": "messages were abandoned",
    "gap": "nobody polls",
    "watchers": "watchers were left behind",
}


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
