"""Exponential smoothing as linear maps: level, damped trend and additive season, filtered through the last R values.

    e_t = y_t - (l_{t-1} + phi b_{t-1} + s_{t-m})
    l_t = l_{t-1} + phi b_{t-1} + alpha e_t
    b_t = phi b_{t-1} + alpha beta e_t
    s_t = s_{t-m} + gamma (1 - alpha) e_t

Each of these is linear in y, so the filter is run on the unit vectors in place of numbers. On the logarithm the season
is multiplicative. Source: Hyndman, Koehler, Ord and Snyder, "Forecasting with exponential smoothing", 2008.
"""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.linear.maps import windows

Array = npt.NDArray[Any]

ALPHA = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.99)
TREND = ((0.0, 1.0), (0.05, 0.9), (0.2, 0.9), (0.02, 0.98), (0.1, 0.98), (0.02, 1.0), (0.1, 1.0))  # beta and phi
GAMMA = (0.0, 0.05, 0.15, 0.3, 0.6)
ORIGINS = 400  # that the parameters are compared on
FIRST = 5  # values whose slope is the first trend, where there is no season


def smoothing(
    values: Array,  # (n,)
    known: Array,  # (n,)
    season: int,
    reach: int,
    horizon: int,
) -> Array | None:
    """The map, (K, R + 1), of the parameters with the least mean absolute error over all K steps and origins of what
    is known; None where the reach holds no two seasons, or nothing is known after it."""
    origins, ahead = np.arange(reach - 1, len(values) - horizon), np.arange(1, horizon + 1)
    origins = origins[known[origins[:, None] + ahead].any(1)]
    if reach < max(2 * season, FIRST) or not len(origins):
        return None
    origins = origins[np.linspace(0, len(origins) - 1, min(ORIGINS, len(origins))).astype(np.int64)]
    grid = list(itertools.product(ALPHA, TREND, GAMMA if season > 1 else (0.0,)))
    alpha, beta, phi, gamma = np.array([(a, *trend, g) for a, trend, g in grid]).T[:, :, None]
    maps = smoothing_maps(alpha, beta, phi, gamma, season, reach, horizon)
    past, places = windows(values, origins, reach), origins[:, None] + ahead
    truth, there = values[places], known[places]
    errors = [np.abs(past @ weights.T - truth)[there].mean() for weights in maps]
    best = maps[int(np.argmin(errors))]
    return np.column_stack([best, np.zeros(horizon)])


def smoothing_maps(alpha: Array, beta: Array, phi: Array, gamma: Array, season: int, reach: int, horizon: int) -> Array:
    """The maps of P parameters, each (P, 1), (P, K, R). The first season or two give the first level, trend and season;
    a beta of 0 stands for no trend."""
    unit, count, m = np.eye(reach), len(alpha), season
    if m > 1:
        one, two = unit[:m].mean(0), unit[m : 2 * m].mean(0)
        trend = (beta > 0) * (two - one) / m
        level = one - trend * (m + 1) / 2
        seasonal = [np.tile((unit[i] - one + unit[i + m] - two) / 2, (count, 1)) for i in range(m)]
    else:
        trend = (beta > 0) * (unit[FIRST - 1] - unit[0]) / (FIRST - 1)
        level = np.tile(unit[0], (count, 1)) - trend
        seasonal = [np.zeros((count, reach))]
    for t in range(reach):
        error = unit[t] - (level + phi * trend + seasonal[t % m])
        level = level + phi * trend + alpha * error
        trend = phi * trend + alpha * beta * error
        seasonal[t % m] = seasonal[t % m] + gamma * (1 - alpha) * error
    maps = np.empty((count, horizon, reach))
    far = np.zeros_like(phi)
    for k in range(horizon):
        far = far + phi ** (k + 1)
        maps[:, k] = level + far * trend + seasonal[(reach + k) % m]
    return maps
