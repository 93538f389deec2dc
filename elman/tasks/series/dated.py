"""A table whose times stand in several columns, a year and a month for instance, as one with a column of times."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from elman.tasks.files.tables import Table, as_strings, has_strings
from elman.tasks.series.times import NUMBER, SURE, doubtful, readings

TIMES = (
    *("time", "date", "datetime", "timestamp", "year-month", "year_month", "yearmonth"),
    *("month", "year", "day", "week", "hour", "ds", "t"),
    *("시간", "시각", "일시", "날짜", "일자", "기준일", "년월", "연월", "연도", "년도"),
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
        self.table, self._parts, self._quarters = table, list(parts), quarters
        self.file: Path = table.file
        self.time = "-".join(parts)
        self.columns = [self.time, *(name for name in table.columns if name not in (self.time, *parts))]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns of some rows at a time."""
        plain = [name for name in columns if name != self.time]
        if len(plain) == len(columns):
            yield from self.table.batches(columns)
            return
        for first, rows in self.table.batches([*self._parts, *plain]):
            texts = [as_strings(self.table, rows[name]).str.strip_chars() for name in self._parts]
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
        return self.table.place(row)


def dated(table: Table, named: str | None = None) -> tuple[Table, str | None]:
    """The table and its column of times: one of whole times, or one that is made of a year and a month, or a quarter.
    None where its usual name or its place must tell.

    Args:
        table: the file.
        named: the column of times, if the user names it: one of the file, or the one that is made.
    """
    made = joined(table)
    if named is not None:
        return (table if named in table.columns or named not in made.columns else made), named
    if made is table and len(usual_times(table)) < 2:
        return table, None
    whole = whole_time(table)
    return (made, made.time) if whole is None and isinstance(made, DatedTable) else (table, whole)


def joined(table: Table) -> Table | DatedTable:
    """The table with a column of times made of its parts, where it has them, whatever stands beside them."""
    parts = time_parts(table)
    return DatedTable(table, list(parts.values()), "quarter" in parts) if parts else table


def time_parts(table: Table) -> dict[str, str]:
    """The columns that make a time together, by what they hold; none where one is missing."""
    found = _parts(table)
    way = next((way for way in WAYS if all(part in found for part in way)), ())
    return {part: found[part] for part in way}


def repeating(table: Table) -> list[str]:
    """The columns that say no more than a whole time does: those that make one together, and a quarter beside them."""
    table = table.table if isinstance(table, DatedTable) else table
    way = time_parts(table)
    return [name for part, name in _parts(table).items() if part in way or (way and part == "quarter")]


def usual_times(table: Table) -> list[str]:
    """The columns with a usual name of times, the most usual first."""
    return [column for name in TIMES for column in table.columns if column.strip().lower() == name]


def whole_time(table: Table) -> str | None:
    """The column with a usual name of times that holds dates: one in each row, no two alike, that can be read in one
    way. Hours of a day or numbers are no whole times, nor is the date of a report in all rows, nor are few digits,
    2000.01 for instance, of other years than those beside them."""
    names, year = usual_times(table), _parts(table).get("year")
    if not names:
        return None
    columns = [name for name in table.columns if name in (*names, year)]
    rows = pl.concat([rows for _, rows in table.batches(columns)] or [pl.DataFrame(schema=columns)])
    years = as_strings(table, rows[year]).cast(pl.Float64, strict=False) if year else None
    return next((name for name in names if has_strings(rows[name]) and _are_whole(rows[name], years)), None)


def _parts(table: Table) -> dict[str, str]:
    """The columns with a usual name of a part of a time, by what they hold; not where two have one."""
    found = {}
    for part, names in PARTS.items():
        columns = [name for name in table.columns if name.strip().lower() in names]
        if len(columns) == 1:
            found[part] = columns[0]
    return found


def _are_whole(times: pl.Series, years: pl.Series | None) -> bool:
    ways = readings(times)
    if len(ways) != 1 or ways[0].form == NUMBER or times.null_count():
        return False
    read = ways[0].times(times)
    if read.null_count() or read.n_unique() < len(read):
        return False
    if years is None or not doubtful(ways[0].form) or len(ways[0].form) >= SURE:
        return True
    return bool((read.cast(pl.Datetime("us")).dt.year() == years).fill_null(False).all())
