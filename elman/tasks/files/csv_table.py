"""A CSV file, read by Python's csv module in its strict mode: a row is read as it stands, or its line is said.

Faster readers lose rows: where one column of several was asked for, a lone double quote in another one made Polars skip
all rows up to the next. Here each row passes through one parser and is counted; only the columns go on to Polars.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.encodings import first_not_utf8

Rows = npt.NDArray[np.int64]

SEPARATORS = "\t;|,"  # of those that fit equally well the first is taken: a comma stands in texts and numbers too
HEAD = 100  # rows that decide which one it is
LONGEST = 10_000_000  # characters of one value: more is a quote that was never closed
PIECE = 1 << 26  # characters in memory at a time


class CsvTable:
    """A CSV file with a header; every value is a string here, an empty one too.

    The separator is the one of tab, semicolon, bar and comma by which the first rows have as many values as the header;
    a comma only where no other does.
    Lines end with LF, CR LF or CR. A row with fewer values than the header is filled up with empty ones.

    Args:
        file: the file, in UTF-8.
        rows: how many are in memory at a time.

    Raises:
        DataError: the header cannot be read, or two separators fit.
    """

    def __init__(self, file: Path, rows: int) -> None:
        self.file, self.rows = file, rows
        self.blank: list[int] = []  # lines without a value, as far as batches has come
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # of the whole process; it is never lowered
        try:
            self.separator = self._separator()
            with self._open() as stream:
                self.columns = next(csv.reader(stream, delimiter=self.separator, strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._explain(error) from error
        if any("\0" in name for name in self.columns):
            raise DataError(f"{file}, line 1 holds NUL characters: if the file is in UTF-16, save it as UTF-8")

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns as strings."""
        pick = itemgetter(*(self.columns.index(name) for name in columns))
        piece: list[Any] = []
        first = size = 0
        self.blank = []
        try:
            for _, row, length in self._read(self.blank):
                piece.append(pick(row))
                size += length
                if len(piece) == self.rows or size > PIECE:
                    yield first, _frame(columns, piece)
                    first, size, piece = first + len(piece), 0, []
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._explain(error) from error
        if piece:
            yield first, _frame(columns, piece)

    def place(self, row: int) -> str:
        """File and line of a row; a row that spans lines is named by its first one."""
        line = next(islice(self._read([]), row, None))[0]
        return f"{self.file}, line {line}"

    def _open(self) -> TextIO:
        return self.file.open(encoding="utf-8-sig", newline="")  # the line ends inside a value stay as they are

    def _separator(self) -> str:
        """The one that fits best. Raises where the header could be split in two ways, and the rows do not say which."""
        fits = {separator: self._fits(separator) for separator in SEPARATORS}
        best = max(SEPARATORS, key=fits.__getitem__)
        splits, share, _, promised = fits[best]
        if not splits:
            return ","
        for other in SEPARATORS:
            as_good = share == 0 or (fits[other] == fits[best] and other != ",")
            if other != best and fits[other][0] and as_good and not promised:
                raise DataError(
                    f"{self.file}, line 1 can be split at {best!r} and at {other!r}, and the rows after it do not say "
                    "which it is: put a name with one of them in it between double quotes"
                )
        return best

    def _fits(self, separator: str) -> tuple[bool, float, int, bool]:
        """How well a separator fits the first rows: whether it splits the header, how many rows then have as many
        values, into how many it splits it, and whether it is the one that the file's name promises."""
        with self._open() as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            rows: list[list[str]] = []
            broken = False
            try:
                for row in islice(reader, HEAD + 1):
                    rows.append(row)
            except csv.Error:
                broken = True
        if not rows:
            return False, 0.0, 0, False
        header, *others = rows
        alike = [len(row) == len(header) for row in others if row] + [False] * broken
        share = sum(alike) / len(alike) if alike else 0.0
        return len(header) > 1, share, len(header), separator == "\t" and self.file.suffix.lower() == ".tsv"

    def _read(self, blank: list[int]) -> Iterator[tuple[int, list[str], int]]:
        """Each row that is not blank: its first line, its values, and its length.

        Blank is a line with nothing but separators; its number goes into `blank`. What the csv module complains of
        comes out as csv.Error.
        """
        last, length = "", 0

        def lines(stream: TextIO) -> Iterator[str]:
            nonlocal last, length
            for last in stream:
                length += len(last)
                yield last

        with self._open() as stream:
            reader = csv.reader(lines(stream), delimiter=self.separator, strict=True)
            next(reader, None)
            width, before = len(self.columns), reader.line_num
            length = 0
            for row in reader:
                first, before = before + 1, reader.line_num
                if len(row) != width or not row[0]:
                    if not any(row) and '"' not in last:
                        blank.append(first)
                        continue
                    if len(row) > width:
                        raise DataError(
                            f"{self.file}, line {first} has {len(row)} values where the header has {width}: put a "
                            f"value with a {self.separator!r} in it between double quotes"
                        )
                    row += [""] * (width - len(row))
                yield first, row, length
                length = 0

    def _explain(self, error: UnicodeDecodeError | csv.Error) -> DataError:
        """What is wrong, with its line."""
        if isinstance(error, UnicodeDecodeError):
            return first_not_utf8(self.file) or DataError(f"{self.file} changed while it was read")
        line = 1
        with self._open() as stream:
            reader = csv.reader(stream, delimiter=getattr(self, "separator", ","), strict=True)
            try:
                for _ in reader:
                    line = reader.line_num + 1
            except (UnicodeDecodeError, csv.Error):
                pass
        where = f"{self.file}, line {line}"
        if "field limit" in str(error):
            return DataError(f"{where}: a value is longer than {LONGEST:,} characters: is a double quote left open?")
        return DataError(f"{where} is no CSV ({error}): write a double quote inside a value twice")


def _frame(columns: Sequence[str], rows: list[Any]) -> pl.DataFrame:
    values = [rows] if len(columns) == 1 else zip(*rows, strict=True)
    return pl.DataFrame(dict(zip(columns, values, strict=True)), schema=dict.fromkeys(columns, pl.String))
