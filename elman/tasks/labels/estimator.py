"""The labels task from Python: LabelsClassifier."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from elman.tasks.errors import DataError
from elman.tasks.estimators import Array, Estimator
from elman.tasks.labels import run as labels_runs
from elman.tasks.labels.given import Given, as_list
from elman.tasks.labels.run import Classifier
from elman.tasks.settings import LABELS_LOOP, LabelsSettings


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
        clip: largest norm of the gradients.
        eval_every: steps from one measuring to the next.
        patience: measurings without a better one, after which training ends; 0 for never.
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
        lr: float = LABELS_LOOP.lr,
        clip: float = LABELS_LOOP.clip,
        eval_every: int = LABELS_LOOP.eval_every,
        patience: int = LABELS_LOOP.patience,
        seed: int = LABELS_LOOP.seed,
        device: str = "cpu",
        run: str | Path | None = None,
    ) -> None:
        self.tokens, self.one_hot, self.bidirectional, self.pooling = tokens, one_hot, bidirectional, pooling
        self.cell, self.hidden_size, self.layers, self.embedding_size = cell, hidden_size, layers, embedding_size
        self.dropout, self.label_smoothing, self.batch_size = dropout, label_smoothing, batch_size
        self.class_weights, self.held_out = class_weights, held_out
        self.steps, self.lr, self.clip, self.eval_every = steps, lr, clip, eval_every
        self.patience, self.seed = patience, seed
        self.device, self.run = device, run

    def fit(self, X: Sequence[Any], y: Sequence[Any]) -> Self:
        """Train on sequences and their labels.

        Args:
            X: texts, or sequences of numbers, each (T,) or (T, F), of any length.
            y: the label of each.

        Raises:
            UserError: a parameter or an example cannot be used, or a parameter that differs from its default has no
                meaning for these.
        """
        settings = self._settings(LabelsSettings)
        given = Given(X, as_list(y, "the labels"), "the data given to fit")
        source = labels_runs.Source(given)
        changed = [one.name for one in dataclasses.fields(settings) if getattr(settings, one.name) != one.default]
        labels_runs.refuse_unread(changed, str, given.numeric, given.name, settings.one_hot)
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
        known = self.classes_.tolist()
        if {isinstance(label, str) for label in truth}.isdisjoint(isinstance(label, str) for label in known):
            raise DataError(f"a label is {truth[0]!r}, where fit was given labels such as {known[0]!r}")
        right = [_stripped(one) == _stripped(other) for one, other in zip(found, truth, strict=True)]
        return float(np.average(right, weights=sample_weight))


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
