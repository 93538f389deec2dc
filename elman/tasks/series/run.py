"""The run folder of a series task: begun, gone on with, measured, and opened to forecast."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elman.tasks.errors import DataError, RunError
from elman.tasks.files.tables import Table, open_table
from elman.tasks.series.calibration import calibrate, find_margin, read_margin, write_margin
from elman.tasks.series.clock import Clock
from elman.tasks.series.data import Columns, Read, SeriesArrays, choose_columns, read_series
from elman.tasks.series.measures import Errors, baseline_forecasts, measure_forecasts
from elman.tasks.series.model import Scale, SeriesModel, fit_scale
from elman.tasks.series.season import find_season
from elman.tasks.series.task import SeriesTask, split_series
from elman.tasks.settings import SeriesSettings
from elman.tasks.training import runs
from elman.tasks.training.modules import cell_weights

Array = npt.NDArray[Any]
Run = runs.Run[SeriesSettings, SeriesTask]

MODEL = "this model"
MOST_ORIGINS = 5000
SHOWN = 4  # horizons of the past that a picture of a forecast shows
WORDS = {"clock": dict, "columns": list, "time": str, "season": int, "scale": dict}


@dataclass(frozen=True)
class Source:
    """A table, its columns, and its hash if it is a file."""

    table: Table
    columns: Columns
    sha256: str = ""


class SeriesJob:
    """One or more columns of numbers over time, and a model of what comes next."""

    name = "series"
    settings = SeriesSettings
    types: Mapping[str, type] = WORDS

    def encode(self, data: Source, folder: Path, settings: SeriesSettings, seed: int, progress: bool) -> dict[str, Any]:
        """The series as arrays."""
        found = read_series(data.table, data.columns, folder)
        arrays = SeriesArrays(folder)
        parts = split_series(found.steps, settings)
        train = slice(0, max(parts.train, 0))
        usual, room = found.clock.season, (parts.train - settings.window - settings.horizon) // 2
        season = settings.season or find_season(
            arrays.values[train], arrays.known[train], usual, settings.horizon, room
        )
        needed = season + settings.window + settings.horizon
        if parts.train < needed:
            raise DataError(
                f"{data.table.file} is too short: {parts.train:,} steps to train on, where a season of {season}, a "
                f"window of {settings.window} and a horizon of {settings.horizon} need {needed:,}; lower --window or "
                f"--horizon"
            )
        if parts.end - parts.choose < settings.horizon:
            raise DataError(
                f"{data.table.file} is too short: {parts.end - parts.choose:,} steps held out, where a horizon of "
                f"{settings.horizon} needs as many; lower --horizon or raise --held-out"
            )
        unit = found.clock.season if found.clock.season < parts.train else 1
        still = [
            name
            for name, column in zip(data.columns.values, arrays.values[train].T, strict=True)
            if column.min() == column.max()
        ]
        if still:
            others = " ".join(f"--column {name}" for name in data.columns.values if name not in still)
            raise DataError(
                f"column {still[0]} of {data.table.file} never changes in the part to train on"
                f": {f'forecast the others alone, by {others}' if others else 'there is nothing to forecast'}"
            )
        return {
            "data": {"file": data.table.file.name, "sha256": data.sha256, **_in_words(found, data.columns)},
            "clock": dataclasses.asdict(found.clock),
            "time": data.columns.time,
            "columns": data.columns.values,
            "season": season,
            "unit": unit,
            "scale": dataclasses.asdict(fit_scale(arrays.values[train], arrays.known[train], season, unit)),
        }

    def check(self, config: Mapping[str, Any], source: Path) -> None:
        """A scale for every column, and a clock."""
        columns = len(config["columns"])
        lists = [config["scale"].get(field.name) for field in dataclasses.fields(Scale)]
        if not columns or any(not isinstance(values, list) or len(values) != columns for values in lists):
            raise RunError(f"{source} is broken: it holds no scale for each column")
        names = {field.name for field in dataclasses.fields(Clock)}
        if not names - {"zone"} <= config["clock"].keys() <= names or config["season"] < 1:
            raise RunError(f"{source} is broken: its clock or its season makes no sense")

    def build(self, config: Mapping[str, Any], settings: SeriesSettings, layer: Any) -> SeriesModel:
        """The untrained model."""
        h, columns = settings.hidden_size, len(config["columns"])
        weights = cell_weights(settings, 2 * columns) + h * settings.horizon * columns * 3
        runs.refuse_heavy(weights, h)
        return SeriesModel(settings, config["season"], Scale(**config["scale"]), layer)

    def rows(self, config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """Nothing in the model is for one value or column by name."""
        return {}

    def open(
        self, folder: Path, model: nn.Module, config: Mapping[str, Any], settings: SeriesSettings, seed: int
    ) -> SeriesTask:
        """The task on the arrays in the run folder."""
        arrays = SeriesArrays(folder)
        return SeriesTask(cast(SeriesModel, model), arrays, settings, Scale(**config["scale"]), seed)


JOB = SeriesJob()


@dataclass(frozen=True)
class Measured:
    """The rolling origins at the end of a series, what came after each, and who forecast what."""

    origins: Array  # (O,)
    truth: Array  # (O, K, C)
    known: Array  # (O, K, C)
    forecasts: dict[str, Array]  # (O, K, C, 3)
    errors: dict[str, Errors]


def measure(run: Run) -> Measured:
    """The run's best weights and the baselines, from every origin of the last part, which none of them has seen.

    Of more than 5,000 origins, 5,000 are taken, equally far apart.
    """
    model, config, settings = runs.load_model(JOB, run.folder, device=str(run.task.device))
    scale = Scale(**config["scale"])
    task = SeriesTask(cast(SeriesModel, model), run.task.arrays, settings, scale, 0)
    values, known = task.arrays.values, task.arrays.known
    origins = task.parts.origins("measure", settings.horizon, task.reach - 1)
    if len(origins) > MOST_ORIGINS:
        origins = origins[np.linspace(0, len(origins) - 1, MOST_ORIGINS).astype(np.int64)]
    places = origins[:, None] + np.arange(1, settings.horizon + 1)
    margin = _margin(task)
    write_margin(run.folder, margin)
    forecasts = {MODEL: calibrate(task.forecasts(origins), margin)}
    forecasts |= baseline_forecasts(
        values, task.parts.train, origins, settings.horizon, config["season"], settings.interval
    )
    unit = np.array(scale.error)
    errors = {
        name: measure_forecasts(found, values[places], known[places], unit, settings.interval)
        for name, found in forecasts.items()
    }
    return Measured(origins, values[places], known[places], forecasts, errors)


def _margin(task: SeriesTask) -> Array:
    """What the intervals lack on the part that chose the weights."""
    horizon = task.settings.horizon
    origins = task.parts.origins("choose", horizon, task.reach - 1)
    if not len(origins):
        return np.zeros((horizon, task.model.columns))
    if len(origins) > MOST_ORIGINS:
        origins = origins[np.linspace(0, len(origins) - 1, MOST_ORIGINS).astype(np.int64)]
    places = origins[:, None] + np.arange(1, horizon + 1)
    values, known = task.arrays.values[places], task.arrays.known[places]
    return find_margin(task.forecasts(origins), values, known, task.settings.interval)


@dataclass(frozen=True)
class Past:
    """The last values of a series, (n, C), which of them are known, its clock, and which of its steps the first is."""

    values: Array
    known: Array
    clock: Clock
    first: int

    def at(self, place: int) -> str:
        """The time of a place in `values`, or after it."""
        return self.clock.at(self.first + place)


class Forecaster:
    """A trained series model, with what it needs to read a series as it was trained to.

    Args:
        folder: a run folder.
        device: where to compute.

    Raises:
        UserError: the folder or its files are not usable.
    """

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        model, self.config, self.settings = runs.load_model(JOB, folder, device=device)
        self.model = cast(SeriesModel, model)
        self.folder = folder
        self.columns: list[str] = self.config["columns"]
        self.reach = self.config["season"] + self.settings.window
        self.margin = read_margin(folder, self.settings.horizon, len(self.columns))

    def read(self, file: Path, time_format: str | None = None) -> "Past":
        """The last values of a file like the one that was trained on, missing ones replaced by the last known one.

        Args:
            file: the file.
            time_format: how its times are written, where that is not plain.

        Raises:
            DataError: it cannot be read, lacks a column, or has another step.
        """
        table = open_table(file)
        own = Clock(**self.config["clock"])
        columns = choose_columns(table, self.config["time"], self.columns, time_format)
        with tempfile.TemporaryDirectory() as there:
            clock = read_series(table, columns, Path(there), own.reading).clock
            arrays = SeriesArrays(Path(there))
            last = slice(-max(self.reach, SHOWN * self.settings.horizon), None)
            values, known = np.array(arrays.values[last]), np.array(arrays.known[last])
            first = len(arrays) - len(values)
        if own.regular and not clock.regular:
            raise DataError(
                f"{file} has irregular times, where {self.folder} was trained on one value every {own.step_in_words()}"
            )
        if own.regular and (clock.unit, clock.step) != (own.unit, own.step):
            raise DataError(
                f"{file} has a step of {clock.step_in_words()}, where {self.folder} was trained on "
                f"{own.step_in_words()}"
            )
        return Past(values, known, clock, first)

    @torch.no_grad()
    def forecast(
        self,
        values: Array,  # (n, C), the last row the latest
    ) -> Array:
        """Lower quantile, median and upper quantile of the next K values of each column, (K, C, 3).

        Raises:
            DataError: there are fewer values than a season and a window.
        """
        if len(values) < self.reach:
            raise DataError(
                f"the series is too short: {len(values):,} steps, where {self.folder} looks back at {self.reach:,}"
            )
        window = torch.from_numpy(np.array(values[-self.reach :, None], dtype=np.float64))
        found = self.model(window.to(self.model.linear.weight.device), self.settings.window - 1)
        return calibrate(self.model.in_units(found)[0, 0].cpu().numpy(), self.margin)


def _in_words(found: Read, columns: Columns) -> dict[str, Any]:
    """What config.json keeps of how the data was."""
    about = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.name != "clock"}
    return {**about, "left_out": columns.left_out, "index": columns.index}
