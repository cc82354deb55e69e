"""The marks that tie an answer to the message it answers: ``[m17]``, or ``[m17 slow=5.0]`` for a slow turn.

A person's text carries one mark; an answer repeats the bare mark (``answer [m17]``), so that whoever reads the wire can
tell who was answered without knowing anything of the gateway between.
"""

from __future__ import annotations

import re

ANSWER = "answer"
STEPS = "step by step"
"""A text with these words is answered in two: a remark beside a call of a tool, then, as slowly as the text says, the answer."""
REMARK = "one moment, first a look at the list"
UNASKED = "unasked"
_MARK = re.compile(r"\[(m\d+)(?: slow=(\d+(?:\.\d+)?))?\]")


def mark(marker: str, *, slow_s: float | None = None) -> str:
    """Return the mark for a text, ``[m17]`` or ``[m17 slow=5.0]``."""
    return f"[{marker}]" if slow_s is None else f"[{marker} slow={slow_s:.1f}]"


def markers(text: str) -> tuple[str, ...]:
    """Return the markers in a text in the order of their first appearance, each once."""
    return tuple(dict.fromkeys(found.group(1) for found in _MARK.finditer(text)))


def slow_s(text: str) -> float:
    """Return the longest wait, in seconds, that a text asks for; 0.0 when it asks for none."""
    return max((float(found.group(2)) for found in _MARK.finditer(text) if found.group(2)), default=0.0)


def answer(found: tuple[str, ...]) -> str:
    """Return the answer to a turn with these markers: ``answer [m17] [m18]``, or ``unasked`` when it has none."""
    return " ".join((ANSWER, *(mark(marker) for marker in found))) if found else UNASKED


def answered(text: str) -> tuple[str, ...]:
    """Return the markers that a sent text answers; none when the text only quotes a message."""
    at = text.find(f"{ANSWER} [")
    return markers(text[at:]) if at >= 0 else ()
