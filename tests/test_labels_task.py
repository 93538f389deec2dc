"""The labels task: tokens, the split, batches by length, the model's last states, measures and baselines."""

import functools
import operator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sklearn.linear_model
import sklearn.metrics
import torch
from sklearn.feature_extraction.text import CountVectorizer

from elman.tasks.errors import DataError
from elman.tasks.labels import data as labels_data
from elman.tasks.labels import measures as labels_measures
from elman.tasks.labels import run as labels_runs
from elman.tasks.labels.data import CHOOSE, MEASURE, TRAIN, LabelledArrays, encode_examples, epoch_order, split_examples
from elman.tasks.labels.given import Given
from elman.tasks.labels.model import LabelsModel
from elman.tasks.labels.report import verdict
from elman.tasks.labels.run import JOB, Classifier, Scores, Source
from elman.tasks.labels.tokens import Tokens
from elman.tasks.settings import LabelsSettings, LoopSettings
from elman.tasks.training import loop, runs

WORDS = ["sun", "rain", "snow", "wind", "fog"]


def make_texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of one to six words; the label is the last word but for some noise."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        words = rng.choice(WORDS, size=rng.integers(1, 7)).tolist()
        labels.append(words[-1])
        texts.append(" ".join(words))
    return texts, labels


def make_numbers(count: int, features: int, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Sequences of very different length and scale; the label is the sign of the last step's first feature."""
    rng = np.random.default_rng(seed)
    sequences = [
        rng.normal(5, 3, size=(rng.integers(1, 30), features)).astype(np.float32) * np.float32(100)
        for _ in range(count)
    ]
    return sequences, ["above" if s[-1, 0] > 500 else "below" for s in sequences]


def begin(folder: Path, sequences, labels, training: LoopSettings | None = None, **settings) -> labels_runs.Run:
    chosen = LabelsSettings(**{"hidden_size": 9, "embedding_size": 5, "batch_size": 8} | settings)
    return runs.begin(
        JOB, Source(Given(sequences, labels)), folder, chosen, training or LoopSettings(steps=20, eval_every=10)
    )


# Tokens and arrays


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_tokens_are_those_of_python(kind):
    texts = ["Añ 1, 김치!", "b-b", "다른\n것"]
    known = ["a", "b", "김", "것", ",", " "] + (["김치"] if kind == "words" else [])
    ids, lengths = Tokens(kind, known).encode(pl.Series(texts))
    split = {
        "characters": list,
        "words": lambda text: "".join(c if c.isalnum() else f" {c} " for c in text.lower()).split(),
    }
    expected = [[known.index(t) + 1 if t in known else 0 for t in split[kind](text)] for text in texts]
    assert lengths.tolist() == [len(row) for row in expected]
    assert ids.tolist() == functools.reduce(operator.iadd, expected, [])


@pytest.mark.parametrize("kind", ["characters", "words"])
@pytest.mark.parametrize("rows", [1, 3, 1 << 20])
def test_arrays_hold_every_example_and_a_vocabulary_of_the_training_part(tmp_path, monkeypatch, kind, rows):
    monkeypatch.setattr(labels_data, "BLOCK", rows)
    monkeypatch.setattr(labels_data, "blocks", lambda n: (slice(i, min(i + rows, n)) for i in range(0, n, rows)))
    texts, labels = make_texts(60)
    texts[7] += " hapax"
    settings = LabelsSettings(tokens=kind, held_out=0.2)
    found = encode_examples(Given(texts, labels), tmp_path, settings, seed=3)
    arrays = LabelledArrays(tmp_path, numeric=False)
    train = [texts[i] for i in arrays.part(TRAIN)]
    tokens = [t for text in train for t in (text if kind == "characters" else text.split())]
    assert set(found.vocabulary) == {t for t in tokens if tokens.count(t) >= 2}
    assert found.labels == sorted(WORDS)
    for i, text in enumerate(texts):
        ids = arrays.values[arrays.starts[i] : arrays.starts[i] + arrays.lengths[i]]
        expected, _ = Tokens(kind, found.vocabulary).encode(pl.Series([text]))
        assert ids.tolist() == expected.tolist()
        assert found.labels[arrays.classes[i]] == labels[i]


def test_numbers_are_scaled_by_the_training_part(tmp_path):
    sequences, labels = make_numbers(40, 3)
    for sequence in sequences:
        sequence[:, 2] = 7
    found = encode_examples(Given(sequences, labels), tmp_path, LabelsSettings(held_out=0.3), seed=0)
    arrays = LabelledArrays(tmp_path, numeric=True)
    train = np.concatenate([sequences[i] for i in arrays.part(TRAIN)]).astype(np.float64)
    np.testing.assert_allclose(found.mean, train.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, [*train.std(0)[:2], 1.0], rtol=1e-12)


def test_the_training_part_is_read_in_large_pieces():
    """Not sequence by sequence: a million short texts then took minutes."""
    values, starts = np.arange(3000), np.arange(0, 3001, 3)
    parts = np.arange(1000) % 2
    assert [some.tolist() for some in labels_data._training(values, starts, parts)] == [
        [i for i in range(3000) if i // 3 % 2 == TRAIN]
    ]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_every_label_is_in_every_part(share):
    classes = np.random.default_rng(0).permutation(np.repeat(range(4), [3, 10, 100, 1000])).astype(np.int32)
    parts = split_examples(classes, share, seed=5)
    for k, size in enumerate([3, 10, 100, 1000]):
        counts = np.bincount(parts[classes == k], minlength=3)
        held_out = max(1, round(share * size))
        assert counts.tolist() == [size - 2 * held_out, held_out, held_out]
    assert np.array_equal(parts, split_examples(classes, share, seed=5))
    assert not np.array_equal(parts, split_examples(classes, share, seed=6))


def test_a_label_too_rare_to_measure_is_said(tmp_path):
    texts, labels = make_texts(30)
    with pytest.raises(DataError, match=r"example 30 .*label 'sum' occurs 2 time\(s\), where 3 are the least"):
        encode_examples(Given([*texts, "a", "b"], [*labels, "sum", "sum"]), tmp_path, LabelsSettings(), 0)


def test_an_epoch_reads_every_example_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, size=1000)
    examples = np.arange(0, 1000, 2)
    order = epoch_order(examples, lengths, 8, (0, 0))
    assert order.shape == (62, 8)
    assert len(set(order.flat)) == 496
    assert set(order.flat) <= set(examples)
    waste = 1 - lengths[order].sum() / (lengths[order].max(1) * 8).sum()
    assert waste < 0.05
    random = lengths[np.random.default_rng(1).permutation(examples)[:496].reshape(-1, 8)]
    assert 1 - random.sum() / (random.max(1) * 8).sum() > 0.3
    assert not np.array_equal(order, epoch_order(examples, lengths, 8, (0, 1)))
    assert not (np.diff(lengths[order].max(1)) >= 0).all()


# The model


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("pooling", ["last", "all"])
@pytest.mark.parametrize(("directions", "layers", "one_hot"), [(1, 1, True), (2, 1, False), (2, 2, True)])
def test_the_model_is_torchs_layer_on_each_sequence_alone(one_hot, directions, layers, pooling, cell):
    sizes = {"layers": layers, "hidden_size": 6, "embedding_size": 4, "bidirectional": directions == 2}
    model = LabelsModel(3, LabelsSettings(cell=cell, pooling=pooling, one_hot=one_hot, **sizes), tokens=11).eval()
    kind = getattr(torch.nn, cell.upper())
    theirs = kind(11 if one_hot else 4, 6, layers, bidirectional=directions == 2)
    theirs.load_state_dict(model.rnn.state_dict())
    lengths = torch.tensor([5, 1, 7, 2])
    ids = torch.randint(11, (7, 4))
    logits = model(ids, lengths)
    for n, length in enumerate(lengths):
        alone = ids[:length, n]
        x = torch.eye(11)[alone] if one_hot else model.embedding.weight[alone]
        output, _ = theirs(x)
        last = torch.cat([output[-1, :6], output[0, 6:]])  # forward at the end, reverse at the start
        kept = torch.cat([last, output.mean(0), output.max(0)[0]]) if pooling == "all" else last
        torch.testing.assert_close(logits[n], model.linear.weight @ kept + model.linear.bias)


def test_numbers_are_scaled_inside_the_model():
    model = LabelsModel(2, LabelsSettings(hidden_size=4), tokens=None, mean=[3.0, -1.0], std=[2.0, 5.0]).eval()
    plain = LabelsModel(2, LabelsSettings(hidden_size=4), tokens=None, mean=[0.0, 0.0], std=[1.0, 1.0]).eval()
    plain.load_state_dict({**model.state_dict(), "mean": plain.mean, "std": plain.std})
    x, lengths = torch.randn(5, 3, 2), torch.tensor([5, 2, 4])
    scaled = (x - torch.tensor([3.0, -1.0])) / torch.tensor([2.0, 5.0])
    torch.testing.assert_close(model(x, lengths), plain(scaled, lengths))


@pytest.mark.parametrize(("weights", "smoothing"), [("none", 0.0), ("root", 0.0), ("balanced", 0.0), ("balanced", 0.3)])
def test_the_loss_is_the_weighted_cross_entropy(tmp_path, weights, smoothing):
    texts, labels = make_texts(80)
    run = begin(tmp_path / "run", texts, labels, class_weights=weights, label_smoothing=smoothing, dropout=0.0)
    task, names = run.task, run.config["labels"]
    counts = np.bincount(task.arrays.classes[task.train])
    w = {"none": counts**0.0, "root": counts**-0.5, "balanced": 1 / counts}[weights]
    w = w * len(task.train) / (w * counts).sum()
    for step in range(2 * task.steps_per_epoch):
        loss = task.loss(step).item()
        examples = epoch_order(task.train, task.arrays.lengths, 8, (0, step // task.steps_per_epoch))[
            step % task.steps_per_epoch
        ]
        total = 0.0
        for i in examples:
            ids, lengths = Tokens("characters", run.config["vocabulary"]).encode(pl.Series([texts[i]]))
            logs = task.model(torch.from_numpy(ids)[:, None], torch.from_numpy(lengths)).log_softmax(1)[0]
            k = names.index(labels[i])
            total -= (1 - smoothing) * w[k] * logs[k].item()
            total -= smoothing / len(names) * sum(v * log for v, log in zip(w, logs.tolist(), strict=True))
        assert loss == pytest.approx(total / len(examples), rel=1e-5)


def test_training_learns_and_the_classifier_repeats_it(tmp_path):
    texts, labels = make_texts(400)
    run = begin(
        tmp_path / "run", texts, labels, LoopSettings(steps=150, lr=0.02, eval_every=50), tokens="words", hidden_size=24
    )
    assert loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
    scores = labels_runs.measure(run)
    assert scores[labels_runs.MODEL].macro_f1 > 0.95
    # the order decides, which a bag of single words does not see
    bag = labels_measures.logistic_regression(run.task.arrays, 5, len(run.config["vocabulary"]) + 1, 0)
    assert sklearn.metrics.f1_score(*bag, average="macro") < 0.9
    assert scores[labels_runs.MAJORITY].accuracy < 0.5
    classifier = Classifier(run.folder)
    (_, probabilities), *_ = classifier.probabilities(Given(texts))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    held_out = run.task.arrays.part(MEASURE)
    found = np.array(classifier.labels)[probabilities[held_out].argmax(1)]
    assert sklearn.metrics.accuracy_score(np.array(labels)[held_out], found) == scores[labels_runs.MODEL].accuracy


def test_numbers_are_learnt_whatever_their_scale(tmp_path):
    sequences, labels = make_numbers(400, 2)
    run = begin(tmp_path / "run", sequences, labels, LoopSettings(steps=200, lr=0.01, eval_every=50), hidden_size=24)
    assert loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
    scores = labels_runs.measure(run)
    assert scores[labels_runs.MODEL].macro_f1 > 0.9
    assert scores[labels_runs.MOMENTS].macro_f1 < 0.9
    with pytest.raises(DataError, match=r"was trained on numbers, and .* holds texts"):
        next(Classifier(run.folder).probabilities(Given(["a"])))
    with pytest.raises(DataError, match=r"a step has 3 numbers, where .* was trained on 2"):
        next(Classifier(run.folder).probabilities(Given([np.ones((4, 3))])))


def test_a_baseline_that_learns_from_some_examples_is_called_so(tmp_path, monkeypatch):
    run = begin(tmp_path / "run", *make_numbers(100, 1), LoopSettings(steps=1))
    assert [*labels_runs.measure(run)][1] == labels_runs.MOMENTS
    monkeypatch.setattr(labels_measures, "MOST_TRAINED", 50)
    trained = len(run.task.arrays.part(TRAIN))
    assert [*labels_runs.measure(run)][1] == f"{labels_runs.MOMENTS}, trained on 50 of the {trained} examples"


def test_the_best_weights_are_chosen_by_other_examples_than_are_measured(tmp_path):
    texts, labels = make_texts(100)
    run = begin(tmp_path / "run", texts, labels)
    seen = []
    honest = run.task.arrays.gather
    run.task.arrays.gather = lambda examples: (seen.extend(examples.tolist()), honest(examples))[1]
    run.trainer.evaluate()
    assert sorted(seen) == run.task.arrays.part(CHOOSE).tolist()
    seen.clear()
    run.task.predict_part()
    assert sorted(seen) == run.task.arrays.part(MEASURE).tolist()
    assert not {*run.task.arrays.part(MEASURE)} & {*run.task.arrays.part(CHOOSE)}


# Measures and baselines, against scikit-learn


def test_held_out_examples_that_training_has_seen_are_counted(tmp_path):
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("abcd"), size=rng.integers(2, 4))) for _ in range(150)]
    arrays = begin(tmp_path / "run", texts, [*"xyz"] * 50).task.arrays
    train = {texts[i] for i in arrays.part(TRAIN)}
    expected = sum(texts[i] in train for i in arrays.part(MEASURE))
    assert labels_measures.repeated(arrays) == expected
    assert 0 < expected < len(arrays.part(MEASURE))


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=300)
    found = np.where(rng.random(300) < 0.6, truth, rng.integers(4, size=300))  # the last label is rarely found
    matrix = labels_measures.confusion(truth, found, 5)
    assert np.array_equal(matrix, sklearn.metrics.confusion_matrix(truth, found))
    assert labels_measures.accuracy(matrix) == pytest.approx(sklearn.metrics.accuracy_score(truth, found))
    assert labels_measures.macro_f1(matrix) == pytest.approx(sklearn.metrics.f1_score(truth, found, average="macro"))


