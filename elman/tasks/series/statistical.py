"""ETS and ARIMA as statsforecast chooses and fits them, forecast from every origin: its parameters are those of the
training part, its states follow the series. statsforecast is an extra, imported when a forecast is made.

All of them need series without missing values. So they are fitted on the longest stretch of the training part that has
none, as R's forecast::ets is; where their states go on, values of the season before stand for missing ones.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Method = Callable[[Array, slice, Array, int], Array]  # values, which of them are fitted, origins, horizon

LONGEST = 24  # the longest season that ETS has
MOST = 2000  # last values of the training part that are fitted
BLOCKS = 20  # times that the seasons are found anew, where STL finds them
SEASONS = 10  # of the longest, that STL looks back at
LEAST, LEAST_SEASONS = 50, 3  # values and seasons of a stretch that is fitted in place of all


@contextmanager
def _quiet() -> Iterator[None]:
    """Without statsforecast's warnings about trial models of its search that did not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def available() -> bool:
    """Whether statsforecast is installed."""
    return find_spec("statsforecast") is not None


def methods(length: int, seasons: Sequence[int]) -> dict[str, Method]:
    """What applies to so many values without a missing one and to these seasons, by name."""
    season = seasons[0]
    if len(seasons) > 1 or season > LONGEST:
        if length < 2 * seasons[-1] + 1:
            return {}
        return {"STL + ETS": partial(stl_ets, seasons=list(seasons))}
    return {"ETS": partial(ets, season=season), "ARIMA": partial(arima, season=season)}


def stretches(
    known: Array,  # (n, C)
    train: int,
    seasons: Sequence[int],
) -> list[slice]:
    """Which values of each column are fitted: the last of the first `train`, or the longest stretch of these without
    a missing value."""
    first = max(0, train - most(seasons))
    return [whole_stretch(column, first, train) for column in known.T]


def shortest(found: Sequence[slice]) -> int:
    """How long the shortest stretch is."""
    lengths: list[int] = [stretch.stop - stretch.start for stretch in found]
    return min(lengths)


def needed(train: int, horizon: int, seasons: Sequence[int]) -> int:
    """How long each stretch must be that is fitted: all there is, or some seasons and a horizon."""
    return min(train, most(seasons), max(LEAST, LEAST_SEASONS * seasons[-1]) + horizon)


def most(seasons: Sequence[int]) -> int:
    """How many of the last values of the training part are fitted."""
    return MOST if seasons[-1] <= LONGEST else SEASONS * seasons[-1]


def whole_stretch(known: Array, first: int, end: int) -> slice:
    """The longest stretch of places from `first` up to `end` without a missing value, the last of several.

    Example:
        >>> whole_stretch(np.array([True, True, False, True, True, False]), 0, 6)
        slice(3, 5, None)
    """
    gone = np.concatenate([[first - 1], first + np.flatnonzero(~known[first:end]), [end]])
    lengths = np.diff(gone)
    longest = len(lengths) - 1 - int(lengths[::-1].argmax())
    return slice(int(gone[longest]) + 1, int(gone[longest + 1]))


def repeat_seasons(values: Array, known: Array, season: int) -> Array:
    """Values where those of a season before stand for missing ones; in the first season these are as they were."""
    filled = values.copy()
    for place in np.flatnonzero(~known).tolist():
        if place >= season:
            filled[place] = filled[place - season]
    return filled


def ets(values: Array, fitted: slice, origins: Array, horizon: int, season: int) -> Array:
    """The point forecasts of exponential smoothing, chosen by the corrected criterion of Akaike, (O, K); NaN from
    origins before the values that it is fitted to."""
    from statsforecast.ets import forward_ets
    from statsforecast.models import AutoETS

    model = AutoETS(season_length=season).fit(values[fitted]).model_
    after = origins >= fitted.start
    points = np.full((len(origins), horizon), np.nan)
    states = forward_ets(model, values[fitted.start :])
    points[after] = ets_points(states, origins[after] - fitted.start, horizon, season)
    return points


def ets_points(model: dict[str, Any], origins: Array, horizon: int, season: int) -> Array:
    """The forecasts from the states of an ETS model after each origin, (O, K)."""
    _, trend, seasonal, damped = model["components"]
    phi = model["par"][3] if damped == "D" else 1.0
    states = model["states"][origins + 1]  # level, trend, and the seasons of this step and those before it
    seasons = states[:, (1 if trend == "N" else 2) :]
    points, far = np.empty((len(origins), horizon)), 0.0
    for k in range(1, horizon + 1):
        far += phi**k
        found = states[:, 0]
        if trend != "N":
            found = found + far * states[:, 1] if trend == "A" else found * states[:, 1] ** far
        if seasonal != "N":
            part = seasons[:, (season - k) % season]
            found = found + part if seasonal == "A" else found * part
        points[:, k - 1] = found
    return points


