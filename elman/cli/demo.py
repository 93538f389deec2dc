"""elman demo: the whole job on a text that every Python brings along, each cell at equal time, and a race against
torch's layer."""

import dataclasses
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
    from elman.tasks.training.loop import Trainer

TEXT = "python-topics.txt"
PROMPT = "The "
MODEL = TextSettings()
STEPS = 4_000
ROUNDS = 5
ROUND_STEPS = 30
CELL_SECONDS = 10.0


def demo(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run folder to make.  [default: elman-demo]", metavar="RUN"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps.")] = STEPS,
    seed: options.Seed = LoopSettings.seed,
) -> dict[str, Any]:
    """Train on Python's own documentation, show what was learned, compare the cells, and race torch's layer."""
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
    cells = _show_cells(run)
    times = _show_race(run)
    picture = folder / "loss.png"  # not there without matplotlib, which was said
    print(f"everything is in {folder}{f', the picture of the losses is {picture}' if picture.exists() else ''}")
    again = f'elman generate {quoted(folder)} --prompt "{PROMPT}"'
    print(f"next: {again}, or elman train text FILE -o RUN on a text of your own")
    return {**outcome(run), "times_as_fast": times, "bits_per_character_of_cells": cells}


def topics() -> str:
    """Python's language reference as `help()` shows it, each paragraph once.

    A fifth of the text repeats word for word. Left in, the end of the text that is held out would be half known.
    """
    from pydoc_data.topics import topics as pages

    once: dict[tuple[str, ...], str] = {}
    for paragraph in re.split(r"\n{2,}", "\n\n".join(pages.values())):
        once.setdefault(tuple(paragraph.split()), paragraph)
    return "\n\n".join(once.values())


def _show_cells(run: "Run") -> dict[str, float]:
    """Print each cell's held-out bits per character after equal time, and add them to the run's README.md."""
    from elman.tasks.training.readme import table

    found = compare_cells(run)
    what = f"trained for {CELL_SECONDS:g} s"
    print(f"each cell {what}:")
    for cell, (steps, bits) in found.items():
        print(f"  {bits:.3f} bits per character, {steps:,} steps  {cell}")
    print()
    rows = [[cell, f"{steps:,}", f"{bits:.3f}"] for cell, (steps, bits) in found.items()]
    with (run.folder / "README.md").open("a", encoding="utf-8", newline="") as file:
        header = [f"the same model, {what}", "steps", "held-out bits per character"]
        file.write(f"\n## Each cell at equal time\n\n{table(header, rows)}\n")
    return {cell: bits for cell, (_, bits) in found.items()}


def compare_cells(run: "Run") -> dict[str, tuple[int, float]]:
    """The steps that each cell can train in CELL_SECONDS, and its held-out bits after so many: the learning rate falls
    to its end for each."""
    from statistics import median

    import torch

    from elman.tasks.training.modules import LAYERS

    found = {}
    for cell, speeds in race(run, LAYERS).items():
        steps = max(1, int(CELL_SECONDS * median(speeds) / run.task.units_per_step))
        trainer = _begin(run, LAYERS[cell], steps)
        while not trainer.done:
            trainer.record([trainer.advance()])
        task: Any = trainer.task
        task.model.eval()
        with torch.no_grad():
            found[cell] = steps, task.held_out_bits()
    return found


def _begin(run: "Run", layer: "Layer", steps: int) -> "Trainer":
    """Training anew, of the run's model with another layer."""
    import torch

    from elman.tasks.text.model import CharacterModel
    from elman.tasks.text.task import TextTask
    from elman.tasks.training.loop import Trainer

    training = dataclasses.replace(run.trainer.settings, steps=steps)
    torch.manual_seed(training.seed)
    model = CharacterModel(len(run.config["vocabulary"]), run.settings, layer)
    return Trainer(TextTask(model, run.task.tokens, run.settings, training.seed), training)


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
    steps = run.trainer.settings.steps
    trainers = {name: _begin(run, layer, steps) for name, layer in layers.items()}
    speeds: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            trainer.advance()  # a warm start
            start = time.perf_counter()
            losses = [trainer.advance() for _ in range(ROUND_STEPS)]
            trainer.record(losses)
            speeds[name].append(ROUND_STEPS * trainer.task.units_per_step / (time.perf_counter() - start))
    return speeds
