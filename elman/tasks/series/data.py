"""A series as arrays in the run folder: read in batches, put on the grid of its step, gaps kept as gaps.

values.npy    the columns on the grid, (n, C) in their own units; a missing value is the last known one
known.npy     which values were there, (n, C)
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError, SettingError
from elman.tasks.files.arrays import ArrayWriter, blocks, open_array
from elman.tasks.files.tables import Table, as_strings, choose_column, is_index
from elman.tasks.series.clock import Clock, find_clock, steps_between
from elman.tasks.series.times import ACCEPTED, FORMS, NUMBER, Reading, readings

Array = npt.NDArray[Any]

TIMES = (
    *("time", "date", "datetime", "timestamp", "month", "year", "day", "week", "hour", "ds", "t"),
    *("시간", "시각", "일시", "날짜", "일자", "기준일", "년월", "연월", "연도", "년도"),
)
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-")
BEGIN = 1_000_000  # rows that decide what the step is
LOOK = 1000  # rows that decide which columns hold numbers
MOST_STRETCH = 20  # times as many steps as rows, beyond which the steps are called irregular


@dataclass(frozen=True)
class Columns:
    """The time column and the columns of numbers.

    Args:
        time: the time column.
        values: the columns to forecast.
        left_out: columns that could not be forecast, for they hold no numbers.
        index: columns that only number the rows, left out too.
        time_format: how the times are written, if the user said so.
    """

    time: str
    values: list[str]
    left_out: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    time_format: str | None = None


@dataclass(frozen=True)
class Read:
    """What was found in a file: its clock, its rows, and what was missing."""

    clock: Clock
    rows: int  # in the file
    steps: int  # on the grid
    gaps: int  # places where rows are missing
    longest_gap: int  # steps
    longest_gap_after: str
    missing: int  # values that were not there, those in gaps included
    skipped: int  # first steps left out, because a column had not begun


def choose_columns(table: Table, time: str | None, values: list[str] | None, time_format: str | None = None) -> Columns:
    """The columns that were named; else the time column by its usual name or as the first, and all that hold numbers.

    A column without a name is the index that pandas writes: it may hold the times, but is forecast only if asked for.

    Raises:
        DataError: there is no such column, none with numbers, or the first line holds values in place of names.
    """
    choose_column(table, "--time-column", time)
    for name in values or []:
        choose_column(table, "--column", name)
        if (values or []).count(name) > 1:
            raise DataError(f"--column {name} is given twice: give each column once")
    _, head = next(iter(table.batches(table.columns)), (0, pl.DataFrame(schema=table.columns)))
    head = head.head(LOOK)
    if time is None:
        usual = [column for name in TIMES for column in table.columns if column.strip().lower() == name]
        time = usual[0] if usual else _first_of_times(table, head)
    if time in (values or []):
        raise DataError(f"column {time!r} of {table.file} is the time: it cannot be forecast as well")
    others = [name for name in table.columns if name != time]
    chosen = values or [name for name in others if not is_index(name) and head.height and _holds_numbers(head[name])]
    if not chosen:
        first = head[others[0]][0] if others and head.height else None
        begins = f": {others[0]} begins with {first!r}{_mend(str(first))}" if first else ""
        raise DataError(f"{table.file} has no column of numbers beside its time column {time!r}{begins}")
    if head.height and _is_row(time, chosen, head):
        raise DataError(
            f"{table.file}, line 1 holds values where the columns' names should be: put a line of names before it, "
            f"such as time,value"
        )
    if values:
        return Columns(time, values, time_format=time_format)
    index = [name for name in others if is_index(name)]
    return Columns(time, chosen, [name for name in others if name not in chosen + index], index, time_format)


def _first_of_times(table: Table, head: pl.DataFrame) -> str:
    """The first column; where that one has no name and numbers the rows, the first that holds dates."""
    first = table.columns[0]
    if not is_index(first) or not head.height:
        return first
    rows = Reading(NUMBER).times(head[first])
    if not (rows == pl.int_range(len(rows), eager=True)).all():
        return first
    dates = (name for name in table.columns[1:] if any(way.form != NUMBER for way in _readings(table, head[name])))
    return next(dates, first)


def _is_row(time: str, values: list[str], head: pl.DataFrame) -> bool:
    """Whether the names are values themselves: the first row of a file without a header."""
    if head[time].dtype != pl.String:
        return False
    ways = readings(head[time])
    a_time = pl.Series([time])
    alike = any(way.times(a_time)[0] is not None for way in ways)
    return alike and all(not is_index(name) and _holds_numbers(pl.Series([name])) for name in values)


def read_series(table: Table, columns: Columns, folder: Path, usual: Reading | None = None) -> Read:
    """Write the arrays of a series, in two passes: rows as they are, then on the grid of the most frequent step.

    Args:
        table: the file.
        columns: which to read.
        folder: for the arrays.
        usual: how times were read before, which decides where two readings fit.

    Raises:
        DataError: a time or a number cannot be read, or the times do not ascend; the message names the line.
    """
    reading = _reading(table, columns, usual)
    raw_times, raw_values = folder / "rows-times.npy", folder / "rows-values.npy"
    last: float | None = None
    with (
        ArrayWriter(raw_times, np.float64 if reading.form == NUMBER else np.int64) as times,
        ArrayWriter(raw_values, np.float64, (len(columns.values),)) as values,
    ):
        for first, rows in table.batches([columns.time, *columns.values]):
            found = _times(table, rows[columns.time], reading, first)
            _check_order(table, rows[columns.time], found, last, first)
            last = found[-1].item()
            times.append(found)
            values.append(np.stack([_numbers(table, rows[name], first) for name in columns.values], axis=1))
    read = _to_grid(table, raw_times, raw_values, reading, folder)
    raw_times.unlink()
    raw_values.unlink()
    return read


class SeriesArrays:
    """The arrays of a run, mapped into memory.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.values = open_array(folder / "values.npy", np.float64, 2)
        self.known = open_array(folder / "known.npy", np.bool_, 2)

    def __len__(self) -> int:
        return len(self.values)


