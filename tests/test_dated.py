"""Times in several columns, and columns that repeat them, in files as offices, exchanges and sensors write them."""

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from elman.tasks.errors import DataError
from elman.tasks.files.tables import Table, open_table
from elman.tasks.series.clock import Clock
from elman.tasks.series.columns import Columns, choose_columns
from elman.tasks.series.data import Read, SeriesArrays, read_series
from elman.tasks.series.dated import dated
from elman.tasks.series.report import describe_series
from elman.tasks.series.task import Parts

HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2019, 12, 30)


def opened(folder: Path, kind: str, columns: dict[str, list[object]]) -> Table:
    """A file of these columns."""
    frame = pl.DataFrame({**columns, "y": [7 * k % 11 for k in range(len(next(iter(columns.values()))))]})
    if kind == "csv":
        frame.write_csv(folder / "a.csv")
    else:
        frame.write_parquet(folder / "a.parquet")
    return open_table(folder / f"a.{kind}")


def read(folder: Path, table: Table, named: str | None = None) -> tuple[Columns, Read]:
    table, time = dated(table, named)
    columns = choose_columns(table, time, None)
    return columns, read_series(table, columns, folder)


def moment(clock: Clock) -> datetime.datetime:
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=clock.first)


def hour_ending(moments: list[datetime.datetime]) -> list[tuple[datetime.date, int]]:
    """The day and the hour from 1 to 24 in which the hour before each moment lies."""
    return [((t - HOUR).date(), (t - HOUR).hour + 1) for t in moments]


HOURS = [START + (k + 1) * HOUR for k in range(72)]
ENDING = hour_ending(HOURS)
HALVES = [START + (k + 1) * HOUR / 2 for k in range(96)]


def before_midnight(t: datetime.datetime, written: str) -> str:
    """A moment, midnight as hour 24 of the day before."""
    midnight = t.time() == datetime.time()
    day = t.date() - datetime.timedelta(days=midnight)
    return written.format(day=day, hour=24 if midnight else t.hour, minute=t.minute)


OF_DAYS = {
    "1 to 24": ({"date": [f"{d}" for d, _ in ENDING], "hour": [h for _, h in ENDING]}, HOURS, "2020-01-02 01:00"),
    "01:00 to 24:00": (
        {"date": [f"{d:%d.%m.%Y}" for d, _ in ENDING], "time": [f"{h:02}:00" for _, h in ENDING]},
        HOURS,
        "02.01.2020 01:00",
    ),
    "year to hour, in Korean": (
        {
            "년": [d.year for d, _ in ENDING],
            "월": [d.month for d, _ in ENDING],
            "일": [d.day for d, _ in ENDING],
            "시": [h for _, h in ENDING],
        },
        HOURS,
        "2020-01-02 01:00",
    ),
    "100 to 2400": (
        {"date": [f"{d}" for d, _ in ENDING], "time": [100 * h for _, h in ENDING]},
        HOURS,
        "2020-01-02 01:00",
    ),
    "half hours up to 2400": (
        {
            "date": [before_midnight(t, "{day:%Y-%m-%d}") for t in HALVES],
            "time": [before_midnight(t, "{hour:02}{minute:02}") for t in HALVES],
        },
        HALVES,
        "2020-01-01 00:30",
    ),
    "year to minute": (
        {
            "YEAR": [t.year for t in HALVES],
            "MO": [t.month for t in HALVES],
            "DY": [t.day for t in HALVES],
            "HR": [t.hour for t in HALVES],
            "Minute": [t.minute for t in HALVES],
        },
        HALVES,
        "2020-01-01 00:30",
    ),
    "a date, hours from 1 to 24 and minutes": (
        {"날짜": [f"{d}" for d, _ in ENDING], "시": [h for _, h in ENDING], "분": [0 for _ in ENDING]},
        HOURS,
        "2020-01-02 01:00",
    ),
    "times of a day": (
        {"date": [f"{t:%Y%m%d}" for t in HALVES], "time": [f"{t:%H:%M}" for t in HALVES]},
        HALVES,
        "2020-01-01 00:30",
    ),
    "hours with a word": (
        {"date": [f"{t:%Y%m%d}" for t in HOURS], "시간": [f"{t.hour}시" for t in HOURS]},
        HOURS,
        "2020-01-02 01:00",
    ),
    "digits without zeros before them": (
        {"date": [f"{t:%Y%m%d}" for t in HALVES], "time": [100 * t.hour + t.minute for t in HALVES]},
        HALVES,
        "2020-01-01 00:30",
    ),
    "digits with seconds": (
        {"date": [f"{t:%Y-%m-%d}" for t in HALVES], "time": [f"{t:%H%M%S}" for t in HALVES]},
        HALVES,
        "2020-01-01 00:30:00",
    ),
}


