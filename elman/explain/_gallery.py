"""A folder of pages: every example, a character model trained for some seconds, and a page that links them."""

import html
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elman.explain._characters import trace_text
from elman.explain._examples import EXAMPLES
from elman.explain._labels import LANGUAGES
from elman.explain._page import asset, fill, policy_for
from elman.explain._trace import Trace
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.training.loop import fit

TEXT = "The value of "
MODEL = TextSettings(hidden_size=64, embedding_size=16, seq_len=64, batch_size=16)
TRAINING = LoopSettings(steps=600, eval_every=600)


def gallery(folder: Path) -> Iterator[Path]:
    """Write the pages into `folder`, one after another, and index.html at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[Path, Trace]] = []
    for name, example in EXAMPLES.items():
        trace = example()
        made.append((trace.save(folder / f"{name}.html"), trace))
        yield made[-1][0]
    trace = _trained()
    made.append((trace.save(folder / "characters.html"), trace))
    yield made[-1][0]
    index = folder / "index.html"
    index.write_text(_index(made), encoding="utf-8")
    yield index


def _trained() -> Trace:
    """A character model that has read Python's own documentation for some seconds, reading some words of it."""
    from elman.cli.demo import topics

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "topics.txt"
        file.write_text(topics(), encoding="utf-8", newline="")
        run = text_runs.begin(file, Path(place) / "run", MODEL, TRAINING)
        if not fit(run.trainer, run.folder, report=lambda step, value: None):
            raise KeyboardInterrupt  # it takes Ctrl-C as a wish to stop training and save
        model, vocabulary = text_runs.load_model(run.folder)
    return trace_text(model, vocabulary, TEXT)


def _index(made: list[tuple[Path, Trace]]) -> str:
    """Links to the pages, each with its title and note in both languages."""
    style = asset("gallery.css")
    policy = policy_for(style=style)
    items = []
    for path, trace in made:
        title, note = trace.labels.title or {}, trace.labels.note or {}
        said = [
            f"<div lang='{language}'><h2>{html.escape(title[language])}</h2><p>{html.escape(note[language])}</p></div>"
            for language in LANGUAGES
        ]
        layer = html.escape(trace.layer)
        items.append(f"<li><a href='{path.name}'><code>{layer}</code>{''.join(said)}</a></li>")
    parts = {"policy": policy, "style": style, "items": "".join(items)}
    return fill(asset("gallery.html"), parts)
