"""A table whose times stand in several columns, a year and a month for instance, as one with a column of times."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from elman.tasks.files.tables import Table, as_strings, has_strings
from elman.tasks.series.times import NUMBER, readings

WHOLE = (
    *("time", "date", "datetime", "timestamp", "ds", "t"),
    *("시간", "시각", "일시", "날짜", "일자", "기준일", "년월", "연월"),
)
PARTS = {
    "year": ("year", "연도", "년도", "년", "yyyy"),
    "quarter": ("quarter", "분기", "qtr"),
    "month": ("month", "월", "mm"),
    "day": ("day", "일", "dd"),
}
WAYS = (("year", "month", "day"), ("year", "month"), ("year", "quarter"))


class DatedTable:
    """A table with one more column, its first, made of the columns of the years and of what is in them.

    Args:
        table: the file.
        parts: the columns, that of the years first.
        quarters: whether the second holds quarters.
    """

    def __init__(self, table: Table, parts: Sequence[str], quarters: bool) -> None:
        self._table, self._parts, self._quarters = table, list(parts), quarters
        self.file: Path = table.file
        self.time = "-".join(parts)
        self.columns = [self.time, *(name for name in table.columns if name not in parts)]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns of some rows at a time."""
        plain = [name for name in columns if name != self.time]
        if len(plain) == len(columns):
            yield from self._table.batches(columns)
            return
        for first, rows in self._table.batches([*self._parts, *plain]):
            texts = [as_strings(self._table, rows[name]).str.strip_chars() for name in self._parts]
            whole = [text.str.replace(r"^(\d+)\.0$", "${1}") for text in texts]
            if self._quarters:
                times = whole[0] + "Q" + whole[1]
            else:
                times = whole[0]
                for part in whole[1:]:
                    times = times + "-" + part.str.zfill(2)
            yield first, rows.with_columns(times.alias(self.time)).select(columns)

    def place(self, row: int) -> str:
        """Where a row is."""
        return self._table.place(row)


def dated(table: Table) -> Table | DatedTable:
    """The table with a column of times where it has a year and a month, or a quarter, and no column of whole times."""
    made = joined(table)
    return table if made is table or whole_time(table) is not None else made


def joined(table: Table) -> Table | DatedTable:
    """The table with a column of times made of its parts, where it has them, whatever stands beside them."""
    parts = time_parts(table)
    return DatedTable(table, list(parts.values()), "quarter" in parts) if parts else table


def time_parts(table: Table) -> dict[str, str]:
    """The columns that make a time together, by what they hold; none where one is missing."""
    found = {}
    for part, names in PARTS.items():
        columns = [name for name in table.columns if name.strip().lower() in names]
        if len(columns) == 1:
            found[part] = columns[0]
    way = next((way for way in WAYS if all(part in found for part in way)), ())
    return {part: found[part] for part in way}


def whole_time(table: Table) -> str | None:
    """The column with a usual name of times that holds dates: one in each row, no two alike, that can be read in one
    way. Hours of a day or numbers are no whole times, nor is the date of a report in all rows."""
    names = [column for name in WHOLE for column in table.columns if column.strip().lower() == name]
    if not names:
        return None
    rows = pl.concat([rows for _, rows in table.batches(names)] or [pl.DataFrame(schema=names)])
    return next((name for name in names if has_strings(rows[name]) and _are_whole(rows[name])), None)


def _are_whole(times: pl.Series) -> bool:
    ways = readings(times)
    if len(ways) != 1 or ways[0].form == NUMBER or times.null_count():
        return False
    read = ways[0].times(times)
    return read.null_count() == 0 and read.n_unique() == len(read)
