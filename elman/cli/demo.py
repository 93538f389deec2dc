"""elman demo: the whole job on a text that every Python brings along, and a race against torch's layer."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.cli.train import show_sample, train_to_end
from elman.cli.training import outcome
from elman.tasks.files.places import free_path, quoted, refuse_existing
from elman.tasks.settings import LoopSettings, TextSettings

if TYPE_CHECKING:
    from elman.tasks.text.model import Layer
    from elman.tasks.text.run import Run

TEXT = "python-topics.txt"
PROMPT = "The "
MODEL = TextSettings()
STEPS = 4_000
ROUNDS = 5
ROUND_STEPS = 30


def demo(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run folder to make.  [default: elman-demo]", metavar="RUN"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps.")] = STEPS,
    seed: options.Seed = LoopSettings.seed,
) -> dict[str, Any]:
    """Train on Python's own documentation for a minute, show what was learned, and race torch's layer."""
    training = LoopSettings(steps=steps, seed=seed)
    folder = output or free_path(Path("elman-demo"))
    refuse_existing(folder, "choose another folder")

    import shutil
    import tempfile

    from elman.tasks.text import run as text_runs

    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / TEXT
        file.write_text(topics(), encoding="utf-8", newline="")
        run = text_runs.begin(file, folder, MODEL, training)
        shutil.move(file, folder / TEXT)
    train_to_end(run, folder / TEXT)
    show_sample(run, PROMPT)
    times = _show_race(run)
    picture = folder / "loss.png"  # not there without matplotlib, which was said
    print(f"everything is in {folder}{f', the picture of the losses is {picture}' if picture.exists() else ''}")
    again = f'elman generate {quoted(folder)} --prompt "{PROMPT}"'
    print(f"next: {again}, or elman train text FILE -o RUN on a text of your own")
    return {**outcome(run), "times_as_fast": times}


def topics() -> str:
    """Python's language reference as `help()` shows it, each paragraph once.

    A fifth of the text repeats word for word. Left in, the end of the text that is held out would be half known.
    """
    from pydoc_data.topics import topics as pages

    once: dict[tuple[str, ...], str] = {}
    for paragraph in re.split(r"\n{2,}", "\n\n".join(pages.values())):
        once.setdefault(tuple(paragraph.split()), paragraph)
    return "\n\n".join(once.values())


def _show_race(run: "Run") -> float:
    """Print characters per second of the training loop on elman's layer and on torch's, in turn; returns the ratio."""
    from statistics import median

    from torch import nn

    from elman.tasks.training.modules import LAYERS

    name = run.settings.cell.upper()
    ours, theirs = f"elman.{name}", f"torch.nn.{name}"
    speeds = race(run, {ours: LAYERS[run.settings.cell], theirs: getattr(nn, name)})
    medians = {name: median(values) for name, values in speeds.items()}
    print(f"race: the same training loop on both layers, {ROUNDS} rounds of {ROUND_STEPS} steps in turn")
    for name, values in speeds.items():
        print(f"  {name:>12}: {medians[name]:>9,.0f} char/s (from {min(values):,.0f} to {max(values):,.0f})")
    times = medians[ours] / medians[theirs]
    print(f"  {ours} is {times:.1f} times as fast\n")
    return times


def race(run: "Run", layers: dict[str, "Layer"]) -> dict[str, list[float]]:
    """Characters per second of each round, by the layer's name; training starts anew for each layer."""
    import torch

    from elman.tasks.text.model import CharacterModel
    from elman.tasks.text.task import TextTask
    from elman.tasks.training.loop import Trainer

    trainers = {}
    for name, layer in layers.items():
        torch.manual_seed(run.trainer.settings.seed)
        model = CharacterModel(len(run.config["vocabulary"]), run.settings, layer)
        task = TextTask(model, run.task.tokens, run.settings, run.trainer.settings.seed)
        trainers[name] = Trainer(task, run.trainer.settings)
    speeds: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            trainer.advance()  # a warm start
            start = time.perf_counter()
            losses = [trainer.advance() for _ in range(ROUND_STEPS)]
            trainer.record(losses)
            speeds[name].append(ROUND_STEPS * trainer.task.units_per_step / (time.perf_counter() - start))
    return speeds
