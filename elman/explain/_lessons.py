"""What the examples say about themselves, in both languages: assets/examples.toml."""

import functools
from typing import Any


def words(name: str) -> dict[str, Any]:
    """The title and the note of an example, each by language."""
    return {key: _all_words()[name][key] for key in ("title", "note")}


def lesson_words(name: str) -> dict[str, Any]:
    """What is learned from an example, and the questions that it answers."""
    return {key: _all_words()[name][key] for key in ("learned", "questions")}


@functools.cache
def _all_words() -> dict[str, dict[str, Any]]:
    import tomllib
    from importlib.resources import files

    return tomllib.loads(files("elman.explain").joinpath("assets", "examples.toml").read_text(encoding="utf-8"))
