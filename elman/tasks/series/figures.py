"""Pictures of forecasts."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.clock import Clock
from elman.tasks.series.forecaster import Past
from elman.tasks.series.run import MODEL, Measured, Run
from elman.tasks.training.figures import picture

Array = npt.NDArray[Any]

PANELS = 4
SHOWN = 4  # horizons of the past that a picture of a forecast shows
TICKS = 6


def origins_picture(run: Run, measured: Measured, path: Path) -> None:
    """Draw what came over the held-out part, and forecasts from a few origins, one after another, a panel a column.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    clock, columns = Clock(**run.config["clock"]), run.config["columns"]
    horizon = run.settings.horizon
    chosen = range(0, len(measured.origins), horizon)
    if len(chosen) > 2 * TICKS:
        chosen = chosen[-2 * TICKS :]
    first = int(measured.origins[chosen[0]])
    place = np.arange(first, int(measured.origins[chosen[-1]]) + horizon + 1)
    title = "Held-out part: from each gray line the model sees what is left of it, no more."
    with _panels(path, columns, title) as panels:
        for c, axes in enumerate(panels):
            truth = np.where(run.task.arrays.known[place, c], run.task.arrays.values[place, c], np.nan)
            axes.plot(place, truth, color="black", linewidth=1, label="what came")
            for i, o in enumerate(chosen):
                steps = measured.origins[o] + np.arange(1, horizon + 1)
                low, median, high = measured.forecasts[MODEL][o, :, c].T
                label = "forecast from the line before it" if i == 0 else None
                axes.plot(steps, median, color="tab:red", linewidth=1.5, label=label)
                share = f"{run.settings.interval:.0%} interval" if i == 0 else None
                axes.fill_between(steps, low, high, color="tab:red", alpha=0.2, linewidth=0, label=share)
                axes.axvline(measured.origins[o], color="gray", linewidth=0.5)
        _label_times(panels[-1], place, clock)


def forecast_picture(
    past: Past,
    forecast: Array,  # (K, C, 3)
    columns: list[str],
    interval: float,
    path: Path,
) -> None:
    """Draw the last of the past and the forecast that follows it, a panel a column.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    horizon = len(forecast)
    count = min(len(past.values), SHOWN * horizon)
    values, first = past.values[-count:], past.first + len(past.values) - count
    last = count - 1
    steps = last + np.arange(horizon + 1)  # the forecast is drawn on from the last value
    title = "The red line is as likely too high as too low; the band should hold what comes."
    with _panels(path, columns, title) as panels:
        for c, axes in enumerate(panels):
            now = values[last, c]
            low, median, high = (np.concatenate([[now], quantile]) for quantile in forecast[:, c].T)
            axes.plot(np.arange(last + 1), values[:, c], color="black", linewidth=1, label="data")
            axes.plot(steps, median, color="tab:red", linewidth=1.5, label="forecast")
            share = f"{interval:.0%} interval"
            axes.fill_between(steps, low, high, color="tab:red", alpha=0.2, linewidth=0, label=share)
        _label_times(panels[-1], np.arange(steps[-1] + 1), past.clock, first)


@contextlib.contextmanager
def _panels(path: Path, columns: list[str], title: str) -> Iterator[Any]:
    """A picture's axes, one under the other, each with a column's name, to draw on."""
    if len(columns) > PANELS:
        title += f" These are the first {PANELS} of {len(columns)} columns."
        columns = columns[:PANELS]
    with picture(path, 9, 1.2 + 2.8 * len(columns)) as figure:
        panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, columns, strict=True):
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        panels[0].set_title(title, fontsize=10)
        yield panels
        panels[0].legend(fontsize=8, loc="upper left")  # matplotlib's search for the best place warns where it is slow


def _label_times(axes: Any, place: Array, clock: Clock, first: int = 0) -> None:
    ticks = place[np.linspace(0, len(place) - 1, min(TICKS, len(place))).astype(np.int64)]
    if clock.regular:
        axes.set_xticks(ticks, [clock.at(first + int(tick)) for tick in ticks])
    else:
        axes.set_xlabel("row")
