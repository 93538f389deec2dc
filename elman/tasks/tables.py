"""CSV and Parquet files, read by Polars in batches; what cannot be read is said with its file, line and column."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from elman.tasks.errors import DataError, not_utf8

ROWS = 100_000  # in memory at a time
CSV, PARQUET, JSON_LINES = (".csv", ".tsv"), (".parquet", ".pq"), (".jsonl", ".ndjson")
SEPARATORS = ",;\t|"


class Table(Protocol):
    """A file with named columns, read in batches."""

    @property
    def file(self) -> Path: ...

    @property
    def columns(self) -> list[str]: ...

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns of some rows at a time, with the number of the first row; a blank line is a row of nulls."""

    def place(self, row: int) -> str:
        """Where a row is, as a person would look for it."""


def open_table(file: Path) -> Table:
    """A CSV or Parquet file, told apart by its name.

    Raises:
        DataError: the file is missing, empty or of another kind, or its header cannot be read.
    """
    require_file(file)
    if file.suffix.lower() in CSV:
        return CsvTable(file)
    if file.suffix.lower() in PARQUET:
        return ParquetTable(file)
    raise DataError(f"{file} must be a CSV or a Parquet file, with a name that ends in {', '.join(CSV + PARQUET)}")


def require_file(file: Path) -> None:
    """Raise unless there is a file with something in it."""
    if not file.exists():
        raise DataError(f"{file} does not exist")
    if not file.is_file():
        raise DataError(f"{file} is not a file")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty")


class CsvTable:
    """A CSV file with a header; every value is a string here, and an empty one is null.

    The separator is the one of comma, semicolon, tab and bar that the header has most often.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with file.open("rb") as raw:
            first = raw.readline()
        try:
            header = first.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(f"{file}, line 1", error) from error
        self.separator = max(SEPARATORS, key=header.count)
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            self.columns = next(csv.reader(stream, delimiter=self.separator), [])
        _check_columns(file, self.columns)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns as strings."""
        table = pl.scan_csv(self.file, separator=self.separator, infer_schema=False, glob=False)
        first = 0
        try:
            for batch in table.select(columns).collect_batches(chunk_size=ROWS, maintain_order=True):
                yield first, batch
                first += len(batch)
        except pl.exceptions.PolarsError as error:
            self._explain()
            raise DataError(f"{self.file} cannot be read as CSV: {str(error).splitlines()[0]}") from error

    def place(self, row: int) -> str:
        """File and line of a row; a row that spans lines is named by its first one."""
        with self.file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.separator)
            next(reader)
            last = reader.line_num
            for number, _ in enumerate(reader):
                if number == row:
                    break
                last = reader.line_num
        return f"{self.file}, line {last + 1}"

    def _explain(self) -> None:
        """Raise for the first line that is no CSV."""
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    raise not_utf8(f"{self.file}, line {number}, byte {error.start + 1}", error) from error
        with self.file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.separator, strict=True)
            last = 0
            try:
                for values in reader:
                    if len(values) > len(self.columns):
                        raise DataError(
                            f"{self.file}, line {last + 1} has {len(values)} values where the header has "
                            f"{len(self.columns)}: put a value with a {self.separator!r} in it between double quotes"
                        )
                    last = reader.line_num
            except csv.Error as error:
                raise DataError(
                    f"{self.file}, line {last + 1} is no CSV ({error}): write a double quote inside a value twice"
                ) from error


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
        raise DataError(f"{table.file} has no column {wanted!r} for {option}: it has {', '.join(table.columns)}")
    return wanted


def _check_columns(file: Path, columns: list[str]) -> None:
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{file} has two columns named {name!r}: the first line must give each its own name")
    if not any(columns):
        raise DataError(f"{file} has no header: the first line must name the columns")
