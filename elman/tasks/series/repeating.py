"""Columns beside whole times that say no more than these do."""

import polars as pl

from elman.tasks.files.tables import has_strings
from elman.tasks.series.time_parts import parts_among

FOLLOWS = {
    "date": ("date",),
    "quarter": ("month",),
    "month": ("month",),
    "day": ("day", "weekday"),
    "hour": ("hour",),
    "minute": ("minute",),
    "weekday": ("weekday",),
    "day of the year": ("ordinal_day",),
}
"""What a part of a time follows from, as Polars calls it; a quarter from the month, as fiscal years begin in any."""
LARGEST = {
    "quarter": 4,
    "month": 12,
    "week": 53,
    "day": 31,
    "hour": 2400,
    "minute": 59,
    "weekday": 7,
    "day of the year": 366,
}
NEAR = ("year", "week")
"""Parts that may be one off: fiscal years, and weeks that are not those of ISO 8601."""
YEAR_IN_WEEKS = 51  # by at least so much weeks are off that are of one year here and of the next one there


def repeating(
    times: pl.Series,  # (n,), Datetime
    beside: pl.DataFrame,  # (n, .)
) -> list[str]:
    """The columns beside whole times that say no more than these do: by their names and by their values they are the
    year, the month, the hour and so on, of the times or of what ends with them."""
    ending = times.dt.offset_by("-1us")
    return [
        name
        for part, name in parts_among(beside.columns).items()
        if has_strings(beside[name]) and any(_follows(beside[name], part, each) for each in (times, ending))
    ]


def _follows(column: pl.Series, part: str, times: pl.Series) -> bool:
    """Whether each value follows from its time."""
    numbers = column.cast(pl.String).cast(pl.Float64, strict=False)
    if part in LARGEST and not numbers.is_between(0, LARGEST[part]).all():
        return False
    if part in NEAR:
        off = numbers - getattr(times.dt, part)()
        near = off.is_between(-1, 1) | ((off.abs() >= YEAR_IN_WEEKS) if part == "week" else False)
        return bool(near.fill_null(False).all())
    for name in FOLLOWS[part]:
        whole = getattr(times.dt, name)()
        if pl.DataFrame({"": whole, "part": column}).n_unique() == whole.n_unique():
            return True
    return False
