"""Builds the site: documentation, lessons, gallery and API reference, in English and Korean.

    python docs/site.py [FOLDER]

It writes FOLDER/site (default: build/site) from FOLDER/site-sources. The pages load nothing from elsewhere and link
each other relatively, so that they work from a folder and from a sub-path of a host. What was written is checked:
MkDocs runs with --strict, and every link and anchor must lead somewhere.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import elman

ROOT = Path(__file__).parent.parent
SHIM = "https://unpkg.com/iframe-worker/shim"  # what the theme would load for search in pages opened from a folder
PAGES = ("index", "doctor", "explain", "tasks", "neuroscience", "compatibility", "gallery", "api", "lessons/index")
LANGUAGES = {"en": "", "ko": ".ko"}
DOWNLOAD = {"en": "Download this lesson as a notebook", "ko": "이 수업을 노트북 파일로 받기"}


def build(folder: Path) -> None:
    """Writes the sources and the pages.

    Raises:
        subprocess.CalledProcessError: MkDocs found something wrong, or a notebook could not be run.
        SystemExit: a link leads nowhere.
    """
    sources, site = folder / "site-sources", folder / "site"
    for old in (sources, site):
        shutil.rmtree(old, ignore_errors=True)
    sources.mkdir(parents=True)
    write_pages(sources)
    write_lessons(sources / "lessons")
    make_pages(folder)
    gallery = [sys.executable, "-m", "elman", "explain", "--gallery", str(site / "gallery")]
    subprocess.run(gallery, check=True, cwd=ROOT)
    if dead := dead_links(site):
        raise SystemExit("\n".join(dead))
    print(f"{len(list(site.rglob('*.html')))} pages in {site}")


def make_pages(folder: Path) -> None:
    """The site, out of its sources."""
    settings, site = folder / "mkdocs.yml", folder / "site"
    settings.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: site-sources\nsite_dir: site\n", encoding="utf-8")
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(settings)]
    subprocess.run(command, check=True, env=quiet)
    (site / "404.html").unlink()  # it would have to know where the site lies on its host
    for page in site.rglob("*.html"):
        depth = len(page.relative_to(site).parts) - 1
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM, f"{'../' * depth}assets/worker.js"), encoding="utf-8")


def write_pages(sources: Path) -> None:
    """The guides of docs/, with links to what is not on the site turned into text."""
    docs = ROOT / "docs"
    for folder in ("pictures", "assets"):
        shutil.copytree(docs / folder, sources / folder)
    for name in PAGES:
        for suffix in LANGUAGES.values():
            page = docs / f"{name}{suffix}.md"
            if page.exists():
                place = sources / f"{name}{suffix}.md"
                place.parent.mkdir(exist_ok=True)
                place.write_text(_on_the_site(page), encoding="utf-8")
    for suffix in LANGUAGES.values():
        with open(sources / f"api{suffix}.md", "a", encoding="utf-8") as reference:
            for name in elman.__all__:
                reference.write(f"\n::: {getattr(elman, name).__module__}.{name}\n")
            reference.write("\n::: elman.explain._trace.Trace\n    options:\n      inherited_members: true\n")
    (sources / "decisions.md").write_text(_on_the_site(docs / "decisions" / "README.md"), encoding="utf-8")


def write_lessons(made: Path) -> None:
    """The notebooks, run: as pages and to download."""
    subprocess.run([sys.executable, str(ROOT / "notebooks" / "execute.py"), str(made)], check=True)
    for file in sorted(made.glob("*.ipynb")):
        language = "ko" if file.stem.endswith(".ko") else "en"
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        page = "\n\n".join(filter(None, map(_markdown, cells)))
        page += f"\n\n[{DOWNLOAD[language]}]({file.name}){{ download }}\n"
        file.with_suffix(".md").write_text(page, encoding="utf-8")


def dead_links(site: Path) -> list[str]:
    """What is wrong with the links of a folder of pages: no such file or anchor, or not relative."""
    pages = {page.resolve(): _Links(page) for page in sorted(site.rglob("*.html"))}
    dead = []
    for page, links in pages.items():
        for link in links.found:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data", "javascript"):
                if link in links.loaded and parts.scheme != "data":
                    dead.append(f"{page}: loads {link} from elsewhere")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if parts.path.startswith("/") or not target.is_relative_to(site.resolve()):
                dead.append(f"{page}: {link} works from the root of a host only")
            elif not target.exists():
                dead.append(f"{page}: {link} leads nowhere")
            elif "=" in parts.fragment:  # what a page of the gallery is to show, and no anchor
                continue
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                dead.append(f"{page}: {link} has no such anchor")
    return dead


class _Links(HTMLParser):
    """The links and anchors of a page, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loaded: set[str] = set()
        self.anchors = {"", "top"}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        link = given.get("href") or given.get("src")
        if link and given.get("rel") not in ("canonical", "alternate"):
            self.found.append(link)
            if tag in ("script", "img", "iframe") or given.get("rel") == "stylesheet":
                self.loaded.add(link)


def _on_the_site(page: Path) -> str:
    """A page's text; links to files that the site does not have are kept as words."""

    def kept(match: re.Match[str]) -> str:
        words, link = match.groups()
        target = link.partition("#")[0]
        file = (page.parent / target).resolve()
        if not target or not file.exists():  # an address, an anchor, or a page that is made for the site
            return match[0]
        here = file.is_relative_to(ROOT / "docs") and str(file.relative_to(ROOT / "docs"))
        languages = {page.with_name(f"{page.name.partition('.')[0]}{suffix}.md") for suffix in LANGUAGES.values()}
        if file != page and file in languages:
            other = f"ko/{page.stem}" if here.endswith(".ko.md") else f"../{file.stem}"
            return f'<a href="{other}.html">{words}</a>'  # the same page in the other language
        if here and (here.startswith("pictures") or here.partition(".")[0] in PAGES):
            return match[0].replace(".ko.md", ".md")  # each language has its own
        return words.strip("`")

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", kept, page.read_text(encoding="utf-8"))


def _markdown(cell: dict[str, object]) -> str:
    """A cell and what it printed."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        if output.get("name") == "stderr":  # that the kernels were compiled just now, where they were
            continue
        data = output.get("data", {})
        text = "".join(output.get("text", data.get("text/plain", "")))
        if text.strip():
            parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build")
