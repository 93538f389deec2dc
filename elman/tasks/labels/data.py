"""Labelled examples as arrays in the run folder: encoded in one pass, split, and gathered in batches.

values.npy    all sequences one after another: token ids (n,), or numbers (n, F)
starts.npy    where each sequence begins, and where the last one ends, (N + 1,)
labels.npy    each example's class, (N,)
parts.npy     what each example is for, (N,): 0 training, 1 choosing the best weights, 2 measuring at the end
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.errors import DataError
from elman.tasks.files.arrays import BLOCK, ArrayWriter, blocks, open_array
from elman.tasks.labels.examples import Batch, Examples
from elman.tasks.labels.tokens import TokenCounter, Tokens
from elman.tasks.settings import LabelsSettings

Array = npt.NDArray[Any]

TRAIN, CHOOSE, MEASURE = range(3)
LEAST = 3  # examples of a label: one for each part
MOST_LABELS = 1000
EPS = 1e-12  # of a mean: a deviation below that is rounding
POOL = 64  # batches whose examples are sorted by length together


@dataclass(frozen=True)
class Encoded:
    """What config.json keeps of the data: labels in order, the vocabulary or the numbers' mean and deviation."""

    labels: list[str]
    vocabulary: list[str] | None
    mean: list[float] | None
    std: list[float] | None
    counts: dict[str, int]  # by label
    parts: list[int]  # examples to train on, to choose by, to measure on


def encode_examples(
    examples: Examples, folder: Path, settings: LabelsSettings, seed: int, known: Sequence[str] = ()
) -> Encoded:
    """Write the arrays of all examples.

    Everything that is fitted (the vocabulary, the scale of numbers) is fitted on the training part alone. Tokens that
    are `known` already come first in the vocabulary.

    Raises:
        DataError: an example cannot be used, or a label has too few of them.
    """
    names, counter, width = _write(examples, folder, settings.tokens)
    classes = open_array(folder / "labels.npy", np.int32, writable=True)
    order = sorted(range(len(names)), key=names.__getitem__)
    ranks = np.argsort(order).astype(np.int32)
    for rows in blocks(len(classes)):
        classes[rows] = ranks[classes[rows]]
    labels = [names[i] for i in order]
    counts = np.bincount(classes, minlength=len(labels))
    if len(labels) < 2:
        raise DataError(f"{examples.name} has {labels[0]!r} as its only label: there must be at least two")
    if LEAST * len(labels) > len(classes):
        raise DataError(
            f"{examples.name} has {len(labels):,} different labels for {len(classes):,} examples, where each has to "
            f"occur {LEAST} times: is --label-column the right one?"
        )
    if rare := [i for i in range(len(labels)) if counts[i] < LEAST]:
        row = int(np.flatnonzero(classes == rare[0])[0])
        raise DataError(
            f"{examples.place(row)}: label {labels[rare[0]]!r} occurs {counts[rare[0]]} time(s), where {LEAST} are the "
            f"least, one to train on, one to choose the weights by and one to measure on; is it misspelt?"
        )
    parts = split_examples(classes, settings.held_out, seed)
    with ArrayWriter(folder / "parts.npy", np.uint8) as out:
        out.append(parts)
    starts = open_array(folder / "starts.npy", np.int64)
    vocabulary = mean = std = None
    if counter is not None:
        vocabulary = _number_tokens(folder, counter, starts, parts, known)
    else:
        mean, std = _scale(open_array(folder / "values.npy", np.float64, dimensions=2), starts, parts, width)
    sizes = np.bincount(parts, minlength=3).tolist()
    return Encoded(labels, vocabulary, mean, std, dict(zip(labels, counts.tolist(), strict=True)), sizes)


def split_examples(
    classes: Array,  # (N,)
    share: float,
    seed: int,
) -> Array:
    """What each example is for: of every class, `share` to choose by, as much to measure on, at least one each."""
    rng = np.random.default_rng(seed)
    parts = np.full(len(classes), TRAIN, dtype=np.uint8)
    for k in range(int(classes.max()) + 1):
        mine = rng.permutation(np.flatnonzero(classes == k))
        count = max(1, round(share * len(mine)))
        parts[mine[:count]], parts[mine[count : 2 * count]] = CHOOSE, MEASURE
    return parts


class LabelledArrays:
    """The arrays of a run, mapped into memory.

    Args:
        folder: the run folder.
        numeric: whether the sequences are numbers.
    """

    def __init__(self, folder: Path, *, numeric: bool) -> None:
        self.folder = folder
        place = folder / "values.npy"
        if numeric:
            self.values = open_array(place, np.float64, np.float32, dimensions=2)  # older versions wrote float32
        else:
            self.values = open_array(place, np.uint32)
        starts = open_array(folder / "starts.npy", np.int64)
        self.starts, self.lengths = starts[:-1], np.diff(starts)
        self.classes = np.asarray(open_array(folder / "labels.npy", np.int32))
        self.parts = np.asarray(open_array(folder / "parts.npy", np.uint8))

    def part(self, which: int) -> Array:
        """The numbers of the examples in one part."""
        return np.flatnonzero(self.parts == which)

    def gather(
        self,
        examples: Array,  # (N,)
    ) -> tuple[Array, Array]:
        """Their sequences side by side, (T, N) or (T, N, F), and their lengths; what is past an end means nothing."""
        return pad(self.values, self.starts[examples], self.lengths[examples])


