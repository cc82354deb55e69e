"""The commands that the README shows and what they are shown to print, compared by shape: figures and names differ each time."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.builders import ROOT

CUT = "..."
_SHAPES = (
    (r"(?<![\w.])/[^\s:,;]+", "PATH"),
    (r"\bh-\d{8}-\d{6}-[0-9a-f]{4}\b", "HANDOFF"),
    (r"\b[a-z]_[0-9a-f]{16}\b", "NAME"),
    (r"(?<!hermes )(?<!hermes-agent )(?<![\w.])\d[\d.]*(?!\w)", "N"),
    (r"N (?:ms|s|min|h)(?: N (?:s|min))?\b", "SPAN"),
    (r"N turns? stays? ", "N turns stay "),
    (r"\s+", " "),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One command as somebody would type it, and the lines that the README shows below it; ``...`` stands for any lines."""

    command: str
    lines: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command, comments=True)

    def agrees(self, printed: str) -> bool:
        """Whether that is what was printed, but for figures, paths and names."""
        seen = "".join(f"{shape(line)}\n" for line in printed.splitlines() if line.strip())
        parts = (
            r"(?:.*\n)*" if line.strip() == CUT else re.escape(shape(line)) + "\n"
            for line in self.lines
            if line.strip()
        )
        return re.fullmatch("".join(parts), seen) is not None


def shown(heading: str) -> list[Shown]:
    """The commands in the console blocks below a heading of the README, in order."""
    section = re.split(rf"^## {re.escape(heading)}$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    found: list[Shown] = []
    for block in re.findall(r"^```console\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL):
        for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = each.splitlines()
            found.append(Shown(command, tuple(lines)))
    return found


def shape(line: str) -> str:
    """A line without what differs from one run to the next: paths, names, figures and spans; Hermes' versions stay."""
    for pattern, name in _SHAPES:
        line = re.sub(pattern, name, line)
    return line.strip()
