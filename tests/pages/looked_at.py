"""The audit's page in a real browser: on a phone and on a desk, light and dark. ``make pages`` runs this; it needs Chromium."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browser import Page, Scheme, browsing
from tests.pages.gallery import GALLERY

PHONE, SMALL, DESK = 390, 320, 1280
SECTIONS = ["happened", "timeline", "messages", "phases", "health", "events", "proof"]

WIDER = """[...document.querySelectorAll('body *')].filter(e => {
  const r = e.getBoundingClientRect();
  return r.width > 0 && r.right > document.documentElement.clientWidth + 1 && !e.closest('caption') && !e.closest('svg');
}).map(e => e.tagName + '.' + (e.className.baseVal ?? e.className) + ' ' + Math.round(e.getBoundingClientRect().right))"""

CROSSING = """[...document.querySelectorAll('svg.lanes')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
  const boxes = texts.map(t => t.getBoundingClientRect());
  const found = [];
  for (let i = 0; i < boxes.length; i++) {
    if (boxes[i].right > innerWidth + 1 || boxes[i].left < -1) found.push('outside: ' + texts[i].textContent);
    for (let j = 0; j < i; j++) {
      const wide = Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left);
      const high = Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top);
      if (wide > 1 && high > 3) found.push(texts[i].textContent + ' / ' + texts[j].textContent);
    }
  }
  return found;
})"""

POOR = """(() => {
  const lum = c => { const p = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]; };
  const read = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = read(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let seen = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('title,desc,caption') || !e.getClientRects().length) continue;
    seen++;
    const style = getComputedStyle(e), svg = e.closest('svg');
    const front = read(svg ? style.fill : style.color).slice(0, 3);
    const inside = svg && (e.getAttribute('class') || '') === 'in';
    const back = behind(svg ? svg.parentElement : e);
    const high = Math.max(lum(front), lum(back)), low = Math.min(lum(front), lum(back));
    const ratio = (high + 0.05) / (low + 0.05);
    if (!inside && ratio < 4.5) found.push(walker.currentNode.data.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
    if (parseFloat(style.fontSize) < 11) found.push('small: ' + walker.currentNode.data.trim().slice(0, 30) + ' ' + style.fontSize);
  }
  return {seen, found};
})()"""

Look = Callable[[Page], Awaitable[Any]]


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page as a file."""
    folder = tmp_path_factory.mktemp("gallery")
    return {name: _written(folder / f"{name}.html", make()) for name, make in GALLERY.items()}


def _written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def look(file: Path, how: Look, *, width: int = PHONE, scheme: Scheme = "light") -> Any:
    """Open a page in a browser of its own and look at it."""

    async def looking() -> Any:
        async with browsing() as page:
            await page.open(file, width=width, scheme=scheme)
            return await how(page)

    return asyncio.run(looking())


@pytest.mark.parametrize("name", GALLERY)
def test_a_page_fits_its_screen_and_its_words_never_cross(gallery: dict[str, Path], name: str) -> None:
    async def how(page: Page) -> None:
        for width in (PHONE, SMALL, DESK):
            await page.open(gallery[name], width=width)
            assert await page.eval("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), (
                width
            )
            assert await page.eval(WIDER) == [], width
            assert await page.eval(CROSSING) == [], width

    look(gallery[name], how)


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_and_dark_is_dark(gallery: dict[str, Path], name: str, scheme: Scheme) -> None:
    async def how(page: Page) -> None:
        found = await page.eval(POOR)
        assert found["seen"] > 80
        assert found["found"] == []
        red, green, blue = map(
            int, (await page.eval("getComputedStyle(document.body).backgroundColor"))[4:-1].split(",")
        )
        assert (max(red, green, blue) < 40) if scheme == "dark" else (min(red, green, blue) > 235)

    look(gallery[name], how, scheme=scheme)


@pytest.mark.parametrize("name", GALLERY)
def test_a_page_asks_for_nothing_and_says_all_of_itself(gallery: dict[str, Path], name: str) -> None:
    async def how(page: Page) -> None:
        heights = await page.eval(
            "Object.fromEntries([...document.querySelectorAll('section')].map(s => [s.id, s.getBoundingClientRect().height]))"
        )
        assert list(heights) == SECTIONS
        assert min(heights.values()) > 60
        drawn = await page.eval(
            "[...document.querySelectorAll('svg.lanes')].map(s => [s.getBoundingClientRect().width / s.parentElement.clientWidth, "
            "s.getBoundingClientRect().height])"
        )
        assert drawn
        assert all(wide > 0.95 and 120 < high < 700 for wide, high in drawn)
        assert page.requests == [gallery[name].as_uri()]
        assert page.troubles == []

    look(gallery[name], how)


def test_the_answers_stand_on_a_phones_first_screen(gallery: dict[str, Path]) -> None:
    async def how(page: Page) -> None:
        ends = await page.eval(
            "[...document.querySelectorAll('.answers > div')].map(d => d.getBoundingClientRect().bottom)"
        )
        assert len(ends) == 5
        assert ends[3] <= 844

    look(gallery["rolled back by a rule"], how)


def test_a_link_to_a_proof_leads_to_its_row(gallery: dict[str, Path]) -> None:
    async def how(page: Page) -> None:
        await page.eval("document.querySelector('.answers a').click()")
        top = await page.eval("document.querySelector('tr:target').getBoundingClientRect().top")
        assert top is not None

    look(gallery["rolled back by a rule"], how)


def test_markup_from_a_journal_runs_nowhere(gallery: dict[str, Path]) -> None:
    async def how(page: Page) -> None:
        assert await page.eval("document.querySelectorAll('script, img, iframe, [onerror], [onload]').length") == 0
        assert await page.eval("document.body.innerText.includes('<script src=http://x>')")

    look(gallery["hostile"], how)


def test_the_page_can_be_printed(gallery: dict[str, Path]) -> None:
    async def how(page: Page) -> bytes:
        return await page.paper()

    assert look(gallery["rolled back by a rule"], how, width=DESK, scheme="dark").startswith(b"%PDF")


@pytest.mark.parametrize("name", GALLERY)
def test_pictures_can_be_taken_of_it_in_every_light(gallery: dict[str, Path], name: str) -> None:
    kept = os.environ.get("PICTURES")

    async def how(page: Page) -> None:
        seen = set()
        for width in (PHONE, DESK):
            for scheme in ("light", "dark"):
                await page.open(gallery[name], width=width, scheme=scheme)
                png = await page.picture()
                assert png.startswith(b"\x89PNG")
                assert len(png) > 20_000
                seen.add(png)
                if kept:
                    (Path(kept) / f"{name.replace(' ', '-')}-{width}-{scheme}.png").write_bytes(png)
        assert len(seen) == 4

    look(gallery[name], how)
