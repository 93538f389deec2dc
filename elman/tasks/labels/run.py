"""The run folder of a labels task: begun, gone on with, measured, and opened to classify."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elman.tasks.errors import DataError, RunError, UserError
from elman.tasks.labels import measures
from elman.tasks.labels.data import LabelledArrays, encode_batch, encode_examples, pad
from elman.tasks.labels.examples import Batch, Examples, TableExamples
from elman.tasks.labels.model import LabelsModel
from elman.tasks.labels.task import LabelsTask, groups_by_length
from elman.tasks.labels.tokens import Tokens
from elman.tasks.labels.values import as_now
from elman.tasks.settings import LabelsSettings
from elman.tasks.training import runs
from elman.tasks.training.modules import cell_weights

Array = npt.NDArray[Any]
Run = runs.Run[LabelsSettings, LabelsTask]

MODEL, MAJORITY = "this model", "the most frequent label, always"
GRAMS = {
    "characters": ("logistic regression on runs of 1 to 4 characters", 4),
    "words": ("logistic regression on words and pairs of words", 2),
}
UNKNOWN = ""  # the token that no vocabulary holds
MOMENTS = "logistic regression on each sequence's mean and deviation"


@dataclass(frozen=True)
class Source:
    """Examples and, where they are in a file, its hash; and the tokens that an older run knows, where training begins
    with that."""

    examples: Examples
    sha256: str = ""
    known: Sequence[str] = ()


class LabelsJob:
    """Labelled sequences, and a model of the label."""

    name = "labels"
    settings = LabelsSettings
    types: Mapping[str, type] = {"labels": list}

    def encode(self, data: Source, folder: Path, settings: LabelsSettings, seed: int, progress: bool) -> dict[str, Any]:
        """The examples as arrays."""
        found = encode_examples(data.examples, folder, settings, seed, data.known)
        about = {
            "file": data.examples.name,
            "sha256": data.sha256,
            "examples": sum(found.parts),
            "parts": found.parts,
            "counts": found.counts,
        }
        if isinstance(data.examples, TableExamples):
            about["columns"] = [data.examples.text, data.examples.label]
        values: dict[str, Any] = {"data": about, "labels": found.labels}
        if found.vocabulary is None:
            return values | {"mean": found.mean, "std": found.std}
        return values | {"vocabulary": found.vocabulary}

    def check(self, config: Mapping[str, Any], source: Path) -> None:
        """Labels and either a vocabulary or a scale."""
        if len(config["labels"]) < 2 or config["labels"] != sorted(set(config["labels"])):
            raise RunError(f"{source} is broken: the labels are not in order")
        numeric = isinstance(config.get("mean"), list) and isinstance(config.get("std"), list)
        if numeric and len(config["mean"]) == len(config["std"]) > 0:
            return
        tokens = config.get("vocabulary")
        characters = config["model"].get("tokens") == "characters"
        if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
            raise RunError(f"{source} is broken: it holds neither a vocabulary nor a mean and a deviation")
        if characters and any(len(token) != 1 for token in tokens):
            raise RunError(f"{source} is broken: its vocabulary is not one of characters")

    def build(self, config: Mapping[str, Any], settings: LabelsSettings, layer: Any) -> LabelsModel:
        """The untrained model."""
        tokens = len(config["vocabulary"]) + 1 if "vocabulary" in config else None
        size = tokens or len(config["mean"])
        size = size if tokens is None or settings.one_hot else settings.embedding_size
        weights = (tokens or 0) * settings.embedding_size
        weights += cell_weights(settings, size, 2 if settings.bidirectional else 1)
        runs.refuse_heavy(weights, settings.hidden_size)
        return LabelsModel(
            len(config["labels"]),
            settings,
            tokens=tokens,
            mean=config.get("mean"),
            std=config.get("std"),
            layer=layer,
        )

    def rows(self, config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """The output has a row for each label, the embedding one for each token."""
        names = config["labels"]
        if "vocabulary" not in config:  # two texts, "1" and "1.0", stay two labels
            names = [name if (now := as_now(name)) in names else now for name in names]
        labels = dict.fromkeys(("linear.weight", "linear.bias"), names)
        if "vocabulary" not in config or config["model"]["one_hot"]:
            return labels
        return {**labels, "embedding.weight": [UNKNOWN, *config["vocabulary"]]}

    def open(
        self, folder: Path, model: nn.Module, config: Mapping[str, Any], settings: LabelsSettings, seed: int
    ) -> LabelsTask:
        """The task on the arrays in the run folder."""
        arrays = LabelledArrays(folder, numeric="mean" in config)
        return LabelsTask(cast(LabelsModel, model), arrays, settings, seed)


JOB = LabelsJob()


def refuse_unread(
    given: Collection[str], called: Callable[[str], str], numeric: bool, name: str, one_hot: bool
) -> None:
    """Raise where a setting was given that the data, or one-hot tokens, leave without a meaning.

    Args:
        given: the settings, by name.
        called: a setting's name as the user knows it.
        numeric: whether the data hold sequences of numbers.
        name: what they are called.
        one_hot: whether tokens are one-hot.
    """
    if numeric:
        for setting in ("tokens", "one_hot", "embedding_size"):
            if setting in given:
                raise UserError(
                    f"{called(setting)} is for texts, and {name} holds sequences of numbers, which the model reads as "
                    f"they are: leave it out"
                )
    elif one_hot and "embedding_size" in given:
        raise UserError(
            f"{called('one_hot')} tokens have no embedding, so {called('embedding_size')} has no meaning: give one of "
            f"them"
        )


@dataclass(frozen=True)
class Scores:
    """Accuracy and macro-F1 on the examples kept apart for the end, and the confusion matrix behind them."""

    truth: Array  # (N,), each example's class
    found: Array  # (N,), the class that was found
    labels: int

    @functools.cached_property
    def matrix(self) -> Array:
        """How often each true label was found as each label, (K, K)."""
        return measures.confusion(self.truth, self.found, self.labels)

    @property
    def accuracy(self) -> float:
        """The share of examples whose label was found."""
        return measures.accuracy(self.matrix)

    @property
    def macro_f1(self) -> float:
        """The mean of all labels' F1."""
        return measures.macro_f1(self.matrix)


