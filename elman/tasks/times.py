"""The time column of a series: read in one of the usual forms, its step found, and times written back as they came."""

import calendar
import datetime
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
SHORTEST_MONTH = 28 * DAY
UNITS = {"day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND}
SEASONS = {DAY: 7, 7 * DAY: 52, 3600 * SECOND: 24, 1800 * SECOND: 48, 900 * SECOND: 96, 600 * SECOND: 144}
NUMBER, COMPACT = "number", "YYYYMMDD"
OFF = 0.02  # of a step, by which fractions of years and the like may be off
ACCEPTED = "a number, 2024-05, 2024-05-31, 2024/05/31, 2024.05.31, 20240531, or 2024-05-31 12:00:00"


@dataclass(frozen=True)
class Form:
    """A way to write times: what matches it, how polars reads it, and how it is written back."""

    name: str
    pattern: str
    read: str
    after: str = ""  # what has to be appended before reading
    write: str = ""


FORMS = (
    Form("YYYY-MM", r"^\d{4}-\d{2}$", "%Y-%m-%d", "-01", "%Y-%m"),
    Form("YYYY-MM-DD", r"^\d{4}-\d{2}-\d{2}$", "%Y-%m-%d", "", "%Y-%m-%d"),
    Form("YYYY/MM", r"^\d{4}/\d{2}$", "%Y/%m/%d", "/01", "%Y/%m"),
    Form(COMPACT, r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$", "%Y%m%d", "", "%Y%m%d"),
    Form("YYYY.MM.DD", r"^\d{4}\.\d{2}\.\d{2}$", "%Y.%m.%d", "", "%Y.%m.%d"),
    Form("YYYY/MM/DD", r"^\d{4}/\d{2}/\d{2}$", "%Y/%m/%d", "", "%Y/%m/%d"),
    Form("YYYY-MM-DD HH:MM", r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}$", "%Y-%m-%d %H:%M", "", "%Y-%m-%d %H:%M"),
    Form("YYYY-MM-DDTHH:MM", r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$", "%Y-%m-%dT%H:%M", "", "%Y-%m-%dT%H:%M"),
    Form("YYYY-MM-DD HH:MM:SS", r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d+)?$", "%Y-%m-%d %H:%M:%S%.f", "", " "),
    Form("YYYY-MM-DDTHH:MM:SS", r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?$", "%Y-%m-%dT%H:%M:%S%.f", "", "T"),
    Form(
        "YYYY-MM-DDTHH:MM:SSZ",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})$",
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "",
        "Z",
    ),
)
BY_NAME = {form.name: form for form in FORMS}


def find_form(values: pl.Series) -> str | None:
    """The name of the form that the first time is written in; None if it is none.

    20240531 is a day, whether it is a text or a number.
    """
    if values.dtype == pl.Date:
        return "YYYY-MM-DD"
    if values.dtype == pl.Datetime:
        return "YYYY-MM-DDTHH:MM:SS"
    first = str(values[0])
    if re.match(BY_NAME[COMPACT].pattern, first):
        return COMPACT
    if values.dtype.is_numeric():
        return NUMBER
    if values[:1].cast(pl.String).cast(pl.Float64, strict=False).is_finite()[0]:
        return NUMBER
    return next((form.name for form in FORMS if re.match(form.pattern, first)), None)


def read_times(values: pl.Series, form: str) -> pl.Series:
    """Numbers as they are, dates as microseconds since 1970; null where a value is not of this form."""
    if form == NUMBER:
        numbers = values.cast(pl.Float64, strict=False)
        return numbers.set(numbers.is_finite().not_().fill_null(True), None)
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).cast(pl.Int64)
    way = BY_NAME[form]
    texts = values.cast(pl.String)
    matches = texts.str.contains(way.pattern).fill_null(False)
    read = (texts + way.after).str.to_datetime(way.read, time_unit="us", strict=False, exact=True)
    return read.cast(pl.Int64).set(~matches, None)


@dataclass(frozen=True)
class Clock:
    """The step of a series, and how its times are written.

    Args:
        form: the name of the form.
        unit: "month" (the step counts calendar months), "microsecond" or NUMBER.
        step: in this unit.
        first: the first time, as `read_times` gives it.
        regular: whether all times lie on the grid of this step; else rows count as equally far apart.
        month_ends: whether every time is the last day of its month.
    """

    form: str
    unit: str
    step: float
    first: float
    regular: bool
    month_ends: bool = False

    @property
    def season(self) -> int:
        """How many steps make the season that such data usually has; 1 if none is usual."""
        if self.unit == "month":
            return 12 // int(self.step) if 12 % self.step == 0 else 1
        if self.unit == NUMBER:
            return 1
        return SEASONS.get(int(self.step), 1)

    def at(self, index: int) -> str:
        """The time of a step, counted from the first, as the data writes it."""
        if self.unit == NUMBER:
            number = self.first + index * self.step
            return f"{round(number)}" if float(number).is_integer() else f"{number:.10g}"
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=int(self.first))
        if self.unit == "month":
            months = moment.year * 12 + moment.month - 1 + index * int(self.step)
            year, month = months // 12, months % 12 + 1
            last = calendar.monthrange(year, month)[1]
            moment = moment.replace(year=year, month=month, day=last if self.month_ends else min(moment.day, last))
        else:
            moment += datetime.timedelta(microseconds=int(self.step) * index)
        write = BY_NAME[self.form].write
        if "%" in write:
            return moment.strftime(write)
        return moment.isoformat(sep="T" if write == "Z" else write) + ("Z" if write == "Z" else "")

    def step_in_words(self) -> str:
        """The step, "1 month" for instance."""
        if self.unit == NUMBER:
            return f"{self.step:.10g}"
        if self.unit == "month":
            size, unit = int(self.step), "month"
        else:
            unit = next((name for name, length in UNITS.items() if self.step % length == 0), "second")
            size_ = self.step / UNITS[unit]
            size = int(size_) if size_ == int(size_) else size_  # type: ignore[assignment]
        return f"{size} {unit}{'' if size == 1 else 's'}"


