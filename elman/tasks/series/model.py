"""A model of the next values of a series: the values so far in, the next K with an interval out."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman.tasks.files.arrays import blocks
from elman.tasks.settings import SeriesSettings
from elman.tasks.training.modules import SteadyDropout, recurrent_layer, start_orthogonal

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """What puts every column on the same scale; all fitted on the training part.

    Args:
        mean: of each column, (C,).
        std: its standard deviation.
        spread: the standard deviation of its change from one season to the next.
        error: the mean absolute change, which is the seasonal naive forecast's mean error and the unit of MASE.
    """

    mean: list[float]
    std: list[float]
    spread: list[float]
    error: list[float]


def fit_scale(
    values: Array,  # (n, C)
    known: Array,  # (n, C)
    season: int,
    unit: int | None = None,
) -> Scale:
    """The scale of a training part, of which some rows are in memory at a time.

    The error is that of the naive forecast with the season `unit`, which is the usual one of such data whatever season
    the model has: so the errors of two models can be compared.
    """

    def levels(c: int) -> Iterator[Array]:
        return (values[rows, c][known[rows, c]] for rows in blocks(len(values)))

    def changes(c: int, season: int) -> Iterator[Array]:
        for rows in blocks(len(values) - season):
            later = slice(rows.start + season, rows.stop + season)
            yield (values[later, c] - values[rows, c])[known[later, c] & known[rows, c]]

    mean, std, spread, error = [], [], [], []
    for c in range(values.shape[1]):
        centre, deviation, _ = _moments(lambda c=c: levels(c))  # type: ignore[misc]
        _, change, _ = _moments(lambda c=c: changes(c, season))  # type: ignore[misc]
        _, _, size = _moments(lambda c=c: changes(c, unit or season))  # type: ignore[misc]
        mean.append(centre)
        std.append(deviation or 1.0)
        spread.append(change or std[-1])
        error.append(size or std[-1])
    return Scale(mean, std, spread, error)


def _moments(pieces: Callable[[], Iterable[Array]]) -> tuple[float, float, float]:
    """The mean, the standard deviation and the mean absolute value of numbers in pieces; zeros if there are none."""
    count, total, size = 0, 0.0, 0.0
    for some in pieces():
        count, total, size = count + len(some), total + float(some.sum()), size + float(np.abs(some).sum())
    if not count:
        return 0.0, 0.0, 0.0
    mean = total / count
    squares = sum(float(((some - mean) ** 2).sum()) for some in pieces())
    return mean, math.sqrt(squares / count), size / count


def seasonal_places(origins: npt.ArrayLike, horizon: int, season: int) -> Array:
    """Where the seasonal naive forecast of the next K values looks, (..., K): the last season before each origin.

    Example:
        >>> seasonal_places([10], horizon=5, season=4).tolist()
        [[7, 8, 9, 10, 7]]
    """
    k = np.arange(1, horizon + 1)
    places: Array = np.asarray(origins)[..., None] + k - season * -(-k // season)
    return places


class SeriesModel(nn.Module):
    """Quantiles of the next K values after every step, from the values so far.

    The recurrent layer reads each column's level and its change since one season before. What it says is how the next
    values will differ from those one season before (from the last value, where there is no season): the untrained
    model's median is the seasonal naive forecast. The linear layer sees the inputs beside the state. From every step
    all K values are forecast at once. Source: Wen et al., "A multi-horizon quantile recurrent forecaster", 2017.

    The middle quantile is the median m; the lower one is m - softplus(a), the upper one m + softplus(b), so they never
    cross.

    Args:
        settings: sizes, layers and dropout.
        season: steps, m >= 1.
        scale: of the columns.
        layer: the recurrent layer's class, elman's for the cell unless given.
    """

    mean: Tensor
    std: Tensor
    spread: Tensor

    def __init__(self, settings: SeriesSettings, season: int, scale: Scale, layer: Any = None) -> None:
        super().__init__()
        self.season, self.horizon, self.columns = season, settings.horizon, len(scale.mean)
        self.register_buffer("mean", torch.tensor(scale.mean, dtype=torch.float64))
        self.register_buffer("std", torch.tensor(scale.std, dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(scale.spread, dtype=torch.float64))
        self.rnn = recurrent_layer(settings, 2 * self.columns, layer=layer)
        self.dropout = SteadyDropout(settings.dropout)
        self.linear = nn.Linear(settings.hidden_size + 2 * self.columns, settings.horizon * self.columns * 3)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        start_orthogonal(self.rnn)

    def forward(
        self,
        values: Tensor,  # (m + T, N, C) float64, in their own units
        first: int = 0,
    ) -> Tensor:
        """Returns lower quantile, median and upper quantile after the steps from `first` on, (T - first, N, K, C, 3).

        Step t is the value at place m + t; the m values before only say what one season before was. Multiply by `std`
        and add `mean` to have them in the data's own units.
        """
        dtype = self.linear.weight.dtype
        y = (values - self.mean) / self.std
        change = (y[self.season :] - y[: -self.season]) * (self.std / self.spread)
        x = torch.cat([y[self.season :], change], dim=-1).to(dtype)
        output, _ = self.rnn(x)
        state = torch.cat([self.dropout(output), x], dim=-1)[first:]
        raw = self.linear(state).unflatten(-1, (self.horizon, self.columns, 3))
        low, median, high = raw.unbind(-1)
        change = torch.stack([median - F.softplus(low), median, median + F.softplus(high)], dim=-1)
        origins = np.arange(first, len(x)) + self.season
        before = y[torch.from_numpy(seasonal_places(origins, self.horizon, self.season))]  # (T - first, K, N, C)
        return before.transpose(1, 2)[..., None].to(dtype) + change * (self.spread / self.std).to(dtype)[:, None]

    def in_units(self, forecast: Tensor) -> Tensor:
        """What `forward` returned, in the data's own units, as float64."""
        return forecast.double() * self.std[:, None] + self.mean[:, None]
