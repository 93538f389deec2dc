"""Several series in one file, a row for each of them at each time, as a table with a column for each series."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.tables import Table, as_strings, choose_column
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.times import readings

MOST = 200  # series: the model forecasts all of them at once


class SeveralTable:
    """A table with a column for each series, in the order in which they occur, its rows by time. It is read as a whole.

    Args:
        table: the file.
        series: the column that says whose value a row holds.
        time: the column of times, if it is not obvious.
        value: the column of values, if there are several of numbers.

    Raises:
        DataError: there is no such column, several of numbers, more than 200 series, or two rows for the same.
    """

    def __init__(self, table: Table, series: str, time: str | None, value: str | None) -> None:
        choose_column(table, "--series-column", series)
        chosen = choose_columns(table, time, [value] if value else None)
        values = [name for name in chosen.values if name != series]
        if series == chosen.time or len(values) != 1:
            names = ", ".join(values)
            raise DataError(
                f"{table.file} holds several series by column {series!r}: name the one column of their values by "
                f"--column{f', one of {names}' if values else ''}"
            )
        self.file: Path = table.file
        self.time, self.value = chosen.time, values[0]
        frames = [rows for _, rows in table.batches([self.time, series, self.value])]
        rows = pl.concat(frames) if frames else pl.DataFrame(schema=[self.time, series, self.value])
        names_ = as_strings(table, rows[series]).str.strip_chars().fill_null("")
        rows = rows.with_columns(names_.alias(series))
        self.names = rows[series].unique(maintain_order=True).to_list()
        if "" in self.names:
            raise DataError(f"{table.file}: column {series} is empty in some rows, where it must name a series")
        if len(self.names) > MOST:
            raise DataError(
                f"{table.file} has {len(self.names):,} series in column {series}: at most {MOST} are forecast together"
            )
        twice = rows.filter(pl.struct(self.time, series).is_duplicated())
        if len(twice):
            raise DataError(
                f"{table.file} has two rows of {twice[series][0]} at {twice[self.time][0]}: give each one once"
            )
        wide = rows.pivot(on=series, index=self.time, values=self.value, maintain_order=True)
        ways = readings(wide[self.time])
        if ways:
            wide = wide.with_columns(ways[0].times(wide[self.time]).alias("")).sort("", maintain_order=True).drop("")
        self._rows = wide
        self.columns = [self.time, *self.names]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns, all rows at once."""
        yield 0, self._rows.select(columns)

    def place(self, row: int) -> str:
        """The time of a row."""
        return f"{self.file}, at {self._rows[self.time][row]}"
