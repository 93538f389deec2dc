"""ETS and ARIMA from every origin: their recursions by hand, and statsforecast's forecasts where it is installed."""

import warnings

import numpy as np
import pytest

from elman.tasks.series import statistical
from elman.tasks.series.measures import baseline_forecasts
from elman.tasks.series.report import fitted_in_words
from elman.tasks.series.run import Measured
from elman.tasks.series.statistical import arima_points, ets, ets_points, methods, repeat_seasons, stl_ets, stretches

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("damped", ["D", "N"])
@pytest.mark.parametrize("seasonal", ["N", "A", "M"])
@pytest.mark.parametrize("trend", ["N", "A", "M"])
def test_ets_forecasts_from_its_states(trend, seasonal, damped):
    states = 1 + RNG.random((20, 1 + (trend != "N") + (4 if seasonal != "N" else 0)))
    par = [0.3, 0.1, 0.1, 0.9]
    model = {"components": f"A{trend}{seasonal}{damped}", "par": par, "states": states}
    found = ets_points(model, np.array([7, 11]), 6, 4)
    for row, origin in zip(found, (7, 11), strict=True):
        level, season = states[origin + 1, 0], states[origin + 1, (1 if trend == "N" else 2) :]
        slope = states[origin + 1, 1] if trend != "N" else 0.0
        phi, history = (0.9 if damped == "D" else 1.0), list(season[::-1])
        for value in row:
            slope = {"N": 0.0, "A": slope * phi, "M": slope**phi}[trend]
            level = level * slope if trend == "M" else level + slope
            if seasonal == "N":
                assert value == pytest.approx(level)
                continue
            history.append(history[-4])
            assert value == pytest.approx(level + history[-1] if seasonal == "A" else level * history[-1])


def test_arima_forecasts_by_its_recursion():
    """(1, 1, 1)(0, 1, 1) with a season of 4 and a drift, its errors known: each value from those before it."""
    y, e = RNG.normal(size=60).cumsum(), RNG.normal(size=60)
    weights = {"ar1": 0.5, "ma1": 0.4, "sma1": -0.3, "drift": 0.2}
    model = {"arma": (1, 1, 0, 1, 4, 1, 1), "coef": weights}
    found = arima_points(model, y, e, np.array([40]), 6)[0]
    z = list(y[:41] - 0.2 * np.arange(1, 42))
    errors = [*e[:41], *[0.0] * 6]

    def change(t: int) -> float:
        return z[t] - z[t - 1] - z[t - 4] + z[t - 5]

    for k in range(6):
        t = 41 + k
        moving = 0.4 * errors[t - 1] - 0.3 * errors[t - 4] - 0.12 * errors[t - 5]
        z.append(0.5 * change(t - 1) + moving + z[t - 1] + z[t - 4] - z[t - 5])
        assert found[k] == pytest.approx(z[t] + 0.2 * (t + 1))


def test_a_method_is_named_only_where_it_applies():
    assert set(methods(200, [12])) == {"ETS", "ARIMA"}
    assert set(methods(3000, [48, 336])) == {"STL + ETS"}
    assert set(methods(3000, [52])) == {"STL + ETS"}
    assert not methods(500, [48, 336])  # less than two weeks


@pytest.mark.parametrize("name", ["ETS", "ARIMA"])
def test_forecasts_are_those_of_statsforecast(name):
    pytest.importorskip("statsforecast")
    from statsforecast.models import AutoARIMA, AutoETS

    t = np.arange(120)
    y = 50 + 5 * np.sin(2 * np.pi * t / 4) + RNG.normal(size=120)
    origins = np.arange(90, 110)
    found = methods(90, [4])[name](y, slice(0, 90), origins, 5)
    theirs = {"ETS": AutoETS(season_length=4), "ARIMA": AutoARIMA(season_length=4, approximation=True)}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # trial models of its search that do not converge
        theirs.fit(y[:90])
    for place in (0, 7, 19):
        expected = theirs.forward(y[: origins[place] + 1], h=5)["mean"]
        np.testing.assert_allclose(found[place], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["ETS", "ARIMA"])
