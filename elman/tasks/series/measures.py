"""How good forecasts are: MASE, pinball loss and coverage on rolling origins, and baselines with intervals.

Sources: Hyndman and Koehler, "Another look at measures of forecast accuracy", 2006, for MASE; Koenker and Bassett,
"Regression quantiles", 1978, for the pinball loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from elman.tasks.series import statistical
from elman.tasks.series.linear.maps import whole_rows
from elman.tasks.series.season import seasonal_places

Array = npt.NDArray[Any]
V = TypeVar("V", Array, Tensor)

MOST_FITTED = 100_000  # last values of the training part that the baselines are fitted on
MOST_LAGS = 60
MOST_PAST = 500  # origins in the training part whose errors make the intervals of ETS and ARIMA


@dataclass(frozen=True)
class Errors:
    """The measures of a forecaster, by column, (C,), over all origins, all K steps and all values that are known.

    Args:
        mase: the median's mean absolute error, in units of the seasonal naive forecast's in the training part.
        mae: the median's mean absolute error in the column's own unit.
        pinball: the mean pinball loss of the three quantiles, in the unit of `mase`.
        coverage: the share of values inside the interval.
    """

    mase: Array
    mae: Array
    pinball: Array
    coverage: Array


def pinball(
    forecast: V,  # (..., Q)
    truth: V,  # (...)
    quantiles: V,  # (Q,)
) -> V:
    """The pinball loss max(q e, (q - 1) e) = |e| / 2 + (q - 1/2) e of each quantile forecast, e its error, (..., Q)."""
    error = truth[..., None] - forecast
    loss: V = abs(error) / 2 + (quantiles - 0.5) * error
    return loss


def measure_forecasts(
    forecasts: Array,  # (O, K, C, 3): lower quantile, median, upper quantile
    truth: Array,  # (O, K, C)
    known: Array,  # (O, K, C)
    unit: Array,  # (C,)
    interval: float,
) -> Errors:
    """Compare forecasts with what came."""
    tail = (1 - interval) / 2
    quantiles = np.array([tail, 0.5, 1 - tail])
    losses = pinball(forecasts, truth, quantiles).mean(-1)
    inside = (forecasts[..., 0] <= truth) & (truth <= forecasts[..., 2])
    count = known.sum((0, 1))

    def mean(values: Array) -> Array:
        total: Array = np.where(known, values, 0.0).sum((0, 1)) / count
        return total

    mae = mean(np.abs(truth - forecasts[..., 1]))
    return Errors(mae / unit, mae, mean(losses) / unit, mean(inside.astype(float)))


def naive_points(values: Array, origins: Array, horizon: int, season: int = 1) -> Array:
    """The last value, or the last season, again and again, (O, K)."""
    points: Array = values[seasonal_places(origins, horizon, season)]
    return points


@dataclass(frozen=True)
class Autoregression:
    """y_t = constant + sum of w_i y_{t-i}, fitted by least squares, its order by Akaike's criterion.

    Args:
        constant: the constant.
        weights: w_1, w_2, and so on, (p,).
    """

    constant: float
    weights: Array

    @classmethod
    def fit(cls, values: Array, known: Array, most_lags: int) -> "Autoregression":
        """The order p up to `most_lags` whose 2 (p + 1) + n log(mean squared error) is least, on the same n values:
        those that are known with their lags, where most are."""
        lags = np.stack([values[most_lags - i : len(values) - i] for i in range(1, most_lags + 1)], axis=1)
        rows = whole_rows(known, most_lags)
        lags, target = lags[rows], values[most_lags:][rows]
        best: tuple[float, Array] | None = None
        for p in range(1, most_lags + 1):
            design = np.column_stack([np.ones(len(target)), lags[:, :p]])
            weights = np.linalg.lstsq(design, target, rcond=None)[0]
            squares = float(np.mean((target - design @ weights) ** 2))
            criterion = 2 * (p + 1) + len(target) * np.log(max(squares, 1e-300))
            if best is None or criterion < best[0]:
                best = criterion, weights
        assert best is not None
        return cls(float(best[1][0]), best[1][1:])

    def points(self, values: Array, origins: Array, horizon: int) -> Array:
        """The next K values after each origin, each forecast from the ones before it, (O, K)."""
        p = len(self.weights)
        history = values[origins[:, None] - np.arange(p)]  # (O, p), the last value first
        points = np.empty((len(origins), horizon))
        for k in range(horizon):
            points[:, k] = self.constant + history @ self.weights
            history = np.column_stack([points[:, k], history[:, :-1]])
        return points


def with_interval(points: Array, past_points: Array, past_truth: Array, known: Array, interval: float) -> Array:
    """Point forecasts, (O, K), with the quantiles of the same forecaster's errors in the past, (O, K, 3): of what is
    known, where anything is."""
    tail = (1 - interval) / 2
    errors = np.where(known | ~known.any(0), past_truth - past_points, np.nan)
    low, high = np.nanquantile(errors, [tail, 1 - tail], axis=0)
    return np.stack([points + low, points, points + high], axis=-1)


def baseline_forecasts(
    values: Array,  # (n, C), missing ones filled
    known: Array,  # (n, C)
    train: int,
    origins: Array,  # (O,)
    horizon: int,
    seasons: Sequence[int],
    interval: float,
) -> dict[str, Array]:
    """The baselines' forecasts after each origin, (O, K, C, 3), fitted on the first `train` values.

    The naive forecast repeats the last value, the seasonal naive ones the last season, where there is a season; the
    autoregression looks back up to two seasons. ETS and ARIMA stand beside them where statsforecast is installed; where
    a season is too long for ETS, or there are two, STL takes them out before; these are fitted on the longest stretch
    without a missing value, and left out where that is too short in one of the columns.
    """
    first = max(0, train - MOST_FITTED)
    lags = max(1, min(max(2 * seasons[0] + 2, 12), MOST_LAGS, (train - first) // 10))
    past = np.arange(first + max(lags, seasons[-1]) - 1, train - horizon)
    found: dict[str, list[Array]] = {}
    stretches = statistical.stretches(np.asarray(known), train, seasons)
    shortest = statistical.shortest(stretches)
    whole = statistical.available() and shortest >= statistical.needed(train, horizon, seasons)
    methods = statistical.methods(shortest, seasons) if whole else {}
    places = past[:, None] + np.arange(1, horizon + 1)
    for c, (column, there) in enumerate(zip(np.asarray(values).T, np.asarray(known).T, strict=True)):
        truth, real = column[places], there[places]
        points = {"naive": (naive_points(column, past, horizon), naive_points(column, origins, horizon))}
        for season in (season for season in seasons if season > 1):
            name = "seasonal naive" if season == seasons[0] else f"seasonal naive ({season})"
            points[name] = naive_points(column, past, horizon, season), naive_points(column, origins, horizon, season)
        model = Autoregression.fit(column[first:train], there[first:train], lags)
        points[f"AR({len(model.weights)})" if values.shape[1] == 1 else "AR"] = (
            model.points(column, past, horizon),
            model.points(column, origins, horizon),
        )
        for name, (then, now) in points.items():
            found.setdefault(name, []).append(with_interval(now, then, truth, real, interval))
        some = past[-MOST_PAST:]
        both = np.concatenate([some, origins])
        filled = statistical.repeat_seasons(column, there, seasons[-1]) if methods else column
        for name, method in methods.items():
            then, now = np.split(method(filled, stretches[c], both, horizon), [len(some)])
            forecast = with_interval(now, then, truth[-MOST_PAST:], real[-MOST_PAST:], interval)
            found.setdefault(name, []).append(forecast)
    return {name: np.stack(columns, axis=2) for name, columns in found.items()}
