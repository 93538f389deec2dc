"""The series task: training and measuring on windows of one series."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from elman.tasks.series.clock import Clock
from elman.tasks.series.data import SeriesArrays
from elman.tasks.series.features import Features
from elman.tasks.series.measures import pinball
from elman.tasks.series.model import SeriesModel
from elman.tasks.settings import SeriesSettings
from elman.tasks.training.task import Task

Array = npt.NDArray[Any]

GLIMPSE = 2000  # origins measured along the way
BLOCKS = (8, 200)  # of origins, at least and at most, whose means say how much of a gain is chance
SURE = 2.0  # standard errors that a gain must exceed
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

    A step takes windows from random places of the training part. The network reads the T values of each, and those
    before it that the model looks back at; after every step of the second half it forecasts the K that follow.

    Args:
        model: on its device.
        arrays: the series.
        settings: window, horizon, batch size.
        unit: the mean absolute change over a season on the model's scale, (C,).
        features: what is known of the future.
        clock: of the series.
        seed: of the windows.
    """

    units = "windows"
    measured_on = "the part to choose the weights by"
    unit = "window"
    measure = "scaled pinball loss"
    begins_useful = True
    model: SeriesModel
    settings: SeriesSettings

    def __init__(
        self,
        model: SeriesModel,
        arrays: SeriesArrays,
        settings: SeriesSettings,
        unit: list[float],
        features: Features,
        clock: Clock,
        seed: int,
    ) -> None:
        super().__init__(model, settings.batch_size)
        self.arrays, self.settings, self.features, self.clock, self.seed = arrays, settings, features, clock, seed
        self.parts = split_series(len(arrays), settings)
        self.reach = model.ahead + settings.window  # values that a forecast looks back at
        self.starts = self.parts.train - self.reach - settings.horizon + 1  # places where a window can begin
        self.units_per_step = self.batch
        self.steps_per_epoch = max(1, self.starts // self.batch)
        tail = (1 - settings.interval) / 2
        self.quantiles = torch.tensor([tail, 0.5, 1 - tail], device=self.device)
        self.unit_error = torch.tensor(unit, dtype=torch.float32, device=self.device)

    def loss(self, step: int) -> Tensor:
        """The share's part of the mean pinball loss, in units of the seasonal naive forecast's error."""
        rng = np.random.default_rng((self.seed, step))
        starts = rng.integers(self.starts, size=self.batch)
        first = self.settings.window // 2
        places, known = self._targets(starts + self.model.ahead + first, self.settings.window - first)
        rows = self.share.rows(self.batch)
        seen = starts[rows] + np.arange(self.reach)[:, None]
        forecast = self.forward(self._load(seen), first, self._coming(seen))
        return self._losses(forecast, places[:, rows], known[:, rows]).sum() / max(1, int(known.sum()))

    def evaluate(self) -> float:
        """The same measure on forecasts from the part that is kept apart to choose the best weights, and the standard
        error of its difference to that of the linear forecast: what is learned has to gain more than chance.

        The error is that of the means of blocks of origins, each at least a horizon long, as neighbours are alike.
        Where the part holds less than eight of these, nothing can be told from chance, and the linear forecast stays.
        """
        origins = self.parts.origins("choose", self.settings.horizon, self.reach - 1)
        if len(origins) > GLIMPSE:
            origins = origins[np.linspace(0, len(origins) - 1, GLIMPSE).astype(np.int64)]
        horizons = (self.parts.choose - self.parts.train) // self.settings.horizon
        count = max(1, min(BLOCKS[1], horizons))
        block = np.arange(len(origins)) * count // max(len(origins), 1)
        rows = self.share.rows(len(origins))
        mine, mine_block = origins[rows], torch.from_numpy(block[rows]).to(self.device)
        totals = torch.zeros(3, count, dtype=torch.float64, device=self.device)  # losses, linear ones, known values
        for first in range(0, len(mine), ROWS):
            some = slice(first, first + ROWS)
            places, known = self._targets(mine[some], 1)
            forecast, linear = self._scaled(mine[some]), self._scaled(mine[some], linear=True)
            found = [
                self._losses(forecast, places, known),
                self._losses(linear, places, known),
                torch.from_numpy(known),
            ]
            for total, values in zip(totals, found, strict=True):
                total.index_add_(0, mine_block[some], values.to(self.device).sum((0, 2, 3)).double())
        losses, linear_losses, counts = self.sum(totals)
        loss, reference = (float(total.sum() / counts.sum().clamp(min=1)) for total in (losses, linear_losses))
        there = counts > 0
        if horizons < BLOCKS[0] or there.sum() < 2:
            return max(loss, reference)
        gain = (losses - linear_losses)[there] / counts[there]
        return loss + SURE * float(gain.std() / math.sqrt(len(gain)))

    @torch.no_grad()
    def forecasts(
        self,
        origins: Array,  # (O,)
    ) -> Array:
        """The forecasts after these places, on the model's scale, (O, K, C, 3)."""
        found = [self._scaled(origins[i : i + ROWS])[0] for i in range(0, len(origins), ROWS)]
        return torch.cat(found).double().cpu().numpy()

    def in_units(self, forecasts: Array, origins: Array) -> Array:
        """Forecasts after these places in the data's own units, (O, K, C, 3)."""
        places = self._targets(origins, 1)[0][0]
        found = self.model.in_units(torch.from_numpy(forecasts).to(self.device), self._features(places))
        return found.cpu().numpy()

    def truth(self, origins: Array) -> tuple[Array, Array]:
        """What came after these places, on the model's scale, (O, K, C), and whether it is known."""
        places, known = self._targets(origins, 1)
        return self._normalised(places)[0].cpu().numpy(), known[0]

    def _scaled(self, origins: Array, linear: bool = False) -> Tensor:
        """The model's forecasts after these places, or those of its linear path alone, (1, O, K, C, 3)."""
        seen = origins + np.arange(1 - self.reach, 1)[:, None]
        forward = self.model.untrained if linear else self.model
        return cast(Tensor, forward(self._load(seen), self.settings.window - 1, self._coming(seen)))

    def _targets(self, origins: Array, steps: int) -> tuple[Array, Array]:
        """The places of the K values after each step, (steps, N, K), and which of them are known, (steps, N, K, C).

        What is to come after the end is not, and has the last place."""
        k = np.arange(1, self.settings.horizon + 1)
        places = origins[:, None] + np.arange(steps)[:, None, None] + k
        inside = places < len(self.arrays)
        places = np.where(inside, places, len(self.arrays) - 1)
        return places, self.arrays.known[places][..., : self.model.columns] & inside[..., None]

    def _losses(self, forecast: Tensor, places: Array, known: Array) -> Tensor:
        """The mean over quantiles of each known value, (..., K, C); 0 of the others."""
        truth = self._normalised(places)
        losses = pinball(forecast, truth.to(forecast.dtype), self.quantiles).mean(-1) / self.unit_error
        return losses * torch.from_numpy(known).to(self.device)

    def _normalised(self, places: Array) -> Tensor:
        return self.model.normalise(self._load(places)[..., : self.model.columns], self._features(places))

    def _coming(self, seen: Array) -> Tensor | None:
        """The features of the steps seen, (L, N), and of the K after them, (L + K, N, J)."""
        return self._features(np.concatenate([seen, seen[-1] + np.arange(1, self.settings.horizon + 1)[:, None]]))

    def _features(self, places: Array) -> Tensor | None:
        """What is known ahead of these places, (..., J); None where nothing is."""
        if not self.features.size:
            return None
        coming = self.arrays.future
        columns = np.zeros((*places.shape, 0)) if coming is None else coming[places.clip(max=len(coming) - 1)]
        return torch.from_numpy(np.concatenate(self.features.groups(self.clock, places, columns), -1)).to(self.device)

    def _load(self, places: Array) -> Tensor:
        return torch.from_numpy(self.arrays.values[places]).to(self.device)
