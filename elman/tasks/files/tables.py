"""Files with named columns, read in batches; what cannot be read is said with its file, line and column."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.csv_table import CsvTable
from elman.tasks.files.places import require_file

ROWS = 100_000  # in memory at a time
SHOWN = 12  # names of columns in a message
CSV, PARQUET, JSON_LINES = (".csv", ".tsv"), (".parquet", ".pq"), (".jsonl", ".ndjson")


class Table(Protocol):
    """A file with named columns, read in batches."""

    @property
    def file(self) -> Path: ...

    @property
    def columns(self) -> list[str]: ...

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns of some rows at a time, with the number of the first row; blank lines are no rows."""

    def place(self, row: int) -> str:
        """Where a row is, as a person would look for it."""


def open_table(file: Path) -> Table:
    """A CSV or Parquet file, told apart by its name.

    Raises:
        DataError: the file is missing, empty or of another kind, or its header cannot be read.
    """
    require_file(file)
    if file.suffix.lower() in CSV:
        table = CsvTable(file, ROWS)
        _check_columns(file, table.columns)
        return table
    if file.suffix.lower() in PARQUET:
        return ParquetTable(file)
    raise DataError(f"{file} must be a CSV or a Parquet file, with a name that ends in {', '.join(CSV + PARQUET)}")


class ParquetTable:
    """A Parquet file, its values of the types it holds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._table = pl.scan_parquet(file, glob=False)
            self.columns = self._table.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{file} is no Parquet file ({str(error).splitlines()[0]})") from error
        _check_columns(file, self.columns)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns as they are."""
        first = 0
        try:
            for batch in self._table.select(columns).collect_batches(chunk_size=ROWS, maintain_order=True):
                yield first, batch
                first += len(batch)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{self.file} is a broken Parquet file ({str(error).splitlines()[0]})") from error

    def place(self, row: int) -> str:
        """File and row, counted from 1."""
        return f"{self.file}, row {row + 1}"


def choose_column(table: Table, option: str, wanted: str | None) -> str | None:
    """The column that the user named, checked."""
    if wanted is not None and wanted not in table.columns:
        raise DataError(f"{table.file} has no column {wanted!r} for {option}: it has {listed(table.columns)}")
    return wanted


def listed(names: Sequence[str]) -> str:
    """Names in a row, the first dozen of them.

    Example:
        >>> listed(["a", "b"]), listed([f"x{i}" for i in range(500)])[-16:]
        ('a, b', 'x11 and 488 more')
    """
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def is_index(name: str) -> bool:
    """Whether this is what pandas calls a column that has no name, which numbers the rows as a rule."""
    return not name.strip() or re.fullmatch(r"Unnamed: \d+", name) is not None


def has_strings(column: pl.Series) -> bool:
    """Whether a column's values can be written as strings: lists, bytes and the like cannot."""
    return not column.dtype.is_nested() and column.dtype not in (pl.Binary, pl.Object, pl.Duration)


def as_strings(table: Table, column: pl.Series) -> pl.Series:
    """A column as strings.

    Raises:
        DataError: it holds lists, bytes or the like.
    """
    if not has_strings(column):
        raise DataError(f"{table.file}, column {column.name} holds {column.dtype} where text or numbers are needed")
    return column.cast(pl.String)


def _check_columns(file: Path, columns: list[str]) -> None:
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{file} has two columns named {name!r}: the first line must give each its own name")
    if not any(columns):
        raise DataError(f"{file} has no header: the first line must name the columns")
