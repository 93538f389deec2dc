"""A series as arrays in the run folder: read in batches, put on the grid of its step, gaps kept as gaps.

values.npy    the columns to forecast, and after them those that are only read, on the grid, (n, C + P) in their own
              units; a missing value is the last known one
known.npy     which values were there, (n, C + P)
future.npy    the columns that are known ahead, if there are any, (n and perhaps more, J)
times.npy     the times of the rows, if they are irregular, (n and perhaps more,), as `Reading.times` gives them
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.errors import DataError
from elman.tasks.files.arrays import LARGEST, ArrayWriter, blocks, open_array
from elman.tasks.files.tables import Table, as_strings
from elman.tasks.series.clock import Clock, find_clock, steps_between
from elman.tasks.series.columns import MISSING, Columns, find_reading, mend
from elman.tasks.series.time_parts import hour_column
from elman.tasks.series.times import NUMBER, Reading

Array = npt.NDArray[Any]

FUTURE, TIMES = "future.npy", "times.npy"
BEGIN = 1_000_000  # rows that decide what the step is
MOST_STRETCH = 20  # times as many steps as rows, beyond which the steps are called irregular


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
    reading = find_reading(table, columns, usual)
    raw_times, raw_values = folder / "rows-times.npy", folder / "rows-values.npy"
    names = [*columns.values, *columns.read, *columns.future]
    last: float | None = None
    with (
        ArrayWriter(raw_times, np.float64 if reading.form == NUMBER else np.int64) as times,
        ArrayWriter(raw_values, np.float64, (len(names),)) as values,
    ):
        for first, rows in table.batches([columns.time, *names]):
            found = _times(table, rows[columns.time], reading, first)
            _check_order(table, rows[columns.time], found, last, first, hours="H" in reading.form)
            last = found[-1].item()
            times.append(found)
            numbers = {name: _numbers(table, rows[name], first) for name in names}
            for name in columns.future:
                _refuse_missing(table, name, numbers[name], first)
            values.append(np.stack(list(numbers.values()), axis=1))
    read = _to_grid(table, raw_times, raw_values, reading, folder, columns)
    raw_times.unlink()
    raw_values.unlink()
    return read


class SeriesArrays:
    """The arrays of a run, mapped into memory.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.values = open_array(folder / "values.npy", np.float64, dimensions=2)
        self.known = open_array(folder / "known.npy", np.bool_, dimensions=2)
        self.future = open_array(folder / FUTURE, np.float64, dimensions=2) if (folder / FUTURE).exists() else None
        self.times = open_array(folder / TIMES, np.int64, np.float64) if (folder / TIMES).exists() else None

    def __len__(self) -> int:
        return len(self.values)


def _times(table: Table, column: pl.Series, reading: Reading, first: int) -> Array:
    times = reading.times(column)
    if times.null_count():
        place = int(times.is_null().arg_true()[0])
        alike = ", as the first one is" if first + place else ""
        kind = "number" if reading.form == NUMBER else f"time of the form {reading.form}{alike}"
        value = "empty" if column[place] in (None, "") else f"{column[place]!r}"
        raise DataError(f"{table.place(first + place)}: column {column.name} is {value}, no {kind}")
    return times.to_numpy()


def _check_order(table: Table, column: pl.Series, times: Array, last: float | None, first: int, *, hours: bool) -> None:
    before = np.concatenate([times[:1] - 1 if last is None else [last], times[:-1]])
    if (late := times <= before).any():
        place = int(late.argmax())
        twice = times[place] == before[place]
        again = "occurs twice" if twice else "comes after a later one"
        advice = "; where the file holds several series, --series-column names them"
        if twice and hours:
            advice = "; where clocks were put back, write times with their offset, as 2024-10-27T02:00:00+01:00 is"
        elif twice and (clock := hour_column(table)) not in (None, column.name):
            advice = (
                f"; if column {clock} tells such rows apart, write it as 7, 07:30, 0730 or 07:30:00, or name it by "
                f"--time-column where it counts"
            )
        raise DataError(
            f"{table.place(first + place)}: the time {column[place]} {again}: sort the rows by {column.name}, each "
            f"time once{advice}"
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
        raise DataError(f"{table.place(first + place)}: column {column.name} is {value!r}, no number{mend(value)}")
    values = found.set(missing, None).to_numpy().astype(np.float64)
    if (large := np.abs(values) >= LARGEST).any():  # not true of NaN
        place = int(large.argmax())
        raise DataError(f"{table.place(first + place)}: column {column.name} is {column[place]}, beyond {LARGEST:g}")
    return values


def _refuse_missing(table: Table, name: str, values: Array, first: int) -> None:
    """Raise if a value is missing that should be known ahead."""
    if (gone := np.isnan(values)).any():
        place = table.place(first + int(gone.argmax()))
        raise DataError(f"{place}: column {name} is empty, where --future-column needs a value in every row")


def _to_grid(table: Table, raw_times: Path, raw_values: Path, reading: Reading, folder: Path, columns: Columns) -> Read:
    times, values = (
        open_array(raw_times, np.float64 if reading.form == NUMBER else np.int64),
        open_array(raw_values, np.float64, dimensions=2),
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
    if not clock.regular:
        np.save(folder / TIMES, times[first:])
    gaps = [(int(at), int(hop) - 1) for at, hop in hops if hop > 1]
    steps, missing = 0, 0
    last = values[first]
    now = values.shape[1] - len(columns.future)  # columns that are known up to now alone
    rows_now = _last_row(values[:, : len(columns.values)]) + 1 if columns.future else len(values)
    with (
        ArrayWriter(folder / "values.npy", np.float64, (now,)) as out,
        ArrayWriter(folder / "known.npy", np.bool_, (now,)) as known,
        ArrayWriter(folder / FUTURE, np.float64, (len(columns.future),)) if columns.future else nullcontext() as future,
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
            last = filled[-1]
            if future is not None:
                future.append(filled[:, now:])
            if rows.start + first < rows_now:
                here = int(place[min(len(some), rows_now - first - rows.start) - 1]) + 1
                out.append(filled[:here, :now])
                known.append(there[:here, :now])
                steps, missing = steps + here, missing + int((~there[:here, :now]).sum())
    longest = max(gaps, key=lambda gap: gap[1], default=(0, 0))
    after = clock.at(int(longest[0]) - 1 + sum(size for at, size in gaps if at < longest[0])) if gaps else ""
    return Read(clock, len(times), steps, len(gaps), longest[1], after, missing, first)


def _last_row(values: Array) -> int:
    """The last row in which something is known, of which blocks are in memory; -1 where nothing is."""
    for rows in reversed(list(blocks(len(values)))):
        there = np.flatnonzero(~np.isnan(values[rows]).all(1))
        if len(there):
            return int(rows.start + there[-1])
    return -1


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
