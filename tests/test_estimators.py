"""LabelsClassifier and SeriesForecaster, and the examples that use them."""

import dataclasses
import inspect
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from commands import exit_code

from elman.tasks import LabelsClassifier, SeriesForecaster, estimators
from elman.tasks.errors import DataError, SettingError, UserError
from elman.tasks.labels import measures
from elman.tasks.settings import LABELS_LOOP, SERIES_LOOP, LabelsSettings, LoopSettings, SeriesSettings

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


@pytest.mark.parametrize("given", [{"tokens": "words"}, {"one_hot": True}, {"embedding_size": 5}])
def test_a_parameter_for_texts_is_refused_for_numbers(given):
    sequences = [[float(i % 2), 1.0] for i in range(40)]
    model = LabelsClassifier(hidden_size=4, steps=2, **given)
    (name,) = given
    with pytest.raises(UserError, match=rf"^{name} is for texts, and the data given to fit holds sequences of numbers"):
        model.fit(sequences, ["a", "b"] * 20)
    model.fit(["ab", "cd"] * 20, ["a", "b"] * 20)


def test_one_hot_tokens_have_no_size_of_their_embedding():
    with pytest.raises(UserError, match="one_hot tokens have no embedding, so embedding_size has no meaning"):
        LabelsClassifier(one_hot=True, embedding_size=5).fit(["ab", "cd"] * 20, ["a", "b"] * 20)


LABELS = {
    "bool": [False, True],
    "float32": np.array([0.1, 0.7], dtype=np.float32),
    "int": [10, 9],
    "numpy int": np.array([-1, 1]),
    "blanks": ["a ", " b"],
    "objects": np.array(["b", "a"], dtype=object),
    "mixed": [1, "a"],
    "Korean": ["슬픔", "기쁨"],
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_come_back_as_they_came_in(case):
    texts = ["sunny day", "bad rain", "nice sun", "ugly fog"] * 10
    labels = [LABELS[case][i % 2] for i in range(40)]
    if isinstance(LABELS[case], np.ndarray):
        labels = np.array(labels, dtype=LABELS[case].dtype)
    model = LabelsClassifier(hidden_size=8, steps=60, lr=0.02).fit(texts, labels)
    assert model.predict(texts).tolist() == list(labels)
    assert model.score(texts, labels) == 1
    assert {type(v) for v in model.classes_.tolist()} == {type(v) for v in np.array(labels, dtype=object).tolist()}
    if case != "mixed":
        assert model.classes_.tolist() == sorted(set(labels))
    assert model.predict_proba(texts).argmax(1).tolist() == [model.classes_.tolist().index(v) for v in labels]


def test_labels_that_differ_by_blanks_alone_are_one():
    model = LabelsClassifier(hidden_size=4, steps=2).fit(["ab", "cd"] * 12, ["x", "y", " x", "y "] * 6)
    assert model.classes_.tolist() == ["x", "y"]
    assert model.score(["ab"], ["x"]) == model.score(["ab"], [" x "])


def test_an_offset_as_large_as_unix_time_leaves_sequences_what_they_are():
    rng = np.random.default_rng(0)
    labels = ["up" if i % 2 else "down" for i in range(200)]
    data = [rng.normal(size=(6, 1)) + (2 if i % 2 else -2) + 1.7e9 for i in range(200)]
    model = LabelsClassifier(hidden_size=8, steps=150, lr=0.02).fit(data, labels)
    assert model.score(data, labels) > 0.95


def test_a_feature_that_never_changes_stays_small():
    data = [np.column_stack([np.full(4, 0.1), np.arange(4) * (i % 2)]) for i in range(40)]
    model = LabelsClassifier(hidden_size=4, steps=4).fit(data, [i % 2 for i in range(40)])
    assert np.allclose(model.predict_proba([data[1]]), model.predict_proba([data[1] + [[1e-9, 0]]]), atol=1e-6)


def test_sequences_may_be_any_kind_of_list():
    labels = [i % 2 for i in range(40)]
    rows = [[float(i % 2), float(i)] for i in range(40)]
    expected = LabelsClassifier(hidden_size=4, steps=4).fit(rows, labels).predict_proba(rows)
    for data in (
        np.array(rows),
        [[np.float32(v) for v in row] for row in rows],
        [tuple(row) for row in rows],
        [[np.int64(v) for v in row] for row in rows],
        torch.tensor(rows),
        pl.DataFrame(rows, orient="row"),
    ):
        for y in (labels, np.array(labels), torch.tensor(labels), pl.Series(labels)):
            model = LabelsClassifier(hidden_size=4, steps=4).fit(data, y)
            assert np.array_equal(model.predict_proba(data), expected)
            assert model.classes_.tolist() == [0, 1]


def test_masked_values_are_missing_ones():
    t = np.arange(300)
    y = np.where(t % 7 == 3, 1e20, 50 + 10 * np.sin(t / 3.82))
    settings = dict(hidden_size=8, steps=5, horizon=4, window=24, season=24)
    masked = SeriesForecaster(**settings).fit(np.ma.masked_array(y, t % 7 == 3))
    missing = SeriesForecaster(**settings).fit(np.where(t % 7 == 3, np.nan, y))
    assert np.array_equal(masked.predict(), missing.predict())
    assert np.abs(masked.predict()).max() < 100
    assert np.array_equal(masked.predict(np.ma.masked_array(y, t % 7 == 3)), masked.predict())


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


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(LabelsClassifier, (LabelsSettings(), LABELS_LOOP)), (SeriesForecaster, (SeriesSettings(), SERIES_LOOP))],
)
def test_every_setting_of_the_command_is_a_parameter_with_its_default(kind, settings):
    defaults = {name: given.default for name, given in inspect.signature(kind).parameters.items()}
    for own in settings:
        assert dataclasses.asdict(own).items() <= defaults.items()