def test_what_is_fitted_is_the_longest_stretch_without_a_missing_value(name):
    """As if the series had begun there."""
    pytest.importorskip("statsforecast")
    y = 50 + 5 * np.sin(2 * np.pi * np.arange(140) / 4) + RNG.normal(size=140)
    known, origins = np.ones((140, 1), bool), np.array([10, 105, 120])
    known[20:40] = False
    (stretch,) = stretches(known, 110, [4])
    found = methods(70, [4])[name](repeat_seasons(y, known[:, 0], 4), stretch, origins, 5)
    np.testing.assert_array_equal(found[1:], methods(70, [4])[name](y[40:], slice(0, 70), origins[1:] - 40, 5))
    assert np.isnan(found[0]).all()


def test_the_longest_stretch_is_that_of_a_search():
    for share in (0.02, 0.3, 0.9, 1.0):
        known = RNG.random((60, 2)) >= share
        for column, found in zip(known.T, stretches(known, 50, [4]), strict=True):
            whole = [(b - a, a) for a in range(51) for b in range(a, 51) if column[a:b].all()]
            length, first = max(whole)
            assert (found.stop - found.start, found.start) == (length, first) or length == found.stop - found.start == 0


def test_missing_values_are_those_of_the_season_before():
    values, known = RNG.random(40), RNG.random(40) > 0.4
    found = repeat_seasons(values, known, 7)
    for place in range(40):
        of_season = [k for k in range(place, -1, -7) if known[k]] or [place % 7]
        assert found[place] == values[of_season[0]]


def test_methods_are_fitted_to_whole_stretches_of_each_column_and_it_is_said(monkeypatch):
    """With a method of the test's own, which takes what it is fitted to and knows nothing before."""
    seen = []

    def mean(values, fitted, origins, horizon, season):
        seen.append((values[fitted], season))
        points = np.full((len(origins), horizon), values[fitted].mean())
        points[origins < fitted.start] = np.nan
        return points

    monkeypatch.setattr(statistical, "available", lambda: True)
    monkeypatch.setattr(statistical, "ets", mean)
    monkeypatch.setattr(statistical, "arima", mean)
    values, known = RNG.random((400, 2)), np.ones((400, 2), bool)
    known[100:110, 0] = known[200, 1] = False
    values[~known] = 1e6  # filled
    origins = np.arange(320, 380)
    found = baseline_forecasts(values, known, 300, origins, 6, [4], 0.8)
    fitted = [values[110:300, 0]] * 2 + [values[:200, 1]] * 2
    assert all(np.array_equal(there, expected) for (there, _), expected in zip(seen, fitted, strict=True))
    for c, expected in enumerate(fitted[::2]):
        low, median, high = np.moveaxis(found["ETS"][..., c, :], -1, 0)
        np.testing.assert_allclose(median, expected.mean())
        assert low.min() > -2  # by the errors of known values alone, and after the stretch begins
        assert high.max() < 2
    truth = np.zeros((60, 6, 2))
    measured = Measured(origins, truth, truth == 0, found, dict.fromkeys(found))
    assert fitted_in_words(measured, 300, [4], known) == (
        "ETS and ARIMA: fitted on the longest stretch of the training part without a missing value, 190 steps; "
        "elsewhere that of a season before, or the last one, stands for it."
    )
    known[::40] = False
    found = baseline_forecasts(values, known, 300, origins, 6, [4], 0.8)
    assert not {"ETS", "ARIMA"} & found.keys()
    measured = Measured(origins, truth, truth == 0, found, dict.fromkeys(found))
    assert fitted_in_words(measured, 300, [4], known) == (
        "ETS and ARIMA are left out: they need 56 steps, and have the longest stretch of the training part without a "
        "missing value, 39 steps."
    )


def test_two_seasons_are_taken_out_before_ets():
    pytest.importorskip("statsforecast")
    t = np.arange(24 * 7 * 8)
    day, week = np.sin(2 * np.pi * t / 24), (t // 24 % 7 > 4) * 3.0
    y = 10 + day + week + 0.1 * RNG.normal(size=len(t))
    origins = np.arange(1000, 1300, 25)
    truth = y[origins[:, None] + np.arange(1, 25)]
    both = np.abs(stl_ets(y, slice(0, 1000), origins, 24, [24, 168]) - truth).mean()
    assert both < 0.2 < 0.5 * np.abs(ets(y, slice(0, 1000), origins, 24, 24) - truth).mean()
