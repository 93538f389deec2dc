"""What every command takes, --from and --overwrite, and what classify and explain say."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from commands import exit_code

from elman.explain._sequences import trace_labels
from elman.tasks.labels.run import Classifier
from elman.tasks.text import run as text_runs
from elman.tasks.training.lock import locked

NUMBERS = "--steps 6 --eval-every 3 --hidden-size 8 --batch-size 4"
SMALL = f"{NUMBERS} --embedding-size 4"
TEXTS = "word,kind\n" + "".join(f"{w * (i % 3 + 1)},{k}\n" for i in range(20) for w, k in (("ab", "x"), ("ba", "y")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of each task, and what they were trained on."""
    there = tmp_path_factory.mktemp("common")
    (there / "words.csv").write_text(TEXTS)
    (there / "text.txt").write_text("the cat sat on the mat. " * 60)
    months = [f"{1990 + i // 12}-{i % 12 + 1:02d},{i * 7919 % 101}" for i in range(90)]
    (there / "sales.csv").write_text("\n".join(["month,y", *months, ""]))
    (there / "below.csv").write_text("\n".join(["month,y", *months, "1997-07,-2.5", ""]))
    sequences = [{"sequence": [i % 5, i % 3], "label": "ab"[i % 2]} for i in range(20)]
    (there / "numbers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in sequences))
    for file, run, small in (("words.csv", "words", SMALL), ("numbers.jsonl", "numbers", NUMBERS)):
        assert exit_code("train", "labels", there / file, "-o", there / run, *small.split()) == 0
    assert exit_code("train", "text", there / "text.txt", "-o", there / "text", *SMALL.split()) == 0
    series = "--steps 6 --eval-every 3 --hidden-size 8 --horizon 3 --window 6 --season 4"
    assert exit_code("train", "series", there / "sales.csv", "-o", there / "sales", *series.split()) == 0
    return there


def told(capsys, *arguments: object) -> dict:
    """What a command prints with --json, which is all that it prints."""
    assert exit_code(*arguments, "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_json_is_all_that_is_printed(folder, tmp_path, capsys):
    found = told(capsys, "train", "labels", folder / "words.csv", "-o", tmp_path / "run", *SMALL.split())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found == {"run": str(tmp_path / "run"), **metrics}
    assert set(found["scores"]["this model"]) == {"accuracy", "macro_f1"}
    for task, file in (("text", "text.txt"), ("series", "sales.csv")):
        steps = ["--steps", 2, "--hidden-size", 4]
        assert "scores" in told(capsys, "train", task, folder / file, "-o", tmp_path / task, *steps)
    assert len(told(capsys, "generate", folder / "text", "--length", 9, "--prompt", "cat")["text"]) == 12
    rows = told(capsys, "forecast", folder / "sales", folder / "sales.csv")["forecasts"]
    assert [row["time"] for row in rows] == ["1997-07", "1997-08", "1997-09"]
    assert all(row["lower"] <= row["median"] <= row["upper"] and row["column"] == "y" for row in rows)
    exported = told(capsys, "export", folder / "words", "-o", tmp_path / "model.onnx")
    assert exported["bytes"] == (tmp_path / "model.onnx").stat().st_size
    page = tmp_path / "page.html"
    assert told(capsys, "explain", "--seed", "hello", "-o", page) == {"pages": [str(page)]}


def test_quiet_leaves_what_was_asked_for(folder, tmp_path, capsys):
    assert exit_code("train", "text", folder / "text.txt", "-o", tmp_path / "run", *SMALL.split(), "-q") == 0
    assert exit_code("export", folder / "text", "-o", tmp_path / "model.onnx", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert exit_code("generate", folder / "text", "--length", 5, "--seed", 1, "--quiet") == 0
    assert exit_code("classify", folder / "words", "--text", "ab", "--quiet") == 0
    assert exit_code("forecast", folder / "sales", folder / "sales.csv", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) >= 1 + 2 + 4
    assert exit_code("generate", folder / "none", "--quiet") == 2  # an error is never silent
    assert capsys.readouterr().err.startswith("elman: ")


def test_threads_are_those_asked_for(folder, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert exit_code("generate", folder / "text", "--length", 1, "--threads", 1) == 0
    assert asked == [1]


@pytest.mark.parametrize("command", ["generate", "classify", "forecast", "export", "explain", "demo", "bench"])
def test_every_command_has_them(command, capsys):
    assert exit_code(*command.split(), "--help") == 0
    found = capsys.readouterr().out
    assert all(option in found for option in ("--json", "--quiet", "--threads"))


def test_overwrite_replaces_a_run_when_the_new_one_can_begin(folder, tmp_path, capsys):
    words = ["train", "labels", folder / "words.csv", "-o", tmp_path / "run", *SMALL.split()]
    assert exit_code(*words) == 0
    (tmp_path / "run" / "note.txt").write_text("of the old run")
    (tmp_path / "bad.csv").write_text("word,kind\nab,x\n")
    assert exit_code("train", "labels", tmp_path / "bad.csv", "-o", tmp_path / "run", "--overwrite") == 2
    assert (tmp_path / "run" / "note.txt").exists()
    with locked(tmp_path / "run"):
        assert exit_code(*words, "--overwrite") == 2
    assert "is being trained by another process" in capsys.readouterr().err
    assert exit_code(*words, "--overwrite", "--seed", 5) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["seed"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "run"]
    assert not (tmp_path / "run" / "note.txt").exists()
    (tmp_path / "found.csv").write_text("old")
    assert exit_code("classify", tmp_path / "run", "--text", "ab", "-o", tmp_path / "found.csv", "--overwrite") == 0
    assert (tmp_path / "found.csv").read_text().startswith("text,label")


def test_a_run_begins_with_the_weights_of_another(folder, tmp_path, capsys):
    """Character by character: the new text has letters that the old one had not, and lacks others."""
    (tmp_path / "more.txt").write_text("a zebra ate the moss. " * 60)
    words = ["train", "text", tmp_path / "more.txt", "-o", tmp_path / "run", "--from", folder / "text"]
    assert exit_code(*words, "--steps", 1, "--lr", 1e-12) == 0
    old, old_vocabulary = text_runs.load_model(folder / "text")
    new, vocabulary = text_runs.load_model(tmp_path / "run")
    assert vocabulary.characters == "".join(sorted({*"the cat sat on the mat. a zebra ate the moss. "}))
    ids, old_ids = (torch.tensor(v.encode("the cat sat."))[:, None] for v in (vocabulary, old_vocabulary))
    with torch.no_grad():
        logits = new(ids)[0][..., vocabulary.encode(old_vocabulary.characters)]
        torch.testing.assert_close(logits, old(old_ids)[0], rtol=1e-4, atol=1e-5)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["from"]["run"] == "text"
    assert config["model"] == json.loads((folder / "text" / "config.json").read_text())["model"]


def test_what_is_kept_is_never_worse_than_what_it_began_with(folder, tmp_path):
    words = ["train", "labels", folder / "words.csv", "-o", tmp_path / "run", "--from", folder / "words"]
    assert exit_code(*words, "--steps", 4, "--eval-every", 1, "--lr", 5000, "--class-weights", "root") == 0
    old, new = (
        safetensors.torch.load_file(run / "weights.safetensors") for run in (folder / "words", tmp_path / "run")
    )
    assert all(torch.equal(new[name], old[name]) for name in old)


def test_labels_and_numbers_go_on_with_other_data(folder, tmp_path):
    (tmp_path / "other.csv").write_text(TEXTS.replace(",y", ",z").replace("ba", "bac"))
    words = ["train", "labels", tmp_path / "other.csv", "-o", tmp_path / "run", "--from", folder / "words"]
    assert exit_code(*words, "--steps", 1, "--lr", 1e-12) == 0
    old, new = Classifier(folder / "words"), Classifier(tmp_path / "run")
    assert (new.labels, new.tokens.vocabulary) == (["x", "z"], ["a", "b", "c"])
    for name, mine, theirs in (("linear.weight", 0, 0), ("embedding.weight", [0, 1, 2], [0, 1, 2])):
        torch.testing.assert_close(new.model.state_dict()[name][mine], old.model.state_dict()[name][theirs])
    again = ["train", "labels", folder / "numbers.jsonl", "-o", tmp_path / "again", "--from", folder / "numbers"]
    assert exit_code(*again, "--steps", 2) == 0


# classify


def test_classify_writes_the_probability_of_every_label(folder, capsys):
    assert exit_code("classify", folder / "words", "--text", "abab", "--text", "bac", "--probabilities") == 0
    header, *rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert header == ["text", "label", "probability", "p(x)", "p(y)"]
    for row in rows:
        shares = [float(share) for share in row[3:]]
        assert sum(shares) == pytest.approx(1, abs=2e-4)
        assert float(row[2]) == max(shares)
        assert row[1] == "xy"[int(np.argmax(shares))]
    found = told(capsys, "classify", folder / "words", folder / "words.csv")
    assert len(found["examples"]) == 40
    right = sum(one["label"] == one["true label"] for one in found["examples"])
    assert found["scores"]["accuracy"] == pytest.approx(right / 40)
    assert np.array(found["scores"]["confusion"]).trace() == right


def test_1_and_1_0_are_one_label_as_they_are_one_number(folder, tmp_path, capsys):
    lines = [json.dumps({"sequence": [i % 2, 1], "label": [2, 1, 2.0, 1.0][i % 4]}) for i in range(40)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    assert exit_code("train", "labels", tmp_path / "some.jsonl", "-o", tmp_path / "run", *NUMBERS.split()) == 0
    config = tmp_path / "run" / "config.json"
    assert json.loads(config.read_text())["labels"] == ["1", "2"]
    capsys.readouterr()
    now = told(capsys, "classify", tmp_path / "run", tmp_path / "some.jsonl")["scores"]
    config.write_text(json.dumps(json.loads(config.read_text()) | {"labels": ["1.0", "2.0"]}))  # of an older version
    before = told(capsys, "classify", tmp_path / "run", tmp_path / "some.jsonl")["scores"]
    assert (before["labels"], before["confusion"]) == (["1.0", "2.0"], now["confusion"])
    words = ["train", "labels", tmp_path / "some.jsonl", "-o", tmp_path / "on", "--from", tmp_path / "run"]
    assert exit_code(*words, *NUMBERS.split(), "--steps", 1, "--lr", 1e-30) == 0
    mine, older = (Classifier(tmp_path / run).model.linear.weight for run in ("on", "run"))
    torch.testing.assert_close(mine, older)


def test_texts_that_are_one_number_keep_their_own_rows_with_from(tmp_path):
    """A label "1.0" of a run of an older version is 1 now, but beside "1" it is a text of its own."""
    lines = [json.dumps({"sequence": [i % 2, 1], "label": ["1", "1.0"][i % 2]}) for i in range(40)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    words = ["train", "labels", tmp_path / "some.jsonl", *NUMBERS.split()]
    assert exit_code(*words, "-o", tmp_path / "run") == 0
    assert exit_code(*words, "-o", tmp_path / "on", "--from", tmp_path / "run", "--steps", 1, "--lr", 1e-30) == 0
    mine, older = (Classifier(tmp_path / run).model.linear.weight for run in ("on", "run"))
    torch.testing.assert_close(mine, older)


BLANK = {
    "texts": ("words", "abab\n\n \nbaba\n\n", [2, 3, 5]),
    "texts of another system": ("words", "\r\nabab\rbaba\r\n", [1]),
    "other separators": ("words", "ab\u2028ab\x0bba\x0c\x85\x1c\nbaba\n", []),
    "CSV": ("words", "word,kind\nabab,x\n\n,\nbaba,y\n", [3, 4]),
    "JSON lines": ("numbers", '\n{"sequence": [1, 2]}\n\n{"sequence": [1]}\n', [1, 3]),
}


@pytest.mark.parametrize("case", BLANK)
def test_classify_says_which_lines_have_no_label(folder, capsys, monkeypatch, case):
    run, given, blank = BLANK[case]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert exit_code("classify", folder / run, "-") == 0
    captured = capsys.readouterr()
    assert len(list(csv.DictReader(io.StringIO(captured.out)))) == 2
    said = f"{len(blank)} blank line(s) of stdin have no label: {', '.join(map(str, blank))}\n"
    assert (said in captured.err) == bool(blank)
    assert ("blank" in captured.err) == bool(blank)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert told(capsys, "classify", folder / run, "-")["blank_lines"] == blank


@pytest.mark.parametrize("given", ["abab\nbaba\n", "word,kind\nabab,x\nbaba,y\n", "﻿abab\r\n\r\nbaba"])
def test_classify_reads_stdin(folder, capsys, monkeypatch, given):
    assert exit_code("classify", folder / "words", "--text", "abab", "--text", "baba") == 0
    expected = [line.split(",")[:3] for line in capsys.readouterr().out.splitlines()]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert exit_code("classify", folder / "words", "-") == 0
    assert [line.split(",")[:3] for line in capsys.readouterr().out.splitlines()] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"sequence": [1, 2]}\n')))
    assert exit_code("classify", folder / "numbers", "-") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


# explain


@pytest.mark.parametrize("text", ["abba", "b"])
def test_explain_tells_the_steps_that_mattered(folder, tmp_path, capsys, text):
    found = told(capsys, "explain", folder / "words", "--text", text, "-o", tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()
    classifier = Classifier(folder / "words")

    def shares(word: str) -> np.ndarray:
        ids, lengths = classifier.tokens.encode(pl.Series([word]))
        return classifier.shares(ids, lengths)[0]

    k = int(shares(text).argmax())
    assert found["label"] == classifier.labels[k]
    assert found["probability"] == pytest.approx(shares(text)[k], rel=1e-5)
    left = [text[:t] + text[t + 1 :] for t in range(len(text))] if len(text) > 1 else []
    assert [step["token"] for step in found["steps"]] == list(text)[: len(left)]
    assert [step["without"] for step in found["steps"]] == pytest.approx([shares(word)[k] for word in left], rel=1e-4)
    trace = trace_labels(classifier, text).trace
    for t in range(len(text)):
        likely = trace.labels.predictions[0][t][0]
        assert likely.token == classifier.labels[int(shares(text[: t + 1]).argmax())]
        assert likely.probability == pytest.approx(shares(text[: t + 1]).max(), rel=1e-5)


def test_explain_tells_the_steps_of_numbers_that_mattered(folder, tmp_path, capsys):
    """Each step is left out by hand, and the page's labels are those of the beginnings."""
    given = ["--data", folder / "numbers.jsonl", "--example", 4]
    page = tmp_path / "page.html"
    found = told(capsys, "explain", folder / "numbers", *given, "-o", page)
    classifier = Classifier(folder / "numbers")
    values = [3 % 5, 3 % 3]

    def shares(numbers: list[int]) -> np.ndarray:
        return classifier.shares(np.array(numbers, dtype=np.float64)[:, None], np.array([len(numbers)]))[0]

    k = int(shares(values).argmax())
    assert found["label"] == classifier.labels[k]
    assert found["probability"] == pytest.approx(shares(values)[k], rel=1e-5)
    assert [(step["step"], step["token"]) for step in found["steps"]] == [(0, "3"), (1, "0")]
    expected = [shares(values[1:])[k], shares(values[:1])[k]]
    assert [step["without"] for step in found["steps"]] == pytest.approx(expected, rel=1e-4)
    trace = trace_labels(classifier, np.array(values, dtype=np.float64)[:, None]).trace
    assert trace.labels.predictions[0][0][0].probability == pytest.approx(shares(values[:1]).max(), rel=1e-5)
    assert trace.labels.title["en"] == "A labels model reads 2 steps of numbers, 1 a step"
    torch.testing.assert_close(
        trace.x[:, 0, 0].double(), (torch.tensor(values) - classifier.model.mean) / classifier.model.std
    )
    assert exit_code("explain", folder / "words", "--data", folder / "words.csv", "-o", page, "--overwrite") == 0
    assert "step 0: 'a'" in capsys.readouterr().out


# 40 more inputs that cannot be


CASES = {
    "train labels words.csv -o x --cell elman": "--cell must be rnn, gru or lstm, not elman",
    "train text text.txt -o x --cell LSTM": "--cell must be rnn, gru or lstm, not LSTM",
    "train series sales.csv -o x --cell=": "--cell must be rnn, gru or lstm, not ''",
    "train labels words.csv -o x --pooling mean": "--pooling must be last or all, not mean",
    "train labels words.csv -o x --label-smoothing 1": "--label-smoothing must be at least 0 and below 1, not 1.0",
    "train labels words.csv -o x --label-smoothing nan": "--label-smoothing must be at least 0 and below 1, not nan",
    "train labels words.csv -o x --threads 0": "--threads must be at least 1, not 0",
    "train text text.txt -o x --threads -3": "--threads must be at least 1, not -3",
    "forecast sales sales.csv --threads 0": "--threads must be at least 1, not 0",
    "generate text --threads 100000": f"--threads must be at most {max(256, os.cpu_count() or 1)}",
    "classify words words.csv --threads two": "valid integer",
    "train labels words.csv -o words --overwrite --resume": "it goes with neither --overwrite nor --from",
    "train labels words.csv -o x --from words --resume": "it goes with neither --overwrite nor --from",
    "train labels words.csv -o words.csv --overwrite": "words.csv is no run folder, so --overwrite does not replace it",
    "train labels words.csv -o plain --overwrite": "plain is no run folder, so --overwrite does not replace it",
    "train labels words.csv -o link --overwrite": "link is no run folder, so --overwrite does not replace it",
    "classify words words.csv -o plain --overwrite": "plain is no file, so --overwrite does not replace it",
    "export words -o plain --overwrite": "plain is no file, so --overwrite does not replace it",
    "explain words --text ab -o plain --overwrite": "plain is no file, so --overwrite does not replace it",
    "forecast sales sales.csv -o plain --overwrite": "plain is no file, so --overwrite does not replace it",
    "train text text.txt -o text --from text": "text exists already: choose another folder, or go on with it by",
    "demo -o words --steps 1": "words exists already: choose another folder\n",
    "train labels words.csv -o x --from nothing": "nothing is no run folder: there is no such folder",
    "train labels words.csv -o x --from words.csv": "words.csv is no run folder: there is no such folder",
    "train labels words.csv -o x --from plain": "plain is no complete run folder: config.json is missing",
    "train labels words.csv -o x --from text": "text was trained for another task: text, not labels",
    "train text text.txt -o x --from words": "words was trained for another task: labels, not text",
    "train series sales.csv -o x --from text": "text was trained for another task: text, not series",
    "train labels words.csv -o x --from words --hidden-size 5": "words was trained with --hidden-size 8, not 5",
    "train labels words.csv -o x --from words --cell rnn": "words was trained with --cell gru, not rnn",
    "train labels words.csv -o x --from words --tokens words": "was trained with --tokens characters, not words",
    "train labels words.csv -o x --from words --one-way": "was trained with --bidirectional True, not False",
    "train text text.txt -o x --from text --layers 2": "text was trained with --layers 1, not 2",
    "train series sales.csv -o x --from sales --horizon 2": "sales was trained with --horizon 3, not 2",
    "train labels words.csv -o x --from words --held-out 0.2": "a part of the same data that this run would hold out",
    "train labels words.csv -o x --from words --seed 4": "a part of the same data that this run would hold out",
    "train text text.txt -o x --from text --held-out 0.3": "a part of the same data that this run would hold out",
    "train labels numbers.jsonl -o x --tokens words": "--tokens is for texts, and numbers.jsonl holds",
    "train labels numbers.jsonl -o x --one-hot": "--one-hot is for texts, and numbers.jsonl holds sequences of numbers",
    "train labels numbers.jsonl -o x --embedding-size 5": "--embedding-size is for texts, and numbers.jsonl holds",
    "train labels numbers.jsonl -o x --text-column y": "JSON lines, which have no columns: --text-column is for CSV",
    "train labels numbers.jsonl -o x --label-column y": "JSON lines, which have no columns: --label-column is for CSV",
    "train labels words.csv -o x --one-hot --embedding-size 7": "--one-hot tokens have no embedding, so --embedding-si",
    "classify numbers numbers.jsonl --label-column y": "JSON lines, which have no columns: --label-column is for CSV",
    "train labels numbers.jsonl -o x --from words": "it needs data of the kind it was trained on",
    "train labels words.csv -o x --from numbers": "it needs data of the kind it was trained on",
    "train series below.csv -o x --positive": "column y of below.csv goes down to -2.5, and --positive forecasts",
    "forecast sales sales.csv --picture no/such.png": "cannot write no/such.png: No such file or directory",
    "classify words --text ab --text-column y": "--text-column names a column of a file, and --text gives texts in",
    "classify words --text ab --label-column y": "--label-column names a column of a file, and --text gives texts in",
    "classify words - --text ab": "give a file to classify, or texts by --text, and not both",
    "classify text words.csv": "text was trained for another task: text, not labels",
    "export plain -o x.onnx": "plain is no complete run folder: config.json is missing",
    "explain words": "words tells labels: give --text, or --data with a file that holds an example, and not both",
    "explain words --text=": "there is nothing to read in the text ''",
    "explain numbers --text ab": "was trained on numbers, and --text holds texts",
    "explain numbers --data words.csv": "was trained on numbers, and words.csv holds texts",
    "explain numbers --data numbers.jsonl --example 21": "numbers.jsonl holds 20 examples: there is no number 21",
    "explain numbers --data numbers.jsonl --example 0": "--example must be at least 1, not 0",
    "explain text --text hi --example 3": "--example says which example of --data a labels model reads: give --data",
    "explain words --text ab --example 3": "--example says which example of --data a labels model reads: give --data",
    "explain sales --data sales.csv --example 3": "--example is for models that tell labels, and sales was trained for",
    "explain text --text hi --data text.txt --example 3": "--example is for models that tell labels, and text was",
    "explain text --text hi --data text.txt": "text was trained on a text: it reads --text, and no --data",
    "explain sales --data sales.csv --text hi": "sales forecasts a series: it reads --data, what it forecasts from",
    "explain --seed hello --data sales.csv": "--data goes with a RUN folder; the example of --seed has its own input",
    "explain --seed hello --device cpu": "--device goes with a RUN folder; the example of --seed has its own input",
    "explain --gallery pages --text hi": "--text is not read beside --gallery",
    "explain --gallery pages --overwrite": "--overwrite is not read beside --gallery",
    "explain text --data text.txt": "text was trained on a text: give --text, what it is to read",
    "generate text --prompt Z --json": "the model has never seen 'Z'",
    "train text - -o x": "- does not exist",
}

STDIN = {
    ("words", b""): "there is nothing on stdin",
    ("words", b"\n\n"): "there is no example: give at least one",
    ("words", b"\xff\xfea"): "stdin is not UTF-8",
    ("words", b"word,kind\nab,\n"): "stdin, line 2: column kind is empty",
    ("words", b"word,kind\n"): "holds no example",
    ("numbers", b"ab\n"): "stdin, line 1 is no JSON",
    ("numbers", b'{"sequence": []}\n'): "stdin, line 1: the sequence must be a list with at least one number",
    ("numbers", b'{"sequence": [1, "a"]}\n'): "stdin, line 1: step 1 of the sequence holds",
}


def refused(capsys, *arguments: object) -> str:
    """What is said, in one line, where a command is refused."""
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("elman: ")
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("command", CASES)
def test_what_cannot_be_is_said_in_a_line(folder, capsys, monkeypatch, command):
    monkeypatch.chdir(folder)
    Path("plain").mkdir(exist_ok=True)
    if not Path("link").exists():
        Path("link").symlink_to("words")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert CASES[command] in refused(capsys, *command.split())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(("run", "given"), STDIN)
def test_what_cannot_be_on_stdin_is_said_in_a_line(folder, capsys, monkeypatch, run, given):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert STDIN[run, given] in refused(capsys, "classify", folder / run, "-")
