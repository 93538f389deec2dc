"""Examples to classify, read in batches: from a CSV or Parquet file, from JSON lines, or from Python lists."""

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.encodings import not_utf8
from elman.tasks.files.tables import (
    JSON_LINES,
    ROWS,
    Table,
    as_strings,
    choose_column,
    is_index,
    open_table,
    require_file,
)

LARGEST = 3e38  # a number: models compute in float32

Numbers = npt.NDArray[np.float64]  # (T, F)

TEXTS = (
    *("text", "sentence", "review", "message", "name", "word", "title", "content", "document", "tweet", "sequence"),
    *("문장", "텍스트", "글", "내용", "본문", "리뷰", "댓글", "제목", "이름", "단어"),
)
LABELS = (
    *("label", "class", "category", "target", "sentiment", "emotion", "nationality", "language"),
    *("라벨", "레이블", "분류", "범주", "클래스", "감정", "감성", "국적", "언어", "정답"),
)


@dataclass(frozen=True)
class Batch:
    """Some examples: texts, or sequences of numbers, and their labels if they have any."""

    first: int  # number of the first example
    sequences: "pl.Series | list[Numbers]"
    labels: list[str] | None


class Examples(Protocol):
    """A place where examples come from."""

    name: str
    numeric: bool  # sequences of numbers rather than texts
    labelled: bool

    def batches(self) -> Iterator[Batch]:
        """All examples, some at a time.

        Raises:
            DataError: an example cannot be used; the message says which one and why.
        """

    def place(self, example: int) -> str:
        """Where an example is, as a person would look for it."""


def open_examples(
    file: Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    labelled: bool | None = True,
    usual: Sequence[str] = (),
) -> Examples:
    """A file of examples.

    Args:
        file: CSV or Parquet with a text and a label column, or JSON lines with `sequence` and `label`.
        text_column: its name; guessed where that is obvious.
        label_column: its name; likewise.
        labelled: whether there must be labels; None takes them where they are.
        usual: the text and the label column of the file that the model was trained on.

    Raises:
        DataError: the file cannot be read, or its columns cannot be guessed.
    """
    require_file(file)
    if file.suffix.lower() in JSON_LINES:
        return JsonLines(file, labelled)
    table = open_table(file)
    known = [name if name in table.columns else None for name in usual] or [None, None]
    text_column, label_column = text_column or known[0], label_column or known[1]
    text, label = choose_columns(table, text_column, label_column, labelled)
    return TableExamples(table, text, label)


def choose_columns(table: Table, text: str | None, label: str | None, labelled: bool | None) -> tuple[str, str | None]:
    """The text and the label column: those that were named, and else those with a usual name or the only one left."""
    choose_column(table, "--text-column", text)
    choose_column(table, "--label-column", label)
    if text is not None and text == label:
        raise DataError(f"the text and the label cannot both be column {text!r} of {table.file}")
    left = [name for name in table.columns if name not in (text, label) and not is_index(name)]
    if label is None and labelled is not False:
        label = _usual(left, LABELS)
        if label is None and len(left) == (1 if text else 2) and labelled:
            known = text or _usual(left, TEXTS)
            label = next((name for name in left if name != known), None) if known else None
        left = [name for name in left if name != label]
    if text is None:
        text = _usual(left, TEXTS) or (left[0] if len(left) == 1 else None)
    if text is None or (labelled and label is None):
        missing = " and ".join(
            option for option, name in (("--text-column", text), ("--label-column", label or not labelled)) if not name
        )
        raise DataError(
            f"which columns of {table.file} are meant is not obvious from {', '.join(table.columns)}: name them with "
            f"{missing}"
        )
    return text, label


