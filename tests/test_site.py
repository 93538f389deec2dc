"""The site is built from a clean folder, and its notebooks are run on the way.

Its pages lead nowhere but to each other, from a folder and from a sub-path of a host.
"""

import contextlib
import functools
import http.server
import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import browser
import jupytext
import nbformat
import pytest

import elman

ROOT = Path(__file__).parent.parent
SUFFIXES = {"en": "", "ko": ".ko"}
SHOWN = {
    "shapes": ["(5, 3, 20) (2, 3, 20)", "True\nFalse", "batch-mixed"],
    "hello": ["-0.7497, -0.6135", "['hel', 'eol', 'lle', 'lle', 'oll']", "batch-mixed"],
    "series": ["weight_ih_l2 (6, 6)", "(4, 30, 1)", "batch-mixed"],
    "here": ["Expected hidden size (1, 3, 1)", "batch-mixed", "0.706 0.814", "0.982 0.997", "tanh(0.8801) = 0.7065"],
    "directions": ["3.0697e-41", "input-uninitialised", "state[4]", "two-direction-last-step", "(40, 16)"],
}

FILES = [f"{name}{suffix}" for name in SHOWN for suffix in SUFFIXES.values()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sources and the site, made in a process of its own."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-W", "error::SyntaxWarning", str(ROOT / "docs" / "site.py"), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """docs/site.py; Python has a module of that name itself."""
    spec = importlib.util.spec_from_file_location("elman_site", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_korean_introduction_of_the_reference_names_everything() -> None:
    """The docstrings below it are English; the introduction says what each name is for."""
    text = (ROOT / "docs" / "api.ko.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)`", text)) >= set(elman.__all__)
    assert "영어입니다" in text


# ---------------------------------------------------------------- notebooks


@pytest.mark.parametrize("file", FILES)
def test_a_notebook_runs_and_shows_what_it_speaks_of(file: str, built: Path) -> None:
    notebook = nbformat.read(built / "site-sources" / "lessons" / f"{file}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error"] == []
    said = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert [words for words in said if not words.startswith("elman: compiling")] == []  # where it had no kernels yet
    text = "".join(output["text"] for output in outputs if output.output_type == "stream")
    for words in SHOWN[file.partition(".")[0]]:
        assert words in text
    assert ("근거" in text) == file.endswith(".ko")


@pytest.mark.parametrize("name", SHOWN)
def test_both_languages_hold_the_same_code(name: str) -> None:
    english, korean = (jupytext.read(ROOT / "notebooks" / f"{name}{suffix}.md").cells for suffix in SUFFIXES.values())
    code = [[cell.source for cell in cells if cell.cell_type == "code"] for cells in (english, korean)]
    assert [source.replace('lang="en"', 'lang="ko"') for source in code[0]] == code[1]
    words = [[cell.source for cell in cells if cell.cell_type == "markdown"] for cells in (english, korean)]
    headings = [[re.findall(r"^#+ ", source, re.MULTILINE) for source in sources] for sources in words]
    assert headings[0] == headings[1]
    assert all(re.search("[가-힣]", source) for source in words[1])


def test_every_notebook_begins_with_one_cell_that_installs_elman() -> None:
    assert sorted(file.stem for file in (ROOT / "notebooks").glob("*.md")) == sorted(FILES)
    for file in (ROOT / "notebooks").glob("*.md"):
        cells = [cell for cell in jupytext.read(file).cells if cell.cell_type == "code"]
        assert cells[0].source == "%pip install -q elman"
        assert [cell for cell in cells if "install" in cell.metadata.get("tags", [])] == cells[:1]


# ---------------------------------------------------------------- pages


def test_every_page_is_there_in_both_languages(built: Path) -> None:
    site = built / "site"
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    english = {page for page in pages if not page.startswith(("ko/", "gallery/"))}
    assert {page.removeprefix("ko/") for page in pages if page.startswith("ko/")} == english
    assert {"index.html", "api.html", "doctor.html", "gallery.html", "lessons/here.html"} <= english
    assert {"gallery/index.html", "gallery/index.ko.html"} <= pages
    assert "무엇이 뒤섞였는지" in (site / "ko" / "lessons" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["doctor", "explain", "tasks"])
def test_a_page_links_to_itself_in_the_other_language(name: str, built: Path) -> None:
    for page, other in ((f"{name}.html", f"ko/{name}.html"), (f"ko/{name}.html", f"../{name}.html")):
        text = (built / "site" / page).read_text(encoding="utf-8")
        assert f'<a href="{other}">' in text


def test_the_reference_has_every_public_name_and_method(built: Path) -> None:
    import elman

    text = (built / "site" / "api.html").read_text(encoding="utf-8")
    for name in elman.__all__:
        assert re.search(rf'id="[\w.]+\.{name}"', text), name
    for member in ("RNN.from_weights", "Trace.save", "Trace.gate", "Trace.there"):
        assert re.search(rf'id="[\w.]+\.{member}"', text), member
    assert "time_limit" in text


def test_nothing_is_loaded_from_elsewhere_and_no_link_is_dead(built: Path, builder: ModuleType) -> None:
    assert builder.dead_links(built / "site") == []


def test_the_test_of_links_finds_dead_ones(tmp_path: Path, builder: ModuleType) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text("<h1 id=here>b</h1><a href='../a.html#there'>a</a>", encoding="utf-8")
    (tmp_path / "a.html").write_text(
        "<a href='sub/b.html#here'>b</a><a href='sub/b.html#gone'>b</a><a href=c.html>c</a><a href='/sub/b.html'>b</a>"
        "<a href='../d.html'>d</a><script src='https://e.example/e.js'></script><a href='https://e.example'>e</a>",
        encoding="utf-8",
    )
    assert [line.partition(": ")[2] for line in builder.dead_links(tmp_path)] == [
        "sub/b.html#gone has no such anchor",
        "c.html leads nowhere",
        "/sub/b.html works from the root of a host only",
        "../d.html works from the root of a host only",
        "loads https://e.example/e.js from elsewhere",
        "../a.html#there has no such anchor",
    ]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's address on a host of its own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(browser.missing() is not None and not browser.is_required(), reason=str(browser.missing()))
@pytest.mark.parametrize("way", ["folder", "sub-path"])
def test_pages_and_search_work_from_a_folder_and_from_a_sub_path(way: str, built: Path) -> None:
    with contextlib.ExitStack() as stack:
        address = built.as_uri() if way == "folder" else stack.enter_context(served(built))
        page = stack.enter_context(browser.launched()).new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/site/ko/index.html")
        page.get_by_role("link", name="수업", exact=True).first.click()
        page.get_by_role("link", name='손으로 계산하는 "i am here"').first.click()
        page.get_by_role("heading", name='손으로 계산하는 "i am here"').wait_for()
        page.locator("[data-md-component=search-query]").click()
        page.locator(".md-search-result__meta", has_text="입력하세요").wait_for()
        page.keyboard.type("batch_first", delay=20)
        page.locator(".md-search-result__item").first.wait_for()
        page.goto(f"{address}/site/ko/gallery.html")
        page.get_by_role("link", name="갤러리 열기").click()
        page.locator("main").wait_for()
        assert errors == []
        assert [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))] == []