@pytest.mark.parametrize("rows", [7, 100_000])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", OF_DAYS)
def test_times_of_a_day_beside_a_date(tmp_path, monkeypatch, case, kind, rows):
    monkeypatch.setattr("elman.tasks.files.tables.ROWS", rows)
    written, moments, following = OF_DAYS[case]
    columns, found = read(tmp_path, opened(tmp_path, kind, written))
    assert columns.time == "-".join(written)
    assert (columns.values, found.gaps, found.steps) == (["y"], 0, len(moments))
    assert moment(found.clock) == moments[0]
    assert found.clock.step == (moments[1] - moments[0]) / datetime.timedelta(microseconds=1)
    assert found.clock.at(len(moments)) == following
    assert read(tmp_path, open_table(tmp_path / f"a.{kind}"), columns.time)[1].clock == found.clock


@pytest.mark.parametrize("form", ["%H:%M", "%H:%M:%S"])
def test_minutes_beside_times_of_a_day_are_no_seconds(tmp_path, form):
    written = {
        "date": [f"{t:%Y-%m-%d}" for t in HALVES],
        "time": [t.strftime(form) for t in HALVES],
        "minute": [t.minute for t in HALVES],
    }
    columns, found = read(tmp_path, opened(tmp_path, "csv", written))
    assert (columns.time, columns.values, columns.parts) == ("date-time", ["y"], ["minute"])
    assert (found.clock.step_in_words(), moment(found.clock)) == ("30 minutes", HALVES[0])


WITH_24 = {
    "YYYY-MM-DD HH:MM": "{day:%Y-%m-%d} {hour:02}:{minute:02}",
    "YYYY-MM-DDTHH:MM:SS": "{day:%Y-%m-%d}T{hour:02}:{minute:02}:00",
    "YYYY-MM-DD HH:MM:SS": "{day:%Y-%m-%d} {hour:02}:{minute:02}:00",
    "YYYYMMDDHH": "{day:%Y%m%d}{hour:02}",
    "YYYYMMDDHHMMSS": "{day:%Y%m%d}{hour:02}{minute:02}00",
    "DD.MM.YYYY HH:MM": "{day:%d.%m.%Y} {hour:02}:{minute:02}",
    "YYYY-MM-DD H:MM": "{day:%Y-%m-%d} {hour}:{minute:02}",
}


@pytest.mark.parametrize("form", WITH_24)
def test_hour_24_ends_its_day_and_is_written_back(tmp_path, form):
    times = [before_midnight(t, WITH_24[form]) for t in HOURS]
    _, found = read(tmp_path, opened(tmp_path, "csv", {"time": times}))
    assert (found.clock.form, found.gaps, moment(found.clock)) == (form, 0, HOURS[0])
    assert [found.clock.at(k) for k in range(len(times))] == times
    about = {
        "file": "a.csv",
        "steps": 72,
        "gaps": 0,
        "missing": 0,
        "skipped": 0,
        "left_out": [],
    }
    config = {"data": about, "clock": vars(found.clock), "columns": ["y"], "scale": {"seasons": [24]}}
    assert "the hour 24 is read as the midnight that ends its day" in describe_series(config, Parts(50, 60, 72))


def test_a_clock_of_twelve_hours(tmp_path):
    for form in ("%I:%M:%S %p", "%I:%M %p", "%-I:%M%p", "%-I %p"):
        moments = HALVES if "M" in form else HOURS
        written = {"Date": [f"{t:%-m/%-d/%Y}" for t in moments], "Time": [t.strftime(form) for t in moments]}
        columns, found = read(tmp_path, opened(tmp_path, "csv", written))
        assert (columns.time, found.gaps, columns.values) == ("Date-Time", 0, ["y"])
        assert (found.clock.at(0), moment(found.clock)) == (f"{moments[0]:%-m/%-d/%Y %H:%M:%S}", moments[0])


