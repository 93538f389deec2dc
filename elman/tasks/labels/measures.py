"""How good labels are: accuracy, macro-F1, the confusion matrix, and two baselines to compare with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman.tasks.files.arrays import blocks
from elman.tasks.labels.data import MEASURE, TRAIN, LabelledArrays

Array = npt.NDArray[Any]

MOST_GRAMS = 50_000  # runs of several tokens that are counted
MOST_TRAINED = 50_000  # examples for the logistic regression: some seconds
ROUNDS = 500  # of L-BFGS at most, HISTORY of them remembered
HISTORY = 10
RESAMPLED = 500  # times that the measured examples are drawn anew
SOME = 2000  # examples whose tokens are in memory at a time


def confusion(truth: Array, found: Array, labels: int) -> Array:
    """How often each true label (row) was found as each label (column), (K, K)."""
    matrix = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(matrix, (truth, found), 1)
    return matrix


def accuracy(
    matrix: Array,  # (K, K)
) -> float:
    """The share of examples whose label was found."""
    return float(np.trace(matrix) / matrix.sum())


def f1_scores(
    matrix: Array,  # (K, K)
) -> Array:
    """F1 of each label, 2 TP / (2 TP + FP + FN), (K,); 0 where a label is neither there nor found."""
    return _f1(np.diag(matrix), matrix.sum(0) + matrix.sum(1))


def _f1(
    hits: Array,  # (..., K): true positives
    sizes: Array,  # (..., K): of the label's examples, and of those taken for it
) -> Array:
    scores: Array = np.divide(2 * hits, sizes, out=np.zeros(hits.shape), where=sizes > 0)
    return scores


def macro_f1(matrix: Array) -> float:
    """The mean of all labels' F1: a rare label counts as much as a frequent one."""
    return float(f1_scores(matrix).mean())


def difference_error(
    truth: Array,  # (N,)
    ours: Array,  # (N,)
    theirs: Array,  # (N,)
    labels: int,
) -> float:
    """The standard error of the difference between two macro-F1 on the same examples, by the paired bootstrap.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993.
    """
    kinds, counts = np.unique(np.stack([truth, ours, theirs]), axis=1, return_counts=True)  # (3, M), (M,)
    draws = np.random.default_rng(0).multinomial(len(truth), counts / len(truth), size=RESAMPLED)  # (R, M)
    true, *found = np.eye(labels, dtype=np.int64)[kinds]  # (M, K) each
    scores = [_f1(draws @ (true * one), draws @ (true + one)).mean(-1) for one in found]
    return float(np.std(scores[0] - scores[1]))


def repeated(arrays: LabelledArrays) -> int:
    """How many examples of the last part the training part holds too, token for token: those measure memory."""
    values = np.asarray(arrays.values)

    def marks(which: int) -> Array:
        examples = arrays.part(which)
        found = np.empty(len(examples), dtype=np.int64)
        for rows in blocks(len(examples)):
            ends = zip(arrays.starts[examples[rows]], arrays.lengths[examples[rows]], strict=True)
            found[rows] = [hash(values[s : s + n].tobytes()) for s, n in ends]
        return found

    seen, measured = marks(TRAIN), marks(MEASURE)
    seen.sort()  # in place: there may be tens of millions
    place = np.searchsorted(seen, measured).clip(max=len(seen) - 1)
    return int((seen[place] == measured).sum())


def majority(arrays: LabelledArrays) -> tuple[Array, Array]:
    """The true classes of the last part, and the training part's most frequent class for each."""
    truth = arrays.classes[arrays.part(MEASURE)].astype(np.int64)
    most = int(np.bincount(arrays.classes[arrays.part(TRAIN)]).argmax())
    return truth, np.full_like(truth, most)


def logistic_regression(
    arrays: LabelledArrays, labels: int, tokens: int | None, seed: int, longest: int = 1
) -> tuple[Array, Array]:
    """The true classes of the last part, and those that a logistic regression finds.

    It sees how often each run of one to `longest` tokens occurs in a sequence, of those that training examples have at
    least twice; of numbers, each feature's mean and deviation. The objective is the usual one, the sum of cross
    entropies and half the squared weights, by L-BFGS on at most 50,000 examples of the training part.
    """
    train, measure = arrays.part(TRAIN), arrays.part(MEASURE)
    if len(train) > MOST_TRAINED:
        train = np.sort(np.random.default_rng(seed).permutation(train)[:MOST_TRAINED])
    inputs: Callable[[Array], tuple[Tensor, ...]]
    model: nn.Module
    if tokens is None:
        moments = _moments(arrays, train)
        mean, std = moments.mean(0), moments.std(0)
        std = torch.where(std > 0, std, torch.ones_like(std))
        inputs = lambda examples: ((_moments(arrays, examples) - mean) / std,)  # noqa: E731
        model = nn.Linear(moments.size(1), labels, dtype=torch.float64)
    else:
        grams = Grams.find(arrays, train, tokens, longest)
        inputs = lambda examples: grams.bags(arrays, examples)  # noqa: E731
        model = _Bag(len(grams.known), labels)
    fit_logistic(model, inputs(train), torch.from_numpy(arrays.classes[train].astype(np.int64)))
    with torch.no_grad():
        found = [model(*inputs(measure[rows])).argmax(1).numpy() for rows in blocks(len(measure), SOME)]
    return arrays.classes[measure].astype(np.int64), np.concatenate(found)


