"""Which language a learner is told things in: the one asked for, else the locale's."""

import contextlib
import locale
import os
from collections.abc import Iterator
from contextvars import ContextVar

from elman.explain._labels import LANGUAGES

_spoken: ContextVar[str] = ContextVar("elman's language", default="en")


def language(lang: str | None) -> str:
    """The language asked for, or for None the one that the locale names: "ko" for a Korean one, else "en".

    Raises:
        ValueError: there is no such language.
    """
    if lang is None:
        named = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
        named = named or locale.getlocale()[0] or ""
        return "ko" if named.lower().startswith(("ko", "korean")) else "en"
    if lang not in LANGUAGES:
        raise ValueError(f"lang is one of {', '.join(map(repr, LANGUAGES))}, or None for the locale's, got {lang!r}.")
    return lang


@contextlib.contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Within the block, `say` speaks this language."""
    token = _spoken.set(lang)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The language that is spoken now."""
    return _spoken.get()


def say(en: str, ko: str) -> str:
    """The sentence in the language that is spoken now."""
    return ko if _spoken.get() == "ko" else en
