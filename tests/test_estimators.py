"""LabelsClassifier and SeriesForecaster, and the examples that use them."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from commands import exit_code

from elman.tasks import LabelsClassifier, SeriesForecaster, estimators
from elman.tasks.errors import DataError, SettingError, UserError

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def make_texts() -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=120).tolist()
    return ["".join(rng.choice(list("abc"[k] * 4 + "xyz"), size=rng.integers(3, 9))) for k in labels], labels


@pytest.fixture(scope="module")
def classifier() -> LabelsClassifier:
    return LabelsClassifier(hidden_size=16, steps=100, lr=0.02, eval_every=50).fit(*make_texts())


@pytest.fixture(scope="module")
def forecaster() -> SeriesForecaster:
    y = (
        np.stack([np.arange(200) % 4, (np.arange(200) + 1) % 4], axis=1)
        + np.random.default_rng(0).normal(size=(200, 2)) / 9
    )
    return SeriesForecaster(horizon=5, window=8, season=4, hidden_size=8, steps=20, eval_every=5).fit(y)


def test_a_classifier_predicts_labels_in_its_order(classifier):
    texts, labels = make_texts()
    assert classifier.classes_.tolist() == [0, 1, 2]
    p = classifier.predict_proba(texts)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert classifier.predict(texts).tolist() == p.argmax(1).tolist()
    assert classifier.score(texts, labels) == np.mean(p.argmax(1) == labels) > 0.8


def test_a_forecaster_keeps_the_shape_of_what_was_fitted(forecaster):
    found = forecaster.predict_interval()
    assert found.shape == (5, 2, 3)
    assert np.array_equal(forecaster.predict(), found[..., 1])
    assert np.abs(forecaster.predict()[:4] - [[0, 1], [1, 2], [2, 3], [3, 0]]).max() < 0.5
    flat = SeriesForecaster(horizon=2, window=4, hidden_size=4, steps=2).fit(np.arange(60.0) % 7)
    assert flat.predict().shape == (2,)
    assert flat.predict_interval().shape == (2, 3)


def test_a_forecast_follows_the_values_it_is_given(forecaster):
    y = np.stack([np.arange(40) % 4, (np.arange(40) + 1) % 4], axis=1).astype(float)
    for end in (40, 39):
        expected = [[(end + k) % 4, (end + k + 1) % 4] for k in range(4)]
        assert np.abs(forecaster.predict(y[:end])[:4] - expected).max() < 0.5
    y[37, 0] = np.nan  # the last known value is read in its place
    assert np.isfinite(forecaster.predict(y)).all()


def test_the_run_is_there_for_the_commands(classifier, tmp_path, capsys):
    assert exit_code("classify", classifier.folder, "--text", "aaaa") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("aaaa,0,")
    kept = LabelsClassifier(hidden_size=4, steps=2, run=tmp_path / "kept").fit(*make_texts())
    assert kept.folder == tmp_path / "kept"
    with pytest.raises(UserError, match="kept exists already"):
        kept.fit(*make_texts())


def test_a_temporary_run_goes_with_its_estimator():
    model = LabelsClassifier(hidden_size=4, steps=2).fit(*make_texts())
    folder = model.folder
    assert folder.exists()
    del model
    assert not folder.exists()


@pytest.mark.parametrize("kind", [LabelsClassifier, SeriesForecaster])
def test_parameters_are_read_and_set_as_in_scikit_learn(kind):
    from sklearn.base import clone

    model = kind(hidden_size=7, steps=3)
    assert model.get_params()["hidden_size"] == 7
    assert repr(model) == f"{kind.__name__}(hidden_size=7, steps=3)"
    other = clone(model)
    assert other is not model
    assert other.get_params() == model.get_params()
    assert other.set_params(lr=0.5).lr == 0.5
    with pytest.raises(UserError, match=rf"{kind.__name__} has no parameter depth: it has "):
        model.set_params(depth=3)
    with pytest.raises(UserError, match="is not trained yet: call fit first"):
        model.predict(["a"])


BAD = {
    "as many": (lambda: LabelsClassifier().fit(["a"], []), "there are 1 sequences and 0 labels: give as many of both"),
    "none": (lambda: LabelsClassifier().fit([], []), "there is no example"),
    "empty text": (lambda: LabelsClassifier().fit(["a", ""], [0, 1]), r"example 1 \(counted from 0\) must be a text"),
    "mixed": (
        lambda: LabelsClassifier().fit([[1], "a"], [0, 1]),
        r"example 1 .* must be a list with at least one number",
    ),
    "nan": (lambda: LabelsClassifier().fit([[1], [np.nan]], [0, 1]), "example 1 .* holds NaN, no finite number"),
    "label": (
        lambda: LabelsClassifier().fit(["a", "b"], [0, None]),
        "example 1 .* the label must be a text or a number",
    ),
    "words": (lambda: SeriesForecaster().fit(["a", "b"]), "must be an array of numbers"),
    "shape": (lambda: SeriesForecaster().fit(np.zeros((2, 3, 4))), r"shape \(steps,\) or .*, not \(2, 3, 4\)"),
    "inf": (
        lambda: SeriesForecaster().fit([1.0, np.inf, 2.0, 4.0]),
        "row 1 of the data given to fit .* is 'inf', no number",
    ),
    "short": (lambda: SeriesForecaster().fit(np.arange(9.0)), "is too short: 7 steps to train on"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_said(case):
    call, message = BAD[case]
    with pytest.raises(DataError, match=message):
        call()


def test_bad_parameters_are_said():
    with pytest.raises(SettingError, match="tokens must be characters or words, not letters"):
        LabelsClassifier(tokens="letters").fit(*make_texts())


def test_a_forecast_needs_the_columns_that_were_fitted(forecaster):
    with pytest.raises(DataError, match="has 1 columns, where 2 were fitted"):
        forecaster.predict(np.arange(30.0))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example, monkeypatch, capsys):
    """As they are, but for a tenth of the steps."""
    honest = estimators.LoopSettings

    def shorter(**settings):
        return honest(**settings | {"steps": settings["steps"] // 10, "eval_every": 20})

    monkeypatch.setattr(estimators, "LoopSettings", shorter)
    monkeypatch.setattr("elman.tasks.settings.LoopSettings", shorter)
    runpy.run_path(str(example), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 1


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {"names", "sea", "rhyme", "moods"}