def test_several_series_in_one_file_are_said(tmp_path):
    days = [f"2020-01-{d:02}" for d in range(1, 10)]
    for dates in (days * 2, sorted(days * 2)):
        table = opened(tmp_path, "csv", {"date": dates, "shop": ["a", "b"] * 9})
        with pytest.raises(DataError, match="where the file holds several series, --series-column names them"):
            read(tmp_path, table)


def test_hours_from_0_to_24_are_refused(tmp_path):
    """Midnight is there twice, at the end of a day and at the beginning of the next."""
    days = [f"2020-01-{d:02}" for d in range(1, 4) for _ in range(25)]
    table = opened(tmp_path, "csv", {"date": days, "hour": [*range(25)] * 3})
    with pytest.raises(DataError, match=r"line 27: the time 2020-01-02 00:00 occurs twice"):
        read(tmp_path, table)


@pytest.mark.parametrize("hours", [[60, 75, 90, 105], ["7.25", "7.50", "7.75", "8.00"], [2430, 2460, 2490, 2500]])
def test_what_may_be_no_time_of_a_day_is_said(tmp_path, hours):
    table = opened(tmp_path, "csv", {"date": ["2020-01-01"] * 4, "time": hours})
    advice = "write it as 7, 07:30, 0730 or 07:30:00, or name it by --time-column where it counts"
    with pytest.raises(DataError, match=f"if column time tells such rows apart, {advice}"):
        read(tmp_path, table)
    assert read(tmp_path, table, "time")[1].clock.form == "number"


def test_a_time_with_a_fraction_among_hours_is_none(tmp_path):
    """7.30 may be 18 minutes past seven."""
    days = [f"2020-01-{d:02}" for d in range(1, 4) for _ in range(24)]
    hours = [*map(str, range(24))] * 3
    hours[7] = "7.30"
    table = opened(tmp_path, "csv", {"date": days, "hour": hours})
    with pytest.raises(DataError, match=r"line 9: column date-hour is '2020-01-01 7.30', no time"):
        read(tmp_path, table)


MONDAYS = [datetime.date(1949, 12, 5) + k * datetime.timedelta(days=7) for k in range(120)]
ISO = [day.isocalendar() for day in MONDAYS]
WEEKS = {
    "whole weeks": ({"year": [w.year for w in ISO], "week": [f"{w.year}-W{w.week:02}" for w in ISO]}, "week"),
    "numbers": ({"year": [w.year for w in ISO], "week": [w.week for w in ISO]}, "year-week"),
    "numbers beside months": (
        {"year": [w.year for w in ISO], "month": [d.month for d in MONDAYS], "week": [w.week for w in ISO]},
        "year-week",
    ),
    "W and a number": ({"Year": [w.year for w in ISO], "isoweek": [f"W{w.week}" for w in ISO]}, "Year-isoweek"),
    "in Korean": ({"년도": [w.year for w in ISO], "주차": [f"{w.week}주" for w in ISO]}, "년도-주차"),
}


@pytest.mark.parametrize("case", WEEKS)
def test_weeks_beside_a_year_are_the_time(tmp_path, case):
    written, name = WEEKS[case]
    columns, found = read(tmp_path, opened(tmp_path, "csv", written))
    assert (columns.time, columns.values, found.gaps) == (name, ["y"], 0)
    assert found.clock.step_in_words() == "7 days"
    assert [found.clock.at(k) for k in range(120)] == [f"{w.year}-W{w.week:02}" for w in ISO]


