"""The clock of a series: the step between its times, the season that such a step usually has, and times to come."""

import calendar
import datetime
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.times import DAY, NUMBER, OFF, Reading, write_time

Array = npt.NDArray[Any]

DIGITS = 15  # that a float64 holds of a number
SECOND = 1_000_000  # microseconds
WEEKDAY = "weekday"
WEEKDAYS = 5
SURE = 10  # days without a weekend among them, from which on it is taken that there are none
SHORTEST_MONTH = 28 * DAY
UNITS = {"day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND}
SEASONS = {DAY: 7, 7 * DAY: 52, 3600 * SECOND: 24, 1800 * SECOND: 48, 900 * SECOND: 96, 600 * SECOND: 144}


@dataclass(frozen=True)
class Clock:
    """The step of a series, and how its times are written.

    Args:
        form: the name of the form.
        unit: "month" (the step counts calendar months), WEEKDAY (from Monday to Friday), "microsecond" or NUMBER.
        step: in this unit.
        first: the first time, as `Reading.times` gives it.
        regular: whether all times lie on the grid of this step; else rows count as equally far apart.
        month_ends: whether every time is the last day of its month.
        zone: as in `Reading`.
        hour_24: as in `Reading`.
    """

    form: str
    unit: str
    step: float
    first: float
    regular: bool
    month_ends: bool = False
    zone: str = ""
    hour_24: bool = False

    @property
    def reading(self) -> Reading:
        """How times of this clock are read."""
        return Reading(self.form, self.zone, self.hour_24)

    @property
    def season(self) -> int:
        """How many steps make the season that such data usually has; 1 if none is usual."""
        if self.unit == "month":
            return 12 // int(self.step) if 12 % self.step == 0 else 1
        if self.unit == NUMBER:
            return 1
        if self.unit == WEEKDAY:
            return WEEKDAYS
        return SEASONS.get(int(self.step), 1)

    @property
    def longer_season(self) -> int:
        """The season that such data usually has beside the usual one, 1 for none: a week beside a day."""
        day = self.season
        return 7 * day if self.unit == "microsecond" and day > 1 and day * self.step == DAY else 1

    @property
    def origin(self) -> float:
        """The first time in the unit of the step, counted from 1970 where times are dates."""
        if self.unit == NUMBER:
            return self.first
        return float(_numbers(np.array([self.first], dtype=np.int64), self.unit)[0])

    def at(self, index: int) -> str:
        """The time of a step, counted from the first, as the data writes it."""
        if self.unit == NUMBER:
            # six digits of the step are kept: what is beyond them is rounding
            number = round(self.first + index * self.step, 5 - math.floor(math.log10(self.step)))
            return _write_number(number)
        moment = _moment(self.first)
        if self.unit == "month":
            months = moment.year * 12 + moment.month - 1 + index * int(self.step)
            year, month = months // 12, months % 12 + 1
            last = calendar.monthrange(year, month)[1]
            moment = moment.replace(year=year, month=month, day=last if self.month_ends else min(moment.day, last))
        elif self.unit == WEEKDAY:
            day = np.busday_offset(moment.date(), index, roll="backward")
            moment = datetime.datetime.combine(day.astype(object), moment.time())
        else:
            moment += datetime.timedelta(microseconds=int(self.step) * index)
        return write_time(moment, self.reading)

    def of_row(self, index: int, rows: Array | None) -> str:
        """The time of a step where times may be irregular: there a row has its own, and each step after the last row is
        one of the clock's.

        Args:
            index: of the step, counted from the first.
            rows: the irregular times of the rows; None in runs of older versions, which number the rows instead.
        """
        if self.regular:
            return self.at(index)
        if rows is None:
            return f"row {index + 1}"
        if index >= len(rows):
            return replace(self, first=rows[-1].item()).at(index - len(rows) + 1)
        time = rows[index].item()
        return _write_number(time) if self.unit == NUMBER else write_time(_moment(time), self.reading)

    def step_in_words(self) -> str:
        """The step, "1 month" for instance."""
        if self.unit == NUMBER:
            return f"{self.step:.10g}"
        if self.unit in ("month", WEEKDAY):
            size, unit = int(self.step), self.unit
        else:
            unit = next((name for name, length in UNITS.items() if self.step % length == 0), "second")
            size_ = self.step / UNITS[unit]
            size = int(size_) if size_ == int(size_) else size_  # type: ignore[assignment]
        return f"{size} {unit}{'' if size == 1 else 's'}"


def _write_number(number: float) -> str:
    return f"{round(number)}" if float(number).is_integer() else f"{number:.{DIGITS}g}"


def _moment(time: float) -> datetime.datetime:
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=int(time))


def find_clock(
    times: Array,  # (n,) as `Reading.times` gives them, ascending
    reading: Reading,
) -> Clock:
    """The clock of a series from its times, the most frequent step taken as its step."""
    first = times[0].item()
    form = reading.form
    written: dict[str, Any] = {"zone": reading.zone, "hour_24": reading.hour_24}
    if form == NUMBER:
        steps = np.diff(times)
        step = float(np.median(steps))
        count = np.rint(steps / step)
        if (np.abs(steps / step - count) <= OFF).all():
            step = float(steps.sum() / count.sum())  # more exact than one difference of two numbers
        return Clock(form, NUMBER, step, first, regular=True)
    same_day, ends = months(times)
    if (same_day or ends) and np.diff(times).min() >= SHORTEST_MONTH:
        step = Counter(np.diff(month_numbers(times)).tolist()).most_common(1)[0][0]
        return Clock(form, "month", step, first, regular=True, month_ends=ends and not same_day, **written)
    if _weekdays(times):
        return Clock(form, WEEKDAY, 1, first, regular=True, **written)
    step = Counter(np.diff(times).tolist()).most_common(1)[0][0]
    return Clock(form, "microsecond", step, first, regular=True, **written)


def steps_between(times: Array, clock: Clock) -> Array | None:
    """How many steps each time is after the one before it, (n - 1,); None if one is between two steps of the grid."""
    if clock.unit == WEEKDAY and not (weekday_of(times) < WEEKDAYS).all():
        return None
    numbers = _numbers(times, clock.unit)
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


def weekday_of(times: Array) -> Array:
    """0 for Mondays to 6 for Sundays."""
    found: Array = (times // DAY + 3) % 7  # 1970 began on a Thursday
    return found


def _weekdays(times: Array) -> bool:
    """Whether these are days from Monday to Friday, most of them one after another."""
    if len(times) < SURE or (times % DAY != times[0] % DAY).any() or (weekday_of(times) >= WEEKDAYS).any():
        return False
    return 2 * int((np.diff(_numbers(times, WEEKDAY)) == 1).sum()) > len(times)


def _numbers(times: Array, unit: str) -> Array:
    """Times in this unit."""
    if unit == "month":
        return month_numbers(times)
    if unit == WEEKDAY:
        weeks, day = np.divmod(times // DAY + 3, 7)
        return WEEKDAYS * weeks + day
    return times


def month_numbers(times: Array) -> Array:
    """Months since 1970."""
    numbers: Array = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return numbers
