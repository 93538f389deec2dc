"""A table whose times stand in several columns, a date and an hour for instance, as one with a column of times."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import polars as pl

from elman.tasks.files.tables import Table, has_strings
from elman.tasks.series.time_parts import as_clock, digits_of, parts_among, usual_times, written_parts
from elman.tasks.series.times import MOST, NUMBER, SURE, doubtful, readings

WAYS = (
    ("year", "month", "day", "hour", "minute"),
    ("year", "month", "day", "hour"),
    ("date", "hour", "minute"),
    ("date", "hour"),
    ("year", "month", "day"),
    ("year", "day of the year"),
    ("year", "week"),
    ("year", "month"),
    ("year", "quarter"),
)
WITHIN_YEAR = ("week", "day of the year")
CLOCK = r"^(([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?|24:00(:00(\.0+)?)?)$"
WHOLE_HOUR = r"^(\d\d):00$"
MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?$"
"""What a program writes behind a date that it holds as a moment."""


class DatedTable:
    """A table with one more column, its first, made of the columns of the years or dates and of what is in them.

    Args:
        table: the file.
        parts: the columns by what they hold, as `WAYS` has them.
    """

    def __init__(self, table: Table, parts: Mapping[str, str]) -> None:
        self.table, self.parts = table, dict(parts)
        self.file: Path = table.file
        usual = "-".join(parts.values())
        # a run knows its time by its name alone
        self.time = "+".join(parts.values()) if usual in table.columns else usual
        own = {usual, *parts.values()}
        self.columns = [self.time, *(name for name in table.columns if name not in own)]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """These columns of some rows at a time."""
        plain = [name for name in columns if name != self.time]
        if len(plain) == len(columns):
            yield from self.table.batches(columns)
            return
        for first, rows in self.table.batches([*self.parts.values(), *plain]):
            yield first, rows.with_columns(self._times(rows).alias(self.time)).select(columns)

    def _times(self, rows: pl.DataFrame) -> pl.Series:
        texts = written_parts(self.table, rows, self.parts)
        if "date" in texts:
            times = texts["date"].str.replace(MIDNIGHT, "").str.replace(r"^(\d{4})(\d\d)(\d\d)$", "${1}-${2}-${3}")
        else:
            times = texts["year"]
        if "quarter" in texts:
            return times + "Q" + texts["quarter"]
        if "week" in texts:
            return times + "-W" + texts["week"].str.zfill(2)
        for part, digits in (("month", 2), ("day", 2), ("day of the year", 3)):
            if part in texts:
                times = times + "-" + texts[part].str.zfill(digits)
        if "hour" not in texts:
            return times
        clock = as_clock(texts["hour"], self._digits)
        if "minute" in texts:
            clock = clock.str.extract(WHOLE_HOUR) + ":" + texts["minute"].str.zfill(2)
        return times + " " + clock

    @cached_property
    def _digits(self) -> int:
        """As `as_clock` takes them, for the whole column: in digits, 30 may be half past midnight."""
        return digits_of(_hours(self.table, self.parts["hour"]))

    def place(self, row: int) -> str:
        """Where a row is."""
        return self.table.place(row)


def dated(table: Table, named: str | None = None, series: str | None = None) -> tuple[Table, str | None]:
    """The table and its column of times: one of whole times, or one that is made of several columns, as `WAYS` has
    them. None where its usual name or its place must tell.

    Args:
        table: the file.
        named: the column of times, if the user names it: one of the file, or one that is made.
        series: the column that says which series a row belongs to, if there is one.
    """
    if named is not None:
        made = [each for each in (DatedTable(table, way) for way in _ways(table)) if each.time == named]
        return (made[0] if made and named not in table.columns else table), named
    parts = _time_parts(table, series)
    if not parts and len(usual_times(table)) < 2:
        return table, None
    whole = whole_time(table)
    if whole is not None or not parts:
        return table, whole
    one = DatedTable(table, parts)
    return one, one.time


def _time_parts(table: Table, series: str | None) -> dict[str, str]:
    """The columns that make a time together, by what they hold; none where one is missing."""
    return next((way for way in _ways(table) if _is_way(table, way, series)), {})


def _ways(table: Table) -> list[dict[str, str]]:
    """The columns that may make a time together, by their names, the longest way first."""
    found = parts_among(table.columns)
    return [{part: found[part] for part in way} for way in WAYS if all(part in found for part in way)]


def _is_way(table: Table, way: Mapping[str, str], series: str | None) -> bool:
    if "hour" in way:
        return _tells_apart(table, way, series)
    finest = next((part for part in WITHIN_YEAR if part in way), None)
    return finest is None or _counts_in_years(table, way[finest], series)


def _counts_in_years(table: Table, name: str, series: str | None) -> bool:
    """Whether a column holds weeks or days of the years, which tell rows of the same year and month apart. Beside years
    or months that differ it holds something of each, the day of the first bloom or how many weeks it has."""
    found = parts_among(table.columns)
    coarse = [found[part] for part in ("year", "quarter", "month") if part in found]
    coarse += [series] if series is not None and series in table.columns else []
    rows = _whole(table, [*coarse, name])
    if not has_strings(rows[name]):
        return False
    counts = written_parts(table, rows, {"": name})[""].drop_nulls()
    are_counts = len(counts) and counts.str.contains(r"^\d{1,3}$").sum() >= MOST * len(counts)
    return bool(are_counts) and rows.select(coarse).n_unique() < rows.n_unique()


def _tells_apart(table: Table, way: Mapping[str, str], series: str | None) -> bool:
    """Whether a column holds hours of a day, which tell rows of the same day apart. Beside days that differ it holds
    something of each day, when the sun rises for instance; so do minutes beside hours that differ, unless all are the
    same."""
    days = [name for part, name in way.items() if part not in ("hour", "minute")]
    days += [series] if series is not None and series in table.columns else []
    columns = [*days, way["hour"]]
    minutes = [way["minute"]] if "minute" in way else []
    rows = _whole(table, columns + minutes)
    if not all(has_strings(rows[name]) for name in columns):
        return False
    hours = written_parts(table, rows, {"hour": way["hour"]})["hour"].drop_nulls()
    clock = as_clock(hours, digits_of(hours))
    are_hours = len(hours) and clock.str.contains(CLOCK).sum() >= MOST * len(hours)
    if minutes and not clock.str.contains(WHOLE_HOUR).all():
        return False
    by_hour = rows.select(columns).n_unique()
    if minutes and rows.select(minutes).n_unique() > 1 and by_hour == rows.n_unique():
        return False
    return bool(are_hours) and rows.select(days).n_unique() < rows.n_unique()


def _whole(table: Table, columns: Sequence[str]) -> pl.DataFrame:
    """All rows of these columns."""
    return pl.concat([rows for _, rows in table.batches(columns)] or [pl.DataFrame(schema=columns)])


def _hours(table: Table, name: str) -> pl.Series:
    return written_parts(table, _whole(table, [name]), {"hour": name})["hour"]


def whole_time(table: Table) -> str | None:
    """The column with a usual name of times that holds dates: one in each row, no two alike, that can be read in one
    way. Hours of a day or numbers are no whole times, nor is the date of a report in all rows, nor are few digits,
    2000.01 for instance, of other years than those beside them, which may be one off as fiscal years are."""
    names, year = usual_times(table), parts_among(table.columns).get("year")
    if not names:
        return None
    columns = [name for name in table.columns if name in (*names, year)]
    rows = _whole(table, columns)
    years = rows[year].cast(pl.String).cast(pl.Float64, strict=False) if year and has_strings(rows[year]) else None
    return next((name for name in names if has_strings(rows[name]) and _are_whole(rows[name], years)), None)


def _are_whole(times: pl.Series, years: pl.Series | None) -> bool:
    ways = readings(times)
    if len(ways) != 1 or ways[0].form == NUMBER or times.null_count():
        return False
    read = ways[0].times(times)
    if read.null_count() or read.n_unique() < len(read):
        return False
    if years is None or not doubtful(ways[0].form) or len(ways[0].form) >= SURE:
        return True
    off = read.cast(pl.Datetime("us")).dt.year() - years
    return bool(off.is_between(-1, 1).fill_null(False).all())
