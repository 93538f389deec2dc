"""Every page of the gallery as it is seen: in both languages, at three widths, dark, on paper and without scripts.

axe-core looks for what keeps people out; LAYOUT for text that is cut off, overlaps or is broken inside a number.
"""

from collections.abc import Collection, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from browser import CONTRAST, drawn, missing

from elman.cli.demo import topics
from elman.explain import _gallery
from elman.explain._examples import EXAMPLES
from elman.tasks.settings import LoopSettings

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

LESSONS = [*EXAMPLES, "characters"]
LOCALES = ["en-US", "ko-KR"]
WIDTHS = (1400, 768, 375)
KINDS = ["hello", "gru-forgets", "lstm-keeps"]  # a lesson of each kind of cell, in both languages as `turn` shares them
A4 = 1040  # CSS pixels between the margins of a sheet that lies across

# Faults of the text that is in sight, each with what is written there.
LAYOUT = r"""(width) => {
  const faults = [];
  const pieces = [];
  // Clipped by what scrolls or hides; null where nothing is left of it.
  const clipped = (box, node) => {
    let { left, right, top, bottom } = box;
    for (let e = node; e && e !== document.body; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const own = e.getBoundingClientRect();
      [left, right] = [Math.max(left, own.left), Math.min(right, own.right)];
      [top, bottom] = [Math.max(top, own.top), Math.min(bottom, own.bottom)];
    }
    return right - left > 1 && bottom - top > 1 ? { left, right, top, bottom } : null;
  };
  const scrolls = (node) => {
    for (let e = node; e && e !== document.body; e = e.parentElement)
      if (/auto|scroll/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1) return true;
    return false;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const text = node.textContent;
    const parent = node.parentElement;
    if (!text.trim() || parent.closest(".aside, .skip, script, style, option") || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const seen = clipped(box, parent);
      if (seen) pieces.push({ ...seen, text: text.trim().slice(0, 40), parent });
      if (box.right > width + 1 && !scrolls(parent)) faults.push(`beyond the edge: ${text.trim()}`);
    }
    const style = getComputedStyle(parent);
    if (style.overflowX === "hidden" && parent.scrollWidth > parent.clientWidth + 1) faults.push(`cut off: ${text}`);
    for (const found of text.matchAll(/[-−]?\d[\d.,]*\d(e[-+]?\d+)?|[가-힣]{2,}/g)) {
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      const lines = new Set([...range.getClientRects()].filter((b) => b.width > 0.5).map((b) => Math.round(b.top)));
      if (lines.size > 1) faults.push(`broken: ${found[0]} in ${text.trim().slice(0, 40)}`);
    }
  }
  pieces.sort((one, other) => one.top - other.top);
  for (let i = 0; i < pieces.length; i++)
    for (let j = i + 1; j < pieces.length && pieces[j].top < pieces[i].bottom; j++) {
      const [a, b] = [pieces[i], pieces[j]];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 4) faults.push(`overlap: ${a.text} and ${b.text}`);
    }
  return [...new Set(faults)];
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gallery, "TRAINING", LoopSettings(steps=60, eval_every=60))
        for _ in _gallery.gallery(place, topics()):
            pass
    return place


def barriers(page, name: str, contrast: bool = True) -> list[str]:
    """What axe-core finds, one line a place; its search for contrast takes most of its time, CONTRAST's hardly any."""
    if not contrast:
        faults = [f"{name}: contrast: {place}" for place in page.evaluate(CONTRAST)]
        return faults + barriers_of(page, name, "{ 'color-contrast': { enabled: false } }")
    return barriers_of(page, name, "{}")


