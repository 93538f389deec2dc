"""Examples to classify, read in batches from a file: CSV, Parquet, or JSON lines."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.encodings import not_utf8
from elman.tasks.files.places import require_file
from elman.tasks.files.tables import JSON_LINES, ROWS, Table, as_strings, choose_column, is_index, listed, open_table
from elman.tasks.labels.values import Numbers, as_label, as_numbers, looks, shortened

TEXTS = (
    *("text", "sentence", "review", "message", "name", "word", "title", "content", "document", "tweet", "sequence"),
    *("문장", "텍스트", "글", "내용", "본문", "리뷰", "댓글", "제목", "이름", "단어"),
)
LABELS = (
    *("label", "class", "category", "target", "sentiment", "emotion", "nationality", "language"),
    *("라벨", "레이블", "분류", "범주", "클래스", "감정", "감성", "국적", "언어", "정답"),
)
LINE = '{"sequence": [0.5, 1, ...], "label": "a"}'  # of a file of JSON lines


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

    @property
    def blank(self) -> Sequence[int]:
        """The lines that hold nothing and are left out, as far as batches has come."""

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
        DataError: the file cannot be read, its columns cannot be guessed, or it has none and one is named.
    """
    require_file(file)
    if file.suffix.lower() in JSON_LINES:
        for option, column in (("--text-column", text_column), ("--label-column", label_column)):
            if column is not None:
                raise DataError(f"{file} holds JSON lines, which have no columns: {option} is for CSV and Parquet")
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
        numbers = "" if text else f"; sequences of numbers come as JSON lines, {LINE}"
        raise DataError(
            f"which columns of {table.file} are meant is not obvious from its first line, {listed(table.columns)}: "
            f"name them with {missing}{numbers}"
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

    @property
    def blank(self) -> Sequence[int]:
        """Of the table, if it is of lines."""
        return getattr(self.table, "blank", ())

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
        self.blank: list[int] = []
        first = next(self._objects([]), None)
        if first is None:
            raise DataError(f"{file} holds no example")
        self.labelled = bool(labelled) if labelled is not None else "label" in first[1]

    def batches(self) -> Iterator[Batch]:
        """The sequences as (T, F), F 1 for plain numbers."""
        sequences: list[Numbers] = []
        labels: list[str] = []
        values: dict[str, Any] = {}  # the labels, by how they are written
        first = 0
        features: int | None = None
        self.blank = []
        for number, (line, content) in enumerate(self._objects(self.blank)):
            where = f"{self.file}, line {line}"
            if "sequence" not in content:
                raise DataError(f'{where} has no "sequence": a line is {LINE}; texts come as CSV or Parquet')
            sequences.append(as_numbers(content["sequence"], where, features))
            features = sequences[-1].shape[1]
            if self.labelled:
                value = content.get("label")
                labels.append(as_label(value, where))
                for look in looks(value, labels[-1]):
                    known = values.setdefault(look, value)
                    if isinstance(known, str) != isinstance(value, str):
                        raise DataError(
                            f"{where}: the label {shortened(value)} looks like another one, {shortened(known)}: give "
                            f"all labels in one type"
                        )
            if len(sequences) == ROWS:
                yield Batch(first, sequences, labels if self.labelled else None)
                first, sequences, labels = number + 1, [], []
        if sequences:
            yield Batch(first, sequences, labels if self.labelled else None)

    def place(self, example: int) -> str:
        """File and line."""
        return next(f"{self.file}, line {line}" for i, (line, _) in enumerate(self._objects([])) if i == example)

    def _objects(self, blank: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and content of each line that is not blank; the numbers of the others go into `blank`."""
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    blank.append(number)
                    continue
                where = f"{self.file}, line {number}"
                try:
                    content = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"{where} is no JSON: {error.msg} at column {error.colno}; a line is {LINE}"
                    ) from error
                except UnicodeDecodeError as error:
                    raise not_utf8(where, error, line) from error
                if not isinstance(content, dict):
                    raise DataError(f"{where} is no JSON object: a line is {LINE}")
                yield number, content