def test_training_ends_when_patience_does():
    """At so high a rate nothing is better than after the first steps."""
    texts, labels = make_texts()
    model = LabelsClassifier(hidden_size=4, steps=400, lr=30.0, eval_every=5, patience=3).fit(texts, labels)
    steps = [int(line.split(",")[0]) for line in (model.folder / "metrics.csv").read_text().splitlines()[1:]]
    assert 15 < max(steps) < 400


def test_scikit_learn_takes_a_classifier():
    from sklearn.base import is_classifier
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts, labels = make_texts()
    model = LabelsClassifier(hidden_size=8, steps=40, lr=0.02)
    assert is_classifier(model)
    assert not is_classifier(SeriesForecaster())
    assert cross_val_score(model, texts, labels, cv=2).min() > 0.5
    lower = make_pipeline(FunctionTransformer(lambda some: [text.lower() for text in some]), model)
    search = GridSearchCV(lower, {"labelsclassifier__steps": [1, 40]}, cv=2).fit(texts, labels)
    assert search.best_params_ == {"labelsclassifier__steps": 40}
    assert search.predict(texts[:2]).dtype.kind == "i"


ANY_LENGTH = "sequences may have any length, so there is no number of features"
WORDS = "raises ValueError, in other words"
CANNOT_HOLD = {
    "check_estimators_unfitted": "raises an error of its own that is a ValueError and an AttributeError: scikit-learn, "
    "whose class it would have to be, is not needed to use this",
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_n_features_in": ANY_LENGTH,
    "check_classifiers_train": ANY_LENGTH,
    "check_fit2d_predict1d": WORDS,
    "check_complex_data": WORDS,
    "check_estimators_empty_data_messages": WORDS,
    "check_estimators_nan_inf": WORDS,
    "check_fit2d_1sample": WORDS,
    "check_classifiers_one_label": "one label leaves nothing to tell apart: it is refused",
    "check_classifiers_regression_target": "a number may be a label",
    "check_supervised_y_2d": "labels in a column are refused, not made flat",
}


def test_scikit_learns_checks_hold_but_for_those_named():
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks bring their own
        found = check_estimator(
            LabelsClassifier(hidden_size=4, steps=3), expected_failed_checks=CANNOT_HOLD, on_fail="raise", on_skip=None
        )
    status = {check["check_name"]: check["status"] for check in found}
    assert {name for name, what in status.items() if what == "xfail"} == set(CANNOT_HOLD)
    assert sum(what == "passed" for what in status.values()) > 30


