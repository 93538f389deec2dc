"""A real browser for the tests of the page: Debian's chromium, driven by Playwright.

Its shell without windows is the same engine and takes a third of the time; where there is none, the whole browser.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

REQUIRED = "ELMAN_BROWSER"  # set to "required", a missing browser fails the tests in place of skipping them
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What is written with less contrast to its ground than the 4.5 that WCAG 2 asks for at level AA, all that is in sight.
# Left out are drawings, whose letters have their colour from another property; what is disabled, of which WCAG asks
# nothing; and .aside, a single pixel, which is there for screen readers.
CONTRAST = """() => {
  const number = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      const parts = number(colour);
      if (colour.startsWith("rgb") && (parts.length < 4 || parts[3] === 1)) return parts;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (!e.getClientRects().length || e.closest("svg, :disabled, .aside")) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(number(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


def missing() -> str | None:
    """Why there is no browser here, or None."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    said = "no chromium on the path (Debian: apt-get install chromium-headless-shell fonts-nanum)"
    return None if _chromium() else said


def _chromium() -> str | None:
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    return next(filter(None, map(shutil.which, names)), None)


def is_required() -> bool:
    return os.environ.get(REQUIRED) == "required"


@contextmanager
def launched() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_chromium(), args=FLAGS)
        yield browser
        browser.close()


class Tabs:
    """Empty pages of a browser, to be used again: to make one takes longer than to load a file into it."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self._free: dict[str, list[Any]] = {}

    def take(self, options: dict[str, Any]) -> Any:
        """A page as a new one of a context with these options."""
        if not (free := self._free.setdefault(repr(options), [])):
            return self.browser.new_context(**options).new_page()
        page = free.pop()
        page.set_viewport_size(options["viewport"])
        defaults = {"media": "screen", "color_scheme": "light", "reduced_motion": "no-preference"}
        page.emulate_media(**{name: options.get(name, default) for name, default in defaults.items()})
        return page

    def give(self, page: Any, options: dict[str, Any]) -> None:
        page.goto("about:blank")
        self._free[repr(options)].append(page)


class Tab:
    """A page opened by its file address; whatever it logs, throws or asks the network for is kept."""

    def __init__(self, tabs: Tabs, file: Path, address: str = "", **context: Any) -> None:
        self._tabs = tabs
        self._options = {"viewport": {"width": 1400, "height": 900}, "locale": "en-US", **context}
        self.page = tabs.take(self._options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.failed: list[Any] = []
        self._listeners = {
            "console": lambda message: self.complaints.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.complaints.append(f"error: {error}"),
            "dialog": lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()),
            "requestfailed": lambda request: self.failed.append(request),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, listener in self._listeners.items():
            self.page.on(event, listener)
        self.page.goto(f"{file.as_uri()}{address}")

    def close(self) -> None:
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)
        self._tabs.give(self.page, self._options)


def drawn(page: Any) -> None:
    """Waits until the page has been drawn again, twice: what follows from a drawing is in sight too."""
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")


def place(tab: Tab) -> dict[str, str]:
    """What the address keeps."""
    return {name: values[0] for name, values in parse_qs(tab.page.url.split("#")[1]).items()}


def cell(tab: Tab, row: str, col: int) -> Any:
    """A cell of the grid."""
    return tab.page.locator(f'.cell[data-row="{row}"][data-col="{col}"]')
