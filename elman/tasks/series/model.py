"""A model of the next values of a series: the values so far in, the next K with an interval out."""

import math
from statistics import NormalDist
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman.tasks.series.scale import Scale
from elman.tasks.settings import SeriesSettings
from elman.tasks.training.modules import SteadyDropout, recurrent_layer, start_orthogonal

HIGHEST = 700.0  # a logarithm whose exponential is a number


class SeriesModel(nn.Module):
    """Quantiles of the next K values after every step, from the values so far.

    Two paths are added. The linear one, fitted before training and not trained, is a product with the last R values: a
    mean of methods such as autoregression, exponential smoothing and ridge regression (`linear/`). The recurrent layer
    reads each column, how far it is from its mean before the window, and its change over each season; what it says,
    beside the inputs and what is known of the future, corrects the linear forecast in units of that one's own error.
    From every step all K values are forecast at once. Sources: Smyl, "A hybrid method of exponential smoothing and
    recurrent neural networks for time series forecasting", 2020; Lai et al., "Modeling long- and short-term temporal
    patterns with deep neural networks", 2018; Wen et al., "A multi-horizon quantile recurrent forecaster", 2017.

    The middle quantile is the median m; the lower one is m - softplus(a), the upper one m + softplus(b), so they never
    cross. The untrained model is the linear forecast with the interval of a normal distribution.

    Args:
        settings: sizes, layers, dropout, horizon.
        scale: of the columns.
        layer: the recurrent layer's class, elman's for the cell unless given.
    """

    centre: Tensor
    scale: Tensor
    slopes: Tensor
    spread: Tensor
    read_mean: Tensor
    read_std: Tensor
    log: Tensor
    linear: Tensor
    deviation: Tensor
    start: Tensor

    def __init__(self, settings: SeriesSettings, scale: Scale, layer: Any = None) -> None:
        super().__init__()
        self.seasons, self.horizon, self.columns = scale.seasons, settings.horizon, len(scale.centre)
        self.reach, self.ahead, self.features = scale.reach, scale.ahead(settings.window), scale.features
        self.read, self.positive = len(scale.read_mean), settings.positive
        doubles = {"centre": scale.centre, "scale": scale.scale, "slopes": scale.slopes, "spread": scale.spread}
        doubles |= {"read_mean": scale.read_mean, "read_std": scale.read_std}
        for name, values in doubles.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.slopes = self.slopes.view(self.columns, self.features)
        self.register_buffer("log", torch.tensor(scale.log))
        self.register_buffer("linear", torch.zeros(self.columns, self.horizon, self.reach + 1, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(self.horizon, self.columns, dtype=torch.float64))
        inputs = self.columns * (2 + len(self.seasons)) + self.read + self.features
        self.rnn = recurrent_layer(settings, inputs, layer=layer)
        self.dropout = SteadyDropout(settings.dropout)
        self.head = nn.Linear(
            settings.hidden_size + inputs + self.horizon * self.features, self.horizon * self.columns * 3
        )
        nn.init.zeros_(self.head.weight)
        tail = NormalDist().inv_cdf((1 + settings.interval) / 2)
        wide = math.log(math.expm1(tail))  # its softplus is the tail
        self.register_buffer("start", torch.tensor([wide, 0.0, wide]), persistent=False)
        with torch.no_grad():
            self.head.bias.copy_(self.start.repeat(self.horizon * self.columns))
        start_orthogonal(self.rnn)

    def forward(
        self,
        values: Tensor,  # (A + T, N, C + P) float64, in their own units: columns to forecast, and columns only read
        first: int = 0,
        future: Tensor | None = None,  # (A + T + K, N, J) float64: the features of these steps and of the K after them
    ) -> Tensor:
        """Returns lower quantile, median and upper quantile after the steps from `first` on, (T - first, N, K, C, 3).

        Step t is the value at place A + t; the A before are only looked back at. `in_units` has them in the data's own
        units.
        """
        y, x = self.inputs(values, future)
        output, _ = self.rnn(x)
        state = [self.dropout(output), x]
        if future is not None:
            coming = future[self.ahead + 1 :].unfold(0, self.horizon, 1)  # (T, N, J, K)
            state.append(coming.flatten(2).to(x.dtype))
        return self._around(y, first, self.head(torch.cat(state, dim=-1)[first:]))

    def inputs(self, values: Tensor, future: Tensor | None) -> tuple[Tensor, Tensor]:
        """All values on the model's scale, (A + T, N, C), and what the recurrent layer reads, (T, N, I)."""
        ahead = self.ahead
        y = self.normalise(values[..., : self.columns], None if future is None else future[: len(values)])
        level = y[ahead:] - y[:ahead].mean(0)
        changes = [
            (y[ahead:] - y[ahead - season : len(y) - season]) / spread
            for season, spread in zip(self.seasons, self.spread, strict=True)
        ]
        others = [(values[ahead:, :, self.columns :] - self.read_mean) / self.read_std] if self.read else []
        others += [] if future is None else [future[ahead : len(values)]]
        return y, torch.cat([y[ahead:], level, *changes, *others], dim=-1).to(self.head.weight.dtype)

    def untrained(self, values: Tensor, first: int = 0, future: Tensor | None = None) -> Tensor:
        """What `forward` returned before training: the linear forecast alone."""
        y = self.normalise(values[..., : self.columns], None if future is None else future[: len(values)])
        return self._around(y, first, self.start.repeat(self.horizon * self.columns))

    def _around(self, y: Tensor, first: int, raw: Tensor) -> Tensor:
        """The linear forecast, corrected by what the head says, (T - first, N, K C 3) or (K C 3)."""
        low, median, high = raw.view(*raw.shape[:-1], self.horizon, self.columns, 3).unbind(-1)
        change = torch.stack([median - F.softplus(low), median, median + F.softplus(high)], dim=-1)
        past = y[self.ahead + first + 1 - self.reach :].unfold(0, self.reach, 1)  # (T - first, N, C, R)
        base = torch.einsum("tncr,ckr->tnkc", past, self.linear[..., :-1]) + self.linear[..., -1].T
        return base[..., None].to(raw.dtype) + change * self.deviation[..., None].to(raw.dtype)

    def normalise(self, values: Tensor, future: Tensor | None) -> Tensor:
        """Values in their own units, (..., C), on the scale that the model computes in, beside their features,
        (..., J)."""
        plain = torch.where(self.log, torch.where(self.log, values, 1.0).log(), values)
        if future is not None:
            plain = plain - future @ self.slopes.T
        return (plain - self.centre) / self.scale

    def in_units(
        self,
        forecast: Tensor,  # (..., K, C, 3)
        future: Tensor | None = None,  # (..., K, J)
    ) -> Tensor:
        """What `forward` returned, in the data's own units, as float64."""
        plain = forecast.double() * self.scale[:, None] + self.centre[:, None]
        if future is not None:
            plain = plain + (future @ self.slopes.T)[..., None]
        log = self.log[:, None]
        found = torch.where(log, torch.where(log, plain, 0.0).clamp(max=HIGHEST).exp(), plain)
        return found.clamp(min=0.0) if self.positive else found
