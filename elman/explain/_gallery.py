"""The gallery: every example as a lesson, a character model trained for some seconds, an index in both languages."""

import html
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elman.explain._characters import trace_text
from elman.explain._examples import EXAMPLES
from elman.explain._labels import LANGUAGES
from elman.explain._lessons import lesson_words
from elman.explain._page import asset, fill, policy_for, save
from elman.explain._trace import Trace
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.training.loop import fit

TEXT = "The value of "
MODEL = TextSettings(hidden_size=64, embedding_size=16, seq_len=64, batch_size=16)
TRAINING = LoopSettings(steps=600, eval_every=600)
HOMES = {"en": "index.html", "ko": "index.ko.html"}
INDEX = {
    "en": {
        "title": "What a recurrent layer computes",
        "said": "Thirteen lessons. Every number can be looked at, changed and computed again; nothing needs a network.",
        "other": "한국어",
    },
    "ko": {
        "title": "순환층은 무엇을 계산하는가",
        "said": "열세 가지 수업입니다. 모든 숫자를 들여다보고 바꾸고 다시 계산할 수 있고, 네트워크는 필요 없습니다.",
        "other": "English",
    },
}


def gallery(folder: Path, text: str) -> Iterator[Path]:
    """Write the pages into `folder`, one after another, and both indexes at the end.

    Args:
        folder: made where it is missing.
        text: what the character model of the last lesson learns from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    traces = {name: example() for name, example in EXAMPLES.items()} | {"characters": trained(text)}
    names = list(traces)
    titles = {name: dict(trace.labels.title or {}) for name, trace in traces.items()}
    for k, (name, trace) in enumerate(traces.items()):
        beside = {"previous": names[k - 1] if k else None, "next": names[k + 1] if k + 1 < len(names) else None}
        lesson = {
            "number": k + 1,
            "count": len(names),
            "learned": lesson_words(name)["learned"],
            "home": HOMES,
            "links": [{"href": f"{other}.html", "title": titles[other]} for other in names if other != name],
            **{which: other and {"href": f"{other}.html", "title": titles[other]} for which, other in beside.items()},
        }
        yield save(trace, folder / f"{name}.html", lesson=lesson)
    for language, home in HOMES.items():
        (folder / home).write_text(_index(traces, language), encoding="utf-8")
        yield folder / home


def trained(text: str) -> Trace:
    """A character model that has read `text` for some seconds, reading some words."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "text.txt"
        file.write_text(text, encoding="utf-8", newline="")
        run = text_runs.begin(file, Path(place) / "run", MODEL, TRAINING)
        if not fit(run.trainer, run.folder, report=lambda step, value: None):
            raise KeyboardInterrupt  # it takes Ctrl-C as a wish to stop training and save
        model, vocabulary = text_runs.load_model(run.folder)
    return trace_text(model, vocabulary, TEXT)


def _index(traces: dict[str, Trace], language: str) -> str:
    """The lessons in their order, each with what is learned and the questions that it answers."""
    style = asset("gallery.css")
    other = next(one for one in LANGUAGES if one != language)
    parts = {
        "policy": policy_for(style=style),
        "style": style,
        "lang": language,
        "other": other,
        "other_home": HOMES[other],
        "other_name": INDEX[language]["other"],
        "title": INDEX[language]["title"],
        "said": INDEX[language]["said"],
        "items": "".join(_item(name, trace, language) for name, trace in traces.items()),
    }
    return fill(asset("gallery.html"), parts)


def _item(name: str, trace: Trace, language: str) -> str:
    words = lesson_words(name)
    title = (trace.labels.title or {})[language]
    questions = "".join(
        f"<li><a href='{name}.html{_address(question, language)}'>{html.escape(question['ask'][language])}</a></li>"
        for question in words["questions"]
    )
    return (
        f"<li><h2><a href='{name}.html#lang={language}'>{html.escape(title)}</a></h2>"
        f"<p>{html.escape(words['learned'][language])}</p><ul>{questions}</ul>"
        f"<code>{html.escape(trace.layer)}</code></li>"
    )


def _address(question: dict[str, Any], language: str) -> str:
    return html.escape(f"#{question['at']}&lang={language}")
