"""ETS and ARIMA from every origin: their recursions by hand, and statsforecast's forecasts where it is installed."""

import warnings

import numpy as np
import pytest

from elman.tasks.series.statistical import arima_points, ets, ets_points, methods, stl_ets

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
    found = methods(90, [4])[name](y, 90, origins, 5)
    theirs = {"ETS": AutoETS(season_length=4), "ARIMA": AutoARIMA(season_length=4, approximation=True)}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # trial models of its search that do not converge
        theirs.fit(y[:90])
    for place in (0, 7, 19):
        expected = theirs.forward(y[: origins[place] + 1], h=5)["mean"]
        np.testing.assert_allclose(found[place], expected, rtol=1e-4)


def test_two_seasons_are_taken_out_before_ets():
    pytest.importorskip("statsforecast")
    t = np.arange(24 * 7 * 8)
    day, week = np.sin(2 * np.pi * t / 24), (t // 24 % 7 > 4) * 3.0
    y = 10 + day + week + 0.1 * RNG.normal(size=len(t))
    origins = np.arange(1000, 1300, 25)
    truth = y[origins[:, None] + np.arange(1, 25)]
    both = np.abs(stl_ets(y, 1000, origins, 24, [24, 168]) - truth).mean()
    assert both < 0.2 < 0.5 * np.abs(ets(y, 1000, origins, 24, 24) - truth).mean()
