"""The series task: training and measuring on windows of one series."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from elman.tasks.series.data import SeriesArrays
from elman.tasks.series.measures import pinball
from elman.tasks.series.model import Scale, SeriesModel
from elman.tasks.settings import SeriesSettings
from elman.tasks.training.task import Task

Array = npt.NDArray[Any]

GLIMPSE = 2000  # origins measured along the way
ROWS = 256  # origins in one measuring step


@dataclass(frozen=True)
class Parts:
    """Where the parts of a series end: training, choosing the best weights, measuring."""

    train: int
    choose: int
    end: int

    def origins(self, which: str, horizon: int, first: int) -> Array:
        """The last places before each forecast whose values are all in the part "choose" or "measure"."""
        start, end = (self.train, self.choose) if which == "choose" else (self.choose, self.end)
        return np.arange(max(first, start - 1), end - horizon)


def split_series(steps: int, settings: SeriesSettings) -> Parts:
    """The last part measures, as much before it chooses, the rest trains."""
    part = max(1, int(steps * settings.held_out))
    return Parts(steps - 2 * part, steps - part, steps)


class SeriesTask(Task):
    """Training and measuring on one series.

    A step takes windows from random places of the training part. The network reads m + T values of each; after every
    step of the second half it forecasts the K that follow.

    Args:
        model: on its device.
        arrays: the series.
        settings: window, horizon, batch size.
        scale: of the columns.
        seed: of the windows.
    """

    units = "windows"
    measured_on = "the part to choose the weights by"
    unit = "window"
    measure = "scaled pinball loss"
    model: SeriesModel
    settings: SeriesSettings

    def __init__(
        self, model: SeriesModel, arrays: SeriesArrays, settings: SeriesSettings, scale: Scale, seed: int
    ) -> None:
        super().__init__(model, settings.batch_size)
        self.arrays, self.settings, self.seed = arrays, settings, seed
        self.parts = split_series(len(arrays), settings)
        self.reach = model.season + settings.window  # values that a forecast looks back at
        self.starts = self.parts.train - self.reach - settings.horizon + 1  # places where a window can begin
        self.units_per_step = self.batch
        self.steps_per_epoch = max(1, self.starts // self.batch)
        tail = (1 - settings.interval) / 2
        self.quantiles = torch.tensor([tail, 0.5, 1 - tail], device=self.device)
        scaled = torch.tensor(scale.error, dtype=torch.float64) / torch.tensor(scale.std, dtype=torch.float64)
        self.unit_error = scaled.float().to(self.device)  # of MASE, on the model's scale

    def loss(self, step: int) -> Tensor:
        """The share's part of the mean pinball loss, in units of the seasonal naive forecast's error."""
        rng = np.random.default_rng((self.seed, step))
        starts = rng.integers(self.starts, size=self.batch)
        first = self.settings.window // 2
        places, known = self._targets(starts + self.model.season + first, self.settings.window - first)
        rows = self.share.rows(self.batch)
        window = self._load(starts[rows] + np.arange(self.reach)[:, None])
        forecast = self.forward(window, first)
        return self._pinball(forecast, places[:, rows], known[:, rows]) / max(1, int(known.sum()))

    def evaluate(self) -> float:
        """The same measure on forecasts from the part that is kept apart to choose the best weights."""
        origins = self.parts.origins("choose", self.settings.horizon, self.reach - 1)
        if len(origins) > GLIMPSE:
            origins = origins[np.linspace(0, len(origins) - 1, GLIMPSE).astype(np.int64)]
        mine = origins[self.share.rows(len(origins))]
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for first in range(0, len(mine), ROWS):
            some = mine[first : first + ROWS]
            places, known = self._targets(some, 1)
            totals[0] += self._pinball(self._forecast(some), places, known)
            totals[1] += float(known.sum())
        total, count = self.sum(totals).tolist()
        return float(total / max(count, 1))

    @torch.no_grad()
    def forecasts(
        self,
        origins: Array,  # (O,)
    ) -> Array:
        """The forecasts after these places, in the data's own units, (O, K, C, 3)."""
        found = [self.model.in_units(self._forecast(origins[i : i + ROWS]))[0] for i in range(0, len(origins), ROWS)]
        return torch.cat(found).cpu().numpy()

    def _forecast(self, origins: Array) -> Tensor:
        """The model's forecasts after these places, (1, O, K, C, 3)."""
        window = self._load(origins + np.arange(1 - self.reach, 1)[:, None])
        return cast(Tensor, self.model(window, self.settings.window - 1))

    def _targets(self, origins: Array, steps: int) -> tuple[Array, Array]:
        """The places of the K values after each step, (steps, N, K), and which of them are known, (steps, N, K, C)."""
        k = np.arange(1, self.settings.horizon + 1)
        places = origins[:, None] + np.arange(steps)[:, None, None] + k
        return places, self.arrays.known[places]

    def _pinball(self, forecast: Tensor, places: Array, known: Array) -> Tensor:
        """The sum over known values of the mean over quantiles."""
        truth = (self._load(places) - self.model.mean) / self.model.std
        losses = pinball(forecast, truth.to(forecast.dtype), self.quantiles).mean(-1) / self.unit_error
        return (losses * torch.from_numpy(known).to(self.device)).sum()

    def _load(self, places: Array) -> Tensor:
        return torch.from_numpy(self.arrays.values[places]).to(self.device)
