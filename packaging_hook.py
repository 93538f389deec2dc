"""README.md as a package index shows it: there a link to a file beside it leads nowhere.

Where pyproject.toml has `[project.urls]` with a `Source`, links and pictures lead there; without one a link becomes its
text, and a picture is left out.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<code>```.*?```)|(?P<picture>!?)\[(?P<text>[^]]*)\]\((?P<to>[^)\s]+)\)", flags=re.DOTALL)


class ReadmeHook(MetadataHookInterface):
    """Makes the package's long description."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text, source)}


def for_index(text: str, source: str | None) -> str:
    """The text without relative links: to the repository at `source`, or without one."""

    def link(found: re.Match[str]) -> str:
        picture, to = found["picture"], found["to"]
        if found["code"] or re.match(r"[a-z]+:|#", to):
            return found[0]
        if source is None:
            return "" if picture else found["text"]
        return f"{picture}[{found['text']}]({source.rstrip('/')}/{'raw' if picture else 'blob'}/HEAD/{to})"

    return _LINK.sub(link, text)
