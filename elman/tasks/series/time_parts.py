"""Columns that hold parts of a time, years or hours for instance: by which names they are known and how they are
written."""

from collections.abc import Mapping, Sequence

import polars as pl

from elman.tasks.files.tables import Table, as_strings

TIMES = (
    *("date", "datetime", "timestamp", "time", "year-month", "year_month", "yearmonth"),
    *("month", "quarter", "year", "day", "week", "isoweek", "iso_week", "hour", "ds", "t"),
    *("일시", "날짜", "일자", "기준일", "시간", "시각", "년월", "연월", "분기", "연도", "년도", "주", "주차"),
)
PARTS = {
    "date": ("date", "날짜", "일자", "기준일"),
    "year": ("year", "연도", "년도", "년", "yyyy"),
    "quarter": ("quarter", "분기", "qtr"),
    "month": ("month", "월", "mm", "mo"),
    "week": ("week", "isoweek", "iso_week", "weeknum", "주", "주차"),
    "day": ("day", "일", "dd", "dy"),
    "hour": ("hour", "time", "시", "시간", "시각", "hh", "hr"),
    "minute": ("minute", "분"),
    "weekday": ("weekday", "dayofweek", "day_of_week", "요일"),
    "day of the year": ("dayofyear", "day_of_year", "doy"),
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parts_among(names: Sequence[str]) -> dict[str, str]:
    """The columns with a usual name of a part of a time, by what they hold; not where two have one."""
    found = {}
    for part, usual in PARTS.items():
        columns = [name for name in names if name.strip().lower() in usual]
        if len(columns) == 1:
            found[part] = columns[0]
    return found


def hour_column(table: Table) -> str | None:
    """The column whose name says that it holds hours or times of a day."""
    return parts_among(table.columns).get("hour")


def usual_times(table: Table) -> list[str]:
    """The columns with a usual name of times, the most usual first."""
    return [column for name in TIMES for column in table.columns if column.strip().lower() == name]


def written_parts(table: Table, rows: pl.DataFrame, parts: Mapping[str, str]) -> dict[str, pl.Series]:
    """The parts of times as they are written; whole numbers without a point, the name of a month and a number with what
    it counts (W3, Q1, 3월) as the number."""
    texts = {part: as_strings(table, rows[name]).str.strip_chars() for part, name in parts.items()}
    texts = {part: text.str.replace(r"^(\d+)\.0$", "${1}") for part, text in texts.items()}
    for part in texts.keys() - {"date", "hour"}:
        texts[part] = texts[part].str.replace(r"^[QqWw]?(\d+) ?(년|월|일|주|주차|분기)?$", "${1}")
    if "month" in texts:
        names = texts["month"].str.to_lowercase().str.extract(rf"^({'|'.join(MONTHS)})[a-z]*\.?$")
        numbers = names.replace_strict(MONTHS, [f"{k + 1:02d}" for k in range(12)], return_dtype=pl.String)
        texts["month"] = numbers.fill_null(texts["month"])
    return texts


def digits_of(hours: pl.Series) -> int:
    """How many digits the times of a day have that are written in digits alone: 2 (7), 4 (730, 0730) or 6 (73000)."""
    lengths = hours.filter(hours.str.contains(r"^\d+$")).str.len_chars().unique().to_list()
    return 2 * ((max(lengths, default=1) + 1) // 2)


def as_clock(hours: pl.Series, digits: int) -> pl.Series:
    """Hours and times of a day (7, 7시, 0730, 7:30, 07:30:00, 07.30.00, 7:30 PM; not 7.30, which may be 7:18) as HH:MM
    or HH:MM:SS; what is none stays as it is."""
    hours = hours.str.replace(r"^(\d{1,2}) ?[h시]$", "${1}")
    padded = pl.select(pl.when(hours.str.contains(r"^\d+$")).then(hours.str.zfill(digits)).otherwise(hours)).to_series()
    for pattern, plain in (
        (r"^(\d\d)$", "${1}:00"),
        (r"^(\d\d)(\d\d)$", "${1}:${2}"),
        (r"^(\d\d)(\d\d)(\d\d)$", "${1}:${2}:${3}"),
        (r"^(\d?\d)\.(\d\d)\.(\d\d)$", "${1}:${2}:${3}"),
        (r"^(\d):", "0${1}:"),
    ):
        padded = padded.str.replace(pattern, plain)
    noon = hours.str.to_uppercase().str.replace(r"^([\d:]+) ?([AP]M)$", "${1}:00 ${2}")
    noon = noon.str.replace(r"^(\d+:\d+) ", "${1}:00 ").str.replace(r"^(\d+:\d+:\d+):00 ", "${1} ")
    return noon.str.to_time("%I:%M:%S %p", strict=False).dt.strftime("%H:%M:%S").fill_null(padded)
