"""The picture of the page in the README: ``python -m tests.pages docs/audit.png``, what ``make picture`` runs."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.pages.browser import browsing
from tests.pages.gallery import GALLERY

WIDTH, HEIGHT = 900, 1306
"""As much as shows the answers, what happened, and the timeline."""


async def main(target: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "audit.html"
        file.write_text(GALLERY["rolled back by a rule"](), encoding="utf-8")
        async with browsing() as page:
            await page.open(file, width=WIDTH, height=HEIGHT)
            target.write_bytes(await page.picture(whole=False))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
