"""Examples given as Python lists, arrays or columns of a data frame."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.labels.examples import Batch
from elman.tasks.labels.values import Numbers, as_label, as_numbers, looks, require_unicode, shortened


class Given:
    """Python lists, arrays or columns of a data frame: texts, or sequences of numbers, with labels or without.

    Args:
        sequences: texts, or sequences of numbers.
        labels: of each; strings, numbers or bools.
        name: what they are called in errors.
        blank: the lines that were left out, if they come from lines.
    """

    def __init__(
        self, sequences: Any, labels: Any = None, name: str = "the data given", blank: Sequence[int] = ()
    ) -> None:
        self.name, self.blank = name, blank
        self._sequences = as_list(sequences, "the sequences")
        if not self._sequences:
            raise DataError("there is no example: give at least one")
        first = self._sequences[0]
        if first is None or (isinstance(first, list | tuple | np.ndarray) and len(first) and isinstance(first[0], str)):
            raise DataError(f"{self.place(0)} must be a text or a sequence of numbers, not {shortened(_plain(first))}")
        self.labels: list[str] | None = None
        self.values: dict[str, Any] = {}  # the labels as they were given, by how they are written
        if labels is not None:
            values = as_list(labels, "the labels")
            if len(values) != len(self._sequences):
                raise DataError(
                    f"there are {len(self._sequences):,} sequences and {len(values):,} labels: give as many of both"
                )
            self.labels = self._names(values)
        self.numeric, self.labelled = not isinstance(self._sequences[0], str), labels is not None

    def batches(self) -> Iterator[Batch]:
        """All at once."""
        if self.numeric:
            arrays: list[Numbers] = []
            for i, sequence in enumerate(self._sequences):
                arrays.append(as_numbers(_plain(sequence), self.place(i), arrays[0].shape[1] if arrays else None))
            yield Batch(0, arrays, self.labels)
            return
        for i, text in enumerate(self._sequences):
            if not isinstance(text, str) or not text:
                raise DataError(f"{self.place(i)} must be a text with at least one character, not {text!r}")
            require_unicode(text, self.place(i))
        yield Batch(0, pl.Series(self._sequences, dtype=pl.String), self.labels)

    def place(self, example: int) -> str:
        """Its place in the list."""
        return f"example {example} (counted from 0)"

    def _names(self, values: list[Any]) -> list[str]:
        """The labels as strings: what Python holds for equal has the same name, and nothing else has."""
        names: dict[Any, str] = {}
        keys = [(float, value) if isinstance(value, float) else value for value in values]  # 1.0 has one more look
        for i, (key, value) in enumerate(zip(keys, values, strict=True)):
            plain = value.strip() if isinstance(value, str) else value
            if not isinstance(value, Hashable) or key not in names:
                name = as_label(value, self.place(i))
                for look in looks(value, name):
                    known = self.values.setdefault(look, value)
                    if known != value and not (isinstance(known, str) and isinstance(value, str)):
                        raise DataError(
                            f"{self.place(i)}: the label {value!r} looks like another one, {known!r}: give all labels "
                            f"in one type"
                        )
                if known != value:  # the same but for the spaces around it
                    self.values[name] = plain
                names[key] = name
        return [names[key] for key in keys]


def as_list(values: Any, what: str) -> list[Any]:
    """A sequence, array, tensor or column as a list of Python's own values.

    Raises:
        DataError: it is no sequence, or a single text.
    """
    if isinstance(values, str | bytes):
        raise DataError(f"{what} must be a list, not a single text: put it in brackets, [{shortened(str(values))}]")
    if values is None:
        raise DataError(f"{what} are missing: fit requires y to be passed, but the target y is None")
    if hasattr(values, "toarray"):
        raise DataError(f"{what} are a sparse array, and sparse input is not supported: give .toarray()")
    if not isinstance(values, Iterable) and hasattr(values, "__array__"):
        values = np.asarray(values)
    # a data frame is, as an iterable, its names; the index of one of its columns may begin anywhere
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if not isinstance(values, Iterable) or isinstance(values, Mapping | Set) or getattr(values, "ndim", 1) == 0:
        raise DataError(f"{what} must be a list or an array, not {type(values).__name__}")
    return [value if getattr(value, "ndim", 1) else _plain(value) for value in values]


def _plain(sequence: Any) -> Any:
    """Arrays and their elements as lists and Python's own numbers; where an array's mask lies, None."""
    if hasattr(sequence, "tolist"):
        return sequence.tolist()
    return [_plain(value) for value in sequence] if isinstance(sequence, list | tuple) else sequence
