"""The series task from Python: SeriesForecaster."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.estimators import Array, Estimator
from elman.tasks.files.arrays import LARGEST
from elman.tasks.series import run as series_runs
from elman.tasks.series.columns import Columns
from elman.tasks.series.forecaster import Forecaster, Past
from elman.tasks.settings import SERIES_LOOP, SeriesSettings


class SeriesForecaster(Estimator):
    """What comes next?

    Args:
        horizon: steps to forecast.
        window: steps to look back.
        season: steps that repeat, 1 for none; found unless given.
        interval: share of values that an interval should hold.
        positive: whether nothing below 0 is forecast.
        cell: of the recurrent layer, "rnn", "gru" or "lstm".
        hidden_size: its units.
        layers: on top of each other.
        dropout: share of activations dropped.
        batch_size: windows a step.
        held_out: part, the last one, that is measured on, and as much before it to choose the weights by.
        steps: of training.
        lr: highest learning rate.
        clip: largest norm of the gradients.
        eval_every: steps from one measuring to the next.
        patience: measurings without a better one, after which training ends; 0 for never.
        seed: fixes all that is random.
        device: where to compute.
        run: a folder to keep the run in; a temporary one unless given.

    Example:
        >>> y = [0.0, 1.0, 3.0, 1.0] * 40
        >>> model = SeriesForecaster(horizon=4, window=8, season=4, hidden_size=8, steps=5).fit(y)
        >>> model.predict().round().tolist()
        [0.0, 1.0, 3.0, 1.0]
    """

    def __init__(
        self,
        *,
        horizon: int = SeriesSettings.horizon,
        window: int = SeriesSettings.window,
        season: int | None = SeriesSettings.season,
        interval: float = SeriesSettings.interval,
        positive: bool = SeriesSettings.positive,
        cell: str = SeriesSettings.cell,
        hidden_size: int = SeriesSettings.hidden_size,
        layers: int = SeriesSettings.layers,
        dropout: float = SeriesSettings.dropout,
        batch_size: int = SeriesSettings.batch_size,
        held_out: float = SeriesSettings.held_out,
        steps: int = SERIES_LOOP.steps,
        lr: float = SERIES_LOOP.lr,
        clip: float = SERIES_LOOP.clip,
        eval_every: int = SERIES_LOOP.eval_every,
        patience: int = SERIES_LOOP.patience,
        seed: int = SERIES_LOOP.seed,
        device: str = "cpu",
        run: str | Path | None = None,
    ) -> None:
        self.horizon, self.window, self.season = horizon, window, season
        self.interval, self.positive = interval, positive
        self.cell, self.hidden_size, self.layers, self.dropout = cell, hidden_size, layers, dropout
        self.batch_size, self.held_out = batch_size, held_out
        self.steps, self.lr, self.clip, self.eval_every = steps, lr, clip, eval_every
        self.patience, self.seed = patience, seed
        self.device, self.run = device, run

    def fit(self, y: npt.ArrayLike) -> Self:
        """Train on a series.

        Args:
            y: values at equal steps, (n,) or (n, C); NaN where one is missing.

        Raises:
            UserError: a parameter or the series cannot be used.
        """
        values = _columns(y)
        settings = self._settings(SeriesSettings)
        table = _ArrayTable(values)
        source = series_runs.Source(table, Columns("step", table.columns[1:]))
        run = self._train(series_runs.JOB, source, settings)
        self._y, self._flat = values, np.ndim(y) == 1
        self.errors_ = series_runs.measure(run).errors
        self._forecaster = Forecaster(self.folder, device=self.device)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks: a forecaster is none of its kinds."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(one_d_array=True, allow_nan=True),
        )

    def predict(self, y: npt.ArrayLike | None = None) -> Array:
        """The median forecast of the next `horizon` values, (K,) or (K, C).

        Args:
            y: the values up to now, the ones that were fitted unless given.
        """
        middle: Array = self.predict_interval(y)[..., 1]
        return middle

    def predict_interval(self, y: npt.ArrayLike | None = None) -> Array:
        """Lower quantile, median and upper quantile of the next `horizon` values, (K, 3) or (K, C, 3)."""
        _ = self.folder
        values = self._y if y is None else _columns(y)
        if values.shape[1] != self._y.shape[1]:
            raise DataError(f"the series has {values.shape[1]} columns, where {self._y.shape[1]} were fitted")
        known = ~np.isnan(values)
        if (np.abs(values) >= LARGEST).any() or not known.any(0).all():
            raise DataError(
                f"the series must hold finite numbers, in each column at least one, none beyond {LARGEST:g}"
            )
        first = int(known.argmax(0).max())  # where every column has begun
        frame = pl.DataFrame(values, nan_to_null=True).fill_null(strategy="forward")
        filled = frame.to_numpy()[first:]
        past = Past(filled, known[first:], self._forecaster.clock, first, np.zeros((len(filled), 0)))
        found = self._forecaster.forecast(past)
        return found[:, 0] if self._flat else found


class _ArrayTable:
    """An array as a table: its rows are one step apart."""

    file = Path("the data given to fit")

    def __init__(self, values: Array) -> None:
        self._values = values
        self.columns = ["step", *(f"column {c}" for c in range(values.shape[1]))]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        frame = pl.DataFrame(self._values, schema=self.columns[1:], orient="row").with_row_index("step")
        yield 0, frame.select(columns)

    def place(self, row: int) -> str:
        return f"row {row} of {self.file} (counted from 0)"


def _columns(y: npt.ArrayLike) -> Array:
    """(n,) or (n, C) numbers as (n, C), NaN where a value is missing or masked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns where it drops an imaginary part or a mask
            masked: Any = np.ma.asarray(y)
            if masked.dtype.kind in "mM":
                raise TypeError(f"it holds {masked.dtype}")
            values = np.asarray(masked.data, dtype=np.float64)
    except (TypeError, ValueError, Warning) as error:
        raise DataError(f"the series must be an array of numbers ({error})") from error
    if values.ndim not in (1, 2) or values.size == 0:
        raise DataError(f"the series must have shape (steps,) or (steps, columns), not {values.shape}")
    values = np.where(np.ma.getmaskarray(masked), np.nan, values)
    return values[:, None] if values.ndim == 1 else values