def _usual(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((column for name in names for column in columns if column.strip().lower() == name), None)


class TableExamples:
    """Two columns of a table."""

    numeric = False

    def __init__(self, table: Table, text: str, label: str | None) -> None:
        self.table, self.text, self.label = table, text, label
        self.name, self.labelled = table.file.name, label is not None

    def batches(self) -> Iterator[Batch]:
        """Texts as they are, labels without the spaces around them."""
        columns = [name for name in (self.text, self.label) if name is not None]
        for first, rows in self.table.batches(columns):
            texts = self._strings(rows, self.text, first)
            labels = None if self.label is None else self._strings(rows, self.label, first, strip=True).to_list()
            yield Batch(first, texts, labels)

    def place(self, example: int) -> str:
        """File and line."""
        return self.table.place(example)

    def _strings(self, rows: pl.DataFrame, column: str, first: int, *, strip: bool = False) -> pl.Series:
        values = as_strings(self.table, rows[column])
        values = values.str.strip_chars() if strip else values
        empty = (values.is_null() | (values == "")).fill_null(True)
        if empty.any():
            row = first + int(empty.arg_true()[0])
            raise DataError(f"{self.table.place(row)}: column {column} is empty; fill it in or leave the row out")
        return values


class JsonLines:
    """A file with one JSON object a line: {"sequence": [0.5, 1, ...], "label": "a"}.

    A sequence holds numbers, or lists of numbers that are all equally long.
    """

    numeric = True

    def __init__(self, file: Path, labelled: bool | None) -> None:
        self.file, self.name = file, file.name
        first = next(self._objects(), None)
        if first is None:
            raise DataError(f"{file} holds no example")
        self.labelled = bool(labelled) if labelled is not None else "label" in first[1]

    def batches(self) -> Iterator[Batch]:
        """The sequences as (T, F), F 1 for plain numbers."""
        sequences: list[Numbers] = []
        labels: list[str] = []
        first = 0
        features: int | None = None
        for number, (line, content) in enumerate(self._objects()):
            where = f"{self.file}, line {line}"
            if "sequence" not in content:
                raise DataError(f'{where} has no "sequence": a line is {{"sequence": [0.5, 1, ...], "label": "a"}}')
            sequences.append(as_numbers(content["sequence"], where, features))
            features = sequences[-1].shape[1]
            if self.labelled:
                labels.append(as_label(content.get("label"), where))
            if len(sequences) == ROWS:
                yield Batch(first, sequences, labels if self.labelled else None)
                first, sequences, labels = number + 1, [], []
        if sequences:
            yield Batch(first, sequences, labels if self.labelled else None)

    def place(self, example: int) -> str:
        """File and line."""
        return next(f"{self.file}, line {line}" for i, (line, _) in enumerate(self._objects()) if i == example)

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and content of each line that is not blank."""
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                where = f"{self.file}, line {number}"
                try:
                    content = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{where} is no JSON: {error.msg} at column {error.colno}") from error
                except UnicodeDecodeError as error:
                    raise not_utf8(where, error, line) from error
                if not isinstance(content, dict):
                    raise DataError(f'{where} is no JSON object: a line is {{"sequence": [0.5, 1, ...], "label": "a"}}')
                yield number, content


class Given:
    """Python lists, arrays or columns of a data frame: texts, or sequences of numbers, with labels or without.

    Args:
        sequences: texts, or sequences of numbers.
        labels: of each; strings, numbers or bools.
        name: what they are called in errors.
    """

    def __init__(self, sequences: Any, labels: Any = None, name: str = "the data given") -> None:
        self.name = name
        self._sequences = as_list(sequences, "the sequences")
        if not self._sequences:
            raise DataError("there is no example: give at least one")
        self.labels: list[str] | None = None
        self.values: dict[str, Any] = {}  # the labels as they were given, by name
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
        for i, value in enumerate(values):
            plain = value.strip() if isinstance(value, str) else value
            if not isinstance(value, Hashable) or value not in names:
                name = as_label(value, self.place(i))
                known = self.values.setdefault(name, value)
                if known != value and not (isinstance(known, str) and isinstance(value, str)):
                    raise DataError(
                        f"{self.place(i)}: the label {value!r} looks like another one, {known!r}: give all labels in "
                        f"one type"
                    )
                if known != value:  # the same but for the spaces around it
                    self.values[name] = plain
                names[value] = name
        return [names[value] for value in values]


def as_list(values: Any, what: str) -> list[Any]:
    """A sequence, array, tensor or column as a list of Python's own values.

    Raises:
        DataError: it is no sequence, or a single text.
    """
    if isinstance(values, str | bytes):
        raise DataError(f"{what} must be a list, not a single text: put it in brackets, [{_short(str(values))}]")
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


def require_unicode(text: str, where: str) -> None:
    """Raise unless a text can be written as UTF-8: a lone surrogate, half of a character, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} holds {text[error.start]!r}, a lone surrogate, which is no character") from error


def as_numbers(sequence: Any, where: str, features: int | None) -> Numbers:
    """A JSON value as (T, F), checked number by number."""
    if not isinstance(sequence, list) or not sequence:
        raise DataError(f"{where}: the sequence must be a list with at least one number, not {_short(sequence)}")
    rows = sequence if isinstance(sequence[0], list) else [[value] for value in sequence]
    width = len(rows[0]) if features is None else features
    for step, row in enumerate(rows):
        if not isinstance(row, list):
            raise DataError(f"{where}: sequence[{step}] is {_short(row)} where a list of {width} numbers is needed")
        if len(row) != width or not width:
            raise DataError(
                f"{where}: step {step} of the sequence has {len(row)} numbers where {width or 1} are needed"
            )
        for value in row:
            if isinstance(value, bool) or not isinstance(value, int | float) or not _fits(value):
                raise DataError(f"{where}: step {step} of the sequence holds {_short(value)}, no finite number")
    return np.array(rows, dtype=np.float64)


def as_label(value: Any, where: str) -> str:
    """A JSON value as the name of a class."""
    if isinstance(value, str) and value.strip():
        require_unicode(value, where)
        return value.strip()
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    raise DataError(f"{where}: the label must be a text or a number, not {_short(value)}")


def _fits(value: float) -> bool:
    return abs(value) < LARGEST  # not true of NaN either


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
