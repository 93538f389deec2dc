"""The season of a series, found on its training part: what repeats, and whether forecasts gain by it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.model import seasonal_places

Array = npt.NDArray[Any]

LATEST = 20_000  # values that are looked at
LONGEST = 1000  # steps
ORIGINS = 500
LEAST = 0.3  # autocorrelation that a season which is not the usual one must have
AS_HIGH = 0.9  # of the highest peak of the autocorrelation: then a shorter lag is the season
GAIN = 0.98  # of the error of no season that the usual one must reach; another one, of the usual one's


def find_season(
    values: Array,  # (n, C), the training part
    known: Array,  # (n, C)
    usual: int,
    horizon: int,
    most: int,
) -> int:
    """The season, 1 for none.

    The usual one of such a step and the one of the highest autocorrelation are tried: whose naive forecasts of the next
    K values, from rolling origins in the later half, have the least error, beside those of no season. Where there are
    too few values to try, it is the usual one.

    Args:
        values: in their own units, missing ones filled.
        known: which were there.
        usual: the season that such a step usually has.
        horizon: K.
        most: the longest that there is room for.
    """
    values, known = np.array(values[-LATEST:]), np.array(known[-LATEST:])
    seasons = {season for season in (1, usual, strongest_lag(values, min(most, LONGEST))) if season <= most}
    first = max(len(values) // 2, max(seasons, default=1) - 1)
    origins = np.arange(first, len(values) - horizon)
    if usual > most or len(origins) < horizon:
        return usual
    origins = origins[np.linspace(0, len(origins) - 1, min(ORIGINS, len(origins))).astype(np.int64)]
    places = origins[:, None] + np.arange(1, horizon + 1)
    scale = values.std(0)
    scale[scale == 0] = 1.0

    def error(season: int) -> float:
        off = np.abs(values[places] - values[seasonal_places(origins, horizon, season)]) / scale
        return float(off[known[places]].mean()) if known[places].any() else 0.0

    least = {1: 1.0, usual: GAIN if usual > 1 else 1.0}
    errors = {season: error(season) / least.get(season, GAIN**2) for season in sorted(seasons)}
    return min(errors, key=errors.__getitem__)


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