def pad(values: Array, starts: Array, lengths: Array) -> tuple[Array, Array]:
    """Sequences out of a flat array, side by side."""
    steps = np.arange(lengths.max())[:, None]
    place = starts + np.minimum(steps, lengths - 1)  # (T, N)
    return values[place], lengths


def epoch_order(
    examples: Array,  # (N,)
    lengths: Array,  # of all examples of the run
    batch: int,
    seed: tuple[int, int],
) -> Array:
    """An epoch's batches, (batches, batch): in random order, of sequences about equally long.

    The examples are shuffled, sorted by length within pools of 64 batches, cut into batches, and the batches shuffled.
    The few that fill no batch wait for another epoch.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(examples)[: len(examples) // batch * batch]
    pool = POOL * batch
    for first in range(0, len(order), pool):
        some = order[first : first + pool]
        order[first : first + pool] = some[np.argsort(lengths[some], kind="stable")]
    return rng.permutation(order.reshape(-1, batch))


def _write(examples: Examples, folder: Path, kind: str) -> tuple[list[str], TokenCounter | None, int]:
    """One pass over the data; returns the labels by first appearance, the tokens, and how wide numbers are."""
    ids: dict[str, int] = {}
    counter = None if examples.numeric else TokenCounter(kind)
    batches = iter(examples.batches())
    batch = next(batches, None)
    if batch is None:
        raise DataError(f"{examples.name} holds no example")
    width = batch.sequences[0].shape[1] if isinstance(batch.sequences, list) else 0
    row, dtype = ((width,), np.float64) if examples.numeric else ((), np.uint32)
    end = 0
    with (
        ArrayWriter(folder / "values.npy", dtype, row) as values,
        ArrayWriter(folder / "starts.npy", np.int64) as starts,
        ArrayWriter(folder / "labels.npy", np.int32) as labels,
    ):
        starts.append([0])
        while batch is not None:
            flat, lengths = encode_batch(batch, counter, examples)
            values.append(flat)
            starts.append(end + np.cumsum(lengths))
            end += int(lengths.sum())
            for name in batch.labels or []:
                ids.setdefault(name, len(ids))
            labels.append([ids[name] for name in batch.labels or []])
            if len(ids) > MOST_LABELS:
                raise DataError(
                    f"{examples.name} has more than {MOST_LABELS:,} different labels: is --label-column the right one?"
                )
            batch = next(batches, None)
    return list(ids), counter, width


def encode_batch(batch: Batch, tokens: TokenCounter | Tokens | None, examples: Examples) -> tuple[Array, Array]:
    """A batch's sequences one after another, and their lengths."""
    if isinstance(batch.sequences, list):
        return np.concatenate(batch.sequences), np.array([len(sequence) for sequence in batch.sequences])
    assert tokens is not None
    flat, lengths = tokens.encode(batch.sequences)
    if not lengths.all():
        raise DataError(f"{examples.place(batch.first + int(np.argmin(lengths)))}: there is no word in the text")
    return flat, lengths


def _number_tokens(folder: Path, counter: TokenCounter, starts: Array, parts: Array, known: Sequence[str]) -> list[str]:
    """Replace the provisional ids by those of the vocabulary, which is the training part's."""
    values = open_array(folder / "values.npy", np.uint32, writable=True)
    counts = np.zeros(len(counter), dtype=np.int64)
    for some in _training(values, starts, parts):
        counts += np.bincount(some, minlength=len(counter))
    vocabulary, ids = counter.choose(counts, known)
    for rows in blocks(len(values)):
        values[rows] = ids[values[rows]]
    return vocabulary


def _scale(values: Array, starts: Array, parts: Array, width: int) -> tuple[list[float], list[float]]:
    """Mean and deviation of each feature over the training part; a feature that never changes gets deviation 1."""
    count, total, squares = 0, np.zeros(width), np.zeros(width)
    for some in _training(values, starts, parts):
        count, total = count + len(some), total + some.sum(0, dtype=np.float64)
    mean = total / count
    for some in _training(values, starts, parts):
        squares += ((some - mean) ** 2).sum(0)
    std = np.sqrt(squares / count)
    return mean.tolist(), np.where(std > EPS * np.abs(mean), std, 1.0).tolist()


def _training(values: Array, starts: Array, parts: Array) -> Iterator[Array]:
    """The values of the training sequences, some sequences at a time."""
    train, first = parts == TRAIN, 0
    while first < len(parts):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK)) - 1)
        mine = np.repeat(train[first:last], np.diff(starts[first : last + 1]))
        yield values[starts[first] : starts[last]][mine]
        first = last
