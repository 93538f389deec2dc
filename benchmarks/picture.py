"""The picture: elman's speed over every peer's, a line a size, a panel a mode."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.figures import PEERS, Row, fastest, mean, over_torch

COLOURS = dict(zip(PEERS, ("#c44e52", "#4c72b0", "#55a868", "#8172b3"), strict=True))
MARKS = dict(zip(PEERS, ("o", "s", "^", "D"), strict=True))
TITLES = {"train": "training step", "infer": "inference", "stream": "one step at a time", "packed": "variable length"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the picture of all modes that were measured."""
    panels = {mode: [row for row in results["rows"] if row["mode"] == mode] for mode in TITLES}
    panels = {mode: rows for mode, rows in panels.items() if rows}
    heights = [len(rows) + 3 for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, 0.24 * sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for (mode, rows), axis in zip(panels.items(), axes[:, 0], strict=True):
        panel(axis, mode, rows)
    handles = {
        label: handle for axis in axes[:, 0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles), frameon=False)
    about = results["machine"]
    figure.supxlabel(f"times as fast as each; {about['processor']}, {about['threads']} threads, float32", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def panel(axis: Axes, mode: str, rows: list[Row]) -> None:
    """One mode: a point for each peer, left of 1 where it is faster than elman."""
    for name in PEERS:
        points = [
            (theirs / ours, y)
            for y, row in enumerate(rows)
            if (ours := fastest(row, "elman")) is not None and (theirs := fastest(row, name)) is not None
        ]
        if points:
            axis.plot(*zip(*points, strict=True), MARKS[name], color=COLOURS[name], label=f"over {name}", markersize=5)
    axis.axvline(1, color="black", linewidth=1)
    axis.set_xscale("log", base=2)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.7), max(high, 2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(
        f"{TITLES[mode]}: {mean(over_torch, rows):.1f} times torch in the geometric mean", fontsize=10, loc="left"
    )
