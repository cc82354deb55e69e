"""An audit in plain words: what the findings say, each with the seqs that prove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replay.audit import Audit, Finding
from replay.check import Checked
from replay.render import check_line, phase_lines, span

KEPT = 4
"""How many findings of one kind are told one by one."""


def audit_text(audit: Audit, checked: Checked | None = None, chain: str | None = None) -> str:
    """A handoff's audit in at most 40 lines or so: what happened in words, the figures, the head to keep.

    Args:
        checked: What ``check`` found in the handoff's events, when it was asked.
        chain: What ``verify`` said.
    """
    handoff = audit.handoff
    lines = [_headline(audit), ""]
    lines += ["what happened", *(f"  {line}" for line in _findings(audit.findings))] if audit.findings else []
    lines += ["", "phases", *(f"  {line}" for line in phase_lines(handoff)), ""]
    counts = ", ".join(f"{n} {name}" for name, n in audit.messages.items() if name != "accepted")
    lines.append(f"messages  {audit.messages.get('accepted', 0)}{': ' if counts else ''}{counts}")
    lines.append(f"epochs    {audit.epochs[0]} to {audit.epochs[1]}")
    if checked is not None:
        lines.append(f"decided   {check_line(checked)}")
    if chain is not None:
        lines.append(f"chain     {chain}")
    lines.append(f"head      {audit.head[0]}:{audit.head[1].hex()}")
    return "\n".join(lines)


def _headline(audit: Audit) -> str:
    handoff, outcome = audit.handoff, audit.outcome
    ends = {
        "complete": "the new runtime serves",
        "rolled_back": "the old runtime serves again",
        "failed": "it came to nothing; nobody changed",
        "open": f"it is open, in phase {handoff.phase}",
    }
    bad = sorted({_BAD[f.code] for f in audit.findings if f.level == "bad"})
    suffered = f"but {'; '.join(bad)}" if bad else "no message was lost, doubled, ambiguous or abandoned"
    name = f"handoff {handoff.id} to runtime {handoff.runtime}"
    return f"{name}: {outcome.replace('_', ' ')} after {span(handoff.elapsed_s)}.\n{ends[outcome]}; {suffered}."


def _findings(findings: Sequence[Finding]) -> list[str]:
    """One line each; what comes in crowds is told in part, and counted."""
    lines = []
    told = dict.fromkeys(_PROSE, 0)
    for finding in findings:
        told[finding.code] += 1
        if told[finding.code] <= KEPT:
            lines.append(
                f"{'! ' if finding.level == 'bad' else '  '}{_PROSE[finding.code](finding.facts)}  {_seqs(finding)}"
            )
    more = {code: n - KEPT for code, n in told.items() if n > KEPT}
    return [*lines, *(f"  and {n} more: {code.replace('_', ' ')} (--json names them)" for code, n in more.items())]


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
