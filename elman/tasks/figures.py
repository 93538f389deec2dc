"""Pictures of a run. matplotlib is an extra, imported when a picture is drawn."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.checkpoint import write_atomically
from elman.tasks.errors import MissingExtra
from elman.tasks.loop import Trainer

READING = "Lower is better. Where the curves part, the model begins to learn the training {data} by heart."


MATRIX = "A row is a true label, a column what it was taken for: the diagonal is right. Colours are shares of a row."
MOST_NUMBERS = 30  # labels, above which a matrix shows colours only


def loss_picture(trainer: Trainer, path: Path, *, data: str = "text", lines: dict[str, float] | None = None) -> None:
    """Draw the training and the held-out curve, with horizontal lines to compare them with, into a PNG file.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    training = [(step, value) for step, value, _ in trainer.history if value is not None]
    held_out = [(step, value) for step, _, value in trainer.history if value is not None]
    axes.plot(*zip(*training, strict=True), color="tab:blue", linewidth=1, label=f"training {data}")
    axes.plot(*zip(*held_out, strict=True), color="tab:red", marker="o", markersize=4, label=f"held-out {data}")
    for (name, value), style in zip((lines or {}).items(), ("--", ":", "-."), strict=False):
        axes.axhline(value, color="black", linestyle=style, linewidth=1, label=f"{name}: {value:.2f}")
    axes.set(xlabel="step", ylabel=trainer.task.measure, xlim=(0, trainer.settings.steps))
    axes.set_title(READING.format(data=data), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(figure, path)


def confusion_picture(
    matrix: npt.NDArray[Any],  # (K, K)
    labels: Sequence[str],
    path: Path,
) -> None:
    """Draw a confusion matrix into a PNG file.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    count = len(labels)
    side = min(3 + 0.45 * count, 16)
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= MOST_NUMBERS:
        names = [_short(label) for label in labels]
        axes.set_xticks(range(count), names, rotation=90)
        axes.set_yticks(range(count), names)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="taken for", ylabel="true label")
    axes.set_title(MATRIX, fontsize=9, wrap=True)
    figure.colorbar(image, label="share of the true label", shrink=0.8)
    write_figure(figure, path)


def _short(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:19]}…"


def new_figure(width: float, height: float) -> Any:
    """A figure of this size in inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("no picture without matplotlib: pip install elman[plot]") from error
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: Any, path: Path) -> None:
    """Write a figure into a PNG file."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_atomically(path, png.getvalue())
