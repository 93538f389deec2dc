"""A real browser for the tests of the page: Debian's chromium, driven by Playwright."""

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


def missing() -> str | None:
    """Why there is no browser here, or None."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return None if _chromium() else "no chromium on the path (Debian: apt-get install chromium fonts-nanum)"


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def is_required() -> bool:
    return os.environ.get(REQUIRED) == "required"


@contextmanager
def launched() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_chromium(), args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page opened by its file address; whatever it logs, throws or asks the network for is kept."""

    def __init__(self, browser: Any, file: Path, address: str = "", **context: Any) -> None:
        options = {"viewport": {"width": 1400, "height": 900}, "locale": "en-US", **context}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.failed: list[Any] = []
        self.page.on("requestfailed", lambda request: self.failed.append(request))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{file.as_uri()}{address}")

    def close(self) -> None:
        self.context.close()


def place(tab: Tab) -> dict[str, str]:
    """What the address keeps."""
    return {name: values[0] for name, values in parse_qs(tab.page.url.split("#")[1]).items()}


def cell(tab: Tab, row: str, col: int) -> Any:
    """A cell of the grid."""
    return tab.page.locator(f'.cell[data-row="{row}"][data-col="{col}"]')
