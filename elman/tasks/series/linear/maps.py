"""A linear forecast as a matrix: the next K values from the last R, (K, R + 1), the last column a constant.

Every method here, however it is computed step by step, is such a matrix in the end: so forecasts of several methods are
averaged by averaging their matrices, and one product with the last values makes them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

RIDGE = 1e-9  # of the mean square or of 1, added to the diagonal of the normal equations


def windows(values: Array, origins: Array, reach: int) -> Array:
    """The last R values at each origin, (O, R)."""
    found: Array = values[origins[:, None] + np.arange(1 - reach, 1)]
    return found


def apply(weights: Array, values: Array, origins: Array) -> Array:
    """The forecasts of a matrix after each origin, (O, K)."""
    found: Array = windows(values, origins, weights.shape[1] - 1) @ weights[:, :-1].T + weights[:, -1]
    return found


def seasonal_naive(reach: int, horizon: int, season: int) -> Array:
    """The last season again and again; the last value where the season is 1."""
    weights = np.zeros((horizon, reach + 1))
    k = np.arange(1, horizon + 1)
    weights[k - 1, reach - 1 + k - season * -(-k // season)] = 1.0
    return weights


def iterate(lags: Array, constant: float, reach: int, horizon: int) -> Array:
    """y_t = constant + sum of lags_i y_{t-i}, each forecast from the ones before it."""
    past = list(np.eye(reach + 1)[reach - 1 - np.arange(len(lags))])  # the last value first
    rows = []
    for _ in range(horizon):
        row = np.zeros(reach + 1)
        row[-1] = constant
        for weight, value in zip(lags, past, strict=False):
            row += weight * value
        rows.append(row)
        past = [row, *past[: len(lags) - 1]]
    return np.array(rows)


def whole_rows(known: Array, lags: int) -> Array:
    """Which values after the first so many are known with all their lags; all of them unless that is true of two in
    three, for where single values are missing here and there, few rows would be left."""
    whole = np.asarray(np.lib.stride_tricks.sliding_window_view(known, lags + 1).all(1))
    return whole if 3 * whole.sum() > 2 * len(whole) else np.ones_like(whole)


def undo_differences(lags: Array, differences: Sequence[int]) -> Array:
    """The lags of y where `lags` are those of y after differences over so many steps.

    Example:
        >>> undo_differences(np.array([0.5]), [1]).tolist()  # y_t - y_{t-1} = 0.5 (y_{t-1} - y_{t-2})
        [1.5, -0.5]
    """
    polynomial = np.concatenate([[1.0], -lags])
    for step in differences:
        polynomial = np.convolve(polynomial, np.concatenate([[1.0], np.zeros(step - 1), [-1.0]]))
    found: Array = -polynomial[1:]
    return found


def autoregression(
    values: Array,  # (n,)
    known: Array,  # (n,)
    differences: Sequence[int],
    most: int,
    reach: int,
    horizon: int,
) -> Array | None:
    """An autoregression of the differences, fitted by least squares, its order up to `most` by the corrected criterion
    of Akaike; with a constant unless it is on differences from step to step. None where there are too few values. Rows
    with a missing value are left out where most are whole."""
    changes = values
    for step in differences:
        changes, known = changes[step:] - changes[:-step], known[step:] & known[:-step]
    most = min(most, reach - sum(differences), len(changes) // 4)
    if most < 1:
        return None
    first = 0 if 1 in differences else 1  # columns before the lags
    lags = [changes[most - i : len(changes) - i] for i in range(1, most + 1)]
    design = np.stack([np.ones(len(changes) - most)] * first + lags, axis=1)
    target = changes[most:]
    rows = whole_rows(known, most)
    design, target = design[rows], target[rows]
    gram, product, total = design.T @ design, design.T @ target, float(target @ target)
    gram[np.diag_indices_from(gram)] += RIDGE * max(np.trace(gram) / len(gram), 1.0)  # where all differences are 0 too
    best: tuple[float, Array] | None = None
    for size in range(first, first + most + 1):
        weights = np.linalg.solve(gram[:size, :size], product[:size])
        squares = max(total - float(weights @ product[:size]), 1e-12 * total, 1e-300) / len(target)
        count = size + 1
        spare = max(1, len(target) - count - 1)
        criterion = len(target) * np.log(squares) + 2 * count + 2 * count * (count + 1) / spare
        if best is None or criterion < best[0]:
            best = criterion, weights
    assert best is not None
    constant = float(best[1][0]) if first else 0.0
    return iterate(undo_differences(best[1][first:], differences), constant, reach, horizon)