def _reading(table: Table, columns: Columns, usual: Reading | None) -> Reading:
    """How the times are written: as the user says, or as the first rows show."""
    for _, rows in table.batches([columns.time]):
        column = rows[columns.time]
        found = _readings(table, column)
        if columns.time_format is not None:
            return _asked_for(columns.time_format, found)
        if (
            usual is not None
            and not usual.times(column).null_count()
            and not isinstance(column.dtype, pl.Date | pl.Datetime)
        ):
            return usual
        if len(found) > 1:
            ways = " or ".join(f"--time-format {way.form}" for way in found)
            raise DataError(
                f"{table.place(0)}: column {columns.time} begins with {column[0]!r}, and all of it can be read in "
                f"{len(found)} ways: say which one is meant by {ways}"
            )
        if not found:
            value = "empty" if column[0] in (None, "") else f"{column[0]!r}"
            raise DataError(f"{table.place(0)}: column {columns.time} is {value}, no time: a time is {ACCEPTED}")
        return found[0]
    raise DataError(f"{table.file} holds no row")


def _readings(table: Table, column: pl.Series) -> list[Reading]:
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        as_strings(table, column)
    return readings(column)


def _asked_for(form: str, found: list[Reading]) -> Reading:
    """The reading of this form, a name or a format with % signs."""
    if "%" in form:
        return Reading(form)
    known = {name.lower(): name for name in [*FORMS, NUMBER]}
    if form.lower() not in known:
        raise SettingError("time_format", f"number, {', '.join(FORMS)}, or a format such as '%d %b %Y'", form)
    name = known[form.lower()]
    return next((way for way in found if way.form == name), Reading(name))


def _times(table: Table, column: pl.Series, reading: Reading, first: int) -> Array:
    times = reading.times(column)
    if times.null_count():
        place = int(times.is_null().arg_true()[0])
        kind = "number" if reading.form == NUMBER else f"time of the form {reading.form}, as the first one is"
        value = "empty" if column[place] in (None, "") else f"{column[place]!r}"
        raise DataError(f"{table.place(first + place)}: column {column.name} is {value}, no {kind}")
    return times.to_numpy()


def _check_order(table: Table, column: pl.Series, times: Array, last: float | None, first: int) -> None:
    before = np.concatenate([times[:1] - 1 if last is None else [last], times[:-1]])
    if (late := times <= before).any():
        place = int(late.argmax())
        again = "occurs twice" if times[place] == before[place] else "comes after a later one"
        raise DataError(
            f"{table.place(first + place)}: the time {column[place]} {again}: sort the rows by "
            f"{column.name}, each time once"
        )