def measure(run: Run) -> dict[str, Scores]:
    """The run's best weights and the baselines on the examples that neither training nor choosing has seen."""
    model, config, settings = runs.load_model(JOB, run.folder, device=str(run.task.device))
    seed = run.trainer.settings.seed
    arrays, labels = run.task.arrays, len(config["labels"])
    task = LabelsTask(cast(LabelsModel, model), arrays, settings, seed)
    tokens = task.model.tokens
    bag, longest = (MOMENTS, 1) if tokens is None else GRAMS[settings.tokens]
    trained = config["data"]["parts"][0]
    if trained > measures.MOST_TRAINED:
        bag = f"{bag}, trained on {measures.MOST_TRAINED:,} of the {trained:,} examples"
    found = {
        MODEL: task.predict_part(),
        bag: measures.logistic_regression(arrays, labels, tokens, seed, longest),
        MAJORITY: measures.majority(arrays),
    }
    return {name: Scores(*pair, labels) for name, pair in found.items()}


class Classifier(runs.Opened[LabelsSettings]):
    """A trained labels model, with what it needs to read sequences as it was trained to."""

    job = JOB
    model: LabelsModel

    def take_up(self) -> None:
        """The labels, and how texts become tokens."""
        self.labels = list(self.config["labels"])
        self.numeric = "mean" in self.config
        self.tokens = None if self.numeric else Tokens(self.settings.tokens, self.config["vocabulary"])

    def probabilities(self, examples: Examples) -> Iterator[tuple[Batch, Array]]:
        """Batches of examples with p(label), (N, K), for each: see `encoded` for what is raised."""
        for batch, values, lengths in self.encoded(examples):
            yield batch, self.shares(values, lengths)

    def encoded(self, examples: Examples) -> Iterator[tuple[Batch, Array, Array]]:
        """Batches of examples with what the model reads, one sequence after another, and the lengths, (N,).

        Raises:
            DataError: an example cannot be read, or is not of the kind that the model was trained on.
        """
        if examples.numeric != self.numeric:
            wanted, given = ("numbers", "texts") if self.numeric else ("texts", "numbers")
            raise DataError(f"{self.folder} was trained on {wanted}, and {examples.name} holds {given}")
        for batch in examples.batches():
            if isinstance(batch.sequences, list) and batch.sequences[0].shape[1] != len(self.config["mean"]):
                raise DataError(
                    f"{examples.place(batch.first)}: a step has {batch.sequences[0].shape[1]} numbers, where "
                    f"{self.folder} was trained on {len(self.config['mean'])}"
                )
            values, lengths = encode_batch(batch, self.tokens, examples)
            yield batch, values, lengths

    @torch.no_grad()
    def shares(self, values: Array, lengths: Array) -> Array:
        """p(label) of sequences that lie one after another, (N, K)."""
        device = self.model.linear.weight.device
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        found = np.empty((len(lengths), len(self.labels)), dtype=np.float32)
        for some in groups_by_length(np.arange(len(lengths)), lengths, self.settings.hidden_size):
            sequences, sizes = pad(values, starts[some], lengths[some])
            logits = self.model(torch.from_numpy(sequences).to(device), torch.from_numpy(sizes).to(device))
            found[some] = logits.softmax(1).cpu().numpy()
        return found
