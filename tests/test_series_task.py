"""The series task: times and gaps, scaling, the model's forecasts, rolling origins, measures and baselines."""

import dataclasses
import datetime
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from elman.tasks import SeriesForecaster
from elman.tasks.errors import DataError, RunError
from elman.tasks.files import tables
from elman.tasks.files.places import file_sha256
from elman.tasks.files.tables import open_table
from elman.tasks.series import data as series_data
from elman.tasks.series import run as series_runs
from elman.tasks.series import scale as series_scale
from elman.tasks.series.calibration import adapt, calibrate
from elman.tasks.series.clock import Clock
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.data import SeriesArrays, read_series
from elman.tasks.series.dated import dated
from elman.tasks.series.forecaster import Forecaster, Past
from elman.tasks.series.measures import Autoregression, Errors, baseline_forecasts, measure_forecasts, pinball
from elman.tasks.series.model import SeriesModel
from elman.tasks.series.report import fitted_in_words, learned, verdict
from elman.tasks.series.run import JOB, MODEL, Measured, Source
from elman.tasks.series.scale import Scale, naive_error
from elman.tasks.series.season import find_seasons, seasonal_places, strongest_lag
from elman.tasks.series.task import Parts, SeriesTask, split_series
from elman.tasks.settings import LoopSettings, SeriesSettings
from elman.tasks.training import loop, runs


def read(folder: Path, content: str, *columns: str) -> tuple[series_data.Read, SeriesArrays]:
    file = folder / "a.csv"
    file.write_text(content)
    table = open_table(file)
    return read_series(table, choose_columns(table, None, list(columns) or None), folder), SeriesArrays(folder)


def csv_of(times: list[str], *columns: list[object]) -> str:
    names = ",".join(f"y{i}" for i in range(len(columns)))
    rows = [",".join(map(str, row)) for row in zip(times, *columns, strict=True)]
    return "\n".join([f"time,{names}", *rows, ""])


# Times


def every(step: datetime.timedelta, count: int, write) -> list[str]:
    start = datetime.datetime(2023, 12, 30, 22)
    return [write(start + i * step) for i in range(count)]


HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
MONTHS = [f"{2019 + m // 12}-{m % 12 + 1:02d}" for m in range(40)]
LAST_DAYS = [
    (datetime.date(2019 + (m + 1) // 12, (m + 1) % 12 + 1, 1) - datetime.timedelta(days=1)).isoformat()
    for m in range(40)
]
WAYS = {
    "months": (MONTHS, "1 month", 12),
    "first days of months": ([f"{m}-01" for m in MONTHS], "1 month", 12),
    "15th of quarters": ([f"{m}-15" for m in MONTHS[::3]], "3 months", 4),
    "last days of months": (LAST_DAYS, "1 month", 12),
    "days": (every(DAY, 70, lambda t: f"{t:%Y-%m-%d}"), "1 day", 7),
    "days with slashes": (every(DAY, 70, lambda t: f"{t:%Y/%m/%d}"), "1 day", 7),
    "days with points": (every(DAY, 70, lambda t: f"{t:%Y.%m.%d}"), "1 day", 7),
    "days without signs": (every(DAY, 70, lambda t: f"{t:%Y%m%d}"), "1 day", 7),
    "months with slashes": ([m.replace("-", "/") for m in MONTHS], "1 month", 12),
    "weeks": (every(7 * DAY, 70, lambda t: f"{t:%Y-%m-%d}"), "7 days", 52),
    "hours": (every(HOUR, 70, lambda t: f"{t:%Y-%m-%d %H:%M}"), "1 hour", 24),
    "hours with seconds": (every(HOUR, 70, lambda t: f"{t:%Y-%m-%d %H:%M:%S}"), "1 hour", 24),
    "quarters of an hour": (every(HOUR / 4, 70, lambda t: f"{t:%Y-%m-%dT%H:%M:%S}"), "15 minutes", 96),
    "hours in UTC": (every(HOUR, 70, lambda t: f"{t:%Y-%m-%dT%H:%M:%S}Z"), "1 hour", 24),
    "weekdays": (
        [d for d in every(DAY, 98, lambda t: f"{t:%Y-%m-%d}") if datetime.date.fromisoformat(d).weekday() < 5],
        "1 weekday",
        5,
    ),
    "years": ([str(year) for year in range(1900, 1950)], "1", 1),
    "fractions of years": ([f"{1900 + i / 12:.3f}" for i in range(60)], None, 1),
    "tenths": ([f"{i / 10}" for i in range(50)], "0.1", 1),
}


@pytest.mark.parametrize("rows", [5, 100_000])
@pytest.mark.parametrize("way", WAYS)
def test_times_are_read_and_written_back(tmp_path, monkeypatch, way, rows):
    monkeypatch.setattr(tables, "ROWS", rows)
    times, step, season = WAYS[way]
    found, arrays = read(tmp_path, csv_of(times, range(len(times))))
    assert found.clock.regular
    assert (found.steps, found.gaps, found.missing) == (len(times), 0, 0)
    assert arrays.values[:, 0].tolist() == [*range(len(times))]
    assert found.clock.season == season
    if step is not None:
        assert found.clock.step_in_words() == step
        back = [found.clock.at(i) for i in range(len(times))]
        assert [*map(float, back)] == [*map(float, times)] if way == "tenths" else back == times


def test_a_holiday_is_a_gap_among_weekdays_and_a_weekend_is_none(tmp_path):
    days = [day for day in WAYS["weekdays"][0] if day != "2024-01-10"]
    found, arrays = read(tmp_path, csv_of(days, range(len(days))))
    assert (found.gaps, found.missing, found.longest_gap_after) == (1, 1, "2024-01-09")
    assert found.clock.at(len(arrays)) == "2024-04-08"  # the Monday after
    with_weekend = sorted([*days, "2024-03-09"])
    found, _ = read(tmp_path, csv_of(with_weekend, range(len(with_weekend))))
    assert found.clock.step_in_words() == "1 day"


DATED = {
    "year and month": ("y,year,month\n1,2019,11\n2,2019,12\n3,2020,1\n", "year-month", "2020-02", "1 month"),
    "in Korean, of Excel": ("연도,월,y\n2019.0,11.0,1\n2019.0,12.0,2\n2020.0,1.0,3\n", "연도-월", "2020-02", "1 month"),
    "quarters": ("Year,Quarter,y\n2019,3,1\n2019,4,2\n2020,1,3\n", "Year-Quarter", "2020Q2", "3 months"),
    "days": ("year,month,day,y\n2019,12,30,1\n2019,12,31,2\n2020,1,1,3\n", "year-month-day", "2020-01-02", "1 day"),
    "days, and an hour": (
        "year,month,day,time,y\n2019,12,30,12:00,1\n2019,12,31,12:00,2\n2020,1,1,12:00,3\n",
        "year-month-day",
        "2020-01-02",
        "1 day",
    ),
    "hours of several days": (
        "year,month,day,hour,y\n2019,12,31,22,1\n2019,12,31,23,2\n2020,1,1,0,3\n",
        "year-month-day-hour",
        "2020-01-01 01:00",
        "1 hour",
    ),
    "a date and a time": (
        "Date,Time,y\n31/12/2019,23.00.00,1\n31/12/2019,23.30.00,2\n01/01/2020,00.00.00,3\n",
        "Date-Time",
        "01/01/2020 00:30:00",
        "30 minutes",
    ),
    "a date and an hour, in Korean, beside the year and the month": (
        "일자,연도,월,시간,y\n20191231,2019,12,22,1\n20191231,2019,12,23,2\n20200101,2020,1,0,3\n",
        "일자-시간",
        "2020-01-01 01:00",
        "1 hour",
    ),
    "dates as moments, and a time": (
        "date,time,y\n2019-12-31 00:00:00,9:30,1\n2019-12-31 00:00:00,21:30,2\n2020-01-01 00:00:00,9:30,3\n",
        "date-time",
        "2020-01-01 21:30",
        "12 hours",
    ),
    "whole dates beside a year and a month": (
        "year,month,date,y\n2019,12,2019-12-30,1\n2019,12,2019-12-31,2\n2020,1,2020-01-01,3\n",
        "date",
        "2020-01-02",
        "1 day",
    ),
    "whole dates beside a quarter, in Korean": (
        "날짜,년도,분기,y\n2019-11-05,2019,4,1\n2019-12-05,2019,4,2\n2020-01-05,2020,1,3\n",
        "날짜",
        "2020-02-05",
        "1 month",
    ),
    "whole dates under a name that comes after month": (
        "month,ds,year,y\n12,2019-12-30,2019,1\n12,2019-12-31,2019,2\n1,2020-01-01,2020,3\n",
        "ds",
        "2020-01-02",
        "1 day",
    ),
    "a date that is missing once": (
        "date,year,month,y\n2019-11-01,2019,11,1\n,2019,12,2\n2020-01-01,2020,1,3\n",
        "year-month",
        "2020-02",
        "1 month",
    ),
    "a date that is none once": (
        "date,year,month,y\n2019-11-01,2019,11,1\nn/a,2019,12,2\n2020-01-01,2020,1,3\n",
        "year-month",
        "2020-02",
        "1 month",
    ),
    "the date of a report": (
        "date,year,month,y\n2024-01-05,2019,11,1\n2024-01-05,2019,12,2\n2024-01-05,2020,1,3\n",
        "year-month",
        "2020-02",
        "1 month",
    ),
    "a month and a year in one column": (
        "month,date,y\n2019-11,?,1\n2019-12,?,2\n2020-01,?,3\n",
        "month",
        "2020-02",
        "1 month",
    ),
    "a made column's name, with a month missing": (
        "year-month,year,month,y\n2019-11,2019,11,1\n,2019,12,2\n2020-01,2020,1,3\n",
        "year+month",
        "2020-02",
        "1 month",
    ),
    "years that are fiscal": (
        "date,year,month,y\n2019.11,2020,11,1\n2019.12,2020,12,2\n2020.01,2020,1,3\n",
        "date",
        "2020.02",
        "1 month",
    ),
    "a quarter beside a month": (
        "year,quarter,month,y\n2019,4,11,1\n2019,4,12,2\n2020,1,1,3\n",
        "year-month",
        "2020-02",
        "1 month",
    ),
    "a quarter beside a month, and whole dates": (
        "year,quarter,month,date,y\n2019,4,11,2019-11-05,1\n2019,4,12,2019-12-05,2\n2020,1,1,2020-01-05,3\n",
        "date",
        "2020-02-05",
        "1 month",
    ),
    "dates that two ways fit": (
        "date,year,month,y\n01/11/2019,2019,11,1\n01/12/2019,2019,12,2\n01/01/2020,2020,1,3\n",
        "year-month",
        "2020-02",
        "1 month",
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", DATED)
def test_times_in_several_columns_are_one(tmp_path, case, kind):
    content, name, following, step = DATED[case]
    (tmp_path / "a.csv").write_text(content)
    if kind == "parquet":
        pl.read_csv(tmp_path / "a.csv").write_parquet(tmp_path / "a.parquet")
    table, time = dated(open_table(tmp_path / f"a.{kind}"))
    columns = choose_columns(table, time, None)
    found = read_series(table, columns, tmp_path)
    assert (columns.time, columns.values) == (name, ["y"])
    assert (found.clock.at(3), found.clock.step_in_words()) == (following, step)
    assert SeriesArrays(tmp_path).values.T.tolist() == [[1, 2, 3]]
    table, time = dated(open_table(tmp_path / f"a.{kind}"), name)  # as a run reads it again
    assert read_series(table, choose_columns(table, time, None), tmp_path).clock.at(3) == following


def test_years_that_are_no_numbers_are_no_years(tmp_path):
    days = ["2019-11-05", "2019-12-05", "2020-01-05"]
    pl.DataFrame({"year": [[2019], [2019], [2020]], "date": days, "y": [1, 2, 3]}).write_parquet(tmp_path / "a.parquet")
    columns = choose_columns(*dated(open_table(tmp_path / "a.parquet")), None)
    assert (columns.time, columns.values, columns.left_out) == ("date", ["y"], ["year"])


@pytest.mark.parametrize("named", ["year-month", "month-name"])
def test_the_column_that_is_named_is_the_time(tmp_path, named):
    """Of the file, or made of its parts, whatever stands beside it."""
    (tmp_path / "a.csv").write_text(
        "date,year,month,month-name,y\n2019-11-05,2019,11,2019-11,1\n2019-12-05,2019,12,2019-12,2\n"
        "2020-01-05,2020,1,2020-01,3\n"
    )
    table, time = dated(open_table(tmp_path / "a.csv"), named)
    columns = choose_columns(table, time, None)
    assert (columns.time, columns.values) == (named, ["y"])
    assert read_series(table, columns, tmp_path).clock.at(3) == "2020-02"


def test_hours_that_tell_no_rows_apart_are_a_series(tmp_path):
    """When the sun rises, one a day; also where a day has a row for each series; hours with a fraction are none."""
    (tmp_path / "a.csv").write_text("date,hour,y\n2019-12-30,8,1\n2019-12-31,7,2\n2020-01-01,8,3\n")
    columns = choose_columns(*dated(open_table(tmp_path / "a.csv")), None)
    assert (columns.time, columns.values) == ("date", ["hour", "y"])
    rows = [f"2019-12-{day},{city},{hour},1" for city, hour in (("a", 7), ("b", 8)) for day in (30, 31)]
    (tmp_path / "b.csv").write_text("\n".join(["date,city,hour,y", *rows, ""]))
    table = open_table(tmp_path / "b.csv")
    assert dated(table, series="city") == (table, None)
    assert dated(table)[1] == "date-hour"
    (tmp_path / "c.csv").write_text("date,hour,y\n2019-12-30,7.25,1\n2019-12-30,7.50,2\n")
    assert dated(open_table(tmp_path / "c.csv"))[1] is None
    rows = [f"2019-12-{k // 24 + 1:02d},{k % 24 if k != 7 else 77}:00,{k}" for k in range(240)]
    (tmp_path / "e.csv").write_text("\n".join(["date,time,y", *rows, ""]))
    table, time = dated(open_table(tmp_path / "e.csv"))
    with pytest.raises(DataError, match=r"line 9.*2019-12-01 77:00"):  # and not the whole column
        read_series(table, choose_columns(table, time, None), tmp_path)
    (tmp_path / "d.csv").write_text("date,hour,y\n2019-12-31,23,1\n")
    assert dated(open_table(tmp_path / "d.csv"), "date-hour")[0].columns == ["date-hour", "y"]


def test_few_digits_are_a_time_where_they_are_of_the_years_beside_them(tmp_path):
    (tmp_path / "a.csv").write_text("year,t,y\n2018,1991.01,1\n2019,1993.05,2\n2020,1997.03,3\n")
    columns = choose_columns(*dated(open_table(tmp_path / "a.csv")), None)
    assert (columns.time, columns.values) == ("year", ["t", "y"])
    (tmp_path / "b.csv").write_text("year,month,t,y\n2018,11,2018.11,1\n2018,12,2018.12,2\n2019,1,2019.01,3\n")
    columns = choose_columns(*dated(open_table(tmp_path / "b.csv")), None)
    assert (columns.time, columns.values) == ("t", ["y"])


def test_dates_beside_a_month_are_read_once(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("month,date,y\nNov,2019-11-05,1\nDec,2019-12-05,2\nJan,2020-01-05,3\n")
    table, asked = open_table(tmp_path / "a.csv"), []
    batches = type(table).batches
    monkeypatch.setattr(type(table), "batches", lambda self, columns: asked.append(columns) or batches(self, columns))
    assert choose_columns(*dated(table), None).time == "date"
    assert asked == [["month", "date"], ["month", "date", "y"]]


def test_a_column_of_years_alone_is_the_time(tmp_path):
    (tmp_path / "a.csv").write_text("year,y\n2018,1\n2019,2\n2020,3\n")
    assert choose_columns(*dated(open_table(tmp_path / "a.csv")), None).time == "year"


def test_the_parts_of_a_time_are_left_out_unless_they_are_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text("year,month,date,y\n2019,12,2019-12-31,2\n2020,1,2020-01-01,3\n")
    table = open_table(tmp_path / "a.csv")
    columns = choose_columns(*dated(table), None)
    assert (columns.time, columns.values, columns.parts, columns.left_out) == ("date", ["y"], ["year", "month"], [])
    assert choose_columns(*dated(table), ["month", "y"]).values == ["month", "y"]
    assert choose_columns(table, "year", None).values == ["month", "y"]


def test_a_run_whose_time_was_made_of_parts_reads_them_beside_whole_dates(tmp_path):
    """Runs of older versions made it of them where whole dates stood beside them too."""
    rng = np.random.default_rng(0)
    rows = [[f"{2000 + m // 12}", f"{m % 12 + 1}", f"{rng.normal():.3f}"] for m in range(120)]
    (tmp_path / "a.csv").write_text("\n".join(["year,month,y", *(",".join(row) for row in rows), ""]))
    table, time = dated(open_table(tmp_path / "a.csv"))
    source = Source(table, choose_columns(table, time, None))
    settings = SeriesSettings(window=8, horizon=3, hidden_size=4)
    run = runs.begin(JOB, source, tmp_path / "run", settings, LoopSettings(steps=1, eval_every=1))
    loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
    series_runs.measure(run)
    (tmp_path / "b.csv").write_text(
        "\n".join(["date,year,month,y", *(f"{row[0]}-{int(row[1]):02d}-15,{','.join(row)}" for row in rows), ""])
    )
    forecaster = Forecaster(run.folder)
    found = [forecaster.read(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert np.array_equal(found[0].values, found[1].values)
    assert [past.at(len(past.values)) for past in found] == ["2010-01", "2010-01"]


def test_parquet_times_are_those_of_csv(tmp_path):
    days = pl.date_range(datetime.date(2020, 1, 30), datetime.date(2020, 3, 30), eager=True)
    pl.DataFrame({"y": range(len(days)), "day": days}).write_parquet(tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    found = read_series(table, choose_columns(table, None, None), tmp_path)
    assert [found.clock.at(i) for i in range(len(days))] == [f"{day}" for day in days]


def test_days_written_as_whole_numbers_are_days(tmp_path):
    days = [20240227, 20240228, 20240229, 20240302]
    pl.DataFrame({"day": days, "y": [1.0, 2.0, 3.0, 4.0]}).write_parquet(tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    found = read_series(table, choose_columns(table, None, None), tmp_path)
    assert (found.steps, found.gaps, found.longest_gap_after) == (5, 1, "20240229")
    assert [found.clock.at(i) for i in range(5)] == ["20240227", "20240228", "20240229", "20240301", "20240302"]


@pytest.mark.parametrize("rows", [2, 3, 100_000])
def test_gaps_are_counted_and_filled_with_what_was_known(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "ROWS", rows)
    monkeypatch.setattr(series_data, "blocks", lambda n: (slice(i, min(i + rows, n)) for i in range(0, n, rows)))
    times = ["2020-01", "2020-02", "2020-05", "2020-06", "2020-07", "2020-09", "2020-10"]
    found, arrays = read(tmp_path, csv_of(times, [1, 2, 3, "NA", 5, 6, 7], [10, "", "", 40, 50, "nan", 70]))
    assert (found.steps, found.rows, found.gaps) == (10, 7, 2)
    assert (found.longest_gap, found.longest_gap_after, found.missing) == (2, "2020-02", 10)
    assert arrays.values.T.tolist() == [[1, 2, 2, 2, 3, 3, 5, 5, 6, 7], [10, 10, 10, 10, 10, 40, 50, 50, 50, 70]]
    assert arrays.known.T.astype(int).tolist() == [[1, 1, 0, 0, 1, 0, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1, 1, 0, 0, 1]]


def test_rows_before_every_column_has_begun_are_left_out(tmp_path):
    found, arrays = read(tmp_path, csv_of(MONTHS[:6], ["", 2, 3, 4, 5, 6], ["", "", 30, 40, 50, 60]))
    assert (found.skipped, found.steps, found.clock.at(0)) == (2, 4, "2019-03")
    assert arrays.values.T.tolist() == [[3, 4, 5, 6], [30, 40, 50, 60]]


def test_irregular_times_are_said(tmp_path):
    times = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-03 12:00"]
    found, arrays = read(tmp_path, csv_of([f"{t} 00:00" if len(t) == 10 else t for t in times], [1, 2, 3, 4]))
    assert not found.clock.regular
    assert arrays.values[:, 0].tolist() == [1, 2, 3, 4]


UNNAMED = {
    "rows numbered": (",date,y\n0,2020-01-01,1\n1,2020-01-02,2\n", "date", ["y"], [""]),
    "rows numbered, time by another name": (",day_of,y\n0,2020-01-01,1\n1,2020-01-02,2\n", "day_of", ["y"], [""]),
    "times without a name": (",y\n2020-01-01,1\n2020-01-02,2\n", "", ["y"], []),
    "read and written again": ("date,Unnamed: 0,y\n2020-01-01,0,1\n2020-01-02,1,2\n", "date", ["y"], ["Unnamed: 0"]),
    "an id that numbers the rows": (
        "id,date,y\n" + "".join(f"{i + 1},2020-01-{i + 1:02d},{i % 5}\n" for i in range(12)),
        "date",
        ["y"],
        ["id"],
    ),
    "nothing but a count": ("date,y\n" + "".join(f"2020-01-{i + 1:02d},{i}\n" for i in range(12)), "date", ["y"], []),
    "no time at all": (",y\n0,1\n1,2\n", "", ["y"], []),
}


@pytest.mark.parametrize("case", UNNAMED)
def test_a_column_that_numbers_the_rows_is_not_forecast(tmp_path, case):
    content, time, values, index = UNNAMED[case]
    (tmp_path / "a.csv").write_text(content)
    columns = choose_columns(open_table(tmp_path / "a.csv"), None, None)
    assert (columns.time, columns.values, columns.index) == (time, values, index)


def test_a_column_that_was_not_asked_for_is_not_said_to_hold_no_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("date,y,z\n2020-01-01,1,2\n2020-01-02,2,3\n")
    assert choose_columns(open_table(tmp_path / "a.csv"), None, ["y"]).left_out == []


@pytest.mark.parametrize("rows", [["2020-01-01,1.5", "2020-01-02,2"], ["1,1.5", "2,2"], ["202001,1,,3", "202002,2,,4"]])
def test_a_first_row_of_values_is_no_header(tmp_path, rows):
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"a\.csv, line 1 holds values where the columns' names should be"):
        choose_columns(open_table(tmp_path / "a.csv"), None, None)


def test_numbers_may_be_names(tmp_path):
    (tmp_path / "a.csv").write_text("date,2020,2021\n2020-01-01,1,2\n2020-01-02,2,3\n")
    assert choose_columns(open_table(tmp_path / "a.csv"), None, None).values == ["2020", "2021"]
    (tmp_path / "b.csv").write_text("0,1\n2020-01-01,1\n2020-01-02,2\n")
    assert choose_columns(open_table(tmp_path / "b.csv"), None, None).values == ["1"]


def test_columns_without_numbers_are_left_out(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("date,station,high,note,low\n2020-01-01,Oslo,1,,NA\n2020-01-02,Oslo,2,,3\n")
    columns = choose_columns(open_table(file), None, None)
    assert (columns.time, columns.values, columns.left_out) == ("date", ["high", "low"], ["station", "note"])
    file.write_text('date,high,warm\n2020-01-01,1,\n2020-01-02,2,"1.020,5"\n2020-01-03,2,"3,5"\n')
    advice = "warm, which begins with '1.020,5': write thousands without a point, and decimals with one"
    assert choose_columns(open_table(file), None, None).left_out == [advice]
    file.write_text('date,from,load\n2020-01-01,a,"1,5"\n2020-01-02,a,"2,5"\n')
    with pytest.raises(DataError, match=r"no column of numbers .*: load begins with '1,5': write decimals"):
        choose_columns(open_table(file), None, None)


@pytest.mark.parametrize("rows", [3, 100_000])
@pytest.mark.parametrize("season", [1, 4])
def test_the_unit_of_mase_is_that_of_the_whole_training_part(monkeypatch, rows, season):
    """However few rows are in memory at a time."""
    monkeypatch.setattr(series_scale, "blocks", lambda n: (slice(i, min(i + rows, n)) for i in range(0, n, rows)))
    rng = np.random.default_rng(0)
    values, known = rng.normal(5, 3, (50, 3)), rng.random((50, 3)) < 0.8
    values[:, 2] = 7.0
    gone = np.where(known, values, np.nan)
    expected = np.nanmean(np.abs(gone[season:] - gone[:-season]), 0)
    np.testing.assert_allclose(naive_error(values, known, season), [*expected[:2], 1.0], rtol=1e-12)


# The model


def make_series(steps: int, columns: int = 1, season: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=(season, columns))
    return 50 + 10 * np.tile(pattern, (steps // season + 1, 1))[:steps] + rng.normal(size=(steps, columns))


def make_run(folder: Path, values: np.ndarray, training: LoopSettings | None = None, **settings) -> series_runs.Run:
    file = folder / "series.csv"
    times = every(HOUR, len(values), lambda t: f"{t:%Y-%m-%d %H:%M}")
    file.write_text(csv_of(times, *(["" if np.isnan(v) else repr(float(v)) for v in c] for c in values.T)))
    table = open_table(file)
    chosen = {"season": 4, "window": 8, "horizon": 5, "hidden_size": 12, "batch_size": 6} | settings
    source = Source(table, choose_columns(table, None, None), file_sha256(file))
    return runs.begin(
        JOB, source, folder / "run", SeriesSettings(**chosen), training or LoopSettings(steps=20, eval_every=10)
    )


@pytest.mark.parametrize(("horizon", "season"), [(1, 1), (5, 1), (3, 4), (4, 4), (9, 4)])
def test_seasonal_places_are_the_last_season_again_and_again(horizon, season):
    history = list(range(20))
    for _ in range(horizon):
        history.append(history[-season])
    assert seasonal_places(19, horizon, season).tolist() == history[20:]


def make_scale(columns: int = 1, seasons: list[int] | None = None, reach: int = 3, features: int = 0, **more) -> Scale:
    """A scale of its own for every column."""
    seasons, numbers = seasons or [4], np.arange(columns)
    names = {
        "log": [False] * columns,
        "slopes": (0.1 + np.arange(columns * features).reshape(columns, features)).tolist(),
        "centre": (numbers - 1.0).tolist(),
        "scale": (numbers + 2.0).tolist(),
        "spread": [(0.5 + 0.1 * numbers).tolist() for _ in seasons],
        "unit": [0.7] * columns,
        "error": [1.0] * columns,
        "methods": [["naive"]] * columns,
        "read_mean": [],
        "read_std": [],
    }
    return Scale(seasons=seasons, reach=reach, **{**names, **more})


def shaken(model: SeriesModel) -> SeriesModel:
    """The model with random weights everywhere, so that all of it matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        model.linear.normal_(std=0.3)
        model.deviation.uniform_(0.2, 1.0)
    return model.eval()


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("columns", [1, 3])
def test_an_untrained_model_is_its_linear_forecast_with_a_normal_interval(columns, log):
    scale = make_scale(columns, log=[log] * columns)
    model = SeriesModel(SeriesSettings(horizon=6, window=8, interval=0.9), scale).eval()
    with torch.no_grad():
        model.linear.normal_(std=0.3)
        model.deviation.uniform_(0.2, 1.0)
    values = torch.from_numpy(np.exp(make_series(30, columns) / 50))[:, None].expand(-1, 2, -1)
    y = ((values.log() if log else values) - model.centre) / model.scale
    found = model(values, 3)
    for t in range(len(found)):
        end = model.ahead + 3 + t + 1
        for c in range(columns):
            weights = model.linear[c]
            expected = weights[:, :-1] @ y[end - 3 : end, 0, c] + weights[:, -1]
            for q, z in enumerate((-1.6448536, 0.0, 1.6448536)):
                quantile = expected + z * model.deviation[:, c]
                torch.testing.assert_close(found[t, 0, :, c, q].double(), quantile, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.untrained(values, 3), found)
    units = model.in_units(found)
    back = ((units.log() if log else units) - model.centre[:, None]) / model.scale[:, None]
    torch.testing.assert_close(back, found.double())


def test_a_forecast_depends_on_what_came_before_alone():
    model = shaken(SeriesModel(SeriesSettings(horizon=3, hidden_size=8, window=8), make_scale(2)))
    values = torch.randn(20, 2, 2, dtype=torch.float64)
    ahead = model.ahead
    whole = model(values)
    for t in (0, 7, 15 - ahead + 4):
        torch.testing.assert_close(whole[t], model(values[: ahead + 1 + t])[-1])
    other = values.clone()
    other[ahead + 5] += 1  # step 5
    changed = (model(other) != whole).flatten(1).any(1)
    assert changed.tolist() == [False] * 5 + [True] * (len(whole) - 5)


def test_the_model_is_torchs_layer_beside_a_product_with_the_last_values():
    """With two seasons, a feature that is known ahead and a column that is only read."""
    scale = make_scale(1, [2, 3], reach=4, features=1, read_mean=[2.0], read_std=[4.0])
    model = shaken(SeriesModel(SeriesSettings(horizon=2, hidden_size=6, layers=2, window=4), scale))
    theirs = torch.nn.RNN(6, 6, 2)
    theirs.load_state_dict(model.rnn.state_dict())
    ahead = model.ahead
    assert ahead == 3
    values, future = torch.randn(9, 1, 2, dtype=torch.float64), torch.randn(11, 1, 1, dtype=torch.float64)
    y = (values[:, 0, 0] - 0.1 * future[:9, 0, 0] + 1) / 2
    level = y[ahead:] - y[:ahead].mean()
    changes = [(y[ahead:] - y[ahead - m : 9 - m]) / 0.5 for m in (2, 3)]
    x = torch.stack([y[ahead:], level, *changes, (values[ahead:, 0, 1] - 2) / 4, future[ahead:9, 0, 0]], dim=1).float()
    state = torch.cat([theirs(x)[0][-1], x[-1], future[9:, 0, 0].float()])
    low, median, high = (model.head.weight @ state + model.head.bias).view(2, 3).T.double()
    base = model.linear[0, :, :-1] @ y[-4:] + model.linear[0, :, -1]
    size = model.deviation[:, 0]
    quantiles = [median - low.exp().log1p(), median, median + high.exp().log1p()]
    expected = torch.stack([(base + size * q) * 2 - 1 + 0.1 * future[9:, 0, 0] for q in quantiles], dim=-1)
    found = model.in_units(model(values, 0, future), future[9:, 0])
    torch.testing.assert_close(found[-1, 0, :, 0], expected, rtol=1e-5, atol=1e-5)


def test_a_positive_model_forecasts_nothing_below_zero():
    values = -torch.ones(12, 1, 1, dtype=torch.float64)
    for positive in (False, True):
        model = SeriesModel(SeriesSettings(horizon=2, window=4, positive=positive), make_scale())
        found = model.in_units(model(values))
        assert (found.min() >= 0) == positive


def test_the_pinball_loss_is_least_at_the_quantile():
    sample = torch.from_numpy(np.random.default_rng(0).exponential(size=2001))
    guesses = torch.linspace(0, 5, 5001, dtype=torch.float64)
    for q in (0.1, 0.5, 0.9):
        losses = [pinball(g.expand(1), sample, torch.tensor([q])).mean() for g in guesses]
        best = guesses[int(torch.stack(losses).argmin())]
        assert best.item() == pytest.approx(sample.quantile(q).item(), abs=2e-3)
    assert pinball(torch.tensor([1.0]), torch.tensor(3.0), torch.tensor([0.9])).item() == pytest.approx(1.8)
    assert pinball(torch.tensor([3.0]), torch.tensor(1.0), torch.tensor([0.9])).item() == pytest.approx(0.2)


# Training


def test_the_loss_is_the_mean_pinball_loss_of_known_values(tmp_path):
    values = make_series(120, 2) - 100  # below zero: no logarithm
    values[40:43, 1] = np.nan
    run = make_run(tmp_path, values, dropout=0.0)
    task = run.task
    shaken(task.model)
    scale = Scale(**run.config["scale"])
    for step in range(3):
        starts = np.random.default_rng((0, step)).integers(task.starts, size=6)
        losses = []
        for start in starts:
            for t in range(4, 8):  # the second half of the window
                end = start + task.model.ahead + t + 1
                seen = torch.tensor(task.arrays.values[start:end])[:, None]
                forecast = task.model(seen, t)[-1, 0].detach().numpy()
                for k in range(5):
                    for c in range(2):
                        if not np.isnan(values[end + k, c]):
                            y = (values[end + k, c] - scale.centre[c]) / scale.scale[c]
                            e = y - forecast[k, c]
                            q = np.array([0.1, 0.5, 0.9])
                            losses.append(np.maximum(q * e, (q - 1) * e).mean() / scale.unit[c])
        assert task.loss(step).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_nothing_is_fitted_on_the_held_out_parts(tmp_path):
    values = make_series(200)
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = make_run(tmp_path / "one", values, held_out=0.2, dropout=0.0)
    assert (one.task.parts.train, one.task.parts.choose, one.task.parts.end) == (120, 160, 200)
    values[120:] = 1e6
    other = make_run(tmp_path / "other", values, held_out=0.2, dropout=0.0)
    assert one.config["scale"] == other.config["scale"]
    for _step in range(20):
        assert torch.equal(one.trainer.advance(), other.trainer.advance())
    assert one.task.starts - 1 + one.task.reach + 5 == 120  # the last window's last target is the training part's last


def test_rolling_origins_are_all_whose_values_are_in_the_part(tmp_path):
    task = make_run(tmp_path, make_series(200), held_out=0.2).task
    for which, first, last in (("choose", 120, 160), ("measure", 160, 200)):
        origins = task.parts.origins(which, 5, task.reach - 1)
        assert (origins[0] + 1, origins[-1] + 5) == (first, last - 1)
        assert np.array_equal(np.diff(origins), np.ones(len(origins) - 1))


def test_training_learns_what_a_baseline_cannot(tmp_path):
    nothing = np.zeros((2000, 0))
    rng = np.random.default_rng(1)
    y = [0.3]
    for _ in range(1500):  # the logistic map: to a linear model it looks like noise
        y.append(min(0.999, max(0.001, 3.9 * y[-1] * (1 - y[-1]) + 0.02 * rng.normal())))
    training = LoopSettings(steps=300, lr=0.01, eval_every=50)
    run = make_run(
        tmp_path,
        np.array(y)[:, None],
        training,
        season=1,
        window=12,
        horizon=2,
        hidden_size=32,
        dropout=0.0,
        batch_size=16,
    )
    assert loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
    measured = series_runs.measure(run)
    mase = {name: errors.mase[0] for name, errors in measured.errors.items()}
    assert set(mase) >= {MODEL, "naive", next(name for name in mase if name.startswith("AR("))}
    assert mase[MODEL] < 0.5 * min(error for name, error in mase.items() if name != MODEL)
    assert 0.7 < measured.errors[MODEL].coverage[0] < 0.9
    assert np.array_equal(measured.truth[:, 0, 0], np.array(y)[measured.origins + 1])
    forecaster = Forecaster(run.folder)
    forecaster.recent = 1000  # as many as were measured
    first = run.task.parts.train - forecaster.reach
    for o in (0, 17):
        seen = slice(first, measured.origins[o] + 1)
        past = Past(run.task.arrays.values[seen], run.task.arrays.known[seen], forecaster.clock, first, nothing)
        found = forecaster.forecast(past)
        np.testing.assert_allclose(found, measured.forecasts[MODEL][o], rtol=1e-5, atol=1e-5)
    past = forecaster.read(tmp_path / "series.csv")
    assert past.at(len(past.values) - 1) == every(HOUR, len(y), lambda t: f"{t:%Y-%m-%d %H:%M}")[-1]
    past = Past(np.ones((12, 1)), np.ones((12, 1), bool), forecaster.clock, 0, nothing)
    with pytest.raises(DataError, match=rf"too short: 12 steps, where .* looks back at {forecaster.reach}"):
        forecaster.forecast(past)


def test_a_forecast_needs_the_step_and_the_columns_of_the_training(tmp_path):
    forecaster = Forecaster(make_run(tmp_path, make_series(120)).folder)
    (tmp_path / "days.csv").write_text(csv_of(every(DAY, 30, lambda t: f"{t:%Y-%m-%d}"), range(30)))
    with pytest.raises(DataError, match=r"days.csv has a step of 1 day, where .*run was trained on 1 hour"):
        forecaster.read(tmp_path / "days.csv")
    (tmp_path / "other.csv").write_text("time,z\n2020-01,3\n")
    with pytest.raises(DataError, match="has no column 'y0'"):
        forecaster.read(tmp_path / "other.csv")
    (tmp_path / "hours.csv").write_text("hour,y0\n2020-01,3\n")
    with pytest.raises(DataError, match="has no column 'time': it has hour, y0"):  # forecast has no --time-column
        forecaster.read(tmp_path / "hours.csv")


# Measures and baselines


def test_measures_are_those_of_the_formulas():
    rng = np.random.default_rng(0)
    forecasts = np.sort(rng.normal(size=(7, 3, 2, 3)), axis=-1)
    truth, known = rng.normal(size=(7, 3, 2)), rng.random((7, 3, 2)) < 0.8
    truth[~known] = 1e9
    found = measure_forecasts(forecasts, truth, known, np.array([0.5, 2.0]), 0.6)
    for c, unit in enumerate((0.5, 2.0)):
        errors, losses, inside = [], [], []
        for o, k in zip(*np.nonzero(known[..., c]), strict=True):
            low, median, high = forecasts[o, k, c]
            y = truth[o, k, c]
            errors.append(abs(y - median))
            for q, f in ((0.2, low), (0.5, median), (0.8, high)):
                losses.append(q * (y - f) if y > f else (1 - q) * (f - y))
            inside.append(low <= y <= high)
        assert found.mase[c] == pytest.approx(np.mean(errors) / unit)
        assert found.pinball[c] == pytest.approx(np.mean(losses) / unit)
        assert found.coverage[c] == np.mean(inside)


def test_the_seasonal_naive_forecast_has_mase_1_where_mase_is_defined(tmp_path):
    values, season = make_series(400, 1, 4), 4
    unit = naive_error(values, np.ones((400, 1), bool), season)
    origins = np.arange(season - 1, 399 - season)
    truth = values[origins[:, None] + np.arange(1, season + 1)]
    points = np.repeat(values[seasonal_places(origins, season, season)][..., None], 3, axis=-1)
    found = measure_forecasts(points, truth, np.ones(truth.shape, bool), np.array(unit), 0.8)
    assert found.mase[0] == pytest.approx(1, rel=0.02)


def test_the_autoregression_finds_its_order_and_iterates():
    rng = np.random.default_rng(0)
    y = [0.0, 0.0]
    for _ in range(5000):
        y.append(3 + 0.6 * y[-1] - 0.5 * y[-2] + rng.normal())
    values = np.array(y)
    model = Autoregression.fit(values, np.ones(len(values), bool), 10)
    assert 2 <= len(model.weights) <= 4
    np.testing.assert_allclose([model.constant, *model.weights[:2]], [3, 0.6, -0.5], atol=0.1)
    history = list(values[:101])
    for _ in range(4):
        history.append(model.constant + sum(w * history[-1 - i] for i, w in enumerate(model.weights)))
    np.testing.assert_allclose(model.points(values, np.array([100]), 4)[0], history[-4:], rtol=1e-10)


def test_baselines_look_at_nothing_after_their_origin():
    values = make_series(300, 2)
    origins = np.array([200, 240])
    before = baseline_forecasts(values, np.ones(values.shape, bool), 180, origins, 6, [4], 0.8)
    assert set(before) >= {"naive", "seasonal naive", "AR"}  # ETS and ARIMA too where statsforecast is installed
    values[241:] = 1e9
    after = baseline_forecasts(values, np.ones(values.shape, bool), 180, origins, 6, [4], 0.8)
    values[181:241] += 5  # between the part they are fitted on and the origin
    moved = baseline_forecasts(values, np.ones(values.shape, bool), 180, origins, 6, [4], 0.8)
    for name, forecasts in before.items():
        assert forecasts.shape == (2, 6, 2, 3)
        assert np.array_equal(forecasts, after[name])
        assert not np.array_equal(forecasts, moved[name])
        assert (np.diff(forecasts, axis=-1) > 0).all()


def test_baselines_are_fitted_to_what_is_known():
    values, known, origins = make_series(240), np.ones((240, 1), bool), np.arange(200, 220)
    known[100:120] = False
    found = []
    for filled in (values[99], 40.0):
        values[100:120] = filled
        found.append(baseline_forecasts(values, known, 200, origins, 6, [4], 0.8))
    for name in (name for name in found[0] if name.startswith("AR")):
        spread, far = (np.ptp(forecasts[name], axis=-1).mean() for forecasts in found)
        np.testing.assert_array_equal(found[0][name][..., 1], found[1][name][..., 1])
        assert far < 3 * spread


def test_baseline_intervals_hold_what_they_say():
    values = make_series(4000)
    origins = np.arange(3000, 3990)
    truth = values[origins[:, None] + np.arange(1, 5)]
    for interval in (0.5, 0.9):
        for forecasts in baseline_forecasts(
            values, np.ones(values.shape, bool), 3000, origins, 4, [4], interval
        ).values():
            found = measure_forecasts(forecasts, truth, np.ones(truth.shape, bool), np.ones(1), interval)
            assert found.coverage[0] == pytest.approx(interval, abs=0.05)


def test_a_series_is_split_at_its_end():
    parts = split_series(100, SeriesSettings(held_out=0.1))
    assert (parts.train, parts.choose, parts.end) == (80, 90, 100)


@pytest.mark.parametrize("regular", [True, False])
def test_clock_survives_config_json(regular):
    clock = Clock("YYYY-MM", "month", 1, -631152000000000, regular)
    assert Clock(**vars(clock)).at(731) == "2010-12"
    assert isinstance(SeriesTask.unit, str)


def test_an_interval_that_does_not_hold_is_in_the_verdict():
    errors = {
        MODEL: Errors(np.array([0.5]), np.array([1.0]), np.array([0.2]), np.array([0.09])),
        "naive": Errors(np.array([1.0]), np.array([2.0]), np.array([0.4]), np.array([0.8])),
    }
    measured = Measured(np.arange(1), np.zeros((1, 1, 1)), np.ones((1, 1, 1), bool), {}, errors)
    assert verdict(measured, 0.8) == (
        "By MASE this model is better than naive. Its interval is too narrow: it holds 9% of what came, where 80% is "
        "asked for."
    )
    assert verdict(measured, 0.1) == "By MASE this model is better than naive."
    errors["exact"] = dataclasses.replace(errors["naive"], mase=np.array([1e-9]))
    errors[MODEL] = dataclasses.replace(errors[MODEL], mase=np.array([1e-6]))
    assert verdict(measured, 0.1) == "By MASE this model is better than naive; as good as exact."


def test_a_measure_that_is_nan_neither_wins_nor_loses():
    def one(mase: float, coverage: float = 0.8) -> Errors:
        return Errors(np.array([mase]), np.array([mase]), np.array([mase]), np.array([coverage]))

    nothing = np.zeros((1, 1, 1))
    errors = {MODEL: one(0.5), "naive": one(1.0), "AR": one(float("nan")), "ETS": one(0.1)}
    measured = Measured(np.arange(1), nothing, nothing > 0, {}, errors)
    assert verdict(measured, 0.8) == (
        "By MASE this model is better than naive; worse than ETS; not comparable with AR (there the measure is NaN): "
        "use ETS, or train on more data."
    )
    errors[MODEL] = one(float("nan"), float("nan"))
    assert verdict(measured, 0.8) == (
        "By MASE this model is not comparable with naive and AR and ETS (its own measure is NaN). Whether its interval "
        "holds what came is not known: that is NaN."
    )


def test_baselines_that_are_fitted_on_an_end_are_said():
    nothing, errors = np.zeros((1, 1, 1)), dict.fromkeys((MODEL, "naive", "AR(3)", "ETS", "ARIMA"))
    known = np.ones((100_001, 1), bool)
    measured = Measured(np.arange(1), nothing, nothing > 0, {}, errors)
    assert fitted_in_words(measured, 2000, [12], known) == ""
    assert fitted_in_words(measured, 100_001, [12], known) == (
        "Of the 100,001 steps to train on, baselines are fitted on the end: ETS on the last 2,000, ARIMA on the last "
        "2,000, AR(3) on the last 100,000, the intervals of the naive forecasts on the last 100,000."
    )
    long = dataclasses.replace(measured, errors=dict.fromkeys((MODEL, "naive", "AR(3)", "STL + ETS")))
    assert fitted_in_words(long, 1681, [24, 168], known).endswith("fitted on the end: STL + ETS on the last 1,680.")


def test_it_is_said_where_the_network_adds_nothing():
    assert learned(75, adopted=False).startswith("this model has the weights of step 75")
    assert "the forecasts are those of its linear path" in learned(0, adopted=False)
    assert "the weights that it began with" in learned(0, adopted=True)


@torch.no_grad()
def test_weights_are_kept_only_where_they_gain_more_than_chance(tmp_path):
    """The measure is the loss and two standard errors of the gain; in a short part no gain is told from chance."""
    run = make_run(tmp_path, make_series(300) - 200, held_out=0.2)
    task = run.task
    task.model.eval()
    linear = task.evaluate()
    task.model.head.bias.add_(0.3 * torch.randn_like(task.model.head.bias))
    other = task.evaluate()
    origins = task.parts.origins("choose", 5, task.reach - 1)
    places, known = task._targets(origins, 1)
    losses = [task._losses(task._scaled(origins, way), places, known).sum((0, 2, 3)) / 5 for way in (False, True)]
    assert losses[1].mean().item() == pytest.approx(linear)
    count = 60 // 5
    block = np.arange(len(origins)) * count // len(origins)
    gain = np.array([(losses[0] - losses[1])[torch.from_numpy(block == b)].mean().item() for b in range(count)])
    error = gain.std(ddof=1) / np.sqrt(count)
    assert other == pytest.approx(losses[0].mean().item() + 2 * error, rel=1e-5)
    task.parts = Parts(200, 235, 300)  # seven horizons
    worse = task.evaluate()
    task.model.head.bias.data.copy_(task.model.start.repeat(5))
    assert worse >= task.evaluate()


# The season, and intervals that hold


def test_the_season_is_the_one_whose_naive_forecasts_are_best():
    rng = np.random.default_rng(0)
    t = np.arange(400.0)
    week = np.array([3, 1, 4, 1, 5, 9, 2.0])[t.astype(int) % 7]
    walk = rng.normal(size=400).cumsum()
    every = np.ones((400, 1), bool)
    noisy = (week + rng.normal(size=400) / 9)[:, None]
    assert find_seasons(noisy, every, 7, 1, 7, 100) == [7]
    assert find_seasons(walk[:, None], every, 7, 1, 7, 100) == [1]  # a step of a day has no season by itself
    assert find_seasons(noisy, every, 1, 1, 7, 100) == [7]  # found without a clock
    assert find_seasons(noisy + t[:, None], every, 7, 1, 7, 100) == [7]  # and beside a trend
    assert find_seasons((np.sin(t * 2 * np.pi / 50) * 9)[:, None], every, 24, 1, 12, 100) == [50]
    assert find_seasons(walk[:20, None], every[:20], 12, 1, 12, 5) == [12]  # too few values to try


def test_a_week_is_found_beside_a_day():
    hours = np.arange(24 * 7 * 8)
    day = np.sin(2 * np.pi * hours / 24)
    weekend = (hours // 24 % 7 > 4) * 3.0
    known, noise = np.ones((len(hours), 1), bool), np.random.default_rng(0).normal(size=len(hours)) / 9
    assert find_seasons((day + weekend + noise)[:, None], known, 24, 168, 24, 500) == [24, 168]
    assert find_seasons((day + noise)[:, None], known, 24, 168, 24, 500) == [24]
    assert Clock("YYYY-MM-DD HH:MM", "microsecond", 3600e6, 0, True).longer_season == 168
    assert Clock("YYYY-MM-DD", "microsecond", 86400e6, 0, True).longer_season == 1


def test_the_strongest_lag_is_that_of_the_autocorrelation_of_changes():
    y = np.random.default_rng(1).normal(size=300) + np.tile(np.arange(10.0), 30)
    changes = np.diff(y) - np.diff(y).mean()
    products = np.array([(changes[lag:] * changes[: len(changes) - lag]).sum() for lag in range(100)])
    peaks = [lag for lag in range(2, 99) if products[lag] > max(products[lag - 1], products[lag + 1])]
    assert strongest_lag(y[:, None], 90) == max(peaks, key=products.__getitem__) == 10


def test_intervals_adapt_to_what_came():
    """Too narrow by far: soon as wide as they should be, also after what came has become wilder."""
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(3000) < 1500, 1.0, 3.0)[:, None, None] * [[1.0], [3.0]]
    truth = rng.normal(size=(3000, 2, 1)) * scale
    narrow = np.broadcast_to(np.array([-0.1, 0.0, 0.2]), (3000, 2, 1, 3))
    known = rng.random((3000, 2, 1)) < 0.9
    margins = adapt(narrow, truth, known, 0.8)
    low, median, high = np.moveaxis(calibrate(narrow, margins), -1, 0)
    inside = (low <= truth) & (truth <= high)
    for rows in (slice(100, 1500), slice(1600, 3000)):
        np.testing.assert_allclose(inside[rows].mean((0, 2)), 0.8, atol=0.03)
    assert (median == 0).all()
    assert margins[1000, 1, 0] > 2 * margins[1000, 0, 0] > 1


@pytest.mark.parametrize("spacing", [1, 2])
def test_a_margin_is_made_of_what_was_known_at_its_origin(spacing):
    rng = np.random.default_rng(0)
    forecasts, truth = np.sort(rng.normal(size=(80, 4, 2, 3)), axis=-1), rng.normal(size=(80, 4, 2))
    known = np.ones(truth.shape, bool)
    before = adapt(forecasts, truth, known, 0.8, spacing)
    place = np.arange(80)[:, None] * spacing + np.arange(1, 5)
    later = np.where((place > 60 * spacing)[..., None], 1e9, truth)
    after = adapt(forecasts, later, known, 0.8, spacing)
    assert np.array_equal(before[:61], after[:61])
    assert (before[62:] != after[62:]).any()


def test_a_calibrated_interval_holds_its_median():
    tight = calibrate(np.array([[[-1.0, 0.0, 1.0]]]), np.array([[-5.0]]))  # far too wide: no further than the median
    assert tight.tolist() == [[[0, 0, 0]]]


def test_the_run_keeps_its_margin_and_forecasts_with_it(tmp_path):
    y = np.random.default_rng(0).normal(size=200)
    model = SeriesForecaster(horizon=3, window=8, hidden_size=4, steps=4, run=tmp_path / "run").fit(y)
    path = tmp_path / "run" / "calibration.json"
    margin = np.array(json.loads(path.read_text())["margin"])
    assert margin.shape == (3, 1)
    short = y[-50:]  # too few to adapt to
    with_margin = model.predict_interval(short)
    path.write_text(json.dumps({"margin": (0 * margin).tolist()}))
    bare = Forecaster(tmp_path / "run")
    past = Past(short[:, None], np.ones((50, 1), bool), bare.clock, 0, np.zeros((50, 0)))
    np.testing.assert_allclose(with_margin, calibrate(bare.forecast(past), margin)[:, 0])
    path.write_text('{"margin": [[1]]}')
    with pytest.raises(RunError, match="it holds no margin for each step and column"):
        Forecaster(tmp_path / "run")