@pytest.mark.parametrize("names", [("year", "quarter"), ("연도", "분기")])
def test_whole_quarters_beside_a_year_are_the_time(tmp_path, names):
    years = [2000 + k // 4 for k in range(40)]
    for form in ("{y}Q{q}", "Q{q} {y}"):
        quarters = [form.format(y=y, q=1 + k % 4) for k, y in enumerate(years)]
        columns, found = read(tmp_path, opened(tmp_path, "csv", {names[0]: years, names[1]: quarters}))
        assert (columns.time, columns.parts, found.clock.at(0)) == (names[1], [names[0]], quarters[0])
    columns, _ = read(tmp_path, opened(tmp_path, "csv", {names[0]: years, names[1]: [1 + k % 4 for k in range(40)]}))
    assert columns.time == "-".join(names)


def test_weeks_that_iso_8601_has_not_are_said(tmp_path):
    """The first days of 2021 are of week 53 of 2020."""
    weeks = [(2020, week) for week in range(1, 53)] + [(2021, 53), (2021, 1)]
    table = opened(tmp_path, "csv", {"year": [y for y, _ in weeks], "week": [w for _, w in weeks]})
    with pytest.raises(DataError, match="line 54: column year-week is '2021-W53', no time of the form YYYY-W01"):
        read(tmp_path, table)


DAYS = [datetime.datetime(2019, 3, 1, 6) + k * 6 * HOUR for k in range(900)]
REPEATED = {
    "year": [t.year for t in DAYS],
    "quarter": [(t.month + 1) // 3 % 4 + 1 for t in DAYS],  # of a year that begins in February
    "month": [t.month for t in DAYS],
    "week": [int(t.strftime("%U")) for t in DAYS],
    "day": [t.day for t in DAYS],
    "hour": [t.hour for t in DAYS],
    "weekday": [t.weekday() for t in DAYS],
    "dayofyear": [t.timetuple().tm_yday for t in DAYS],
    "time": [t.hour + t.minute / 60 for t in DAYS],
    "hh": [100 * t.hour for t in DAYS],
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", REPEATED)
def test_what_follows_from_the_time_is_no_series(tmp_path, name, kind):
    table = opened(tmp_path, kind, {"timestamp": [f"{t:%Y-%m-%d %H:%M}" for t in DAYS], name: REPEATED[name]})
    columns = choose_columns(table, "timestamp", None)
    assert (columns.values, columns.parts) == (["y"], [name])
    other = list(np.random.default_rng(0).integers(0, 12, len(DAYS)))  # by its name alone
    table = opened(tmp_path, kind, {"timestamp": [f"{t:%Y-%m-%d %H:%M}" for t in DAYS], name: other})
    assert choose_columns(table, "timestamp", None).values == [name, "y"]


def test_parts_of_what_ends_with_a_time_are_no_series(tmp_path):
    """Hour 24 is of the day that it ends."""
    days = [t - HOUR for t in HOURS]
    written = {
        "datetime": [before_midnight(t, WITH_24["YYYY-MM-DD HH:MM"]) for t in HOURS],
        "month": [d.month for d in days],
        "day": [d.day for d in days],
        "hour": [d.hour + 1 for d in days],
        "weekday": [d.isoweekday() for d in days],
        "doy": [d.timetuple().tm_yday for d in days],
    }
    columns = choose_columns(opened(tmp_path, "csv", written), "datetime", None)
    assert (columns.values, set(columns.parts)) == (["y"], written.keys() - {"datetime"})


def test_parts_of_times_with_offsets_are_those_of_their_clocks(tmp_path):
    zone = ZoneInfo("Europe/Berlin")
    start = datetime.datetime(2020, 3, 28, tzinfo=datetime.UTC)
    times = [(start + k * HOUR).astimezone(zone) for k in range(100)]
    parts = {"month": [t.month for t in times], "day": [t.day for t in times], "hour": [t.hour for t in times]}
    for sep in "T ":
        table = opened(tmp_path, "csv", {"timestamp": [t.isoformat(sep) for t in times], **parts})
        assert choose_columns(table, "timestamp", None).parts == [*parts]


def test_an_hour_meter_is_a_series(tmp_path):
    """Within a day it follows from the hour."""
    times = [START + k * HOUR / 60 for k in range(900)]
    table = opened(tmp_path, "csv", {"time": [f"{t}" for t in times], "hour": [5123 + k // 60 for k in range(900)]})
    assert choose_columns(table, "time", None).values == ["hour", "y"]


@pytest.mark.parametrize("sign", [-1, 1])
def test_numbers_that_no_week_has_are_a_series(tmp_path, sign):
    times = [START + k * 7 * 24 * HOUR for k in range(100)]
    sold = [sign * (200 + 7 * k % 50) for k in range(100)]
    table = opened(tmp_path, "csv", {"date": [f"{t:%Y-%m-%d}" for t in times], "week": sold})
    assert choose_columns(table, "date", None).values == ["week", "y"]


def test_a_year_and_its_days_are_the_time(tmp_path):
    days = [datetime.date(2019, 11, 20) + datetime.timedelta(days=k) for k in range(500)]
    written = {"YEAR": [d.year for d in days], "DOY": [d.timetuple().tm_yday for d in days]}
    columns, found = read(tmp_path, opened(tmp_path, "csv", written))
    assert (columns.time, columns.values, found.gaps, moment(found.clock).date()) == ("YEAR-DOY", ["y"], 0, days[0])
    assert [found.clock.at(k) for k in range(500)] == [f"{d:%Y-%j}" for d in days]


@pytest.mark.parametrize("name", ["week", "doy"])
def test_what_each_year_or_month_has_one_of_is_a_series(tmp_path, name):
    """The day of the first bloom, or how many weeks a month has."""
    measured = [100 + 7 * k % 11 if name == "doy" else 4 + k % 2 for k in range(60)]
    years = {"year": list(range(1900, 1960)), name: measured}
    columns, _ = read(tmp_path, opened(tmp_path, "csv", years))
    assert (columns.time, columns.values) == ("year", [name, "y"])
    months = {"year": [2000 + k // 12 for k in range(60)], "month": [1 + k % 12 for k in range(60)], name: measured}
    columns, found = read(tmp_path, opened(tmp_path, "csv", months))
    assert (columns.time, columns.values, found.clock.at(60)) == ("year-month", [name, "y"], "2005-01")


def test_minutes_that_each_hour_has_are_a_series(tmp_path):
    """How long the sun shone."""
    shone = [7 * k % 60 for k in range(72)]
    for days in (
        {"date": [f"{t:%Y-%m-%d}" for t in HOURS]},
        {"year": [t.year for t in HOURS], "month": [t.month for t in HOURS], "day": [t.day for t in HOURS]},
    ):
        table = opened(tmp_path, "csv", {**days, "hour": [t.hour for t in HOURS], "minute": shone})
        columns, found = read(tmp_path, table)
        assert (columns.time, columns.values) == ("-".join([*days, "hour"]), ["minute", "y"])
        assert (found.clock.regular, moment(found.clock)) == (True, HOURS[0])


def test_a_week_that_is_no_number_is_none(tmp_path):
    """주 is a state as well."""
    table = opened(tmp_path, "csv", {"연도": [2000 + k // 2 for k in range(20)], "주": ["TX", "CA"] * 10})
    with pytest.raises(DataError, match=r"the time 2000 occurs twice.*--series-column"):
        read(tmp_path, table)


def test_months_may_have_names(tmp_path):
    names = [f"{datetime.date(2000, 1 + k % 12, 1):%B}" for k in range(30)]
    for month in (names, [name[:3] for name in names], [f"{1 + k % 12}월" for k in range(30)]):
        written = {"year": [1949 + k // 12 for k in range(30)], "month": month}
        columns, found = read(tmp_path, opened(tmp_path, "csv", written))
        assert (columns.time, columns.values) == ("year-month", ["y"])
        assert (found.clock.at(0), found.clock.at(30), found.gaps) == ("1949-01", "1951-07", 0)


@pytest.mark.parametrize("times", [[[k] for k in range(9)], [{"a": k} for k in range(9)]])
def test_times_that_are_lists_are_said(tmp_path, times):
    frame = pl.DataFrame({"when": times, "name": ["a", "b", "c"] * 3, "y": range(9)})
    frame.write_parquet(tmp_path / "a.parquet")
    for given in (None, "%Y"):
        with pytest.raises(DataError, match=r"column when holds (List|Struct).* where text or numbers are needed"):
            choose_columns(open_table(tmp_path / "a.parquet"), "when", None, given)


def test_arrays_of_a_dated_table_are_those_of_its_values(tmp_path):
    read(tmp_path, opened(tmp_path, "csv", OF_DAYS["1 to 24"][0]))
    assert SeriesArrays(tmp_path).values[:, 0].tolist() == [7 * k % 11 for k in range(72)]
