"""Elements whose text is always escaped: nothing that stands in a journal can become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufffe\uffff]"
)
"""What a reader cannot see and a browser may obey: control characters, writing directions, halves of characters."""
_EMPTY = frozenset({"br", "meta", "link", "hr"})


class Markup(str):
    """Text that is markup already. Only ``el``, ``joined`` and ``safe`` make it."""

    __slots__ = ()


Child = str | Markup | Iterable["Child"] | None


def el(tag: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """An element. ``class_`` is written ``class``, other underscores become hyphens; attributes that are None are left out."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = joined(*children)
    return Markup(f"<{tag}{named}>" if tag in _EMPTY else f"<{tag}{named}>{inner}</{tag}>")


def joined(*children: Child) -> Markup:
    """Children one after the other, text escaped."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escaped(child))
        elif child is not None:
            parts.extend(joined(each) for each in child)
    return Markup("".join(parts))


def safe(text: str) -> Markup:
    """Text of our own that is markup: never anything that was read."""
    return Markup(text)


def escaped(text: str) -> str:
    """Text that is shown as it is; what cannot be seen is replaced by a mark."""
    return html.escape(_UNSEEN.sub("\ufffd", text), quote=True)
