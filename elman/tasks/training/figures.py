"""Pictures of a run. matplotlib is an extra, imported when a picture is drawn."""

import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman._fonts import fonts
from elman.tasks.errors import MissingExtra
from elman.tasks.training.checkpoint import write_atomically
from elman.tasks.training.loop import Trainer

READING = "Lower is better. Where the curves part, the model begins to learn the training {data} by heart."
MATRIX = "A row is a true label, a column what it was taken for: the diagonal is right. Colours are shares of a row."
STYLES: Any = ("--", ":", "-.", (0, (1, 5)))  # of lines to compare with
LETTERS = 11  # of a title that fit into an inch
MOST_NUMBERS = 30  # labels, above which a matrix shows colours only


def loss_picture(trainer: Trainer, path: Path, *, lines: dict[str, float] | None = None) -> None:
    """Draw the measures in training and along the way, with horizontal lines to compare them with, into a PNG file.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    training = [(step, value) for step, value, _ in trainer.history if value is not None]
    measured = [(step, value) for step, _, value in trainer.history if value is not None]
    with picture(path, 8, 4.5) as figure:
        axes = figure.subplots()
        axes.plot(*zip(*training, strict=True), color="tab:blue", linewidth=1, label=f"training {trainer.task.data}")
        red: Any = {"color": "tab:red", "marker": "o", "markersize": 4, "label": trainer.task.measured_on}
        axes.plot(*zip(*measured, strict=True), **red)
        for (name, value), style in zip((lines or {}).items(), STYLES, strict=False):
            axes.axhline(value, color="black", linestyle=style, linewidth=1, label=f"{name}: {value:.2f}")
        axes.set(xlabel="step", ylabel=trainer.task.measure, xlim=(0, trainer.settings.steps))
        axes.set_title(READING.format(data=trainer.task.data), fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right")  # losses fall; a search for the best place warns where it is slow


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
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    with picture(path, side + 1, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if count <= MOST_NUMBERS:
            names = [_short(label) for label in labels]
            axes.set_xticks(range(count), names, rotation=90)
            axes.set_yticks(range(count), names)
            for i, j in zip(*np.nonzero(matrix), strict=True):
                colour = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=colour, fontsize=8)
        axes.set(xlabel="taken for", ylabel="true label")
        # broken by hand: matplotlib's own wrapping and its layout disturb each other, and left half a picture blank
        axes.set_title(textwrap.fill(MATRIX, round(LETTERS * side)), fontsize=9)
        figure.colorbar(image, label="share of the true label", shrink=0.8)


def _short(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:19]}…"


@contextlib.contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Any]:
    """A figure of this size in inches, written as a PNG file at the end of the block; labels are shown as they are.

    Raises:
        MissingExtra: matplotlib is not installed; or, the picture being written, no font has some of its letters.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("no picture without matplotlib: pip install elman[plot]") from error
    plain: Any = {"font.family": fonts(), "text.parse_math": False}
    with matplotlib.rc_context(plain), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
    write_atomically(path, png.getvalue())
    others = [warning for warning in warned if "missing from font" not in str(warning.message)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if len(others) < len(warned):
        raise MissingExtra(
            f"{path} shows boxes in place of some letters: no font here has them; install one (for Korean NanumGothic, "
            f"fonts-nanum on Debian and Ubuntu) and draw again by --resume"
        )
