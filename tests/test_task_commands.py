"""`elman train labels`, `classify`, `train series` and `forecast` as a user types them, and their runs after Ctrl-C."""

import csv
import datetime
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
from pathlib import Path

import forked
import polars as pl
import pytest
import sklearn.metrics
import torch
from commands import exit_code
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from elman import data
from elman.cli import train_labels, train_series
from elman.tasks.files.tables import open_table
from elman.tasks.labels import run as labels_runs
from elman.tasks.labels.examples import open_examples
from elman.tasks.labels.report import repetition
from elman.tasks.series import run as series_runs
from elman.tasks.series.columns import choose_columns
from elman.tasks.series.forecaster import Forecaster
from elman.tasks.settings import LabelsSettings, LoopSettings, SeriesSettings
from elman.tasks.training import checkpoint, loop, runs
from elman.tasks.training.lock import locked

SMALL = "--steps 60 --eval-every 20 --hidden-size 16 --lr 0.01"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with texts and moods, sensors and states, and two columns over time."""
    folder = tmp_path_factory.mktemp("commands")
    rng = random.Random(0)
    moods = {"sad": ["cry", "alone", "눈물"], "happy": ["smile", "sun", "웃음"], "angry": ["shout", "storm", "분노"]}
    rows = [(" ".join(rng.choices(moods[mood], k=rng.randint(1, 5))), mood) for mood in rng.choices([*moods], k=150)]
    pl.DataFrame(rows, schema=["sentence", "mood"], orient="row").write_csv(folder / "moods.csv")
    with (folder / "sensors.jsonl").open("w") as file:
        for _ in range(90):
            up = rng.random() < 0.5
            steps = [[(i if up else -i) + rng.random(), rng.random()] for i in range(rng.randint(2, 20))]
            file.write(json.dumps({"sequence": steps, "label": "up" if up else "down"}) + "\n")
    months = [f"{1990 + i // 12}-{i % 12 + 1:02d}" for i in range(240)]
    values = {
        "month": months,
        "sold": [i % 12 + rng.random() for i in range(240)],
        "rain": [rng.random() for _ in months],
    }
    values["place"] = ["Seoul"] * 240
    pl.DataFrame(values).with_columns(
        rain=pl.when(pl.int_range(240) % 45 == 3).then(None).otherwise(pl.col("rain"))
    ).filter(pl.col("month") != "1991-05").write_csv(folder / "sales.csv")
    return folder


@pytest.fixture(scope="module")
def labels(place) -> Path:
    assert (
        exit_code("train", "labels", place / "moods.csv", "-o", place / "moods", "--tokens", "words", *SMALL.split())
        == 0
    )
    return place / "moods"


@pytest.fixture(scope="module")
def series(place) -> Path:
    assert exit_code("train", "series", place / "sales.csv", "-o", place / "sales", "--horizon", 6, *SMALL.split()) == 0
    return place / "sales"


def test_train_labels_says_all_there_is_to_know(place, labels, capsys):
    assert exit_code("train", "labels", place / "moods.csv", "-o", labels, "--resume") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "going on from step 60"
    assert re.fullmatch(
        r"moods.csv: 150 examples of 3 labels, from \w+ \(\d+\) to \w+ \(\d+\); \d+ to train on, 15 to choose the "
        r"weights by, 15 held out to measure on",
        out[1],
    )
    start = out.index("on the 15 held-out examples:")
    found = {line[21:]: float(line[10:19]) for line in out[start + 2 : start + 5]}
    assert [*found] == [labels_runs.MODEL, labels_runs.GRAMS["words"][0], labels_runs.MAJORITY]
    assert found[labels_runs.MODEL] == 1.0
    assert found[labels_runs.MAJORITY] < 0.4
    matrix = [re.findall(r"[\d.]+", line)[1:] for line in out if re.match(r"\d (angry|happy|sad) ", line)]
    counts = [[int(c) if c != "." else 0 for c in row] for row in matrix]
    assert sum(map(sum, counts)) == sum(counts[i][i] for i in range(3)) == 15
    assert out[-1].startswith(f"next: elman classify {labels} ")


def test_held_out_texts_that_were_trained_on_are_said(place, labels, tmp_path, capsys):
    """Texts of one or two words repeat; the names of the package do not."""
    assert exit_code("train", "labels", place / "moods.csv", "-o", labels, "--resume") == 0
    words = r"[1-9]\d? of the 15 held-out examples occur in the training part too"
    assert re.search(words, capsys.readouterr().out)
    assert re.search(words, (labels / "README.md").read_text())
    names = begin(place, "labels", tmp_path / "names")
    assert sum(names.config["data"]["parts"]) == 15_029
    assert repetition(names) == ""


def test_train_labels_fills_its_folder(labels):
    names = {path.name for path in labels.iterdir()}
    assert names == {
        *("config.json", "weights.safetensors", "checkpoint.safetensors", "previous.safetensors"),
        *("metrics.csv", "metrics.json", "README.md"),
        *("values.npy", "starts.npy", "labels.npy", "parts.npy", "loss.png", "confusion.png", "confusion.csv"),
    }
    for picture in ("loss.png", "confusion.png"):
        assert (labels / picture).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (labels / "confusion.csv").read_text().splitlines()[0] == "true label,angry,happy,sad"
    readme = (labels / "README.md").read_text()
    assert "`moods.csv` (texts, read as words)" in readme
    assert "| this model | 1.000 | 1.000 |" in readme
    assert "By macro-F1 this model is " in readme
    scores = json.loads((labels / "metrics.json").read_text())["scores"]
    assert scores[labels_runs.MODEL] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert scores[labels_runs.MAJORITY]["accuracy"] < 0.5


def test_classify_writes_csv(place, labels, capsys):
    assert exit_code("classify", labels, place / "moods.csv") == 0
    captured = capsys.readouterr()
    rows = [*csv.DictReader(io.StringIO(captured.out))]
    truth = pl.read_csv(place / "moods.csv")
    assert [row["text"] for row in rows] == truth["sentence"].to_list()
    right = sum(row["label"] == mood for row, mood in zip(rows, truth["mood"], strict=True))
    assert f"{right:,} of 150 labels were found" in captured.err
    assert right > 140
    assert captured.err.splitlines()[-1].startswith("next: ")
    truth.select("sentence").write_csv(place / "unlabelled.csv")
    assert exit_code("classify", labels, place / "unlabelled.csv", "-o", place / "found.csv") == 0
    assert pl.read_csv(place / "found.csv")["label"].to_list() == [row["label"] for row in rows]
    assert capsys.readouterr().out == ""
    assert exit_code("classify", labels, "--text", "smile, smile!", "--text", "눈물") == 0
    assert [line.split(",")[-2] for line in capsys.readouterr().out.splitlines()] == ["label", "happy", "sad"]


def test_sequences_of_numbers_have_labels_too(place, capsys):
    folder = place / "sensors"
    assert exit_code("train", "labels", place / "sensors.jsonl", "-o", folder, "--bidirectional", *SMALL.split()) == 0
    assert "logistic regression on each sequence's mean and deviation" in capsys.readouterr().out
    assert exit_code("classify", folder, place / "sensors.jsonl") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "label,probability,true label"
    assert float(re.search(r"accuracy ([\d.]+)", captured.err)[1]) > 0.95


def test_train_series_says_what_was_missing(place, series, capsys):
    assert exit_code("train", "series", place / "sales.csv", "-o", series, "--resume") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith(
        "sales.csv: 240 steps of sold, rain, from 1990-01 to 2009-12, one every 1 month, a season of 12; 168 to train "
    )
    assert out[2] == "1 gap(s) in the times, the longest of 1 step(s) after 1991-04"
    assert out[3].startswith("8 missing value(s): the model reads the last one before in their place")
    assert out[4] == "left out, for they hold no numbers: place"
    start = out.index("forecasts of 6 steps from 31 rolling origins in the held-out part:")
    names = [line[36:].strip() for line in out[start + 2 : start + 6]]
    assert names == [series_runs.MODEL, "naive", "seasonal naive", "AR"]
    assert any(line.startswith("By MASE this model is ") for line in out)
    assert out[-1].startswith(f"next: elman forecast {series} ")


def test_train_series_fills_its_folder(series):
    names = {path.name for path in series.iterdir()}
    assert names == {
        *("config.json", "weights.safetensors", "checkpoint.safetensors", "previous.safetensors"),
        *("metrics.csv", "metrics.json", "README.md"),
        *("values.npy", "known.npy", "linear.npy", "loss.png", "forecast.png", "origins.csv", "calibration.json"),
    }
    origins = pl.read_csv(series / "origins.csv")
    assert len(origins) == 31 * 6 * 2
    assert origins["value"].null_count() > 0
    assert (origins["lower"] < origins["upper"]).all()
    assert "1 gap(s) in the times" in (series / "README.md").read_text()


def test_forecast_follows_the_data(place, series, capsys):
    assert exit_code("forecast", series, place / "sales.csv", "--steps", 3, "--picture", place / "f.png") == 0
    rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert [(row["month"], row["column"]) for row in rows] == [
        (month, column) for month in ("2010-01", "2010-02", "2010-03") for column in ("sold", "rain")
    ]
    assert all(float(row["lower"]) < float(row["median"]) < float(row["upper"]) for row in rows)
    assert (place / "f.png").read_bytes().startswith(b"\x89PNG")
    assert exit_code("forecast", series, place / "sales.csv", "-o", place / "f.csv") == 0
    written = pl.read_csv(place / "f.csv")
    assert len(written) == 12
    assert written["median"].to_list()[:6] == [float(row["median"]) for row in rows]


def test_a_forecast_says_what_is_missing_at_the_end(place, series, capsys):
    """It was made from the last values there were, without a word."""
    rows = (place / "sales.csv").read_text().splitlines()
    (place / "late.csv").write_text("\n".join([*rows, "2010-01,,,", "2010-02,,0.5,", ""]))
    assert exit_code("forecast", series, place / "late.csv", "--steps", 1) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("2010-03,sold,")
    assert "5 of the last 122 values are missing: the model reads the last one before" in captured.err


def test_a_forecast_is_refused_where_the_times_have_become_irregular(place, series, capsys):
    """It was made, for months that no calendar has."""
    rows = (place / "sales.csv").read_text().splitlines()
    days = [row.replace(",", "-01,", 1) for row in rows[1:]]
    days[30] = days[30].replace("-01,", "-17,", 1)
    (place / "irregular.csv").write_text("\n".join([rows[0], *days, ""]))
    assert exit_code("forecast", series, place / "irregular.csv", "--steps", 1) == 2
    assert "irregular.csv has irregular times, where" in capsys.readouterr().err


def test_irregular_rows_keep_their_own_times(place, tmp_path, capsys):
    """They were counted from the first one by the most frequent step, so a forecast lay in the past."""
    day, late = datetime.timedelta(days=1), datetime.timedelta(minutes=37)
    times = [datetime.datetime(2023, 1, 1)]
    for i in range(1, 200):
        times.append(times[-1] + (2 * day + late if i % 3 == 0 else day))
    written = [f"{time:%Y-%m-%d %H:%M}" for time in times]
    rows = [f"{time},{i % 5}" for i, time in enumerate(written)]
    (tmp_path / "a.csv").write_text("\n".join(["time,y", *rows, ""]))
    run, options = tmp_path / "run", ["--horizon", 3, "--window", 8, *SMALL.split()]
    assert exit_code("train", "series", tmp_path / "a.csv", "-o", run, *options) == 0
    assert "the times are irregular: 1 day is their most frequent step" in capsys.readouterr().out
    origins = pl.read_csv(run / "origins.csv", try_parse_dates=False)
    assert origins["time"].unique(maintain_order=True).to_list() == written[-len(origins["time"].unique()) :]
    assert origins["origin"][0] == written[written.index(origins["time"][0]) - 1]

    def forecast(file: Path) -> list[str]:
        assert exit_code("forecast", run, file) == 0
        return [row["time"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]

    assert forecast(tmp_path / "a.csv") == [f"{times[-1] + k * day:%Y-%m-%d %H:%M}" for k in (1, 2, 3)]
    (tmp_path / "more.csv").write_text("\n".join(["time,y", *rows[:150], ""]))
    assert forecast(tmp_path / "more.csv")[0] == f"{times[149] + day:%Y-%m-%d %H:%M}"
    past = Forecaster(run).read(tmp_path / "a.csv")
    assert [past.at(i) for i in range(len(past.values))] == written[-len(past.values) :]
    (run / "times.npy").unlink()  # as in runs of older versions
    assert exit_code("train", "series", tmp_path / "a.csv", "-o", run, "--resume") == 0
    assert pl.read_csv(run / "origins.csv")["time"][-1] == "row 200"


@pytest.mark.parametrize("task", ["labels", "series"])
def test_pictures_are_left_out_where_matplotlib_is_missing(place, tmp_path, capsys, monkeypatch, task):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    file = place / {"labels": "moods.csv", "series": "sales.csv"}[task]
    assert exit_code("train", task, file, "-o", tmp_path / "run", "--steps", 2) == 0
    assert "no picture without matplotlib: pip install elman[plot]" in capsys.readouterr().out.splitlines()
    assert not [*(tmp_path / "run").glob("*.png")]
    assert (tmp_path / "run" / "README.md").exists()


def test_tensorboard_has_the_measures_of_metrics_csv(place, tmp_path):
    options = [*SMALL.split(), "--tensorboard"]
    assert exit_code("train", "labels", place / "moods.csv", "-o", tmp_path / "run", *options) == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = [row.split(",") for row in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]]
    for tag, column in (("training", 1), ("held_out", 2)):
        found = {scalar.step: scalar.value for scalar in events.Scalars(f"cross_entropy/{tag}")}
        assert found == pytest.approx({int(row[0]): float(row[column]) for row in rows if row[column]}, rel=1e-6)


# Options


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_every_task_takes_every_cell(place, tmp_path, capsys, cell):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 300)
    files = {"text": tmp_path / "text.txt", "labels": place / "moods.csv", "series": place / "sales.csv"}
    for task, file in files.items():
        run = tmp_path / task
        few = ["--steps", 4, "--eval-every", 2, "--hidden-size", 16]
        assert exit_code("train", task, file, "-o", run, "--cell", cell, *few) == 0
        assert f"16 {cell.upper()} units in 1 layer(s)" in capsys.readouterr().out
        assert json.loads((run / "config.json").read_text())["model"]["cell"] == cell
        assert f"cell {cell}" in (run / "README.md").read_text()
        assert exit_code("train", task, file, "-o", run, "--resume", "--cell", "rnn") == 2
        assert f"was begun with cell {cell}, not rnn" in capsys.readouterr().err
        assert exit_code("export", run, "-o", tmp_path / f"{task}.onnx") == 0
    assert exit_code("generate", tmp_path / "text", "--prompt", "the ") == 0
    assert exit_code("classify", tmp_path / "labels", "--text", "smile") == 0
    assert exit_code("forecast", tmp_path / "series", place / "sales.csv") == 0
    assert exit_code("train", "text", files["text"], "-o", tmp_path / "x", "--cell", "mgu") == 2
    assert capsys.readouterr().err.endswith("elman: --cell must be rnn, gru or lstm, not mgu\n")


@pytest.mark.parametrize(
    ("typed", "default"), [({"one_hot": True}, {"embedding_size": 64}), ({"embedding_size": 5}, {"one_hot": False})]
)
def test_every_option_of_train_labels_becomes_a_setting(place, tmp_path, monkeypatch, typed, default):
    given = {
        **typed,
        "tokens": "words",
        "bidirectional": True,
        "pooling": "last",
        "cell": "gru",
        "hidden_size": 3,
        "layers": 2,
        "dropout": 0.125,
        "label_smoothing": 0.0625,
        "batch_size": 6,
        "class_weights": "balanced",
        "held_out": 0.25,
        "steps": 9,
        "lr": 0.5,
        "clip": 2.5,
        "eval_every": 8,
        "seed": 77,
        "patience": 5,
    }
    found = []
    monkeypatch.setattr(train_labels, "train_to_end", lambda trainer, *rest, **more: found.append(trainer))
    monkeypatch.setattr(train_labels, "finish", lambda run: found.append(run))
    monkeypatch.setattr(train_labels, "outcome", lambda run: {})
    assert exit_code("train", "labels", place / "moods.csv", "-o", tmp_path / "run", *as_options(given)) == 0
    assert {**vars(found[1].settings), **vars(found[0].settings)} == given | default


def test_every_option_of_train_series_becomes_a_setting(place, tmp_path, monkeypatch):
    given = {
        "horizon": 3,
        "window": 7,
        "season": 4,
        "interval": 0.5,
        "positive": True,
        "cell": "gru",
        "hidden_size": 3,
        "layers": 2,
        "dropout": 0.125,
        "batch_size": 6,
        "held_out": 0.25,
        "steps": 9,
        "lr": 0.5,
        "clip": 2.5,
        "eval_every": 8,
        "seed": 77,
        "patience": 5,
    }
    found = []
    monkeypatch.setattr(train_series, "train_to_end", lambda trainer, *rest, **more: found.append(trainer))
    monkeypatch.setattr(train_series, "finish", lambda run: found.append(run))
    monkeypatch.setattr(train_series, "outcome", lambda run: {})
    columns = ["--column", "rain", "--time-column", "month"]
    assert exit_code("train", "series", place / "sales.csv", "-o", tmp_path / "run", *columns, *as_options(given)) == 0
    assert {**vars(found[1].settings), **vars(found[0].settings)} == given
    assert (found[1].config["columns"], found[1].config["season"]) == (["rain"], 4)


def as_options(given: dict[str, object]) -> list[object]:
    options: list[object] = []
    for name, value in given.items():
        options += [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", value]
    return options


def test_resume_keeps_the_columns_of_the_run(place, labels, series, capsys):
    """Other columns than at the beginning were passed over without a word."""
    moods, sales = place / "moods.csv", place / "sales.csv"
    for arguments, message in {
        ("labels", moods, "-o", labels, "--text-column", "mood"): "--text-column sentence, not mood",
        ("labels", moods, "-o", labels, "--label-column", "sentence"): "--label-column mood, not sentence",
        ("series", sales, "-o", series, "--column", "rain"): "--column ['sold', 'rain'], not ['rain']",
        ("series", sales, "-o", series, "--time-column", "sold"): "--time-column month, not sold",
    }.items():
        assert exit_code("train", *arguments, "--resume") == 2
        assert f"was begun with {message}: --resume goes on as it was begun" in capsys.readouterr().err
    assert exit_code("train", "labels", moods, "-o", labels, "--resume", "--text-column", "sentence") == 0


# Interrupted and gone on with


def begin(place: Path, task: str, folder: Path):
    training = LoopSettings(steps=40, eval_every=6, seed=3)
    if task == "labels":
        file = data.find(Path("names"))
        settings = LabelsSettings(hidden_size=8, embedding_size=4, layers=2, dropout=0.4)
        return runs.begin(labels_runs.JOB, labels_runs.Source(open_examples(file), ""), folder, settings, training)
    table = open_table(data.find(Path("elnino")))
    chosen = SeriesSettings(hidden_size=8, layers=2, dropout=0.4)
    return runs.begin(
        series_runs.JOB, series_runs.Source(table, choose_columns(table, None, None)), folder, chosen, training
    )


def fit(run, interrupt_at: int | None = None) -> bool:
    def report(step: int, value: float) -> None:
        if step == interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    return loop.fit(run.trainer, run.folder, progress=False, report=report)


@pytest.mark.parametrize("task", ["labels", "series"])
def test_an_interrupted_run_ends_as_if_never_interrupted(place, tmp_path, task):
    job = {"labels": labels_runs.JOB, "series": series_runs.JOB}[task]
    whole = begin(place, task, tmp_path / "whole")
    assert fit(whole)
    pieces = begin(place, task, tmp_path / "pieces")
    for stop in (6, 30):
        assert not fit(pieces, interrupt_at=stop)
        torch.manual_seed(999)  # resuming must not lean on this process's random state
        pieces = runs.resume(job, None, pieces.folder, {})
        assert pieces.trainer.step == stop
    assert fit(pieces)
    for name in (checkpoint.WEIGHTS, checkpoint.CHECKPOINT, "metrics.csv"):
        assert (whole.folder / name).read_bytes() == (pieces.folder / name).read_bytes()


@pytest.mark.parametrize("arguments", [["train", "labels"], ["classify"], ["train", "series"], ["forecast"]])
def test_help_is_shown(arguments, capsys):
    assert exit_code(*arguments, "--help") == 0
    assert capsys.readouterr().out.startswith("Usage: elman")


def test_classify_measures_the_file_it_was_given(place, labels, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("sentence,mood\nhappy,sad\nsad,sad\nangry,other\n")
    words = ["classify", labels, tmp_path / "a.csv", "--text-column", "sentence", "--label-column", "mood"]
    assert exit_code(*words) == 0
    captured = capsys.readouterr()
    found = [line.split(",")[1] for line in captured.out.splitlines()[1:]]
    truth = ["sad", "sad", "other"]
    right = sum(one == other for one, other in zip(found, truth, strict=True))
    scores = sklearn.metrics.f1_score(truth, found, labels=["other", "sad"], average="macro", zero_division=0)
    assert f"{right} of 3 labels were found: accuracy {right / 3:.3f}, macro-F1 {scores:.3f}" in captured.err
    f1 = sklearn.metrics.f1_score(truth, found, labels=["other", "sad"], average=None, zero_division=0)
    words = [line.split() for line in captured.err.splitlines()]
    assert ["other", f"{f1[0]:.3f}", "1"] in words
    assert ["sad", f"{f1[1]:.3f}", "2"] in words
    names = sorted({*truth, *found})
    matrix = sklearn.metrics.confusion_matrix(truth, found, labels=names)
    for i, name in enumerate(names):
        assert [str(i + 1), name, *(str(n or ".") for n in matrix[i])] in words
    assert "confusion.csv" not in captured.err
    assert "labels that the model was not trained on, and so never finds: 'other'\n" in captured.err


def test_what_is_said_next_can_be_typed_where_names_have_spaces(place, tmp_path, capsys):
    for task, name, use in (("labels", "moods.csv", "classify"), ("series", "sales.csv", "forecast")):
        file, folder = tmp_path / f"my {name}", tmp_path / f"my {task}"
        shutil.copyfile(place / name, file)
        options = ["--steps", 2, "--hidden-size", 2] + (["--horizon", 6] if task == "series" else [])
        assert exit_code("train", task, file, "-o", folder, *options) == 0
        said = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ").split(", or ")[0].split(" or ")[0]
        readme = (folder / "README.md").read_text()
        for command in (said, *re.findall("^elman .*", readme, re.M)):
            assert shlex.split(command)[:2] in (["elman", use], ["elman", "export"])
            assert shlex.split(command)[2] == str(folder)


def test_a_run_is_trained_by_one_process_at_a_time(place, tmp_path, capsys):
    data, folder = place / "sales.csv", tmp_path / "run"
    assert exit_code("train", "series", data, "-o", folder, "--horizon", 6, *SMALL.split()) == 0
    capsys.readouterr()
    with locked(folder):
        done = forked.run(forked.COMMAND, "train", "series", data, "-o", folder, "--resume")
    assert done.returncode == 2
    assert done.stderr == f"elman: {folder} is being trained by another process: wait for it, or stop it first\n"
    assert exit_code("train", "series", data, "-o", folder, "--resume") == 0


def test_mase_of_two_seasons_can_be_compared(place, tmp_path):
    found = {}
    for season in (1, 12):
        folder = tmp_path / f"{season}"
        more = ["--horizon", 6, "--season", season, *SMALL.split(), "--steps", 1]
        assert exit_code("train", "series", place / "sales.csv", "-o", folder, *more) == 0
        assert f"season {season}, " in (folder / "README.md").read_text()
        scores = json.loads((folder / "metrics.json").read_text())["scores"]
        found[season] = scores["naive"]
    for column in ("sold", "rain"):
        assert found[1]["mase"][column] == pytest.approx(found[12]["mase"][column])
        assert found[1]["mae"][column] == pytest.approx(found[12]["mae"][column])


def test_training_ends_where_nothing_has_become_better(place, tmp_path, capsys):
    folder = tmp_path / "run"
    words = ["train", "series", place / "sales.csv", "-o", folder, "--horizon", 6, "--hidden-size", 4]
    assert exit_code(*words, "--steps", 400, "--eval-every", 2, "--patience", 3, "--lr", 0.5) == 0
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    measured = [(int(step), float(value)) for step, _, value in rows if value]
    best = min(measured, key=lambda pair: pair[1])[0]
    assert measured[-1][0] == best + 6 < 400
    assert json.loads((folder / "metrics.json").read_text())["step"] == best
    before = (folder / "checkpoint.safetensors").read_bytes()
    assert exit_code(*words[:5], "--resume") == 0
    assert (folder / "checkpoint.safetensors").read_bytes() == before


def test_a_run_without_the_newer_settings_loads(place, series, tmp_path):
    shutil.copytree(series, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    del config["training"]["patience"], config["model"]["cell"], config["unit"], config["clock"]["zone"]
    path.write_text(json.dumps(config))
    assert exit_code("forecast", tmp_path / "run", place / "sales.csv") == 0
    assert exit_code("train", "series", place / "sales.csv", "-o", tmp_path / "run", "--resume") == 0
