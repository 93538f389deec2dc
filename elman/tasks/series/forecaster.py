"""A trained series model, opened to forecast."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from elman.tasks.errors import DataError
from elman.tasks.files.tables import listed, open_table
from elman.tasks.series.calibration import adapt, calibrate, read_margin
from elman.tasks.series.clock import Clock
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.data import SeriesArrays, read_series
from elman.tasks.series.dated import dated
from elman.tasks.series.doubts import missing_codes
from elman.tasks.series.features import Features
from elman.tasks.series.model import SeriesModel
from elman.tasks.series.run import JOB, latest_origins
from elman.tasks.series.several import SeveralTable
from elman.tasks.series.task import split_series
from elman.tasks.settings import SeriesSettings
from elman.tasks.training import runs

Array = npt.NDArray[Any]

ENOUGH = 50  # forecasts of the past to adapt to: with fewer, intervals widen as at the end of the training's data


@dataclass(frozen=True)
class Past:
    """The last values of a series, and what is known of its future.

    Args:
        values: (n, C + P), columns to forecast and columns only read.
        known: which of them were there.
        clock: of the series.
        first: which of its steps the first of these is.
        future: the columns that are known ahead in these steps and after them, (n and more, J).
        times: of these rows and those after them, (n and more,), if they are irregular.
        doubts: a sentence for each column of numbers that may not mean what they say.
    """

    values: Array
    known: Array
    clock: Clock
    first: int
    future: Array
    times: Array | None = None
    doubts: Sequence[str] = ()

    def at(self, place: int) -> str:
        """The time of a place in `values`, or after it."""
        return self.clock.at(self.first + place) if self.times is None else self.clock.of_row(place, self.times)


class Forecaster(runs.Opened[SeriesSettings]):
    """A trained series model, with what it needs to read a series as it was trained to."""

    job = JOB
    model: SeriesModel

    def take_up(self) -> None:
        """The columns, the clock and what is known of the future, and how far it looks back."""
        self.columns: list[str] = self.config["columns"]
        self.features = Features(**self.config["features"])
        self.clock = Clock(**self.config["clock"])
        self.reach = self.model.ahead + self.settings.window
        self.recent = latest_origins(split_series(self.config["data"]["steps"], self.settings), self.settings.horizon)
        self.margin = read_margin(self.folder, self.settings.horizon, len(self.columns))

    def read(self, file: Path, time_format: str | None = None) -> Past:
        """The last values of a file like the one that was trained on, missing ones replaced by the last known one.

        Args:
            file: the file. Where columns are known ahead, its last rows hold them alone.
            time_format: how its times are written, where that is not plain.

        Raises:
            DataError: it cannot be read, lacks a column, or has another step.
        """
        (table, _), own = dated(open_table(file), self.config["time"]), self.clock
        if self.config["time"] not in table.columns:
            raise DataError(f"{file} has no column {self.config['time']!r}: it has {listed(table.columns)}")
        if self.config["several"]:
            series, value = self.config["several"]
            table = SeveralTable(table, series, self.config["time"], value)
        also = {"read": self.config["read"], "future": self.features.columns}
        columns = choose_columns(table, self.config["time"], self.columns, time_format, **also)
        with tempfile.TemporaryDirectory() as there:
            clock = read_series(table, columns, Path(there), own.reading).clock
            arrays = SeriesArrays(Path(there))
            count = min(len(arrays), self.reach + self.recent)
            first = len(arrays) - count
            values, known = np.array(arrays.values[first:]), np.array(arrays.known[first:])
            future = np.zeros((count, 0)) if arrays.future is None else np.array(arrays.future[first:])
            times = None if arrays.times is None else np.array(arrays.times[first:])
        if own.regular and not clock.regular:
            raise DataError(
                f"{file} has irregular times, where {self.folder} was trained on one value every {own.step_in_words()}"
            )
        if own.regular and (clock.unit, clock.step) != (own.unit, own.step):
            raise DataError(
                f"{file} has a step of {clock.step_in_words()}, where {self.folder} was trained on "
                f"{own.step_in_words()}"
            )
        missing = count + self.settings.horizon - len(future)
        if self.features.columns and missing > 0:
            raise DataError(
                f"{file} ends {missing} step(s) too early: {', '.join(self.features.columns)} must be there for the "
                f"{self.settings.horizon} steps after the last value, in rows whose {', '.join(self.columns)} are empty"
            )
        doubts = columns.doubts + missing_codes([*columns.values, *columns.read], values, known)
        return Past(values, known, clock, first, future, times, doubts)

    def forecast(self, past: Past) -> Array:
        """Lower quantile, median and upper quantile of the next K values of each column, (K, C, 3).

        Raises:
            DataError: there are fewer values than the model looks back at, or one of them has no logarithm.
        """
        self.require_enough(past)
        last, horizon = len(past.values) - 1, self.settings.horizon
        origins = np.arange(max(self.reach - 1, last + 1 - self.recent), last + 1)
        scaled = self._scaled(past, origins)
        margin = self.margin
        if len(origins) > ENOUGH + horizon:
            places = origins[:, None] + np.arange(1, horizon + 1)
            inside = places <= last
            places = np.where(inside, places, last)
            values = torch.from_numpy(past.values[places][..., : len(self.columns)]).to(self.model.linear.device)
            truth = self.model.normalise(values, self._features(past, places)).cpu().numpy()
            known = past.known[places][..., : len(self.columns)] & inside[..., None]
            margin = adapt(scaled, truth, known, self.settings.interval)[-1]
        found = torch.from_numpy(calibrate(scaled[-1], margin)).to(self.model.linear.device)
        return self.model.in_units(found, self._features(past, last + np.arange(1, horizon + 1))).cpu().numpy()

    def require_enough(self, past: Past) -> None:
        """Raise unless there are as many values as the model looks back at."""
        count = len(past.values)
        if count < self.reach:
            raise DataError(
                f"the series is too short: {count:,} steps, where {self.folder} looks back at {self.reach:,}"
            )

    @torch.no_grad()
    def _scaled(self, past: Past, origins: Array) -> Array:
        """The forecasts after these places, on the model's scale, (O, K, C, 3)."""
        values, future = self.windows(past, origins)
        found = self.model(values, self.settings.window - 1, future)
        return np.asarray(found[0].double().cpu())

    def windows(self, past: Past, origins: Array) -> tuple[Tensor, Tensor | None]:
        """What the model reads before these places, (L, O, C + P), and what is known of the future, (L + K, O, J).

        Raises:
            DataError: a value has no logarithm.
        """
        places = origins + np.arange(1 - self.reach, self.settings.horizon + 1)[:, None]
        seen = places[: self.reach]
        for name, log, column in zip(self.columns, self.config["scale"]["log"], past.values.T, strict=False):
            if log and column[seen].min() <= 0:
                raise DataError(
                    f"column {name} holds {column[seen].min():g}, where {self.folder} was trained on values above 0 "
                    f"alone, by their logarithm"
                )
        return torch.from_numpy(past.values[seen]).to(self.model.linear.device), self._features(past, places)

    def _features(self, past: Past, places: Array) -> Tensor | None:
        """What is known ahead of these places, (..., J); None where nothing is."""
        if not self.features.size:
            return None
        columns = past.future[places] if self.features.columns else np.zeros((*places.shape, 0))
        groups = self.features.groups(past.clock, past.first + places, columns)
        return torch.from_numpy(np.concatenate(groups, axis=-1)).to(self.model.linear.device)