def find_clock(
    times: Array,  # (n,) as read_times gives them, ascending
    form: str,
) -> Clock:
    """The clock of a series from its times, the most frequent step taken as its step."""
    first = times[0].item()
    if form == NUMBER:
        step = float(np.median(np.diff(times)))
        return Clock(form, NUMBER, step, first, regular=True)
    same_day, ends = months(times)
    if (same_day or ends) and np.diff(times).min() >= SHORTEST_MONTH:
        step = Counter(np.diff(month_numbers(times)).tolist()).most_common(1)[0][0]
        return Clock(form, "month", step, first, regular=True, month_ends=ends and not same_day)
    step = Counter(np.diff(times).tolist()).most_common(1)[0][0]
    return Clock(form, "microsecond", step, first, regular=True)


def steps_between(times: Array, clock: Clock) -> Array | None:
    """How many steps each time is after the one before it, (n - 1,); None if one is between two steps of the grid."""
    numbers = month_numbers(times) if clock.unit == "month" else times
    ratio = np.diff(numbers) / clock.step
    whole = np.rint(ratio)
    if clock.unit == "month" and not any(months(times)):
        return None
    return whole.astype(np.int64) if (np.abs(ratio - whole) <= OFF).all() and (whole >= 1).all() else None


def months(times: Array) -> tuple[bool, bool]:
    """Whether all times are the same day and hour of their month, and whether all are the last day of it."""
    dates = times.astype("datetime64[us]")
    within = times - dates.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    next_day = (dates + np.timedelta64(1, "D")).astype("datetime64[D]")
    ends = bool((next_day == next_day.astype("datetime64[M]")).all() and (times % DAY == times[0] % DAY).all())
    return bool((within == within[0]).all()), ends


def month_numbers(times: Array) -> Array:
    """Months since 1970."""
    numbers: Array = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return numbers