def test_the_error_of_a_difference_is_that_of_scores_on_examples_drawn_anew():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    ours, theirs = (np.where(rng.random(300) < share, truth, rng.integers(4, size=300)) for share in (0.7, 0.6))
    gains = []
    for _ in range(1000):
        some = rng.integers(300, size=300)
        scores = [
            sklearn.metrics.f1_score(truth[some], found[some], average="macro", zero_division=0)
            for found in (ours, theirs)
        ]
        gains.append(scores[0] - scores[1])
    assert labels_measures.difference_error(truth, ours, theirs, 4) == pytest.approx(np.std(gains), rel=0.1)
    assert labels_measures.difference_error(truth, ours, ours, 4) == 0


@pytest.mark.parametrize(("count", "says"), [(12, "as good as"), (3000, "better than")])
def test_a_difference_that_may_be_chance_is_no_victory(count, says):
    truth = np.arange(count) % 2
    ours, theirs = truth.copy(), truth.copy()
    ours[::6], theirs[::4] = 1 - truth[::6], 1 - truth[::4]
    scores = {labels_runs.MODEL: Scores(truth, ours, 2), "another": Scores(truth, theirs, 2)}
    assert scores[labels_runs.MODEL].macro_f1 > scores["another"].macro_f1 + 0.05
    found = verdict(scores)
    assert found.startswith(f"By macro-F1 this model is {says} another.")
    assert (" As good means no further apart than chance allows on 12 examples." in found) == (count == 12)


