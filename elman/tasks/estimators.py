"""The tasks from Python, in the manner of scikit-learn: parameters in the constructor, then fit and predict."""

import inspect
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError, NotFitted, UserError
from elman.tasks.labels import run as labels_runs
from elman.tasks.labels.examples import Given, as_list
from elman.tasks.labels.run import Classifier
from elman.tasks.series import run as series_runs
from elman.tasks.series.columns import Columns
from elman.tasks.series.forecaster import Forecaster, Past
from elman.tasks.settings import LABELS_LOOP, SERIES_LOOP, LabelsSettings, LoopSettings, SeriesSettings
from elman.tasks.training import loop, runs

Array = npt.NDArray[Any]


class Estimator:
    """What both have in common: parameters that can be read and set, and a run folder behind them."""

    run: str | Path | None
    device: str
    _folder: Path | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor.

        Raises:
            UserError: there is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise UserError(f"{type(self).__name__} has no parameter {name}: it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    @property
    def folder(self) -> Path:
        """The run folder: `elman classify`, `forecast` and `export` work on it.

        Raises:
            UserError: fit was not called yet.
        """
        if self._folder is None:
            raise NotFitted(f"this {type(self).__name__} is not trained yet: call fit first")
        return self._folder

    def _training(self) -> LoopSettings:
        return LoopSettings(**{name: getattr(self, name) for name in ("steps", "lr", "eval_every", "seed")})

    def _train(self, job: Any, source: Any, settings: Any) -> Any:
        """A run, trained to its end, in the folder that is this object's from then on."""
        place = self._place()
        run = runs.begin(job, source, place, settings, self._training(), device=self.device)
        loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
        self._folder = place
        return run

    def _place(self) -> Path:
        """A folder for a new run: the one that was asked for, or one that goes when this object does."""
        if self.run is not None:
            return Path(self.run)
        there = tempfile.mkdtemp(prefix="elman-")
        weakref.finalize(self, shutil.rmtree, there, ignore_errors=True)
        return Path(there) / "run"

    def __sklearn_is_fitted__(self) -> bool:
        return self._folder is not None

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = {name: value for name, value in self.get_params().items() if value != defaults[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


class LabelsClassifier(Estimator):
    """Which label does a sequence have?

    Args:
        tokens: read texts as "characters" or "words".
        one_hot: one-hot tokens in place of an embedding.
        bidirectional: read from both ends.
        pooling: what of the states is kept, "last", or "all": last, mean and largest.
        cell: of the recurrent layer, "rnn", "gru" or "lstm".
        hidden_size: its units.
        layers: on top of each other.
        embedding_size: numbers a token becomes.
        dropout: share of activations dropped, half of it of the input's.
        label_smoothing: share of certainty that training withholds.
        batch_size: examples a step.
        class_weights: "none", "balanced": all labels count alike, or "root": half-way between these.
        held_out: part to choose the weights by, and as much that is measured on.
        steps: of training.
        lr: highest learning rate.
        eval_every: steps from one measuring to the next.
        seed: fixes all that is random.
        device: where to compute.
        run: a folder to keep the run in; a temporary one unless given.

    Example:
        >>> texts = ["aab", "abb", "aba", "cdd", "ddc", "dcd"] * 5
        >>> labels = ["first", "first", "first", "last", "last", "last"] * 5
        >>> model = LabelsClassifier(hidden_size=8, steps=40, lr=0.02).fit(texts, labels)
        >>> model.predict(["abab", "dcdc"]).tolist()
        ['first', 'last']
    """

    def __init__(
        self,
        *,
        tokens: str = LabelsSettings.tokens,
        one_hot: bool = LabelsSettings.one_hot,
        bidirectional: bool = LabelsSettings.bidirectional,
        pooling: str = LabelsSettings.pooling,
        cell: str = LabelsSettings.cell,
        hidden_size: int = LabelsSettings.hidden_size,
        layers: int = LabelsSettings.layers,
        embedding_size: int = LabelsSettings.embedding_size,
        dropout: float = LabelsSettings.dropout,
        label_smoothing: float = LabelsSettings.label_smoothing,
        batch_size: int = LabelsSettings.batch_size,
        class_weights: str = LabelsSettings.class_weights,
        held_out: float = LabelsSettings.held_out,
        steps: int = LABELS_LOOP.steps,
        lr: float = LoopSettings.lr,
        eval_every: int = LoopSettings.eval_every,
        seed: int = LoopSettings.seed,
        device: str = "cpu",
        run: str | Path | None = None,
    ) -> None:
        self.tokens, self.one_hot, self.bidirectional, self.pooling = tokens, one_hot, bidirectional, pooling
        self.cell, self.hidden_size, self.layers, self.embedding_size = cell, hidden_size, layers, embedding_size
        self.dropout, self.label_smoothing, self.batch_size = dropout, label_smoothing, batch_size
        self.class_weights, self.held_out = class_weights, held_out
        self.steps, self.lr, self.eval_every, self.seed = steps, lr, eval_every, seed
        self.device, self.run = device, run

    def fit(self, X: Sequence[Any], y: Sequence[Any]) -> Self:
        """Train on sequences and their labels.

        Args:
            X: texts, or sequences of numbers, each (T,) or (T, F), of any length.
            y: the label of each.

        Raises:
            UserError: a parameter or an example cannot be used.
        """
        names = LabelsSettings.__dataclass_fields__
        settings = LabelsSettings(**{name: getattr(self, name) for name in names})
        given = Given(X, as_list(y, "the labels"), "the data given to fit")
        source = labels_runs.Source(given)
        run = self._train(labels_runs.JOB, source, settings)
        self._classifier = Classifier(self.folder, device=self.device)
        self.classes_, self._order = _classes(given.values, self._classifier.labels, y)
        self.scores_ = labels_runs.measure(run)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks before it lets an estimator into cross validation, searches and pipelines."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(string=True),
            non_deterministic=False,
        )

    def predict_proba(self, X: Sequence[Any]) -> Array:
        """p(label) for each sequence, (N, K), in the order of `classes_`."""
        _ = self.folder
        found = self._classifier.probabilities(Given(X))
        return np.concatenate([p for _, p in found])[:, self._order]

    def predict(self, X: Sequence[Any]) -> Array:
        """The likeliest label of each sequence, (N,), of the type that fit was given."""
        likeliest = self.predict_proba(X).argmax(1)
        found: Array = self.classes_[likeliest]
        return found

    def score(self, X: Sequence[Any], y: Sequence[Any], sample_weight: Any = None) -> float:
        """The share of sequences whose label is found, each with its weight if there are weights."""
        found, truth = self.predict(X).tolist(), as_list(y, "the labels")
        if len(found) != len(truth):
            raise DataError(f"there are {len(found):,} sequences and {len(truth):,} labels: give as many of both")
        right = [_stripped(one) == _stripped(other) for one, other in zip(found, truth, strict=True)]
        return float(np.average(right, weights=sample_weight))


class SeriesForecaster(Estimator):
    """What comes next?

    Args:
        horizon: steps to forecast.
        window: steps to look back.
        season: steps that repeat, 1 for none.
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
        eval_every: steps from one measuring to the next.
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
        season: int = 1,
        interval: float = SeriesSettings.interval,
        positive: bool = SeriesSettings.positive,
        cell: str = SeriesSettings.cell,
        hidden_size: int = SeriesSettings.hidden_size,
        layers: int = SeriesSettings.layers,
        dropout: float = SeriesSettings.dropout,
        batch_size: int = SeriesSettings.batch_size,
        held_out: float = SeriesSettings.held_out,
        steps: int = SERIES_LOOP.steps,
        lr: float = LoopSettings.lr,
        eval_every: int = SERIES_LOOP.eval_every,
        seed: int = LoopSettings.seed,
        device: str = "cpu",
        run: str | Path | None = None,
    ) -> None:
        self.horizon, self.window, self.season, self.interval = horizon, window, season, interval
        self.positive = positive
        self.cell, self.hidden_size, self.layers, self.dropout = cell, hidden_size, layers, dropout
        self.batch_size = batch_size
        self.held_out, self.steps, self.lr, self.eval_every, self.seed = held_out, steps, lr, eval_every, seed
        self.device, self.run = device, run

    def fit(self, y: npt.ArrayLike) -> Self:
        """Train on a series.

        Args:
            y: values at equal steps, (n,) or (n, C); NaN where one is missing.

        Raises:
            UserError: a parameter or the series cannot be used.
        """
        values = _columns(y)
        settings = SeriesSettings(**{name: getattr(self, name) for name in SeriesSettings.__dataclass_fields__})
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
        frame = pl.DataFrame(values, nan_to_null=True).fill_null(strategy="forward")
        past = Past(frame.to_numpy(), ~np.isnan(values), self._forecaster.clock, 0, np.zeros((len(values), 0)))
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


def _classes(values: Mapping[str, Any], names: Sequence[str], y: Any) -> tuple[Array, list[int]]:
    """The labels as they were given, in ascending order, and where each stands among the model's."""
    labels = [values[name] for name in names]
    try:
        order = sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:  # of several types
        order = list(range(len(labels)))
    kinds = {type(label) for label in labels}
    dtype = getattr(y, "dtype", None)
    if len(kinds) > 1:
        dtype = object
    elif not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        dtype = None
    return np.array([labels[i] for i in order], dtype=dtype), order


def _stripped(label: Any) -> Any:
    return label.strip() if isinstance(label, str) else label


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
