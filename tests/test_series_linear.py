"""The linear path of a series model: each method as a matrix, against the method computed step by step, and which of
them are chosen."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from elman.tasks.series.linear import choose
from elman.tasks.series.linear.choose import candidates, find_reach, fit_form
from elman.tasks.series.linear.maps import apply, autoregression, seasonal_naive, undo_differences
from elman.tasks.series.linear.ridge import PENALTIES, ridge
from elman.tasks.series.linear.smoothing import smoothing, smoothing_maps

RNG = np.random.default_rng(0)


def yearly(steps: int, season: int = 12, noise: float = 0.1) -> np.ndarray:
    """A trend, a season that repeats, and noise."""
    t = np.arange(steps)
    return 0.05 * t + np.sin(2 * np.pi * t / season) + noise * np.random.default_rng(1).normal(size=steps)


@pytest.mark.parametrize(("horizon", "season"), [(1, 1), (5, 1), (3, 4), (4, 4), (9, 4)])
def test_the_seasonal_naive_matrix_repeats_the_last_season(horizon, season):
    y = RNG.normal(size=20)
    history = list(y)
    for _ in range(horizon):
        history.append(history[-season])
    found = apply(seasonal_naive(8, horizon, season), y, np.array([19]))
    np.testing.assert_array_equal(found[0], history[20:])


def test_differences_are_undone():
    """y from the lags of its differences over 1 and 4 steps, forecast one by one."""
    lags = np.array([0.4, -0.3])
    y = list(RNG.normal(size=30))

    def change(t: int) -> float:
        return (y[t] - y[t - 4]) - (y[t - 1] - y[t - 5])

    weights = undo_differences(lags, [1, 4])
    assert len(weights) == 7
    expected = y[-1] + (y[-4] - y[-5]) + 0.4 * change(29) - 0.3 * change(28)
    assert weights @ np.array(y[::-1][:7]) == pytest.approx(expected)


@pytest.mark.parametrize("differences", [[], [1], [4], [1, 4]])
def test_an_autoregression_finds_its_weights_and_iterates(differences):
    y = [*RNG.normal(size=10)]
    full = undo_differences(np.array([0.6, -0.5]), differences)
    for _ in range(4000):
        y.append(float(full @ np.array(y[::-1][: len(full)])) + RNG.normal())
    weights = autoregression(np.array(y), np.ones(len(y), bool), differences, 6, 20, 3)
    assert weights is not None
    np.testing.assert_allclose(weights[0, ::-1][1 : len(full) + 1], full, atol=0.12)
    history = y[:100]
    for k in range(3):
        found = apply(weights, np.array(y), np.array([99]))[0, k]
        history.append(float(weights[0, :-1] @ np.array(history[-20:]) + weights[0, -1]))
        assert found == pytest.approx(history[-1], abs=1e-8)


@pytest.mark.parametrize(("season", "reach"), [(1, 12), (4, 17)])
def test_smoothing_is_the_recursion(season, reach):
    alpha, beta, phi, gamma = 0.3, 0.2, 0.9, 0.25 if season > 1 else 0.0
    y = RNG.normal(size=reach).cumsum() + 5
    maps = smoothing_maps(*(np.array([[x]]) for x in (alpha, beta, phi, gamma)), season, reach, 6)
    if season > 1:
        one, two = y[:4].mean(), y[4:8].mean()
        trend = (two - one) / 4
        level = one - 2.5 * trend
        seasonal = [(y[i] - one + y[i + 4] - two) / 2 for i in range(4)]
    else:
        trend = (y[4] - y[0]) / 4
        level, seasonal = y[0] - trend, [0.0]
    for t in range(reach):
        s = seasonal[t % season]
        error = y[t] - (level + phi * trend + s)
        level, trend = level + phi * trend + alpha * error, phi * trend + alpha * beta * error
        seasonal[t % season] = s + gamma * (1 - alpha) * error
    for k in range(6):
        expected = level + sum(phi**i for i in range(1, k + 2)) * trend + seasonal[(reach + k) % season]
        assert maps[0, k] @ y == pytest.approx(expected)


def test_ridge_is_that_of_scikit_learn():
    y = yearly(120)
    y = (y - y.mean()) / y.std()
    reach, horizon = 9, 3
    origins = np.arange(reach - 1, len(y) - horizon)
    x = np.stack([np.append(y[o - reach + 1 : o] - y[o], y[o]) for o in origins])
    target = np.stack([y[o + 1 : o + 1 + horizon] - y[o] for o in origins])
    found = ridge(y, np.ones(len(y), bool), reach, horizon, level=True)
    for penalty, weights in zip(PENALTIES, found, strict=True):
        theirs = Ridge(alpha=penalty * len(origins)).fit(x, target)
        expected = theirs.predict(x) + y[origins][:, None]
        np.testing.assert_allclose(apply(weights, y, origins), expected, atol=1e-8)


def test_ridge_on_differences_follows_the_level():
    y = yearly(120)
    for weights in ridge(y, np.ones(len(y), bool), 9, 3, level=False):
        np.testing.assert_allclose(
            apply(weights, y + 100, np.array([60])), apply(weights, y, np.array([60])) + 100, atol=1e-8
        )


def test_targets_that_are_not_known_are_not_fitted():
    y, known = yearly(200), np.ones(200, bool)
    y[198], known[198] = 50.0, False
    whole, some = ridge(y, known, 6, 2, level=True), ridge(y[:198], known[:198], 6, 2, level=True)
    np.testing.assert_allclose(whole, some, atol=1e-10)


@pytest.mark.parametrize("differences", [[], [1], [4]])
def test_an_autoregression_is_fitted_to_rows_without_a_missing_value(differences):
    y, known = yearly(300), np.ones(300, bool)
    known[100:130] = False
    first, second = y.copy(), y.copy()
    first[100:130], second[100:130] = 50.0, y[99]
    one, other = (autoregression(values, known, differences, 6, 20, 3) for values in (first, second))
    np.testing.assert_array_equal(one, other)
    known[::4] = False  # hardly a row is whole: all are fitted
    one, other = (autoregression(values, known, differences, 6, 20, 3) for values in (first, second))
    assert np.abs(one - other).max() > 0.01


def test_smoothing_is_compared_on_what_is_known():
    y, known = yearly(200), np.ones(200, bool)
    y[150:], known[150:] = -30 * (np.arange(50) % 2), False
    np.testing.assert_array_equal(smoothing(y, known, 1, 12, 3), smoothing(np.where(known, y, y[149]), known, 1, 12, 3))
    assert smoothing(y, np.arange(200) < 12, 1, 12, 3) is None


def test_the_scale_is_that_of_what_is_known():
    y, known = yearly(200), np.ones(200, bool)
    y[100:120], known[100:120] = 1e6, False
    form = fit_form(y, known, [], 4, [12], 26, False)
    assert (form.centre, form.scale) == (pytest.approx(y[known].mean()), pytest.approx(y[known].std()))


def test_the_chosen_methods_beat_the_naive_ones():
    y = yearly(200)
    form = fit_form(y[:160], np.ones(160, bool), [], 12, [12], find_reach([12], 12, 160), False)
    scaled = (y - form.centre) / form.scale
    origins = np.arange(159, 188)
    truth = y[origins[:, None] + np.arange(1, 13)]

    def error(weights: np.ndarray) -> float:
        return float(np.abs(apply(weights, scaled, origins) * form.scale + form.centre - truth).mean())

    reach = form.weights.shape[1] - 1
    assert len(form.methods) == 3
    assert error(form.weights) < 0.7 * min(error(seasonal_naive(reach, 12, season)) for season in (1, 12))


def test_a_column_that_grows_by_a_share_is_forecast_on_its_logarithm():
    y, known = np.exp(yearly(200)), np.ones(200, bool)
    assert fit_form(y, known, [], 12, [12], 50, True).log
    assert not fit_form(yearly(200) + 1.2, known, [], 12, [12], 50, True).log
    assert not fit_form(y, known, [], 12, [12], 50, False).log  # where that may not be


def test_features_are_used_where_they_help():
    help_, idle = RNG.normal(size=(300, 1)), RNG.normal(size=(300, 1))
    y, known = 3 * help_[:, 0] + yearly(300, noise=0.2), np.ones(300, bool)
    form = fit_form(y, known, [help_, idle], 6, [12], 40, False)
    assert form.slopes[0] == pytest.approx(3, abs=0.15)
    assert form.slopes[1] == 0


def test_nothing_after_the_training_part_is_looked_at(monkeypatch):
    """Methods are measured on values that they were not fitted on."""
    seen = []

    def watched(y, *rest):
        seen.append(len(y))
        return candidates(y, *rest)

    monkeypatch.setattr(choose, "candidates", watched)
    fit_form(yearly(200) - 50, np.ones(200, bool), [], 12, [12], 40, False)
    assert seen == [100, 150, 200]


@pytest.mark.parametrize(
    "values", [np.tile([1.0, 4.0, 2.0, 7.0], 40), np.r_[np.ones(100), np.arange(60.0)], np.arange(160.0)]
)
def test_what_repeats_exactly_or_stands_still_is_fitted(values):
    form = fit_form(values, np.ones(160, bool), [], 4, [4], 26, False)
    found = apply(form.weights, (values - form.centre) / form.scale, np.array([155]))[0] * form.scale + form.centre
    np.testing.assert_allclose(found, values[156:], atol=0.5)


def test_a_window_never_takes_more_than_half_of_the_training_part():
    assert find_reach([12], 12, 500) == 50
    assert find_reach([48, 336], 48, 3000) == 384
    assert find_reach([12], 12, 60) == 24
    assert find_reach([1], 12, 5000) == 26