def test_the_logistic_regression_is_that_of_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(labels_measures, "SOME", 7)  # so the examples come in several pieces
    texts, labels = make_texts(120)
    run = begin(tmp_path / "run", texts, labels, tokens="words", held_out=0.2)
    arrays, tokens = run.task.arrays, len(run.config["vocabulary"]) + 1
    counts = np.zeros((len(texts), tokens))
    for i in range(len(texts)):
        np.add.at(counts[i], arrays.values[arrays.starts[i] : arrays.starts[i] + arrays.lengths[i]], 1)
    train, held_out = arrays.part(TRAIN), arrays.part(MEASURE)
    theirs = sklearn.linear_model.LogisticRegression(C=1.0, tol=1e-8, max_iter=2000)
    theirs.fit(counts[train], arrays.classes[train])
    model = labels_measures._Bag(tokens, 5)
    grams = labels_measures.Grams.find(arrays, train, tokens, 1)
    labels_measures.fit_logistic(model, grams.bags(arrays, train), torch.from_numpy(arrays.classes[train]).long())
    ours = model(*grams.bags(arrays, held_out)).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(counts[held_out]), atol=2e-3)
    _, found = labels_measures.logistic_regression(arrays, 5, tokens, seed=0)
    assert np.array_equal(found, theirs.predict(counts[held_out]))


def test_runs_of_characters_are_counted_as_scikit_learn_counts_them(tmp_path, monkeypatch):
    monkeypatch.setattr(labels_measures, "SOME", 7)
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abcde"), size=rng.integers(1, 9))) for _ in range(90)]
    arrays = begin(tmp_path / "run", texts, [*"xyz"] * 30).task.arrays
    train, held_out = arrays.part(TRAIN), arrays.part(MEASURE)
    grams = labels_measures.Grams.find(arrays, train, 6, 4)
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, 4)).fit([texts[i] for i in train])
    theirs = vectorizer.transform([texts[i] for i in train])
    often = np.asarray(theirs.sum(0))[0] > 1
    often |= np.array([len(name) == 1 for name in vectorizer.get_feature_names_out()])
    for part in (train, held_out):
        counts = vectorizer.transform([texts[i] for i in part]).toarray()[:, often]
        ids, starts, found = (values.numpy() for values in grams.bags(arrays, part))
        ours = np.zeros((len(part), len(grams.known)))
        ours[np.repeat(np.arange(len(part)), np.diff([*starts, len(ids)])), ids] = found
        assert sorted(map(tuple, ours.T[ours.any(0)])) == sorted(map(tuple, counts.T[counts.any(0)]))
