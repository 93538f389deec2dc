"""Which form a column has (logarithm or not, calendar or not) and which linear forecasts are averaged, by rolling
origins inside the training part: methods are fitted on its first half and then on three quarters, and measured on the
quarter that follows."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.linear.maps import apply, autoregression, seasonal_naive
from elman.tasks.series.linear.ridge import ridge
from elman.tasks.series.linear.smoothing import smoothing

Array = npt.NDArray[Any]
Maps = dict[tuple[str, int], Array]  # by method and variant

LATEST = 20_000  # values that are looked at
CUTS = (0.5, 0.75, 1.0)
ORIGINS = 300  # measured after each cut
AVERAGED = 3  # methods
PRICE = 1.03  # by which a group of features must lower the error
LAGS = (12, 60)  # of an autoregression: at least and at most allowed
SHORTEST = 26  # values that a linear forecast looks back at, where there are so many


@dataclass(frozen=True)
class Form:
    """A column's form, and its linear forecast.

    A value v becomes y = (v' - features slopes - centre) / scale, v' being v or its logarithm.

    Args:
        log: whether the logarithm is taken.
        slopes: of the features whose future is known, (J,).
        centre: the mean of what is left.
        scale: its standard deviation.
        weights: the next K values of y from the last R, (K, R + 1).
        spread: the standard deviation of their errors in the training part, (K,).
        methods: whose average the forecast is.
    """

    log: bool
    slopes: Array
    centre: float
    scale: float
    weights: Array
    spread: Array
    methods: list[str]


def find_reach(seasons: Sequence[int], horizon: int, steps: int) -> int:
    """How many values a linear forecast looks back at: some seasons, but no more than half of the training part."""
    shortest, longest = seasons[0], seasons[-1]
    if shortest != longest:
        reach = longest + max(shortest, horizon)
    else:
        reach = 4 * longest + 2 if longest <= LAGS[0] else 3 * longest
    return max(1, min(max(reach, SHORTEST), (steps - horizon) // 2))


def fit_form(
    values: Array,  # (n,), the training part
    known: Array,  # (n,)
    groups: Sequence[Array],  # each (n, J_i): features whose future is known
    horizon: int,
    seasons: Sequence[int],
    reach: int,
    may_log: bool,  # whether the logarithm is tried too
) -> Form:
    """The form with the least error of forecasts, fitted on the whole training part."""
    values, known, groups = values[-LATEST:], known[-LATEST:], [group[-LATEST:] for group in groups]
    best: tuple[float, bool, Array, list[tuple[str, int]]] | None = None
    for log, used in itertools.product([False, True] if may_log else [False], _subsets(len(groups))):
        sizes = [group.shape[1] for group in groups]
        mask = np.repeat([i in used for i in range(len(groups))], sizes).astype(bool)
        error, chosen = _measure(values, known, log, _masked(groups, mask, values), horizon, seasons, reach)
        error *= PRICE ** len(used)
        if best is None or error < best[0]:
            best = error, log, mask, chosen
    assert best is not None
    _, log, mask, chosen = best
    features = _masked(groups, mask, values)
    y, slopes, centre, scale = _normalise(values, known, log, features, len(values))
    maps = candidates(y, known, horizon, seasons, reach)
    kept = [name for name in chosen if name in maps] or [("naive", 0)]
    weights = np.mean([maps[name] for name in kept], axis=0)
    origins = np.arange(reach - 1, len(y) - horizon)
    places = origins[:, None] + np.arange(1, horizon + 1)
    errors = np.where(known[places], apply(weights, y, origins) - y[places], np.nan)
    spread = np.sqrt(np.nanmean(np.vstack([errors, np.full((1, horizon), 1e-6)]) ** 2, axis=0))
    return Form(log, np.where(mask, slopes, 0.0), centre, scale, weights, spread, [name for name, _ in kept])


def candidates(y: Array, known: Array, horizon: int, seasons: Sequence[int], reach: int) -> Maps:
    """All linear forecasts that can be fitted, by method."""
    most = min(max(2 * seasons[0] + 2, LAGS[0]), LAGS[1])
    real = [season for season in seasons if 1 < season <= reach]
    found: dict[tuple[str, int], Array | None] = {("naive", 0): seasonal_naive(reach, horizon, 1)}
    for differences in ([], [1], *([season] for season in real), *([1, season] for season in real)):
        name = f"AR on differences over {' and '.join(map(str, differences))}" if differences else "AR"
        found[name, 0] = autoregression(y, known, differences, most, reach, horizon)
    for season in real:
        found[f"seasonal naive ({season})", 0] = seasonal_naive(reach, horizon, season)
    for season in real or [1]:
        found[f"exponential smoothing ({season})", 0] = smoothing(y, known, season, reach, horizon)
    for name, level in (("ridge regression", True), ("ridge regression on differences", False)):
        found |= {(name, i): weights for i, weights in enumerate(ridge(y, known, reach, horizon, level))}
    return {name: weights for name, weights in found.items() if weights is not None}


def _measure(
    values: Array,
    known: Array,
    log: bool,
    features: Array,
    horizon: int,
    seasons: Sequence[int],
    reach: int,
) -> tuple[float, list[tuple[str, int]]]:
    """The mean absolute error of the average of the best methods, in units of the column, and their names."""
    errors: dict[tuple[str, int], list[float]] = {}
    forecasts: dict[tuple[str, int], list[Array]] = {}
    truths, theres = [], []
    for cut, end in itertools.pairwise(int(share * len(values)) for share in CUTS):
        y, slopes, centre, scale = _normalise(values, known, log, features, cut)
        maps = candidates(y[:cut], known[:cut], horizon, seasons, max(1, min(reach, (cut - horizon) // 2)))
        origins = np.arange(cut - 1, end - horizon)
        if not len(origins):
            origins = np.array([end - horizon - 1])
        origins = origins[np.linspace(0, len(origins) - 1, min(ORIGINS, len(origins))).astype(np.int64)]
        places = origins[:, None] + np.arange(1, horizon + 1)
        truths.append(values[places])
        theres.append(known[places])
        for name, weights in maps.items():
            found = apply(weights, y, origins) * scale + centre + (features @ slopes)[places]
            found = np.exp(np.minimum(found, 700.0)) if log else found
            forecasts.setdefault(name, []).append(found)
            errors.setdefault(name, []).append(_mean(np.abs(found - truths[-1]), theres[-1]))
    everywhere = {name: float(np.mean(found)) for name, found in errors.items() if len(found) == len(truths)}
    best: dict[str, tuple[str, int]] = {}  # the best variant of each method
    for name in sorted(everywhere, key=everywhere.__getitem__):
        best.setdefault(name[0], name)
    chosen = list(best.values())[:AVERAGED]
    together = [
        _mean(np.abs(np.mean([forecasts[name][i] for name in chosen], axis=0) - truth), there)
        for i, (truth, there) in enumerate(zip(truths, theres, strict=True))
    ]
    return float(np.mean(together)), chosen


def _normalise(
    values: Array, known: Array, log: bool, features: Array, train: int
) -> tuple[Array, Array, float, float]:
    """All values as y, with the slopes, the centre and the scale of those of the first `train` that are known. The
    slopes are fitted beside a trend, which stays in the values."""
    plain = np.log(values) if log else values
    slopes = np.zeros(features.shape[1])
    there = np.flatnonzero(known[:train]) if known[:train].any() else np.arange(train)
    if features.shape[1]:
        design = np.column_stack([features[:train], np.ones(train), np.linspace(-1, 1, train)])
        slopes = np.linalg.lstsq(design[there], plain[there], rcond=None)[0][: len(slopes)]
        plain = plain - features @ slopes
    centre, scale = float(plain[there].mean()), float(plain[there].std()) or 1.0
    return (plain - centre) / scale, slopes, centre, scale


def _masked(groups: Sequence[Array], mask: Array, values: Array) -> Array:
    return np.concatenate(groups, axis=1) * mask if groups else np.zeros((len(values), 0))


def _subsets(count: int) -> Iterable[tuple[int, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(range(count), size) for size in range(count + 1))


def _mean(errors: Array, there: Array) -> float:
    return float(errors[there].mean()) if there.any() else 0.0