@dataclass(frozen=True)
class Grams:
    """Runs of one to `longest` tokens that are counted, each as a number in base `tokens` + 1, in ascending order."""

    known: Array
    tokens: int
    longest: int

    @classmethod
    def find(cls, arrays: LabelledArrays, examples: Array, tokens: int, longest: int) -> "Grams":
        """All single tokens, and the most frequent longer runs of those that occur twice in these examples."""
        single = np.arange(1, tokens + 1)
        if longest == 1 or (tokens + 1) ** longest >= 2**63:
            return cls(single, tokens, 1)
        every = cls(single, tokens, longest)
        found = [every._runs(arrays, examples[rows])[1] for rows in blocks(len(examples), SOME)]
        runs, counts = np.unique(np.concatenate(found), return_counts=True)
        longer = (counts > 1) & (runs > tokens)
        frequent = runs[longer][np.argsort(-counts[longer], kind="stable")[:MOST_GRAMS]]
        return cls(np.union1d(single, frequent), tokens, longest)

    def bags(self, arrays: LabelledArrays, examples: Array) -> tuple[Tensor, ...]:
        """Each example's different runs, all in a row; where each one's begin; how often each run occurs."""
        bags = []
        for rows in blocks(len(examples), SOME):
            some = examples[rows]
            owners, runs = self._runs(arrays, some)
            place = np.searchsorted(self.known, runs).clip(max=len(self.known) - 1)
            counted = self.known[place] == runs
            pairs, counts = np.unique(owners[counted] * len(self.known) + place[counted], return_counts=True)
            sizes = np.bincount(pairs // len(self.known), minlength=len(some))
            bags.append((pairs % len(self.known), sizes, counts))
        ids, sizes, counts = (np.concatenate(parts) for parts in zip(*bags, strict=True))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return torch.from_numpy(ids), torch.from_numpy(starts), torch.from_numpy(counts.astype(np.float64))

    def _runs(self, arrays: LabelledArrays, examples: Array) -> tuple[Array, Array]:
        """All runs of these examples, and the place of the example that each is in."""
        lengths = arrays.lengths[examples]
        flat = [arrays.values[s : s + n] for s, n in zip(arrays.starts[examples], lengths, strict=True)]
        ids = np.concatenate(flat).astype(np.int64) + 1
        owners = np.repeat(np.arange(len(examples)), lengths)
        runs, all_owners, all_runs = ids, [owners], [ids]
        for length in range(2, self.longest + 1):
            runs = runs[:-1] * (self.tokens + 1) + ids[length - 1 :]
            whole = owners[: len(runs)] == owners[length - 1 :]
            all_owners.append(owners[: len(runs)][whole])
            all_runs.append(runs[whole])
        return np.concatenate(all_owners), np.concatenate(all_runs)


class _Bag(nn.Module):
    """A linear model of how often each token occurs."""

    def __init__(self, tokens: int, labels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tokens, labels, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(labels, dtype=torch.float64))

    def forward(self, ids: Tensor, starts: Tensor, counts: Tensor) -> Tensor:
        return F.embedding_bag(ids, self.weight, starts, mode="sum", per_sample_weights=counts) + self.bias


def fit_logistic(model: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> None:
    """Least sum of cross entropies plus half the squared weights, the bias left free, from zero."""
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=ROUNDS, history_size=HISTORY, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(model(*inputs), target, reduction="sum")
        value = (value + model.weight.square().sum() / 2) / len(target)  # type: ignore[operator]
        value.backward()
        return value.detach()

    optimizer.step(objective)  # type: ignore[no-untyped-call]


def _moments(arrays: LabelledArrays, examples: Array) -> Tensor:
    """Mean and deviation of each feature over each sequence, (N, 2 F)."""
    rows = []
    for start, length in zip(arrays.starts[examples], arrays.lengths[examples], strict=True):
        sequence = arrays.values[start : start + length].astype(np.float64)
        rows.append(np.concatenate([sequence.mean(0), sequence.std(0)]))
    return torch.from_numpy(np.stack(rows))
