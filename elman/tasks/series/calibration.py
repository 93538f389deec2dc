"""How much wider or narrower intervals must be to hold what they should, learned on the part that chose the weights.

Conformalised quantile regression: of each step and column, the interval grows at both ends by the quantile of how far
the values of the choosing part lay outside of it (inside counts as negative). Source: Romano, Patterson and Candès,
"Conformalized quantile regression", 2019.
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


def find_margin(
    forecasts: Array,  # (O, K, C, 3)
    truth: Array,  # (O, K, C)
    known: Array,  # (O, K, C)
    interval: float,
) -> Array:
    """By how much to widen the intervals of each step and column, (K, C), in the columns' own units."""
    outside = np.maximum(forecasts[..., 0] - truth, truth - forecasts[..., 2])
    margin = np.zeros(truth.shape[1:])
    for place in np.ndindex(margin.shape):
        some = outside[(slice(None), *place)][known[(slice(None), *place)]]
        if len(some):
            level = min(1.0, interval * (len(some) + 1) / len(some))
            margin[place] = np.quantile(some, level, method="higher")
    return margin


def calibrate(
    forecasts: Array,  # (..., K, C, 3)
    margin: Array,  # (K, C)
) -> Array:
    """Forecasts with their intervals widened; a median stays where it is and inside."""
    low, median, high = np.moveaxis(forecasts, -1, 0)
    return np.stack([np.minimum(low - margin, median), median, np.maximum(high + margin, median)], axis=-1)


def write_margin(folder: Path, margin: Array) -> None:
    """Keep a margin in the run folder."""
    write_atomically(folder / CALIBRATION, json.dumps({"margin": margin.tolist()}).encode())


def read_margin(folder: Path, horizon: int, columns: int) -> Array:
    """The margin of a run, (K, C); zero in runs that were not measured yet, or by older versions.

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