def barriers_of(page, name: str, rules: str) -> list[str]:
    """The same, with axe-core's rules."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    options = f"{{ resultTypes: ['violations'], rules: {rules} }}"
    found = page.evaluate(f"() => axe.run(document, {options})")["violations"]
    return [
        f"{name}: {one['id']}: {node['html'][:120]} {node['failureSummary']}" for one in found for node in one["nodes"]
    ]


def look(page, name: str, width: int) -> list[str]:
    return [f"{name}: {fault}" for fault in page.evaluate(LAYOUT, width)]


def turn(name: str, locale: str) -> int:
    """0 for half of the pages, 1 for the others: of each lesson for one language, of each language for half."""
    return (LESSONS.index(name) + LOCALES.index(locale)) % 2


def lessons(tab, folder: Path, dark: Collection[str] = (), **context) -> Iterator[tuple[str, Any]]:
    """The name and the page of each lesson, all in one tab: to open one takes as long as a test of a lesson."""
    one = tab(folder / f"{LESSONS[0]}.html", **context)
    for name in LESSONS:
        one.requests.clear()
        one.page.emulate_media(media="screen", color_scheme="dark" if name in dark else "light")
        one.page.goto((folder / f"{name}.html").as_uri())
        yield name, one.page


@pytest.mark.parametrize("locale", LOCALES)
def test_lessons_can_be_seen_and_used_by_everyone(tab, folder, locale, request) -> None:
    """As they open and dark; in one of the languages changed, too. axe-core reads each of the three in one of them."""
    faults, every = [], request.config.getoption("every")
    for name, page in lessons(tab, folder, locale=locale):
        page.locator('#influence[aria-busy="false"]').wait_for(state="attached")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            drawn(page)
            faults += look(page, f"{name} {width}", width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if every or turn(name, locale) == 0:
            faults += barriers(page, name, every or LESSONS.index(name) % 2 == 0)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 1400, "height": 800})
        drawn(page)
        faults += look(page, f"{name} dark", 1400)
        if every or turn(name, locale) == 1:
            faults += barriers(page, f"{name} dark", every or LESSONS.index(name) % 2 == 1)
        if not every and turn(name, locale) == 1:
            continue
        # Changed, with the axes the other way where they can be.
        for button in ("#batch-first", "#zero-x", "#zero-hh", "#backward"):
            if page.locator(button).count() and page.locator(button).is_enabled():
                page.click(button)
        faults += look(page, f"{name} changed", 1400)
        faults += barriers(page, f"{name} changed", every or name in KINDS)
        page.set_viewport_size({"width": 375, "height": 740})
        drawn(page)
        faults += look(page, f"{name} changed, 375", 375)
    assert faults == [], faults


@pytest.mark.parametrize("locale", LOCALES)
def test_lessons_on_paper(tab, folder, locale) -> None:
    """All of the grid is on the sheet, in its colours; what can only be pressed is gone. A dark screen prints light."""
    dark = [name for name in LESSONS if turn(name, locale)]
    for name, page in lessons(tab, folder, dark, locale=locale, viewport={"width": A4, "height": 740}):
        page.emulate_media(media="print")
        page.locator('#grid[style*="--print-zoom"]').wait_for(state="attached")
        drawn(page)
        faults = look(page, f"{name} on paper{', dark' * (name in dark)}", A4)
        assert faults == [], faults
        pressed = '#tour-open, #steps button, #language, .pin, .hint, #influence-kind, [data-say="keys"]'
        assert page.locator(pressed).filter(visible=True).count() == 0, name
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", name
        for part in (".cell.hn", ".bar i", "#legend i", ".units button"):
            shown = page.locator(part)
            assert shown.count() > 0, name
            for box in shown.evaluate_all("(all) => all.map((e) => e.checkVisibility() && e.getBoundingClientRect())"):
                assert not box or (box["x"] >= 0 and box["x"] + box["width"] <= A4 + 1), name
            assert shown.first.evaluate("(e) => getComputedStyle(e).printColorAdjust") == "exact", name


def test_lessons_without_scripts(tab, folder) -> None:
    """In both languages, with the way to the lessons beside it."""
    for name, page in lessons(tab, folder, java_script_enabled=False):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert look(page, f"{name} {width}", width) == []
        assert page.locator("[lang=ko]").count() > 3, name
        for link in page.locator("noscript a").all():
            assert (folder / link.get_attribute("href")).is_file(), name
        assert page.locator("button:visible").count() == 0, name


@pytest.mark.parametrize("home", ["index.html", "index.ko.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_index_can_be_seen_and_used_by_everyone(tab, folder, home, scheme) -> None:
    page = tab(folder / home, color_scheme=scheme).page
    faults = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        faults += look(page, f"{width}", width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(media="print")
    faults += look(page, "paper", 375)
    page.emulate_media(media="screen")
    assert faults + barriers(page, home) == []


def test_every_link_leads_somewhere(browser, folder) -> None:
    """From the index through every lesson by its own links; each question opens the place that answers it."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="ko-KR")
    page = context.new_page()
    page.goto((folder / "index.ko.html").as_uri())
    addresses = page.locator("a").evaluate_all("(all) => all.map((a) => a.href)")
    questions = [address for address in addresses if "row=" in address]
    assert len(questions) >= 15
    for address in questions:
        page.goto(address)
        asked, kept = (dict(part.split("=") for part in a.split("#")[1].split("&")) for a in (address, page.url))
        assert {key: kept.get(key) for key in asked} == asked
        assert page.locator("#panel h2").is_visible()
    page.goto(addresses[1])
    seen = [page.locator("h1").inner_text()]
    while page.locator("#lesson a[rel=next]").count():
        page.click("#lesson a[rel=next]")
        page.wait_for_selector("html.live")
        seen.append(page.locator("h1").inner_text())
        assert page.locator("html").get_attribute("lang") == "ko"
    assert len(set(seen)) == len(LESSONS)
    page.click("#lesson a:not([rel])")
    assert page.url.endswith("index.ko.html")
    context.close()
