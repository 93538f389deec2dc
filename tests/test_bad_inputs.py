"""Bad input to the commands: exit code 2, one line that says what and where, and nothing written or lost."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest
from commands import exit_code

from elman.tasks.series.forecaster import Forecaster
from elman.tasks.training import checkpoint

LABELS = "--steps 2 --hidden-size 4 --batch-size 4 --held-out 0.2"
SERIES = "--steps 2 --hidden-size 4 --batch-size 4 --window 6 --horizon 3 --season 4"

GOOD_LABELS = "text,label\n" + "".join(f"{'ab' * (i % 3 + 1)},{'xy'[i % 2]}\n" for i in range(20))
GOOD_SERIES = "month,y\n" + "".join(f"{2000 + i // 12}-{i % 12 + 1:02d},{i % 5}\n" for i in range(80))


def everything(folder: Path) -> dict[str, str]:
    """All files below a folder with the hash of their content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refused(capsys, folder: Path, arguments: list[object], message: str) -> None:
    """The command fails with this message in one line on stderr, and leaves the folder as it was."""
    before = everything(folder)
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("elman: ")
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1, captured.err
    assert everything(folder) == before


def lines(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


A, B = {"sequence": [1, 2], "label": "a"}, {"sequence": [3], "label": "b"}

# Files that no task can read, by the message that says why

LABEL_FILES = {
    "empty.csv": (b"", "empty.csv is empty"),
    "header.csv": (b"text,label\n", "header.csv holds no example"),
    "blank.csv": (b"\n\n\n", "has no header: the first line must name the columns"),
    "latin.csv": ("text,label\nab,x\nöl,y\n".encode("latin-1"), "latin.csv, line 3, byte 1 is not UTF-8 (inv"),
    "korean.csv": (
        "문장,감정\n비가 온다,슬픔\n".encode("cp949"),
        "korean.csv, line 1, byte 1 is not UTF-8 but seems to be CP949 (invalid start byte): save the file as "
        "UTF-8 (in Excel: CSV UTF-8), or: iconv -f CP949 -t UTF-8 FILE > NEW",
    ),
    "utf16.csv": (
        "text,label\nab,x\n".encode("utf-16"),
        "utf16.csv, line 1, byte 1 is not UTF-8 but seems to be UTF-16",
    ),
    "line.csv": (
        "text,label\nab,x\n비가,y\n".encode("cp949"),
        "line.csv, line 3, byte 1 is not UTF-8 but seems to be CP949",
    ),
    "wide.csv": (b"text,label\nab,x\nc,d,y\n", "wide.csv, line 3 has 3 values where the header has 2"),
    "narrow.csv": (b"text,label\nab,x\ncd\n", "narrow.csv, line 3: column label is empty"),
    "quote.csv": (b'text,label\nab,x\n"cd,y\nef,x\n', "quote.csv, line 3"),
    "gap.csv": (b"text,label\nab,x\n,y\n", "gap.csv, line 3: column text is empty"),
    "multiline.csv": (b'text,label\n"a\nb",x\ncd,\n', "multiline.csv, line 4: column label is empty"),
    "spaces.csv": (b"text,label\nab,x\ncd,  \n", "spaces.csv, line 3: column label is empty"),
    "twice.csv": (b"text,label,text\nab,x,cd\n", "twice.csv has two columns named 'text'"),
    "unclear.csv": (
        b"a,b,c\n1,2,3\n",
        "not obvious from its first line, a, b, c: name them with --text-column and --",
    ),
    "sensor.csv": (
        f"{','.join(f't{i}' for i in range(50))},activity\n{'0.5,' * 50}walk\n".encode(),
        "t11 and 39 more: name them with --text-column and --label-column; sequences of numbers come as JSON lines",
    ),
    "scores.csv": (
        b"text,label\n" + b"".join(b"ab,0.%d\n" % (i + 10) for i in range(20)),
        "scores.csv has 20 different labels for 20 examples, where each has to occur 3 times: is --label-column the",
    ),
    "nolabel.csv": (b"text\nab\n", "not obvious from its first line, text: name them with --label-column"),
    "one.csv": (b"text,label\nab,x\ncd,x\nef,x\n", "one.csv has 'x' as its only label: there must be at least two"),
    "rare.csv": (GOOD_LABELS.encode() + b"zz,xx\n", "rare.csv, line 22: label 'xx' occurs 1 time(s), where 3 are"),
    "many.csv": (
        b"text,label\n" + b"".join(b"a,%d\n" % i for i in range(1100)),
        "many.csv has more than 1,000 different labels: is --label-column the right one?",
    ),
    "text.docx": (b"PK\x03\x04", "text.docx must be a CSV or a Parquet file, with a name that ends in .csv, .tsv"),
    "fake.parquet": (b"text,label\nab,x\n", "fake.parquet is no Parquet file"),
    "texts.jsonl": (
        lines({"text": "so good", "label": "a"}).encode(),
        'texts.jsonl, line 1 has no "sequence": a line is {"sequence": [0.5, 1, ...], "label": "a"}; texts come as CSV',
    ),
    "pretty.jsonl": (json.dumps(A, indent=1).encode(), "line 1 is no JSON: Expecting property name enclosed in double"),
    "broken.jsonl": (lines(A, '{"sequence": [1,').encode(), "broken.jsonl, line 2 is no JSON: "),
    "list.jsonl": (lines(A, [1, 2]).encode(), "list.jsonl, line 2 is no JSON object"),
    "key.jsonl": (lines(A, {"label": "b"}).encode(), 'key.jsonl, line 2 has no "sequence"'),
    "none.jsonl": (
        lines(A, {"sequence": [], "label": "b"}).encode(),
        "none.jsonl, line 2: the sequence must be a list",
    ),
    "word.jsonl": (
        lines(A, {"sequence": [1, "two"], "label": "b"}).encode(),
        'word.jsonl, line 2: step 1 of the sequence holds "two", no finite number',
    ),
    "nan.jsonl": (
        lines(A, '{"sequence": [1, NaN], "label": "b"}').encode(),
        "nan.jsonl, line 2: step 1 of the sequence",
    ),
    "huge.jsonl": (
        lines(A, {"sequence": [-4.86e299], "label": "b"}).encode(),
        "huge.jsonl, line 2: step 0 of the sequence holds -4.86e+299, too large a number: models compute in float32",
    ),
    "whole.jsonl": (lines(A, {"sequence": [10**400], "label": "b"}).encode(), "000..., too large a number: models"),
    "infinite.jsonl": (lines(A, '{"sequence": [1e999], "label": "b"}').encode(), "holds Infinity, no finite number"),
    "true.jsonl": (lines(A, {"sequence": [True], "label": "b"}).encode(), "holds true, no finite number"),
    "uneven.jsonl": (
        lines({"sequence": [[1, 2], [3]], "label": "a"}).encode(),
        "uneven.jsonl, line 1: step 1 of the sequence has 1 numbers where 2 are needed",
    ),
    "wider.jsonl": (
        lines(A, {"sequence": [[1, 2]], "label": "b"}).encode(),
        "wider.jsonl, line 2: step 0 of the sequence has 2 numbers where 1 are needed",
    ),
    "nolabel.jsonl": (
        lines(A, {"sequence": [1]}).encode(),
        "nolabel.jsonl, line 2: the label must be a text or a number",
    ),
    "listlabel.jsonl": (lines(A, {"sequence": [1], "label": ["b"]}).encode(), "the label must be a text or a number"),
    "types.jsonl": (
        lines(*[{"sequence": [1], "label": label} for label in (1, 2, "1")]).encode(),
        'types.jsonl, line 3: the label "1" looks like another one, 1: give all labels in one type',
    ),
    "floats.jsonl": (
        lines(*[{"sequence": [1], "label": label} for label in (1.0, 2.0, "1.0")]).encode(),
        'floats.jsonl, line 3: the label "1.0" looks like another one, 1.0: give all labels in one type',
    ),
    "truth.jsonl": (
        lines(*[{"sequence": [1], "label": label} for label in ("true", False, True)]).encode(),
        'truth.jsonl, line 3: the label true looks like another one, "true": give all labels in one type',
    ),
    "latin.jsonl": (b'{"sequence": [1], "label": "\xf6"}\n', "latin.jsonl, line 1 is not UTF-8"),
    "blank.jsonl": (b"\n \n", "blank.jsonl holds no example"),
}


@pytest.mark.parametrize("name", LABEL_FILES)
def test_bad_examples_are_said(tmp_path, capsys, name):
    content, message = LABEL_FILES[name]
    (tmp_path / name).write_bytes(content)
    refused(capsys, tmp_path, ["train", "labels", tmp_path / name, "-o", tmp_path / "run", *LABELS.split()], message)


def months(*values: object, name: str = "y") -> bytes:
    rows = [f"2000-{i + 1:02d},{value}" for i, value in enumerate(values)]
    return "\n".join([f"month,{name}", *rows, ""]).encode()


def change(line: int, new: str) -> bytes:
    """The good series with another line."""
    rows = GOOD_SERIES.splitlines()
    rows[line - 1] = new
    return "\n".join([*rows, ""]).encode()


SERIES_FILES = {
    "empty.csv": (b"", "empty.csv is empty"),
    "header.csv": (b"month,y\n", "header.csv has no column of numbers beside its time column 'month'"),
    "words.csv": (b"month,y\n2000-01,a\n2000-02,b\n", "words.csv has no column of numbers"),
    "time.csv": (b"month\n2000-01\n", "time.csv has no column of numbers beside its time column 'month'"),
    "notime.csv": (
        b"month,y\nMay,1\nJune,2\n",
        "notime.csv, line 2: column month is 'May', no time: a time is a number, 2",
    ),
    "mixed.csv": (
        change(9, "2000-08-01,3"),
        "mixed.csv, line 9: column month is '2000-08-01', no time of the form YYYY-MM",
    ),
    "month13.csv": (change(14, "2000-13,3"), "month13.csv, line 14: column month is '2000-13', no time of the form"),
    "hole.csv": (change(9, ",3"), "hole.csv, line 9: column month is empty, no time"),
    "twice.csv": (change(9, "2000-07,3"), "twice.csv, line 9: the time 2000-07 occurs twice: sort the rows by month"),
    "clock.csv": (
        b"time,y\n2024-10-27 01:00,1\n2024-10-27 02:00,2\n2024-10-27 02:00,3\n2024-10-27 03:00,4\n",
        "clock.csv, line 4: the time 2024-10-27 02:00 occurs twice: sort the rows by time, each time once; where "
        "clocks were put back, write times with their offset",
    ),
    "percent.csv": (
        b"month,rate\n2000-01,3.5%\n2000-02,4%\n",
        "rate begins with '3.5%': write the number alone, without %",
    ),
    "price.csv": (change(9, "2000-08,$5"), "column y is '$5', no number: write the number alone, without $"),
    "back.csv": (change(9, "1999-07,3"), "back.csv, line 9: the time 1999-07 comes after a later one"),
    "word.csv": (change(9, "2000-08,high"), "word.csv, line 9: column y is 'high', no number"),
    "comma.csv": (
        GOOD_SERIES.replace(",", ";").replace("2000-08;2", "2000-08;2,5").encode(),
        "comma.csv, line 9: column y is '2,5', no number: write decimals with a point",
    ),
    "thousands.csv": (
        change(9, '2000-08,"71,500"'),
        "column y is '71,500', no number: write thousands without a comma, and decimals with a point",
    ),
    "allthousands.csv": (
        b'month,y\n2000-01,"71,500"\n2000-02,"72,000"\n',
        "no column of numbers beside its time column 'month': y begins with '71,500': write thousands without a comma",
    ),
    "still.csv": (
        GOOD_SERIES.replace(",y", ",y,code,z").replace("\n2", ",593,1\n2").replace(",593,1", "", 1).encode()
        + b"2006-09,4,593,1\n",
        "column code of still.csv never changes in the part to train on: forecast the others alone, by --column y",
    ),
    "inf.csv": (change(9, "2000-08,inf"), "inf.csv, line 9: column y is 'inf', no number"),
    "large.csv": (change(9, "2000-08,-1e156"), "large.csv, line 9: column y is -1e156, beyond 3e+38"),
    "short.csv": (
        months(1, 2, 3, 4, 5, 6),
        "short.csv is too short: 4 steps to train on, where a season of 4, a window of",
    ),
    "two.csv": (months(1, 2), "two.csv holds 2 row(s)"),
    "constant.csv": (
        ("month,y\n" + "".join(f"{1900 + i // 12}-{i % 12 + 1:02d},7\n" for i in range(80))).encode(),
        "column y of constant.csv never changes in the part to train on: there is nothing to forecast",
    ),
    "nothing.csv": (months(*[""] * 9), "nothing.csv has no column of numbers"),
    "wide.csv": (change(9, "2000-08,3,4"), "wide.csv, line 9 has 3 values where the header has 2"),
    "fake.pq": (b"PAR1 or not", "fake.pq is no Parquet file"),
    "series.json": (b"{}", "series.json must be a CSV or a Parquet file"),
}


@pytest.mark.parametrize("name", SERIES_FILES)
def test_bad_series_are_said(tmp_path, capsys, name):
    content, message = SERIES_FILES[name]
    (tmp_path / name).write_bytes(content)
    message = message.replace(f"of {name}", f"of {tmp_path / name}")
    refused(capsys, tmp_path, ["train", "series", tmp_path / name, "-o", tmp_path / "run", *SERIES.split()], message)


OPTIONS = {
    ("labels", "--tokens letters"): "--tokens must be characters or words, not letters",
    ("labels", "--class-weights heavy"): "--class-weights must be none, root or balanced, not heavy",
    ("labels", "--held-out 0.4"): "--held-out must be above 0 and at most 0.3, not 0.4",
    ("labels", "--text-column story"): "has no column 'story' for --text-column: it has text, label",
    ("labels", "--label-column mood"): "has no column 'mood' for --label-column: it has text, label",
    ("labels", "--text-column label --label-column label"): "the text and the label cannot both be column 'label'",
    ("labels", "--hidden-size 0"): "--hidden-size must be a whole number of at least 1, not 0",
    ("labels", "--hidden-size 99999999"): "--hidden-size must be smaller: the model would have",
    ("labels", "--dropout 1"): "--dropout must be at least 0 and below 1, not 1.0",
    ("labels", "--epochs 2 --steps 2"): "--steps and --epochs say the same thing twice",
    ("labels", "--epochs nan"): "--epochs must be a number above 0, not nan",
    ("labels", "--device tpu"): "--device must be a device that torch can compute on here, such as cpu, not tpu",
    ("labels", "--resume"): "run is no run folder: there is no such folder",
    ("series", "--horizon 0"): "--horizon must be a whole number of at least 1, not 0",
    (
        "series",
        "--horizon 99",
    ): "is too short: 56 steps to train on, where a season of 12, a window of 24 and a horizon of 99",
    ("series", "--held-out 0.05"): "is too short: 4 steps held out, where a horizon of 12 needs as many",
    ("series", "--season 0"): "--season must be a whole number of at least 1, or none to find it, not 0",
    ("series", "--interval 1"): "--interval must be above 0 and below 1, not 1.0",
    ("series", "--interval 80"): "--interval must be above 0 and below 1, not 80.0",
    ("series", "--time-column day"): "has no column 'day' for --time-column: it has month, y",
    ("series", "--column z"): "has no column 'z' for --column: it has month, y",
    ("series", "--column y --column y"): "--column y is given twice: give each column once",
    ("series", "--time-format YYMM"): "--time-format must be number, YYYY-MM, ",
    ("series", "--time-format YYYYMM"): "line 2: column month is '2000-01', no time of the form YYYYMM",
    ("series", "--column month"): "column 'month' of",
    ("series", "--lr nan"): "--lr must be a number above 0, not nan",
    ("series", "--seed -1"): "--seed must be a whole number from 0",
    ("series", "--resume"): "run is no run folder: there is no such folder",
}


@pytest.mark.parametrize(("task", "options"), OPTIONS)
def test_bad_options_are_said(tmp_path, capsys, task, options):
    file = tmp_path / "data.csv"
    file.write_text(GOOD_LABELS if task == "labels" else GOOD_SERIES)
    refused(capsys, tmp_path, ["train", task, file, "-o", tmp_path / "run", *options.split()], OPTIONS[task, options])


# Commands that use a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "labels.csv").write_text(GOOD_LABELS)
    (folder / "series.csv").write_text(GOOD_SERIES)
    (folder / "numbers.jsonl").write_text(lines(*[A, B] * 9))
    for task, file in (("labels", "labels.csv"), ("series", "series.csv"), ("labels", "numbers.jsonl")):
        options = (LABELS if task == "labels" else SERIES).split()
        assert exit_code("train", task, folder / file, "-o", folder / Path(file).stem, *options) == 0
    more = [*LABELS.split(), "--one-hot"]
    assert exit_code("train", "labels", folder / "labels.csv", "-o", folder / "onehot", *more) == 0
    (folder / "other.csv").write_text("text,label\nab,\n")
    (folder / "days.csv").write_text("day,y\n" + "".join(f"2000-01-{i + 1:02d},1\n" for i in range(30)))
    (folder / "few.csv").write_text("\n".join(GOOD_SERIES.splitlines()[:8]) + "\n")
    (folder / "there.csv").write_text("precious")
    return folder


USES = {
    "classify labels": "give a file to classify, or texts by --text, and not both",
    "classify labels labels.csv --text ab": "give a file to classify, or texts by --text, and not both",
    "classify labels nothing.csv": "nothing.csv does not exist",
    "classify labels .": "is not a file",
    "classify labels other.csv": "other.csv, line 2: column label is empty",
    "classify labels series.csv": "not obvious from its first line, month, y: name them with --text-column",
    "classify labels numbers.jsonl": "was trained on texts, and numbers.jsonl holds numbers",
    "classify numbers labels.csv": "was trained on numbers, and labels.csv holds texts",
    "classify labels labels.csv -o there.csv": "there.csv exists already: choose another name",
    "classify nothing labels.csv": "nothing is no run folder: there is no such folder",
    "classify series labels.csv": "series was trained for another task: series, not labels",
    "classify labels --text ab --device tpu": "--device must be a device that torch can compute on here",
    "forecast series nothing.csv": "nothing.csv does not exist",
    "forecast series labels.csv": "has no column 'month': it has text, label",
    "forecast series few.csv": "the series is too short: 7 steps, where",
    "forecast series series.csv --steps 0": "--steps must be at least 1, not 0",
    "forecast series series.csv --steps 4": "--steps must be at most 3, for which",
    "forecast series series.csv -o there.csv": "there.csv exists already",
    "forecast series series.csv --picture there.csv": "there.csv exists already",
    "forecast series series.csv --picture a.pdf": "--picture writes PNG: give a.pdf a name that ends in .png",
    "explain --seed hello -o there.csv": "there.csv exists already: choose another name",
    "forecast labels series.csv": "labels was trained for another task: labels, not series",
    "generate series": "series was trained for another task: series, not text",
    "train labels labels.csv -o there.csv": "there.csv exists already",
    "train labels labels.csv -o labels": "labels exists already: choose another folder, or go on with it by --resume",
    "train series series.csv -o series": "series exists already: choose another folder, or go on with it by --resume",
    "train labels labels.csv -o labels --resume --hidden-size 5": "was begun with hidden_size 4, not 5",
    "train series series.csv -o series --resume --window 5": "was begun with window 6, not 5",
    "train labels numbers.jsonl -o labels --resume": "is not the data that",
    "train series few.csv -o series --resume": "is not the data that",
    "train series series.csv -o labels --resume": "labels was trained for another task: labels, not series",
    "train series series.csv -o series --resume --epochs 77": "was begun with steps 2, not 77.0 epochs",
    "train labels labels.csv -o labels --resume --text-column a": "was begun with --text-column text, not a: --resume",
    "train labels numbers.jsonl -o numbers --resume --label-column a": "was begun without --label-column: --resume",
    "train labels numbers.jsonl -o numbers --resume --tokens characters": "--tokens is for texts, and numbers.jsonl",
    "train labels numbers.jsonl -o numbers --resume --embedding-size 64": "--embedding-size is for texts, and numbers",
    "train labels labels.csv -o onehot --resume --embedding-size 64": "--one-hot tokens have no embedding, so --em",
    "train labels labels.csv -o new --from onehot --embedding-size 64": "--one-hot tokens have no embedding, so --em",
    "train series series.csv -o series --resume --series-column y": "was begun without --series-column: --resume",
    "train series series.csv -o series --resume --read-column y": "was begun without --read-column: --resume",
}


@pytest.mark.parametrize("command", USES)
def test_bad_uses_of_a_run_are_said(trained, capsys, monkeypatch, command):
    monkeypatch.chdir(trained)
    refused(capsys, trained, command.split(), USES[command])


def edit(name: str, **changes: object):
    def spoil(folder: Path) -> None:
        path = folder / name / checkpoint.CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def cut(name: str):
    def spoil(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return spoil


def remove(name: str):
    return lambda folder: (folder / name).unlink()


BROKEN = {
    "labels cut": (cut("labels/values.npy"), "train labels labels.csv -o labels --resume", "values.npy is broken"),
    "labels gone": (remove("labels/parts.npy"), "train labels labels.csv -o labels --resume", "parts.npy is missing"),
    "labels checkpoint": (
        cut("labels/checkpoint.safetensors"),
        "train labels labels.csv -o labels --resume",
        "checkpoint.safetensors is broken",
    ),
    "labels weights": (
        cut("labels/weights.safetensors"),
        "classify labels labels.csv",
        "weights.safetensors is broken",
    ),
    "labels config": (edit("labels", labels=["y", "x"]), "classify labels labels.csv", "the labels are not in order"),
    "labels tokens": (edit("labels", vocabulary=["ab"]), "classify labels labels.csv", "is not one of characters"),
    "labels fewer": (edit("labels", vocabulary=["a"]), "classify labels labels.csv", "does not fit config.json"),
    "labels scale": (edit("numbers", std=[]), "classify numbers numbers.jsonl", "neither a vocabulary nor a mean"),
    "series cut": (cut("series/known.npy"), "train series series.csv -o series --resume", "known.npy is broken"),
    "series checkpoint": (
        cut("series/checkpoint.safetensors"),
        "train series series.csv -o series --resume",
        "checkpoint.safetensors is broken",
    ),
    "series scale": (
        edit("series", scale={"mean": [1]}),
        "forecast series series.csv",
        "it holds no scale for each column",
    ),
    "series clock": (edit("series", clock={}), "forecast series series.csv", "its clock or its season makes no sense"),
    "series season": (edit("series", season="4"), "forecast series series.csv", "it holds no season"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_runs_are_said(trained, tmp_path, capsys, monkeypatch, case):
    spoil, command, message = BROKEN[case]
    for path in trained.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(trained)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    refused(capsys, tmp_path, command.split(), message)


def test_columns_of_lists_are_no_texts(tmp_path, capsys):
    pl.DataFrame({"text": [[1], [2]], "label": ["a", "b"]}).write_parquet(tmp_path / "a.parquet")
    message = "column text holds List(Int64) where text or numbers are needed"
    refused(capsys, tmp_path, ["train", "labels", tmp_path / "a.parquet", "-o", tmp_path / "run"], message)


def test_there_are_enough_bad_inputs():
    assert len(LABEL_FILES) + len(SERIES_FILES) + len(OPTIONS) + len(USES) + len(BROKEN) >= 100


# What was lost or misread in silence


def test_bytes_that_are_no_utf8_on_the_command_line_are_said(trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    for words in (["classify", "labels", "--text", "a\udcff"], ["train", "text", "\udcff.txt", "-o", "run"]):
        refused(capsys, trained, words, "is not UTF-8: type it so, or give the file another name")


@pytest.mark.parametrize("content", ["text,label\n", "text\n", "text,label\n\n,\n"])
def test_a_file_without_an_example_has_none_to_classify(trained, tmp_path, capsys, content):
    (tmp_path / "none.csv").write_text(content)
    for more in ([], ["-o", tmp_path / "out.csv"]):
        refused(capsys, tmp_path, ["classify", trained / "labels", tmp_path / "none.csv", *more], "holds no example")


def test_a_first_line_that_was_taken_for_a_name_is_said(trained, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("ab ab\nab\n")
    assert exit_code("classify", trained / "labels", tmp_path / "a.csv") == 0
    assert "the first line of a.csv was read as the column's name, 'ab ab'" in capsys.readouterr().err
    assert exit_code("classify", trained / "labels", trained / "labels.csv") == 0
    assert "was read as" not in capsys.readouterr().err


def test_a_forecast_keeps_the_digits_that_tell_its_quantiles_apart(tmp_path, capsys):
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02d},{51_700_000 + 30 * (i * 7 % 5)}\n" for i in range(80)]
    (tmp_path / "a.csv").write_text("month,y\n" + "".join(rows))
    assert exit_code("train", "series", tmp_path / "a.csv", "-o", tmp_path / "run", *SERIES.split()) == 0
    capsys.readouterr()
    assert exit_code("forecast", tmp_path / "run", tmp_path / "a.csv") == 0
    for line in capsys.readouterr().out.splitlines()[1:]:
        low, median, high = map(float, line.split(",")[2:])
        assert 51_600_000 < low < median < high < 51_800_000
    quantiles = (tmp_path / "run" / "origins.csv").read_text().splitlines()[1].split(",")[4:]
    assert len(set(quantiles)) == 3


def test_a_first_line_of_values_is_not_taken_for_names(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("".join(GOOD_SERIES.splitlines(keepends=True)[1:]))
    message = (
        "line 1 holds values where the columns' names should be: put a line of names before it, such as time,value"
    )
    refused(capsys, tmp_path, ["train", "series", tmp_path / "a.csv", "-o", tmp_path / "run", *SERIES.split()], message)


def test_how_times_were_read_is_said_and_forecasts_follow_it(tmp_path, capsys):
    rows = [f"{1990 + i // 12}{i % 12 + 1:02d},{i % 5}\n" for i in range(96)]
    (tmp_path / "a.csv").write_text("month,y\n" + "".join(rows))
    (tmp_path / "b.csv").write_text("month,y\n" + "".join(rows[60:72]))  # a year of months, which could be numbers
    assert exit_code("train", "series", tmp_path / "a.csv", "-o", tmp_path / "run", *SERIES.split()) == 0
    out = capsys.readouterr().out
    assert "one every 1 month" in out
    assert "the times are read as YYYYMM, the first is 199001; --time-format says it otherwise" in out
    past = Forecaster(tmp_path / "run").read(tmp_path / "b.csv")
    assert [past.at(place) for place in (0, 11, 12)] == ["199501", "199512", "199601"]
    (tmp_path / "c.csv").write_text("month,y\n" + "".join(rows[36:72]))
    assert exit_code("forecast", tmp_path / "run", tmp_path / "c.csv") == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["199601", "199602", "199603"]


def test_a_run_from_a_checkout_that_is_not_installed_ends_well(tmp_path, capsys, monkeypatch):
    import importlib.metadata

    def gone(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", gone)
    (tmp_path / "a.csv").write_text(GOOD_LABELS)
    assert exit_code("train", "labels", tmp_path / "a.csv", "-o", tmp_path / "run", *LABELS.split()) == 0
    assert "Trained with elman " in (tmp_path / "run" / "README.md").read_text()
