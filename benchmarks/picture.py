"""The picture: elman's speed over every peer's, a line a size, a panel a mode."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.figures import PEERS, Row, arithmetic, fastest, groups, mean, over_torch

COLOURS = dict(zip(PEERS, ("#c44e52", "#4c72b0", "#55a868", "#8172b3"), strict=True))
MARKS = dict(zip(PEERS, ("o", "s", "^", "D"), strict=True))
TITLES = {"train": "training step", "infer": "inference", "stream": "one step at a time", "packed": "variable length"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the picture of all modes that were measured."""
    panels = {name: rows for name, rows in groups(results["rows"]).items() if rows[0]["mode"] in TITLES}
    heights = [len(rows) + 3 for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(9, max(0.24 * sum(heights), 1.6)),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for (name, rows), axis in zip(panels.items(), axes[:, 0], strict=True):
        panel(axis, name, rows)
    handles = {
        label: handle for axis in axes[:, 0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles), frameon=False)
    about = results["machine"]
    said = f"right of 1 elman is faster; {about['processor']}, {about['threads']} threads, {arithmetic(about)}"
    figure.supxlabel(said, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def panel(axis: Axes, name: str, rows: list[Row]) -> None:
    """One group of sizes: a point for each peer, left of 1 where it is faster than elman."""
    mode = rows[0]["mode"]
    for peer in PEERS:
        points = [
            (theirs / ours, y)
            for y, row in enumerate(rows)
            if (ours := fastest(row, "elman")) is not None and (theirs := fastest(row, peer)) is not None
        ]
        if points:
            axis.plot(*zip(*points, strict=True), MARKS[peer], color=COLOURS[peer], label=f"over {peer}", markersize=5)
    axis.axvline(1, color="black", linewidth=1)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(LogLocator(base=2, numticks=20))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelbottom=True)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    title = f"{name.replace(mode, TITLES[mode])}: {mean(over_torch, rows):.1f} times torch in the geometric mean"
    axis.set_title(title, fontsize=10, loc="left")
