"""Pictures of a run. matplotlib is an extra, imported when a picture is drawn."""

import io
from pathlib import Path

from elman.tasks.checkpoint import write_atomically
from elman.tasks.errors import MissingExtra
from elman.tasks.loop import Trainer

READING = "Lower is better. Where the curves part, the model begins to learn the training text by heart."


def loss_picture(trainer: Trainer, path: Path, *, lines: dict[str, float] | None = None) -> None:
    """Draw the training and the held-out curve, with horizontal lines to compare them with, into a PNG file.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("no picture without matplotlib: pip install elman[plot]") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    training = [(step, value) for step, value, _ in trainer.history if value is not None]
    held_out = [(step, value) for step, _, value in trainer.history if value is not None]
    axes.plot(*zip(*training, strict=True), color="tab:blue", linewidth=1, label="training text")
    axes.plot(*zip(*held_out, strict=True), color="tab:red", marker="o", markersize=4, label="held-out text")
    for (name, value), style in zip((lines or {}).items(), ("--", ":", "-."), strict=False):
        axes.axhline(value, color="black", linestyle=style, linewidth=1, label=f"{name}: {value:.2f}")
    axes.set(xlabel="step", ylabel=trainer.task.measure, xlim=(0, trainer.settings.steps))
    axes.set_title(READING, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_atomically(path, png.getvalue())
