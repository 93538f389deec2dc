"""A regression of each of the next K values on the last R, with a penalty (ridge regression)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.linear.maps import windows

Array = npt.NDArray[Any]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # of the mean square of a value
LEAST, MOST = 20, 4000  # windows that are fitted


def ridge(
    values: Array,  # (n,), of about unit variance
    known: Array,  # (n,)
    reach: int,
    horizon: int,
    level: bool,
) -> list[Array]:
    """The maps, each (K, R + 1), of all penalties: the change from the last value is regressed on the differences of
    the others from it, and on the last value itself if `level`; without it the forecasts follow the level wherever it
    goes. Windows before a missing value are left out where most are whole. Empty where there are too few values."""
    origins = np.arange(reach - 1, len(values) - horizon)
    ahead = np.arange(1, horizon + 1)
    whole = known[origins[:, None] + ahead].all(1)
    if 2 * whole.sum() > len(origins):
        origins = origins[whole]
    if len(origins) < LEAST:
        return []
    origins = origins[np.linspace(0, len(origins) - 1, min(MOST, len(origins))).astype(np.int64)]
    features = np.eye(reach)  # (R, R): of the window
    features[-1, :-1] = -1.0
    features[-1, -1] = float(level)
    x = windows(values, origins, reach) @ features
    y = values[origins[:, None] + ahead] - values[origins][:, None]
    x_mean, y_mean = x.mean(0), y.mean(0)
    scales, vectors = np.linalg.eigh((x - x_mean).T @ (x - x_mean) / len(x))
    product = vectors.T @ ((x - x_mean).T @ (y - y_mean) / len(x))
    found = []
    for penalty in PENALTIES:
        slopes = vectors @ (product / (np.maximum(scales, 0.0) + penalty)[:, None])  # (R, K)
        weights = np.column_stack([(features @ slopes).T, y_mean - x_mean @ slopes])
        weights[:, reach - 1] += 1.0
        found.append(weights)
    return found
