"""What a series model reads beside the columns that it forecasts: the place in the year, columns that are known ahead,
and columns that are only read."""

import dataclasses
import datetime
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from commands import exit_code

from elman.explain._series import trace_series
from elman.tasks.errors import DataError
from elman.tasks.files.tables import open_table
from elman.tasks.series.clock import Clock
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.data import SeriesArrays, read_series
from elman.tasks.series.features import Calendar, Features, find_calendar
from elman.tasks.series.forecaster import Forecaster

MONTHS = Clock("YYYY-MM", "month", 1, -631152000000000, True)  # from 1950-01
DAYS = Clock("YYYY-MM-DD", "microsecond", 86_400e6, 0, True)  # from 1970-01-01
SMALL = "--horizon 5 --window 10 --season 7 --hidden-size 4 --batch-size 8 --steps 2 --eval-every 2"


def test_a_calendar_says_the_same_every_year():
    calendar = find_calendar(MONTHS, 100)
    assert calendar == Calendar(12.0, 5)
    terms = calendar.terms(MONTHS, np.arange(40))
    assert terms.shape == (40, 10)
    np.testing.assert_allclose(terms[:28], terms[12:], atol=1e-9)
    assert np.linalg.matrix_rank(terms) == 10
    later = Clock("YYYY-MM", "month", 1, MONTHS.first + 366 * 86_400_000_000, True)  # begins in 1951-01
    np.testing.assert_allclose(calendar.terms(later, np.arange(5)), terms[12:17], atol=1e-9)


def test_a_calendar_of_days_is_that_of_the_sun():
    calendar = find_calendar(DAYS, 1000)
    days = np.arange(365 * 40)
    angle = 2 * np.pi * days / 365.2425
    expected = np.stack([np.sin(angle), np.sin(2 * angle), np.cos(angle), np.cos(2 * angle)], axis=-1)
    np.testing.assert_allclose(calendar.terms(DAYS, days), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("clock", "train"),
    [
        (DAYS, 700),  # less than two years
        (Clock("number", "number", 1.0, 0.0, True), 5000),  # no dates
        (Clock("YYYY-MM-DD", "microsecond", 86_400e6, 0, False), 5000),  # irregular
        (Clock("YYYY-MM", "month", 12, 0, True), 5000),  # years
    ],
)
def test_there_is_no_calendar_where_it_tells_nothing(clock, train):
    assert find_calendar(clock, train) is None


def test_features_are_put_on_one_scale():
    features = Features({"period": 12.0, "waves": 1}, ["price"], [5.0], [2.0])
    year, price = features.groups(MONTHS, np.arange(3), np.array([[5.0], [7.0], [1.0]]))
    assert features.size == 3
    assert year.shape == (3, 2)
    assert price.tolist() == [[0.0], [1.0], [-2.0]]


def promotions(path: Path, rows: int, ahead: int = 0) -> np.ndarray:
    """Sales of each day that a promotion raises by 20, another column that is of no use, and days to come."""
    rng = np.random.default_rng(0)
    promotion = rng.integers(0, 2, rows + ahead)
    week = np.array([3, 1, 4, 1, 5, 9, 2.0])[np.arange(rows + ahead) % 7]
    sold = 50 + week + 20 * promotion + rng.normal(size=rows + ahead)
    days = pl.date_range(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1), eager=True)[: rows + ahead]
    table = {"day": days, "sold": [*sold[:rows], *[None] * ahead], "promotion": promotion, "visits": sold * 2 + 5}
    pl.DataFrame(table).write_csv(path)
    return sold


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    promotions(folder / "sales.csv", 300)
    columns = "--column sold --future-column promotion --read-column visits"
    words = ["train", "series", folder / "sales.csv", "-o", folder / "run", *columns.split(), *SMALL.split()]
    assert exit_code(*words) == 0
    return folder


def test_a_column_that_is_known_ahead_lowers_the_error(place, capsys):
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    mae = {name: values["mae"]["sold"] for name, values in metrics["scores"].items()}
    assert mae["this model"] < 0.3 * min(value for name, value in mae.items() if name != "this model")
    config = json.loads((place / "run" / "config.json").read_text())
    assert config["scale"]["slopes"][0][-1] / config["features"]["std"][0] == pytest.approx(20, abs=0.5)
    assert config["columns"] == ["sold"]
    assert "sold: from" in (place / "run" / "README.md").read_text()
    assert "beside promotion" in (place / "run" / "README.md").read_text()


def test_a_forecast_reads_what_is_known_ahead(place, capsys):
    sold = promotions(place / "now.csv", 295, 5)
    assert exit_code("forecast", place / "run", place / "now.csv") == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == [f"2020-10-{day}" for day in range(22, 27)]
    assert np.abs(np.array([float(row[3]) for row in rows]) - sold[295:]).max() < 6


def test_what_is_known_ahead_must_be_there(place):
    promotions(place / "late.csv", 295, 3)
    with pytest.raises(DataError, match=r"ends 2 step\(s\) too early: promotion must be there for the 5 steps"):
        Forecaster(place / "run").read(place / "late.csv")