BAD = {
    "as many": (lambda: LabelsClassifier().fit(["a"], []), "there are 1 sequences and 0 labels: give as many of both"),
    "none": (lambda: LabelsClassifier().fit([], []), "there is no example"),
    "empty text": (lambda: LabelsClassifier().fit(["a", ""], [0, 1]), r"example 1 \(counted from 0\) must be a text"),
    "mixed": (
        lambda: LabelsClassifier().fit([[1], "a"], [0, 1]),
        r"example 1 .* must be a list with at least one number",
    ),
    "nan": (lambda: LabelsClassifier().fit([[1], [np.nan]], [0, 1]), "example 1 .* holds NaN, no finite number"),
    "no labels": (lambda: LabelsClassifier().fit(["a"], None), "the labels are missing: fit requires y"),
    "column of labels": (
        lambda: LabelsClassifier().fit(["a", "b"], np.array([[0], [1]])),
        "example 0 .* the label must be a text or a number",
    ),
    "label": (
        lambda: LabelsClassifier().fit(["a", "b"], [0, None]),
        "example 1 .* the label must be a text or a number",
    ),
    "a text": (lambda: LabelsClassifier().fit("abc", [0, 1, 0]), "must be a list, not a single text: put it in brac"),
    "labels in a text": (
        lambda: LabelsClassifier().fit(["a", "b", "c"], "abc"),
        "the labels must be a list, not a single",
    ),
    "a set": (lambda: LabelsClassifier().fit({"a", "b"}, [0, 1]), "must be a list or an array, not set"),
    "one number": (lambda: LabelsClassifier().fit(3, [0, 1]), "must be a list or an array, not int"),
    "half a character": (lambda: LabelsClassifier().fit(["a", "\ud800"], [0, 1]), "example 1 .* a lone surrogate"),
    "half a label": (lambda: LabelsClassifier().fit(["a", "b"], ["x", "\udcff"]), "example 1 .* a lone surrogate"),
    "a number and its look": (
        lambda: LabelsClassifier().fit(["a", "b", "c"], [1, 1.0, "1.0"]),
        "label '1.0' looks like another one, 1.0",
    ),
    "two types": (lambda: LabelsClassifier().fit(["a", "b"], [0, "0"]), "label '0' looks like another one, 0"),
    "masked sequence": (
        lambda: LabelsClassifier().fit([[1], np.ma.masked_array([1, 2], [0, 1])], [0, 1]),
        "example 1 .* holds null, no finite number",
    ),
    "masked label": (
        lambda: LabelsClassifier().fit(["a", "b"], np.ma.masked_array([0, 1], [0, 1])),
        "example 1 .* the label must be a text or a number, not null",
    ),
    "a column of texts": (
        lambda: LabelsClassifier().fit([["a"], ["b"]], [0, 1]),
        r'example 0 .* must be a text or a sequence of numbers, not \["a"\]',
    ),
    "nothing": (lambda: LabelsClassifier().fit([None, "b"], [0, 1]), "example 0 .* numbers, not null"),
    "large": (
        lambda: LabelsClassifier().fit([[1], [10**400]], [0, 1]),
        "example 1 .* too large a number: models compute in float32",
    ),
    "complex": (lambda: SeriesForecaster().fit(np.ones(9) * 1j), "must be an array of numbers"),
    "dates": (lambda: SeriesForecaster().fit(np.arange(9).astype("M8[D]")), "must be an array of numbers"),
    "a lone mask": (lambda: SeriesForecaster().fit([1.0, np.ma.masked]), "must be an array of numbers"),
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


def test_a_single_text_is_no_list_to_predict(classifier):
    with pytest.raises(DataError, match="must be a list, not a single text"):
        classifier.predict("abc")


def test_labels_of_another_type_have_no_score(classifier):
    with pytest.raises(DataError, match="a label is '0', where fit was given labels such as 0"):
        classifier.score(["aab", "bba"], ["0", "1"])


def test_a_forecast_is_made_of_finite_numbers_alone(forecaster):
    y = np.stack([np.arange(60.0) % 4, (np.arange(60.0) + 1) % 4], axis=1)
    expected = forecaster.predict(y[20:])
    late = y.copy()
    late[:20, 0] = np.nan  # where a column has not begun nothing is read
    assert np.array_equal(forecaster.predict(late), expected)
    for bad in (np.nan, np.inf, -1e156):
        y[:, 1] = bad
        with pytest.raises(DataError, match="must hold finite numbers, in each column at least one"):
            forecaster.predict(y)


def test_bad_parameters_are_said():
    with pytest.raises(SettingError, match="tokens must be characters or words, not letters"):
        LabelsClassifier(tokens="letters").fit(*make_texts())


def test_a_forecast_needs_the_columns_that_were_fitted(forecaster):
    with pytest.raises(DataError, match="has 1 columns, where 2 were fitted"):
        forecaster.predict(np.arange(30.0))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example, monkeypatch, capsys, tmp_path):
    """As they are, but for a fiftieth of the steps and a hundredth of what the regression beside them learns from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), *(["20"] if example.stem == "decision" else [])])

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Shorter(LoopSettings):
        def __post_init__(self) -> None:
            object.__setattr__(self, "steps", max(20, self.steps // 50))
            object.__setattr__(self, "eval_every", 20)

    monkeypatch.setattr(measures, "MOST_TRAINED", 500)
    monkeypatch.setattr(estimators, "LoopSettings", Shorter)
    monkeypatch.setattr("elman.tasks.settings.LoopSettings", Shorter)
    runpy.run_path(str(example), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 1


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {"names", "sea", "rhyme", "moods", "decision", "reservoir"}
