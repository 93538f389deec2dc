"""What puts every column on the same scale, and its linear forecast; all fitted on the training part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.files.arrays import blocks
from elman.tasks.series.linear.choose import Form, fit_form

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """The scale of C columns, as config.json keeps it.

    Args:
        seasons: in steps, ascending.
        reach: R, the values that the linear forecast looks back at.
        log: whether a column is forecast on its logarithm.
        slopes: of each column and feature whose future is known, (C, J).
        centre: of each column, with `scale`, as `Form` has them.
        scale: its standard deviation.
        spread: the standard deviation of its change over each season, on the model's scale, (seasons, C).
        unit: the mean absolute change over the first season, on the model's scale.
        error: the same in the column's own units, over the usual season of such data: the unit of MASE.
        methods: the linear forecasts whose mean each column begins from.
        read_mean, read_std: of the columns that are only read, (P,).
    """

    seasons: list[int]
    reach: int
    log: list[bool]
    slopes: list[list[float]]
    centre: list[float]
    scale: list[float]
    spread: list[list[float]]
    unit: list[float]
    error: list[float]
    methods: list[list[str]]
    read_mean: list[float]
    read_std: list[float]

    @property
    def features(self) -> int:
        """How many features there are whose future is known."""
        return len(self.slopes[0])

    def ahead(self, window: int) -> int:
        """How many values before a window the model looks back at: so that the linear forecast can be made from its
        second half on."""
        return max(self.seasons[-1], self.reach - 1 - window // 2)


def fit_scale(
    values: Array,  # (n, C + P), the last of the training part
    known: Array,  # (n, C + P)
    groups: Sequence[Array],  # each (n, J_i)
    horizon: int,
    seasons: list[int],
    reach: int,
    error: list[float],  # (C,)
    above: list[bool],  # whether all of a column lies above 0, also after the training part
) -> tuple[Scale, Array, Array]:
    """The scale, the linear forecasts, (C, K, R + 1), and the standard deviation of their errors, (K, C)."""
    forms = [fit_form(values[:, c], known[:, c], groups, horizon, seasons, reach, log) for c, log in enumerate(above)]
    scaled = [_scaled(values[:, c], groups, form) for c, form in enumerate(forms)]
    scale = Scale(
        seasons=seasons,
        reach=reach,
        log=[form.log for form in forms],
        slopes=[form.slopes.tolist() for form in forms],
        centre=[form.centre for form in forms],
        scale=[form.scale for form in forms],
        spread=[[_change(y, known[:, c], season, 2) for c, y in enumerate(scaled)] for season in seasons],
        unit=[_change(y, known[:, c], seasons[0], 1) for c, y in enumerate(scaled)],
        error=error,
        methods=[form.methods for form in forms],
        read_mean=values[:, len(error) :].mean(0).tolist(),
        read_std=[float(std) or 1.0 for std in values[:, len(error) :].std(0)],
    )
    return scale, np.stack([form.weights for form in forms]), np.stack([form.spread for form in forms], axis=1)


def naive_error(
    values: Array,  # (n, C), the training part, of which some rows are in memory at a time
    known: Array,  # (n, C)
    season: int,
) -> list[float]:
    """The mean absolute change over a season, of each column in its own units: the unit of MASE."""
    total, count = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for rows in blocks(len(values) - season):
        later = slice(rows.start + season, rows.stop + season)
        there = known[later] & known[rows]
        total += np.where(there, np.abs(values[later] - values[rows]), 0.0).sum(0)
        count += there.sum(0)
    return [float(size) or 1.0 for size in total / np.maximum(count, 1)]


def _scaled(values: Array, groups: Sequence[Array], form: Form) -> Array:
    plain = np.log(values) if form.log else values
    if groups:
        plain = plain - np.concatenate(groups, axis=1) @ form.slopes
    found: Array = (plain - form.centre) / form.scale
    return found


def _change(values: Array, known: Array, season: int, power: int) -> float:
    """The root of the mean power of the absolute change over a season; the standard deviation where nothing changes."""
    sizes = np.abs(values[season:] - values[:-season])[known[season:] & known[:-season]]
    size = float(np.mean(sizes**power) ** (1 / power)) if len(sizes) else 0.0
    return size or float(values.std()) or 1.0
