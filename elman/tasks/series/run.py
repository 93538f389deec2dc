"""The run folder of a series task: begun, gone on with, and measured."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elman.tasks.errors import DataError, RunError
from elman.tasks.files.arrays import open_array
from elman.tasks.files.tables import Table
from elman.tasks.series.calibration import adapt, calibrate, write_margin
from elman.tasks.series.clock import Clock
from elman.tasks.series.columns import Columns
from elman.tasks.series.data import Read, SeriesArrays, read_series
from elman.tasks.series.doubts import missing_codes
from elman.tasks.series.features import Features, find_calendar
from elman.tasks.series.linear.choose import LATEST, find_reach
from elman.tasks.series.measures import Errors, baseline_forecasts, measure_forecasts
from elman.tasks.series.model import SeriesModel
from elman.tasks.series.scale import Scale, fit_scale, naive_error
from elman.tasks.series.season import find_seasons
from elman.tasks.series.task import Parts, SeriesTask, split_series
from elman.tasks.settings import SeriesSettings
from elman.tasks.training import runs
from elman.tasks.training.modules import cell_weights

Array = npt.NDArray[Any]
Run = runs.Run[SeriesSettings, SeriesTask]

MODEL = "this model"
MOST_ORIGINS = 5000
RECENT = 200  # forecasts of the past that the next intervals adapt to
LINEAR = "linear.npy"  # of each column the linear forecast and its error's deviation, (C, K, R + 2)
WORDS = {"clock": dict, "columns": list, "time": str, "season": int, "scale": dict}


@dataclass(frozen=True)
class Source:
    """A table, its columns, and its hash if it is a file."""

    table: Table
    columns: Columns
    sha256: str = ""
    several: tuple[str, str] | None = None  # the columns of the names and of the values, where it held several series


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
        recent = slice(max(0, parts.train - LATEST), max(parts.train, 0))
        count = len(data.columns.values)
        values, known = arrays.values[recent], arrays.known[recent]
        usual, room = found.clock.season, (parts.train - settings.window - settings.horizon) // 2
        seasons = [settings.season] if settings.season else None
        seasons = seasons or find_seasons(
            values[:, :count], known[:, :count], usual, found.clock.longer_season, settings.horizon, room
        )
        reach = find_reach(seasons, settings.horizon, parts.train - settings.window)
        self._refuse_short(data.table.file, parts, settings, seasons, reach)
        self._refuse_still(data, arrays.values[: parts.train, :count])
        unit = usual if usual < parts.train else 1
        error = naive_error(arrays.values[: parts.train, :count], arrays.known[: parts.train, :count], unit)
        features = _find_features(data.columns, arrays, found.clock, parts)
        groups = _groups(features, arrays, found.clock, recent)
        least = [float(column.min()) for column in arrays.values[:, :count].T]
        if settings.positive:
            self._refuse_negative(data, least)
        above = [value > 0 for value in least]
        scale, linear, deviation = fit_scale(values, known, groups, settings.horizon, seasons, reach, error, above)
        features, scale = _without_calendar(features, scale)
        np.save(folder / LINEAR, np.concatenate([linear, deviation.T[..., None]], axis=-1))
        return {
            "data": {"file": data.table.file.name, "sha256": data.sha256, **_in_words(found, data.columns, arrays)},
            "clock": dataclasses.asdict(found.clock),
            "time": data.columns.time,
            "columns": data.columns.values,
            "several": data.several,
            "read": data.columns.read,
            "features": dataclasses.asdict(features),
            "season": seasons[0],
            "unit": unit,
            "scale": dataclasses.asdict(scale),
        }

    def _refuse_short(self, file: Path, parts: Parts, settings: SeriesSettings, seasons: list[int], reach: int) -> None:
        """Raise unless the parts hold what a window and a forecast need."""
        needed = max(seasons[-1], reach - 1 - settings.window // 2) + settings.window + settings.horizon
        if parts.train < needed:
            raise DataError(
                f"{file} is too short: {parts.train:,} steps to train on, where a season of {seasons[-1]}, a window of "
                f"{settings.window} and a horizon of {settings.horizon} need {needed:,}; lower --window or --horizon"
            )
        if parts.end - parts.choose < settings.horizon:
            raise DataError(
                f"{file} is too short: {parts.end - parts.choose:,} steps held out, where a horizon of "
                f"{settings.horizon} needs as many; lower --horizon or raise --held-out"
            )

    def _refuse_negative(self, data: Source, least: list[float]) -> None:
        """Raise if a column that is to be forecast at 0 or above goes below."""
        for name, value in zip(data.columns.values, least, strict=True):
            if value < 0:
                raise DataError(
                    f"column {name} of {data.table.file} goes down to {value:g}, and --positive forecasts nothing "
                    f"below 0: leave it out"
                )

    def _refuse_still(self, data: Source, values: Array) -> None:
        """Raise if a column never changes."""
        names = data.columns.values
        still = [name for name, column in zip(names, values.T, strict=True) if column.min() == column.max()]
        if still:
            others = " ".join(f"--column {name}" for name in names if name not in still)
            raise DataError(
                f"column {still[0]} of {data.table.file} never changes in the part to train on"
                f": {f'forecast the others alone, by {others}' if others else 'there is nothing to forecast'}"
            )

    def check(self, config: Mapping[str, Any], source: Path) -> None:
        """A scale for every column, and a clock."""
        columns, names = len(config["columns"]), {field.name for field in dataclasses.fields(Scale)}
        if "features" not in config:
            raise RunError(
                f"{source} is broken, or of an older version, whose models had no linear path: train it again"
            )
        of_columns = ("log", "slopes", "centre", "scale", "unit", "error")
        lists = [config["scale"].get(name) for name in of_columns]
        if (
            not columns
            or names != config["scale"].keys()
            or any(not isinstance(values, list) or len(values) != columns for values in lists)
        ):
            raise RunError(f"{source} is broken: it holds no scale for each column")
        names = {field.name for field in dataclasses.fields(Clock)}
        if not names - {"zone", "hour_24"} <= config["clock"].keys() <= names or config["season"] < 1:
            raise RunError(f"{source} is broken: its clock or its season makes no sense")

    def build(self, config: Mapping[str, Any], settings: SeriesSettings, layer: Any) -> SeriesModel:
        """The untrained model; `open` gives it its linear path."""
        scale, h, columns = Scale(**config["scale"]), settings.hidden_size, len(config["columns"])
        inputs = columns * (2 + len(scale.seasons)) + scale.features + len(scale.read_mean)
        weights = cell_weights(settings, inputs) + h * settings.horizon * columns * 3
        runs.refuse_heavy(weights, h)
        return SeriesModel(settings, scale, layer)

    def rows(self, config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """Nothing in the model is for one value or column by name."""
        return {}

    def open(
        self, folder: Path, model: nn.Module, config: Mapping[str, Any], settings: SeriesSettings, seed: int
    ) -> SeriesTask:
        """The task on the arrays in the run folder."""
        model = cast(SeriesModel, model)
        linear = torch.from_numpy(np.array(open_array(folder / LINEAR, np.float64, dimensions=3)))
        if linear.shape[:-1] != model.linear.shape[:-1] or linear.shape[-1] != model.linear.shape[-1] + 1:
            raise RunError(f"{folder / LINEAR} is broken: its shape is {tuple(linear.shape)}")
        model.linear.copy_(linear[..., :-1])
        model.deviation.copy_(linear[..., -1].T)
        return _make_task(folder, model, config, settings, seed)


def latest_origins(parts: Parts, horizon: int) -> int:
    """How many origins at the end of a series the next intervals adapt to: no more than training left out."""
    return min(RECENT + horizon, parts.end - parts.train)


def _make_task(
    folder: Path, model: SeriesModel, config: Mapping[str, Any], settings: SeriesSettings, seed: int
) -> SeriesTask:
    features, clock = Features(**config["features"]), Clock(**config["clock"])
    return SeriesTask(model, SeriesArrays(folder), settings, config["scale"]["unit"], features, clock, seed)


def _find_features(columns: Columns, arrays: SeriesArrays, clock: Clock, parts: Parts) -> Features:
    """What is known of the future, columns on the scale of the training part."""
    calendar = find_calendar(clock, parts.train)
    known = arrays.future[: parts.train] if arrays.future is not None else np.zeros((1, 0))
    return Features(
        dataclasses.asdict(calendar) if calendar else {},
        columns.future,
        known.mean(0).tolist(),
        [float(std) or 1.0 for std in known.std(0)],
    )


def _groups(features: Features, arrays: SeriesArrays, clock: Clock, rows: slice) -> list[Array]:
    columns = arrays.future[rows] if arrays.future is not None else np.zeros((1, 0))
    return features.groups(clock, np.arange(rows.start, rows.stop), columns)


def _without_calendar(features: Features, scale: Scale) -> tuple[Features, Scale]:
    """The calendar is left out where no column's linear forecast gains by it."""
    if not features.calendar:
        return features, scale
    terms = features.size - len(features.columns)
    if any(slope for slopes in scale.slopes for slope in slopes[:terms]):
        return features, scale
    slopes = [slopes[terms:] for slopes in scale.slopes]
    return dataclasses.replace(features, calendar={}), dataclasses.replace(scale, slopes=slopes)


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

    Where there are more than 5,000 origins, every second one is taken, or every third, and so on. Intervals adapt from
    the part before on, each to what was known at its origin.
    """
    model, config, settings = runs.load_model(JOB, run.folder, device=str(run.task.device))
    task = _make_task(run.folder, cast(SeriesModel, model), config, settings, 0)
    count, horizon = len(config["columns"]), settings.horizon
    values, known = task.arrays.values[:, :count], task.arrays.known[:, :count]
    first, end = max(task.reach, task.parts.train) - 1, task.parts.end
    spacing = -(-(end - task.parts.choose) // MOST_ORIGINS)
    origins = np.arange(end - 1, first - 1, -spacing)[::-1]  # all that adapt, up to the last value
    found, (truth, there) = task.forecasts(origins), task.truth(origins)
    margins = adapt(found, truth, there, settings.interval, spacing)
    recent = slice(-latest_origins(task.parts, horizon), None)
    write_margin(run.folder, adapt(found[recent], truth[recent], there[recent], settings.interval, spacing)[-1])
    mine = (origins >= max(first, task.parts.choose - 1)) & (origins < end - horizon)
    origins = origins[mine]
    forecasts = {MODEL: task.in_units(calibrate(found[mine], margins[mine]), origins)}
    forecasts |= baseline_forecasts(
        values, known, task.parts.train, origins, horizon, config["scale"]["seasons"], settings.interval
    )
    places = origins[:, None] + np.arange(1, horizon + 1)
    unit = np.array(config["scale"]["error"])
    errors = {
        name: measure_forecasts(found, values[places], known[places], unit, settings.interval)
        for name, found in forecasts.items()
    }
    return Measured(origins, values[places], known[places], forecasts, errors)


def _in_words(found: Read, columns: Columns, arrays: SeriesArrays) -> dict[str, Any]:
    """What config.json keeps of how the data was."""
    about = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.name != "clock"}
    doubts = columns.doubts + missing_codes([*columns.values, *columns.read], arrays.values, arrays.known)
    return {**about, "left_out": columns.left_out, "index": columns.index, "parts": columns.parts, "doubts": doubts}