def _numbers(table: Table, column: pl.Series, first: int) -> Array:
    """A column as float64, NaN where a value is missing."""
    if column.dtype.is_numeric():
        found = column.cast(pl.Float64)
        missing = found.is_null() | found.is_nan().fill_null(False)
    else:
        texts = as_strings(table, column).str.strip_chars()
        missing = texts.is_null() | texts.is_in(MISSING)
        found = texts.cast(pl.Float64, strict=False)
    wrong = ~missing & ~found.is_finite().fill_null(False)
    if wrong.any():
        place = int(wrong.arg_true()[0])
        value = str(column[place])
        raise DataError(f"{table.place(first + place)}: column {column.name} is {value!r}, no number{_mend(value)}")
    return found.set(missing, None).to_numpy().astype(np.float64)


def _mend(value: str) -> str:
    """What to do about something that would be a number without its commas."""
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", value):
        return ": write thousands without a comma, and decimals with a point"
    return ": write decimals with a point" if re.fullmatch(r"-?\d+,\d+", value) else ""


def _holds_numbers(column: pl.Series) -> bool:
    """Whether most of a column's values are numbers: the others will be said as errors."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String:
        return False
    texts = column.str.strip_chars()
    texts = texts.filter(~(texts.is_null() | texts.is_in(MISSING)))
    return len(texts) > 0 and 2 * texts.cast(pl.Float64, strict=False).count() > len(texts)


def _to_grid(table: Table, raw_times: Path, raw_values: Path, reading: Reading, folder: Path) -> Read:
    times, values = (
        open_array(raw_times, np.float64 if reading.form == NUMBER else np.int64),
        open_array(raw_values, np.float64, 2),
    )
    if len(times) < 3:
        raise DataError(f"{table.file} holds {len(times)} row(s): a series needs at least some dozens")
    begun = ~np.isnan(values[:BEGIN])
    first = int(max((np.argmax(column) if column.any() else len(column)) for column in begun.T))
    if first >= len(begun):
        raise DataError(
            f"{table.file}: a column has no value in its first {len(begun):,} rows: leave it out by --column"
        )
    clock = find_clock(times[first : first + BEGIN], reading)
    clock, hops = _hops(times[first:], clock)
    gaps = [(int(at), int(hop) - 1) for at, hop in hops if hop > 1]
    steps, missing = 0, 0
    last = values[first]
    with (
        ArrayWriter(folder / "values.npy", np.float64, (values.shape[1],)) as out,
        ArrayWriter(folder / "known.npy", np.bool_, (values.shape[1],)) as known,
    ):
        where = dict(gaps)
        for rows in blocks(len(values) - first):
            some = values[first + rows.start : first + rows.stop]
            before = np.zeros(len(some), dtype=np.int64)
            for at in range(rows.start, rows.stop) if where else ():
                before[at - rows.start] = where.get(at, 0)
            place = np.arange(len(some)) + np.cumsum(before)
            wide = np.full((int(place[-1]) + 1, values.shape[1]), np.nan)
            wide[place] = some
            there = ~np.isnan(wide)
            filled = _fill(np.vstack([last, wide]))[1:]
            out.append(filled)
            known.append(there)
            last, steps, missing = filled[-1], steps + len(wide), missing + int((~there).sum())
    longest = max(gaps, key=lambda gap: gap[1], default=(0, 0))
    after = clock.at(int(longest[0]) - 1 + sum(size for at, size in gaps if at < longest[0])) if gaps else ""
    return Read(clock, len(times), steps, len(gaps), longest[1], after, missing, first)


def _hops(times: Array, clock: Clock) -> tuple[Clock, list[tuple[int, int]]]:
    """Rows that come more than a step after the one before, each with its number of steps; and the clock, perhaps
    found to be irregular."""
    hops: list[tuple[int, int]] = []
    extra = 0
    for rows in blocks(len(times) - 1):
        between = steps_between(times[rows.start : rows.stop + 1], clock)
        if between is None:
            return replace(clock, regular=False), []
        far = np.flatnonzero(between > 1)
        hops += [(int(rows.start + i + 1), int(between[i])) for i in far]
        extra += int((between - 1).sum())
    if extra > MOST_STRETCH * len(times):
        return replace(clock, regular=False), []
    return clock, hops


def _fill(
    values: Array,  # (n, C), the first row without NaN
) -> Array:
    """Every NaN replaced by the last number above it."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    filled: Array = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
    return filled
