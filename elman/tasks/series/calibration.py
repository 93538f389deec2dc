"""How much wider or narrower intervals must be to hold what they should, learned from the latest forecasts.

Conformalised quantile regression, adaptive: before each forecast, the interval of a step and column grows at both ends
by a quantile of how far the values that have come since lay outside of the last forecasts' intervals, in units of those
intervals' width (inside counts as negative). The quantile's level starts at the share that is asked for; it rises while
fewer values lie inside, and falls while more do. Sources: Romano, Patterson and Candès, "Conformalized quantile
regression", 2019; Gibbs and Candès, "Adaptive conformal inference under distribution shift", 2021.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.errors import RunError
from elman.tasks.training.checkpoint import write_atomically

Array = npt.NDArray[Any]

CALIBRATION = "calibration.json"
LATEST = 50  # forecasts that a quantile is taken of
ENOUGH = 20  # of them, from which on each step has its own quantile
RATE = 0.03  # by which the level follows what lay inside
HIGHEST = 1.5  # level; above 1 the interval grows beyond all that was seen
FURTHER = 2.0  # widths for a level above 1


def adapt(
    forecasts: Array,  # (O, K, C, 3), from origins in order
    truth: Array,  # (O, K, C)
    known: Array,  # (O, K, C): what had come by the last origin
    interval: float,
    spacing: int = 1,
) -> Array:
    """By how much to widen each forecast, in units of its width, (O, K, C); each from what was known at its origin.

    Args:
        forecasts, truth, known: as `measure_forecasts` takes them.
        interval: the share that an interval should hold.
        spacing: steps from one origin to the next.
    """
    width = forecasts[..., 2] - forecasts[..., 0]
    outside = np.maximum(forecasts[..., 0] - truth, truth - forecasts[..., 2]) / np.where(width > 0, width, 1.0)
    outside = np.where(known, outside, np.nan)
    count, steps, columns = truth.shape
    k = np.arange(steps)
    lag = -(-(k + 1) // spacing)  # origins until a step's value has come
    level = np.full((steps, columns), interval)
    margins = np.zeros(truth.shape)
    for i in range(count):
        new = i - lag
        there = (new >= 0)[:, None] & known[new.clip(0), k]
        inside = outside[new.clip(0), k] <= margins[new.clip(0), k]
        level = np.where(there, (level + RATE * (interval - inside)).clip(0, HIGHEST), level)
        rows = new[:, None] - np.arange(LATEST)  # (K, W)
        seen = np.where((rows >= 0)[..., None], outside[rows.clip(0), k[:, None]], np.nan)  # (K, W, C)
        margins[i] = _quantile(seen, level)
        few = (~np.isnan(seen)).sum(1) < ENOUGH
        if few.any():
            together = _quantile(np.broadcast_to(seen.reshape(-1, columns), (steps, steps * LATEST, columns)), level)
            margins[i] = np.where(few, together, margins[i])
    return margins


def _quantile(
    values: Array,  # (K, W, C), NaN where there is none
    level: Array,  # (K, C)
) -> Array:
    """The quantile of each level, as of a sample whose next value is asked for, (K, C); 0 where there are no values."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = (~np.isnan(values)).sum(1)
    rank = np.ceil(level * (count + 1)).astype(np.int64).clip(1, np.maximum(count, 1)) - 1
    found = np.take_along_axis(ordered, rank[:, None], axis=1)[:, 0] + FURTHER * (level - 1).clip(0)
    return np.where(count > 0, found, 0.0)


def calibrate(
    forecasts: Array,  # (..., K, C, 3)
    margin: Array,  # (..., K, C)
) -> Array:
    """Forecasts with their intervals widened; a median stays where it is and inside."""
    low, median, high = np.moveaxis(forecasts, -1, 0)
    by = margin * (high - low)
    return np.stack([np.minimum(low - by, median), median, np.maximum(high + by, median)], axis=-1)


def write_margin(folder: Path, margin: Array) -> None:
    """Keep a margin in the run folder."""
    write_atomically(folder / CALIBRATION, json.dumps({"margin": margin.tolist()}).encode())


def read_margin(folder: Path, horizon: int, columns: int) -> Array:
    """The margin of a run, (K, C); zero in runs that were not measured yet.

    Raises:
        RunError: the file is broken.
    """
    path = folder / CALIBRATION
    if not path.exists():
        return np.zeros((horizon, columns))
    try:
        margin = np.array(json.loads(path.read_bytes())["margin"], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is broken ({error})") from error
    if margin.shape != (horizon, columns) or not np.isfinite(margin).all():
        raise RunError(f"{path} is broken: it holds no margin for each step and column")
    return margin
