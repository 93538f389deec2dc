"""The season of a series, found on its training part: what repeats, and whether forecasts gain by it."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LATEST = 20_000  # values that are looked at
LONGEST = 1000  # steps
ORIGINS = 500
LEAST = 0.3  # autocorrelation that a season which is not the usual one must have
AS_HIGH = 0.9  # of the highest peak of the autocorrelation: then a shorter lag is the season
GAIN = 0.98  # of the error of no season that the usual one must reach; another one, of the usual one's


def seasonal_places(origins: npt.ArrayLike, horizon: int, season: int) -> Array:
    """Where the seasonal naive forecast of the next K values looks, (..., K): the last season before each origin.

    Example:
        >>> seasonal_places([10], horizon=5, season=4).tolist()
        [[7, 8, 9, 10, 7]]
    """
    k = np.arange(1, horizon + 1)
    places: Array = np.asarray(origins)[..., None] + k - season * -(-k // season)
    return places


def find_seasons(
    values: Array,  # (n, C), the training part
    known: Array,  # (n, C)
    usual: int,
    longer: int,
    horizon: int,
    most: int,
) -> list[int]:
    """The season, 1 for none; and a longer one after it where there are two: hours have a day and a week.

    The usual one of such a step and the one of the highest autocorrelation are tried: whose naive forecasts of the next
    K values, from rolling origins in the later half, have the least error, beside those of no season. Where there are
    too few values to try, it is the usual one.

    Args:
        values: in their own units, missing ones filled.
        known: which were there.
        usual: the season that such a step usually has.
        longer: the one that it has beside that, 1 for none.
        horizon: K.
        most: the longest that there is room for.
    """
    values, known = np.array(values[-LATEST:]), np.array(known[-LATEST:])
    tried = {season for season in (1, usual, longer, strongest_lag(values, min(most, LONGEST))) if season <= most}
    errors = _naive_errors(values, known, sorted(tried), horizon)
    if usual > most or not errors:
        return [usual]
    least = {1: 1.0, usual: GAIN if usual > 1 else 1.0}
    weighed = {season: error / least.get(season, GAIN**2) for season, error in errors.items()}
    season = min(weighed, key=weighed.__getitem__)
    if 1 < usual < longer and longer in errors and season in (usual, longer):
        return [usual, longer] if errors[longer] < errors[usual] else [usual]
    return [season]


def _naive_errors(values: Array, known: Array, seasons: list[int], horizon: int) -> dict[int, float]:
    """The mean absolute error of each season's naive forecasts in the later half; none where that is too short. Of the
    last season as it was, and of that moved to the level of the last value, the better one counts: so a season is found
    beside a trend."""
    origins = np.arange(max(len(values) // 2, seasons[-1] if seasons else 0), len(values) - horizon)
    if len(origins) < horizon:
        return {}
    origins = origins[np.linspace(0, len(origins) - 1, min(ORIGINS, len(origins))).astype(np.int64)]
    places = origins[:, None] + np.arange(1, horizon + 1)
    there = known[places]
    scale = values.std(0)
    scale[scale == 0] = 1.0
    found = {}
    for season in seasons:
        last = values[seasonal_places(origins, horizon, season)]
        moved = last + (values[origins] - values[origins - season])[:, None]
        offs = [np.abs(values[places] - points) / scale for points in ([last, moved] if season > 1 else [last])]
        found[season] = min(float(off[there].mean()) for off in offs) if there.any() else 0.0
    return found


def strongest_lag(
    values: Array,  # (n, C)
    most: int,
) -> int:
    """The shortest lag of a peak about as high as any in the autocorrelation of the changes from step to step, a mean
    over columns; 1 if no peak is high."""
    changes = np.diff(values, axis=0)
    changes = changes - changes.mean(0)
    most = min(most, len(changes) // 3)
    if most < 3:
        return 1
    spectrum = np.abs(np.fft.rfft(changes, 2 * len(changes), axis=0)) ** 2
    products = np.fft.irfft(spectrum, axis=0)[: most + 2]
    correlation = (products / np.maximum(products[:1], 1e-300)).mean(1)
    middle = correlation[1:-1]
    peaks = np.flatnonzero((middle > correlation[:-2]) & (middle >= correlation[2:]) & (middle >= LEAST)) + 1
    peaks = peaks[peaks > 1]
    # twice a season repeats as well as once
    return int(peaks[correlation[peaks] >= AS_HIGH * correlation[peaks].max()][0]) if len(peaks) else 1