def stl_ets(values: Array, fitted: slice, origins: Array, horizon: int, seasons: list[int]) -> Array:
    """The same for long seasons, or several: STL takes the seasons out (MSTL), their last round is repeated, and ETS
    without a season forecasts what is left, (O, K). The seasons are found anew for each of some blocks of origins."""
    from statsforecast.ets import forward_ets
    from statsforecast.models import AutoETS
    from statsforecast.mstl import mstl

    def without(last: int, first: int) -> tuple[Array, int]:
        """What repeats, up to the horizon after the last origin, and the place it begins at."""
        first = max(first, last + 1 - SEASONS * seasons[-1])
        parts = mstl(values[first : last + 1], period=seasons)
        places = np.arange(first, origins[-1] + horizon + 1)
        total = np.zeros(len(places))
        for season in seasons:
            name = "seasonal" if len(seasons) == 1 else f"seasonal{season}"
            part = parts[name].to_numpy()
            here = np.where(places <= last, places, last - season + 1 + (places - last - 1) % season)
            total += part[here - first]
        return total, first

    repeats, first = without(fitted.stop - 1, fitted.start)
    model = AutoETS(season_length=1).fit(values[first : fitted.stop] - repeats[: fitted.stop - first]).model_
    points = np.empty((len(origins), horizon))
    for some in np.array_split(np.arange(len(origins)), min(BLOCKS, len(origins))):
        repeats, first = without(int(origins[some[0]]), 0)
        end = int(origins[some[-1]]) + 1
        states = forward_ets(model, values[first:end] - repeats[: end - first])
        level = ets_points(states, origins[some] - first, horizon, 1)
        points[some] = level + repeats[origins[some, None] - first + np.arange(1, horizon + 1)]
    return points


def arima(values: Array, fitted: slice, origins: Array, horizon: int, season: int) -> Array:
    """The point forecasts of the ARIMA model that a stepwise search finds, (O, K); NaN from origins before the values
    that it is fitted to."""
    from statsforecast.arima import forward_arima
    from statsforecast.models import AutoARIMA

    here = values[fitted.start :]
    with _quiet():
        model = AutoARIMA(season_length=season, approximation=True).fit(values[fitted]).model_
        moved = forward_arima(model, here)
    after = origins >= fitted.start
    points = np.full((len(origins), horizon), np.nan)
    errors = np.asarray(moved["residuals"])
    points[after] = arima_points(model, here, errors, origins[after] - fitted.start, horizon)
    return points


def arima_points(model: dict[str, Any], values: Array, errors: Array, origins: Array, horizon: int) -> Array:
    """The forecasts of phi(B) (1 - B)^d (1 - B^m)^D y = theta(B) e after each origin from the errors so far."""
    p, q, seasonal_p, seasonal_q, season, d, seasonal_d = model["arma"]
    weights = model["coef"]

    def polynomial(name: str, count: int, step: int, sign: float) -> Array:
        found = np.zeros(count * step + 1)
        found[0] = 1.0
        found[step::step][:count] = [sign * weights[f"{name}{i + 1}"] for i in range(count)]
        return found

    left = np.convolve(polynomial("ar", p, 1, -1.0), polynomial("sar", seasonal_p, season, -1.0))
    for step in [1] * d + [season] * seasonal_d:
        left = np.convolve(left, np.concatenate([[1.0], np.zeros(step - 1), [-1.0]]))
    right = np.convolve(polynomial("ma", q, 1, 1.0), polynomial("sma", seasonal_q, season, 1.0))
    places = np.arange(len(values) + horizon)
    trend = weights.get("drift", 0.0) * (places + 1) + weights.get("intercept", 0.0)
    reach = max(len(left), len(right))
    y = np.concatenate([np.zeros(reach), values - trend[: len(values)], np.zeros(horizon)])
    e = np.concatenate([np.zeros(reach), errors, np.zeros(horizon)])
    past = y[origins[:, None] + reach - np.arange(len(left) - 1)]  # the last value first
    seen = e[origins[:, None] + reach - np.arange(len(right) - 1)]
    points = np.empty((len(origins), horizon))
    for k in range(horizon):
        points[:, k] = -past @ left[1:] + seen @ right[1:]
        past = np.column_stack([points[:, k], past])[:, : len(left) - 1]
        seen = np.column_stack([np.zeros(len(origins)), seen])[:, : len(right) - 1]
    points += trend[origins[:, None] + np.arange(1, horizon + 1)]
    return points
