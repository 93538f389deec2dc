"""Times in every form: read as what they are, written back as they came, and asked for where two readings fit."""

import datetime
import time

import numpy as np
import polars as pl
import pytest

from elman.tasks.errors import DataError, SettingError
from elman.tasks.files.tables import open_table
from elman.tasks.series.clock import find_clock, steps_between
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.data import read_series
from elman.tasks.series.times import readings

DAY, HOUR = datetime.timedelta(days=1), datetime.timedelta(hours=1)
MONTHS = [datetime.datetime(1999 + i // 12, i % 12 + 1, 1) for i in range(40)]
DAYS = [datetime.datetime(2023, 12, 20) + i * DAY for i in range(60)]
HOURS = [datetime.datetime(2023, 12, 30) + i * HOUR for i in range(100)]
WEEKS = [datetime.datetime(2023, 1, 2) + i * 7 * DAY for i in range(80)]

FORMS = {
    "YYYYMM": (MONTHS, "%Y%m"),
    "YYYY.MM": (MONTHS, "%Y.%m"),
    "YYYY.M": (MONTHS, lambda t: f"{t.year}.{t.month}"),
    "YYYYQ": (MONTHS[::3], lambda t: f"{t.year}{(t.month + 2) // 3}"),
    "YYYYQ1": (MONTHS[::3], lambda t: f"{t.year}Q{(t.month + 2) // 3}"),
    "YYYY-Q1": (MONTHS[::3], lambda t: f"{t.year}-Q{(t.month + 2) // 3}"),
    "YYYY Q1": (MONTHS[::3], lambda t: f"{t.year} Q{(t.month + 2) // 3}"),
    "Q1 YYYY": (MONTHS[::3], lambda t: f"Q{(t.month + 2) // 3} {t.year}"),
    "Q1-YYYY": (MONTHS[::3], lambda t: f"Q{(t.month + 2) // 3}-{t.year}"),
    "YYYYWW": (WEEKS, "%G%V"),
    "YYYY-W01": (WEEKS, "%G-W%V"),
    "YYYYDDD": (DAYS, "%Y%j"),
    "YYYYMMDD": (DAYS, "%Y%m%d"),
    "YYYYMMDDHH": (HOURS, "%Y%m%d%H"),
    "YYYYMMDDHHMM": (HOURS, "%Y%m%d%H%M"),
    "YYYYMMDDHHMMSS": (HOURS, "%Y%m%d%H%M%S"),
    "MM/DD/YYYY": (DAYS, "%m/%d/%Y"),
    "M/D/YYYY HH:MM": (HOURS, lambda t: f"{t.month}/{t.day}/{t:%Y %H:%M}"),
    "M/D/YYYY H:MM": (HOURS, lambda t: f"{t.month}/{t.day}/{t.year} {t.hour}:{t:%M}"),
    "M/D/YYYY H:MM:SS": (HOURS, lambda t: f"{t.month}/{t.day}/{t.year} {t.hour}:{t:%M:%S}"),
    "YYYY-MM-DD H:MM": (HOURS, lambda t: f"{t:%Y-%m-%d} {t.hour}:{t:%M}"),
    "YYYY-MM-DD H:MM:SS": (HOURS, lambda t: f"{t:%Y-%m-%d} {t.hour}:{t:%M:%S}"),
    "DD/MM/YYYY": (DAYS, "%d/%m/%Y"),
    "DD.MM.YYYY": (DAYS, "%d.%m.%Y"),
    "DD.MM.YYYY HH:MM": (HOURS, "%d.%m.%Y %H:%M"),
    "YYYY/MM/DD HH:MM": (HOURS, "%Y/%m/%d %H:%M"),
    "YYYY-M-D": (DAYS, lambda t: f"{t.year}-{t.month}-{t.day}"),
}


def written(form: str) -> tuple[list[datetime.datetime], list[str]]:
    moments, way = FORMS[form]
    return moments, [way(t) if callable(way) else t.strftime(way) for t in moments]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_found_and_written_back_without_a_hole(form):
    moments, times = written(form)
    (reading,) = readings(pl.Series(times))
    assert reading.form == form
    found = reading.times(pl.Series(times)).to_numpy()
    assert found.tolist() == [int(t.replace(tzinfo=datetime.UTC).timestamp()) * 1_000_000 for t in moments]
    clock = find_clock(found, reading)
    assert (steps_between(found, clock) == 1).all()
    assert [clock.at(i) for i in range(len(times))] == times


@pytest.mark.parametrize(
    "form", ["YYYYMM", "YYYY.MM", "YYYYQ", "YYYYWW", "YYYYDDD", "YYYYMMDD", "YYYYMMDDHH", "YYYYMMDDHHMMSS"]
)
def test_calendars_in_digits_are_read_from_columns_of_numbers_too(form):
    _, times = written(form)
    numbers = pl.Series([float(t) if "." in t else int(t) for t in times])
    (reading,) = readings(numbers)
    found = reading.times(numbers).to_numpy()
    assert reading.form == form
    clock = find_clock(found, reading)
    assert [clock.at(i) for i in range(len(times))] == times


PLAIN = {
    "years": range(1900, 1950),
    "seconds since 1970": range(1_700_000_000, 1_700_360_000, 3600),
    "fractions of years": [1999 + i / 12 for i in range(40)],
    "quarters of years": [1999 + i / 4 for i in range(40)],
    "six digits": range(123456, 123556),
}


@pytest.mark.parametrize("case", PLAIN)
def test_other_numbers_stay_numbers(case):
    assert [reading.form for reading in readings(pl.Series(PLAIN[case]))] == ["number"]


TWO = {
    "a year of months": ([f"2000{m:02}" for m in range(1, 13)], {"YYYYMM", "YYYYWW", "number"}),
    "Januaries": ([f"{y}01" for y in range(1990, 2020)], {"YYYYMM", "YYYYWW", "number"}),
    "days of one year": ([f"2024{d:03}" for d in range(1, 300)], {"YYYYDDD", "number"}),
    "first days": (["01/02/2024", "02/02/2024", "03/02/2024"], {"MM/DD/YYYY", "DD/MM/YYYY"}),
}


@pytest.mark.parametrize("case", TWO)
def test_where_two_readings_fit_the_user_is_asked(tmp_path, case):
    times, forms = TWO[case]
    assert {reading.form for reading in readings(pl.Series(times))} == forms
    file = tmp_path / "a.csv"
    file.write_text("time,y\n" + "".join(f"{t},{i}\n" for i, t in enumerate(times)))
    table = open_table(file)
    with pytest.raises(DataError, match=r"a\.csv, line 2: .* can be read in \d ways: .* by --time-format "):
        read_series(table, choose_columns(table, None, None), tmp_path)
    for form in forms - {"YYYYWW"}:
        found = read_series(table, choose_columns(table, None, None, form.lower()), tmp_path)
        assert (found.clock.form, found.clock.at(0)) == (form, times[0])


def test_a_hole_or_a_misspelt_month_leaves_months_what_they_are(tmp_path):
    _, times = written("YYYYMM")
    assert [r.form for r in readings(pl.Series([t for t in times if t != "200005"]))] == ["YYYYMM"]
    file = tmp_path / "a.csv"
    file.write_text("time,y\n" + "".join(f"{t},{i}\n" for i, t in enumerate([*times, "200213"])))
    table = open_table(file)
    with pytest.raises(DataError, match="line 42: column time is '200213', no time of the form YYYYMM"):
        read_series(table, choose_columns(table, None, None), tmp_path)


def test_any_format_can_be_given(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("time,y\n" + "".join(f"{t:%d %b %y},{i}\n" for i, t in enumerate(DAYS)))
    table = open_table(file)
    found = read_series(table, choose_columns(table, None, None, "%d %b %y"), tmp_path)
    assert [found.clock.at(0), found.clock.at(60)] == ["20 Dec 23", "18 Feb 24"]
    with pytest.raises(SettingError, match="time_format must be a format with date and time, not %Y minute %M"):
        read_series(table, choose_columns(table, None, None, "%Y minute %M"), tmp_path)
    with pytest.raises(SettingError, match="time_format must be number, YYYY-MM, "):
        read_series(table, choose_columns(table, None, None, "YYMMDD"), tmp_path)


@pytest.mark.parametrize("form", ["%Y년 %m월", "%b-%y", "%B %Y", "%m/%Y", "%Y"])
def test_a_format_may_have_no_day(tmp_path, form):
    moments = MONTHS[::12] if form == "%Y" else MONTHS
    pl.DataFrame({"time": [t.strftime(form) for t in moments], "y": [k % 7 for k in range(len(moments))]}).write_csv(
        tmp_path / "a.csv"
    )
    found = read_series(table := open_table(tmp_path / "a.csv"), choose_columns(table, None, None, form), tmp_path)
    assert (found.gaps, found.clock.unit, found.clock.at(0)) == (0, "month", moments[0].strftime(form))


def test_a_form_that_is_not_known_may_be_given(tmp_path):
    (tmp_path / "a.csv").write_text("time,y\n01-Jan-2010,1\n")
    with pytest.raises(DataError, match=r"no time: .*; --time-format gives any other way to write it, as '%d %b %Y'"):
        read_series(table := open_table(tmp_path / "a.csv"), choose_columns(table, None, None), tmp_path)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of this process cannot be set")
@pytest.mark.parametrize(
    ("form", "write", "after"),
    [
        ("%s", lambda t: str(int(t.timestamp())), "1704254400"),
        ("%d/%m/%y %H:%M:%S %z", lambda t: t.strftime("%d/%m/%y %H:%M:%S +0900"), "02/01/24 19:00:00 +0000"),
        ("%Y-%m-%d %Hh, 100%%", lambda t: t.strftime("%Y-%m-%d %Hh, 100%%"), "2024-01-03 04h, 100%"),
    ],
)
def test_a_given_format_means_the_same_wherever_this_machine_is(tmp_path, monkeypatch, form, write, after):
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        file = tmp_path / "a.csv"
        times = [write(t.replace(tzinfo=datetime.UTC)) for t in HOURS]
        file.write_text("time,y\n" + "".join(f'"{t}",{i % 7}\n' for i, t in enumerate(times)))
        table = open_table(file)
        clock = read_series(table, choose_columns(table, None, None, form), tmp_path).clock
        assert (clock.season, clock.at(len(HOURS))) == (24, after)
    finally:
        monkeypatch.undo()
        time.tzset()


ZONES = {
    "Asia/Seoul": (HOURS, "2024-01-03T04:00:00+09:00"),
    "UTC": (HOURS, "2024-01-03T04:00:00+00:00"),
    # a day has 23 hours when summer time begins
    "America/New_York": ([datetime.datetime(2024, 2, 1) + i * DAY for i in range(60)], "2024-04-01T00:00:00-04:00"),
    "Europe/Berlin": (MONTHS, "2002-05-01T00:00:00+02:00"),
}


@pytest.mark.parametrize("zone", ZONES)
def test_times_of_a_zone_come_back_in_that_zone(tmp_path, zone):
    moments, following = ZONES[zone]
    column = pl.Series(moments).dt.cast_time_unit("us").dt.replace_time_zone(zone)
    pl.DataFrame({"time": column, "y": np.arange(len(moments)) * 1.5}).write_parquet(tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    found = read_series(table, choose_columns(table, None, None), tmp_path)
    assert (found.gaps, found.steps) == (0, len(moments))
    assert [found.clock.at(i) for i in (0, len(moments))] == [column[0].isoformat(), following]


def test_an_offset_comes_back(tmp_path):
    times = [f"{t:%Y-%m-%dT%H:%M:%S}-03:30" for t in DAYS]
    (reading,) = readings(pl.Series(times))
    clock = find_clock(reading.times(pl.Series(times)).to_numpy(), reading)
    assert [clock.at(i) for i in range(len(times))] == times


def test_large_numbers_keep_their_digits():
    times = pl.Series([1_700_000_000 + i / 1000 for i in range(50)])
    (reading,) = readings(times)
    clock = find_clock(reading.times(times).to_numpy(), reading)
    assert [clock.at(i) for i in (0, 1, 50)] == ["1700000000", "1700000000.001", "1700000000.05"]


def test_durations_are_said(tmp_path):
    pl.DataFrame({"time": [i * HOUR for i in range(9)], "y": range(9)}).write_parquet(tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, column time holds Duration.* where text or numbers are needed"):
        read_series(table, choose_columns(table, "time", None), tmp_path)
    with pytest.raises(DataError, match=r"a\.parquet, column time holds Duration"):
        read_series(table, choose_columns(table, "y", ["time"]), tmp_path)
