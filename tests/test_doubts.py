"""Numbers that may not mean what they say are said, in training and in forecasts, and others are not."""

import numpy as np
import polars as pl
import pytest
from commands import exit_code

from elman.tasks.files.arrays import blocks
from elman.tasks.files.tables import open_table
from elman.tasks.series import doubts
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.doubts import missing_codes

RNG = np.random.default_rng(0)
TEMPERATURE = RNG.normal(10, 8, size=400).round(1)


@pytest.mark.parametrize("code", [-9999, -999.9, -99, 999.9, 99999])
def test_a_code_for_a_missing_value_is_said(monkeypatch, code):
    monkeypatch.setattr(doubts, "blocks", lambda rows: blocks(rows, 37))
    values = np.stack([TEMPERATURE, TEMPERATURE], axis=1)
    values[[3, 50, 399], 1] = code
    expected = f"column b holds {code:g} in 3 step(s), far from all its other values"
    (said,) = missing_codes(["a", "b"], values, np.ones(values.shape, bool))
    assert said.startswith(expected)
    known = values != code
    assert missing_codes(["a", "b"], values, known) == []  # filled, and not known


def test_a_value_among_others_is_no_code():
    near = RNG.normal(950, 20, 300).clip(max=999).round()
    for column in (np.arange(100.0), np.arange(-99.0, 100), near, TEMPERATURE, np.full(9, 99.0)):
        assert missing_codes(["a"], column[:, None], np.ones((len(column), 1), bool)) == []


CASES = ("thousands", "three decimals", "three decimals or 0", "three decimals, zeros left out", "whole")


@pytest.mark.parametrize("case", CASES)
def test_points_between_thousands_are_said(tmp_path, case):
    numbers = [987 + 3 * k for k in range(20)] + [10**6]
    texts = {
        "thousands": [f"{number:,}".replace(",", ".") for number in numbers],
        "three decimals": [f"{number / 1000:.3f}" for number in numbers],
        "three decimals or 0": [f"{number / 1000:.3f}" if number > 1000 else "0" for number in numbers],
        "three decimals, zeros left out": [f"{number / 1000:g}" for number in [*numbers, 1000, 2000, 3000, 1250]],
        "whole": [str(number) for number in numbers],
    }[case]
    texts = texts[:20]
    file = tmp_path / "a.csv"
    pl.DataFrame({"time": [f"{2000 + k}-01" for k in range(len(texts))], "y": texts}).write_csv(file)
    for values in (None, ["y"]):
        said = choose_columns(open_table(file), None, values).doubts
        assert [doubt[-12:] for doubt in said] == ([", write 1002"] if case == "thousands" else [])


def test_training_and_forecasting_say_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = TEMPERATURE[:120].copy()
    values[7] = values[110] = -9999
    pl.DataFrame({"time": range(120), "high": values}).write_csv("a.csv")
    train = ["train", "series", "a.csv", "-o", "run", "--steps", "1", "--horizon", "2", "--window", "6"]
    assert exit_code(*train, "--hidden-size", "2", "--season", "1") == 0
    said = "column high holds -9999 in {} step(s), far from all its other values"
    assert said.format(2) in capsys.readouterr().out
    assert exit_code("forecast", "run", "a.csv") == 0
    assert "column high holds -9999 in " in capsys.readouterr().err