def test_rows_of_the_future_are_no_steps_of_the_series(tmp_path):
    (tmp_path / "a.csv").write_text("day,y,p\n2020-01-01,1,5\n2020-01-02,2,6\n2020-01-04,3,8\n2020-01-05,,9\n")
    table = open_table(tmp_path / "a.csv")
    found = read_series(table, choose_columns(table, None, None, future=["p"]), tmp_path)
    arrays = SeriesArrays(tmp_path)
    assert (found.steps, found.missing) == (4, 1)
    assert arrays.values.tolist() == [[1], [2], [2], [3]]
    assert arrays.future.tolist() == [[5], [6], [6], [8], [9]]


def test_what_is_known_ahead_may_not_be_missing(tmp_path):
    (tmp_path / "a.csv").write_text("day,y,p\n2020-01-01,1,5\n2020-01-02,2,\n2020-01-03,3,8\n")
    table = open_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a.csv, line 3: column p is empty, where --future-column needs a value"):
        read_series(table, choose_columns(table, None, ["y"], future=["p"]), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--future-column z", "has no column 'z' for --future-column"),
        ("--read-column day", "column 'day' of .* is the time: it cannot be given as --read-column as well"),
        ("--future-column sold --column sold", "--future-column sold is given by --column too: give each column once"),
        ("--read-column visits --read-column visits", "--read-column visits is given twice"),
    ],
)
def test_columns_that_do_not_fit_are_said(place, tmp_path, capsys, options, message):
    words = ["train", "series", place / "sales.csv", "-o", tmp_path / "run", *options.split()]
    assert exit_code(*words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_series_model_says_which_values_its_forecast_hangs_on(place, capsys):
    """By how much the forecasts move where a value is changed, and the page that shows what the layer read."""
    page = place / "page.html"
    assert exit_code("explain", place / "run", "--data", place / "sales.csv", "-o", page) == 2
    assert "ends 5 step(s) too early" in capsys.readouterr().err
    promotions(place / "ahead.csv", 295, 5)
    assert exit_code("explain", place / "run", "--data", place / "ahead.csv", "-o", page) == 0
    out = capsys.readouterr().out
    assert "values that mattered to sold: by how much its forecasts move" in out
    assert "sold - 7 before" in page.read_text()
    forecaster = Forecaster(place / "run")
    past = forecaster.read(place / "ahead.csv")
    for step in trace_series(forecaster, past).steps[-14::3]:
        values, column = past.values.copy(), ["sold", "visits"].index(step.column)
        row = next(i for i in range(len(values)) if past.at(i) == step.time)
        medians = []
        for change in (-0.5, 0.5):
            values[row, column] = past.values[row, column] + change
            medians.append(forecaster.forecast(dataclasses.replace(past, values=values.copy()))[:, 0, 1].mean())
        assert medians[1] - medians[0] == pytest.approx(step.moves, abs=1e-3)
    assert exit_code("explain", place / "run") == 2
    assert "give --data, the file that it is to forecast from" in capsys.readouterr().err


def test_several_series_in_one_file_are_columns(tmp_path, capsys):
    """Their rows series by series or time by time, with a value missing; the forecast names each."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{2000 + m // 12}-{m % 12 + 1:02d}", c, 10 * (c == "Oslo") + rng.normal())
        for c in ("Bergen", "Oslo")
        for m in range(90)
    ]
    del rows[40]
    for name, order in (("long", rows), ("mixed", sorted(rows))):
        lines = [f"{month},{city},{value:.3f}" for month, city, value in order]
        (tmp_path / f"{name}.csv").write_text("\n".join(["month,city,rain", *lines, ""]))
    words = ["train", "series", tmp_path / "long.csv", "-o", tmp_path / "run", "--series-column", "city", "--season", 1]
    assert (
        exit_code(
            *words, *["--horizon", "3", "--window", "6", "--hidden-size", "4", "--batch-size", "4", "--steps", "2"]
        )
        == 0
    )
    assert "90 steps of Bergen, Oslo, from 2000-01 to 2007-06" in capsys.readouterr().out
    assert np.load(tmp_path / "run" / "known.npy").sum() == 179
    assert exit_code("forecast", tmp_path / "run", tmp_path / "mixed.csv", "--steps", 1) == 0
    found = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[:2] for line in found] == [["2007-07", "Bergen"], ["2007-07", "Oslo"]]
    assert float(found[1][3]) > 8 > float(found[0][3])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "month,city,rain\n2000-01,Oslo,1\n2000-01,Oslo,2\n",
            "",
            "has two rows of Oslo at 2000-01: give each one once",
        ),
        ("month,city,rain\n2000-01,,1\n2000-02,Oslo,2\n", "", "column city is empty in some rows"),
        (
            "month,city,rain,snow\n2000-01,Oslo,1,2\n",
            "",
            "values by --column, one of rain, snow",
        ),
        ("month,town,rain\n2000-01,Oslo,1\n", "", "has no column 'city' for --series-column"),
        ("month,city,rain\n2000-01,Oslo,1\n", "--read-column rain", "--series-column goes with one --column alone"),
        ("month,city,rain\n" + "".join(f"2000-01,c{i},1\n" for i in range(201)), "", "has 201 series in column city"),
    ],
)
def test_series_that_cannot_be_told_apart_are_said(tmp_path, capsys, content, options, message):
    (tmp_path / "a.csv").write_text(content)
    words = ["train", "series", tmp_path / "a.csv", "-o", tmp_path / "run", "--series-column", "city", *options.split()]
    assert exit_code(*words) == 2
    assert message in capsys.readouterr().err
