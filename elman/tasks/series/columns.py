"""Which columns of a file are the times and which the numbers, and how the times are written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from elman.tasks.errors import DataError, SettingError
from elman.tasks.files.tables import Table, as_strings, choose_column, has_strings, is_index
from elman.tasks.series.doubts import thousands
from elman.tasks.series.repeating import repeating
from elman.tasks.series.time_parts import usual_times
from elman.tasks.series.times import ACCEPTED, FORMS, INSTANT, LOCAL, NUMBER, OFFSET, Reading, readings

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-")
LOOK = 1000  # rows that decide which columns hold numbers
SURE = 10  # rows from which on a column of 1, 2, 3 and so on is taken for their numbers


@dataclass(frozen=True)
class Columns:
    """The time column and the columns of numbers.

    Args:
        time: the time column.
        values: the columns to forecast.
        read: columns that are read beside them, and not forecast.
        future: columns that are known ahead.
        left_out: columns that could not be forecast, for they hold no numbers; with a value that is almost one.
        index: columns that only number the rows, or have no name, left out too.
        parts: columns that repeat the time, its year and month for instance, left out too.
        time_format: how the times are written, if the user said so.
        doubts: a sentence for each column of numbers that may not mean what they say.
    """

    time: str
    values: list[str]
    read: list[str] = field(default_factory=list)
    future: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    time_format: str | None = None
    doubts: list[str] = field(default_factory=list)


def choose_columns(
    table: Table,
    time: str | None,
    values: list[str] | None,
    time_format: str | None = None,
    *,
    read: Sequence[str] = (),
    future: Sequence[str] = (),
) -> Columns:
    """The columns that were named; else the time column by its usual name or as the first, and all that hold numbers.

    A column that counts the rows is no series, and one without a name is the index that pandas writes: it may hold the
    times, but is forecast only if asked for; so are the year, the month and the like beside a column of whole times.

    Raises:
        DataError: there is no such column, none with numbers, that of the times holds lists or the like, or the first
            line holds values in place of names.
        SettingError: there is no such format of times.
    """
    choose_column(table, "--time-column", time)
    options = {"--column": values or [], "--read-column": read, "--future-column": future}
    named: dict[str, str] = {}
    for option, names in options.items():
        for name in names:
            choose_column(table, option, name)
            if name in named:
                again = "twice" if named[name] == option else f"by {named[name]} too"
                raise DataError(f"{option} {name} is given {again}: give each column once")
            named[name] = option
    _, head = next(iter(table.batches(table.columns)), (0, pl.DataFrame(schema=table.columns)))
    head = head.head(LOOK)
    if time is None:
        time = next(iter(usual_times(table)), None) or _first_of_times(table, head)
    if time in named:
        raise DataError(f"column {time!r} of {table.file} is the time: it cannot be given as {named[time]} as well")
    others = [name for name in table.columns if name != time and named.get(name) in (None, "--column")]
    moments = _moments(table, head[time], time_format)
    parts = [] if moments is None else repeating(moments, head.select(others))
    series = [name for name in others if name not in parts and not is_index(name)]
    numbers = [name for name in series if head.height and _holds_numbers(head[name])]
    counting = [name for name in numbers if head.height >= SURE and _counts_rows(head[name])]
    chosen = values or [name for name in numbers if name not in counting] or numbers
    if not chosen:
        name = next((name for name in others if _begins(head[name])), others[0] if others else "")
        first = head[name][0] if others and head.height else None
        begins = f": {name} begins with {first!r}{mend(str(first))}" if first else ""
        raise DataError(f"{table.file} has no column of numbers beside its time column {time!r}{begins}")
    if head.height and _is_row(time, chosen, head):
        raise DataError(
            f"{table.file}, line 1 holds values where the columns' names should be: put a line of names before it, "
            f"such as time,value"
        )
    doubts = [doubt for name in [*chosen, *read, *future] if (doubt := thousands(head[name]))]
    if values:
        return Columns(time, values, list(read), list(future), time_format=time_format, doubts=doubts)
    index = [name for name in others if name not in chosen and (is_index(name) or name in counting)]
    left_out = [name + _begins(head[name]) for name in others if name not in chosen + index + parts]
    return Columns(time, chosen, list(read), list(future), left_out, index, parts, time_format, doubts)


def _first_of_times(table: Table, head: pl.DataFrame) -> str:
    """The first column; where that one has no name and numbers the rows, the first that holds dates."""
    first = table.columns[0]
    if not is_index(first) or not head.height:
        return first
    if not _counts_rows(head[first]):
        return first
    dates = (name for name in table.columns[1:] if any(way.form != NUMBER for way in _readings(table, head[name])))
    return next(dates, first)


def _counts_rows(column: pl.Series) -> bool:
    """Whether a column holds 0, 1, 2 and so on, or 1, 2, 3."""
    numbers = Reading(NUMBER).times(column)
    if numbers.null_count() or numbers[0] not in (0, 1):
        return False
    return bool((numbers - numbers[0] == pl.int_range(len(numbers), eager=True)).all())


def _is_row(time: str, values: list[str], head: pl.DataFrame) -> bool:
    """Whether the names are values themselves: the first row of a file without a header."""
    if head[time].dtype != pl.String:
        return False
    ways = readings(head[time])
    a_time = pl.Series([time])
    alike = any(way.times(a_time)[0] is not None for way in ways)
    return alike and all(not is_index(name) and _holds_numbers(pl.Series([name])) for name in values)


def find_reading(table: Table, columns: Columns, usual: Reading | None) -> Reading:
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


def _moments(table: Table, times: pl.Series, time_format: str | None) -> pl.Series | None:
    """Times as moments, those of a zone as its clocks show them; None where they are numbers or cannot be read."""
    found = _readings(table, times)
    if isinstance(times.dtype, pl.Date | pl.Datetime):
        return times.cast(pl.Datetime("us")) if times.dtype == pl.Date else times.dt.replace_time_zone(None)
    way = _asked_for(time_format, found) if time_format else next(iter(found), Reading(NUMBER))
    if way.form == INSTANT:
        times, way = times.str.strip_chars().str.replace(" ", "T").str.replace(OFFSET, ""), Reading(LOCAL)
    return None if way.form == NUMBER else way.times(times).cast(pl.Datetime("us"))


def _asked_for(form: str, found: list[Reading]) -> Reading:
    """The reading of this form, a name or a format with % signs."""
    if "%" in form:
        try:
            Reading(form).times(pl.Series([""]))
        except pl.exceptions.ComputeError as error:  # minutes without an hour, for instance
            raise SettingError("time_format", "a format with date and time", form) from error
        return Reading(form)
    known = {name.lower(): name for name in [*FORMS, NUMBER]}
    if form.lower() not in known:
        raise SettingError("time_format", f"number, {', '.join(FORMS)}, or a format such as '%d %b %Y'", form)
    name = known[form.lower()]
    return next((way for way in found if way.form == name), Reading(name))


def mend(value: str) -> str:
    """What to do about something that would be a number without its commas or its unit.

    Example:
        >>> mend("$5"), mend("49.8%"), mend("up")
        (': write the number alone, without $', ': write the number alone, without %', '')
    """
    if re.fullmatch(r"-?\d{1,3}(\.\d{3})+,\d+", value):
        return ": write thousands without a point, and decimals with one"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", value):
        return ": write thousands without a comma, and decimals with a point"
    if re.fullmatch(r"-?\d+,\d+", value):
        return ": write decimals with a point"
    around = re.fullmatch(r"-?([^\w-]*)-?\d[\d.,]*\s*([^\d\s]*)", value)
    unit = around[1].strip() or around[2] if around else ""
    return f": write the number alone, without {unit}" if unit else ""


def _begins(column: pl.Series) -> str:
    """What a column begins with, where that would be a number written otherwise; else nothing."""
    texts = column.cast(pl.String).str.strip_chars() if has_strings(column) else column.clear()
    first = next((text for text in texts if text is not None and text not in MISSING), "")
    advice = mend(first)
    return f", which begins with {first!r}{advice}" if advice else ""


def _holds_numbers(column: pl.Series) -> bool:
    """Whether most of a column's values are numbers: the others will be said as errors."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String:
        return False
    texts = column.str.strip_chars()
    texts = texts.filter(~(texts.is_null() | texts.is_in(MISSING)))
    return len(texts) > 0 and 2 * texts.cast(pl.Float64, strict=False).count() > len(texts)
