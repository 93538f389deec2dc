"""Reading data: CSV, Parquet and JSON lines in batches, columns guessed, and what is wrong said with its place."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from elman import data
from elman.tasks.errors import DataError, RunError
from elman.tasks.files import tables
from elman.tasks.files.arrays import ArrayWriter, open_array
from elman.tasks.files.tables import open_table
from elman.tasks.labels import examples
from elman.tasks.labels.examples import JsonLines, choose_columns, open_examples
from elman.tasks.labels.given import Given


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_all(source: examples.Examples) -> tuple[list, list]:
    sequences, labels = [], []
    for batch in source.batches():
        sequences += list(batch.sequences)
        labels += batch.labels or []
    return sequences, labels


HARD = 'text,label\n"a, ""b""\nc",x\n 김치 ,y \n\n"",\nz,x\n'


@pytest.mark.parametrize("rows", [1, 2, 100_000])
def test_csv_reads_what_python_reads(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "ROWS", rows)
    found = read_all(open_examples(write(tmp_path / "a.csv", HARD.replace('"",\n', ""))))
    assert found == (['a, "b"\nc', " 김치 ", "z"], ["x", "y", "x"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_finds_its_separator(tmp_path, separator, end, mark):
    content = mark + end.join([separator.join(row) for row in (("text", "label"), ("a", "x"), ("b", "y"))]) + end
    assert read_all(open_examples(write(tmp_path / "a.csv", content))) == (["a", "b"], ["x", "y"])


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_place_is_the_line_where_a_row_begins(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "ROWS", rows)
    table = open_table(write(tmp_path / "a.csv", HARD))
    assert [table.place(row) for row in range(4)] == [f"{tmp_path / 'a.csv'}, line {line}" for line in (2, 4, 6, 7)]
    with pytest.raises(DataError, match=r"a.csv, line 6: column text is empty"):
        read_all(open_examples(table.file))


def test_parquet_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 7)
    pl.DataFrame({"text": [f"t{i}" for i in range(50)], "label": [i % 3 for i in range(50)]}).write_parquet(
        tmp_path / "a.parquet"
    )
    assert read_all(open_examples(tmp_path / "a.parquet")) == (
        [f"t{i}" for i in range(50)],
        [f"{i % 3}" for i in range(50)],
    )


def test_json_lines_hold_numbers_or_lists_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "ROWS", 2)
    lines = [{"sequence": [1, 2.5], "label": "a"}, {"sequence": [3], "label": 7}, {"sequence": [4, 5], "label": True}]
    plain = write(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, lines)))
    sequences, labels = read_all(open_examples(plain))
    assert [s.tolist() for s in sequences] == [[[1], [2.5]], [[3]], [[4], [5]]]
    assert labels == ["a", "7", "true"]
    assert JsonLines(plain, True).place(2) == f"{plain}, line 5"
    wide = write(tmp_path / "b.jsonl", '{"sequence": [[1, 2], [3, 4]]}\n{"sequence": [[5, 6]]}\n')
    assert not open_examples(wide, labelled=None).labelled
    assert [s.shape for s in read_all(open_examples(wide, labelled=None))[0]] == [(2, 2), (1, 2)]


def test_lists_are_examples_too():
    assert read_all(Given(["ab", "c"], [0, 1])) == (["ab", "c"], ["0", "1"])
    arrays = [np.ones((3, 2)), np.zeros((1, 2))]
    sequences, labels = read_all(Given(arrays, np.array(["u", "v"])))
    assert [s.shape for s in sequences] == [(3, 2), (1, 2)]
    assert labels == ["u", "v"]


COLUMNS = {
    "text,label": ("text", "label"),
    "label,text": ("text", "label"),
    "Name,Nationality": ("Name", "Nationality"),
    "review,stars": ("review", "stars"),
    "mood,sentence": ("sentence", "mood"),
    "id,text,category": ("text", "category"),
    "문장,감정": ("문장", "감정"),
    "번호,리뷰,라벨": ("리뷰", "라벨"),
    "\ufefftext,label": ("text", "label"),
}


@pytest.mark.parametrize("header", COLUMNS)
def test_columns_are_guessed_where_they_are_obvious(tmp_path, header):
    table = open_table(write(tmp_path / "a.csv", header + "\n"))
    assert choose_columns(table, None, None, True) == COLUMNS[header]


def test_columns_that_were_named_are_taken(tmp_path):
    table = open_table(write(tmp_path / "a.csv", "a,b,c\n"))
    assert choose_columns(table, "c", "a", True) == ("c", "a")
    two = open_table(write(tmp_path / "b.csv", "a,b\n"))
    assert choose_columns(two, "b", None, True) == ("b", "a")
    assert choose_columns(two, None, "b", True) == ("a", "b")
    assert choose_columns(open_table(write(tmp_path / "c.csv", "a\n")), None, None, None) == ("a", None)


@pytest.mark.parametrize("name", sorted(data.NAMES))
def test_data_that_comes_along_is_there_with_its_origin(name):
    file = data.find(Path(name))
    assert f"## {name}.csv" in (data.HERE / "ORIGIN.md").read_text()
    assert len(pl.read_csv(file)) > 700
    assert file.stat().st_size < 300_000


def test_a_file_of_that_name_goes_before_the_data_that_comes_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names").touch()
    assert data.find(Path("names")) == Path("names")
    assert data.find(Path("elnino")).is_absolute()


def test_names_have_one_label_each():
    names = pl.read_csv(data.find(Path("names")))
    assert names["name"].n_unique() == len(names) == 15_029
    assert names["nationality"].value_counts(sort=True).rows()[0] == ("Polish", 3778)


def test_arrays_grow_and_are_read_back(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", np.float32, (2,)) as out:
        for rows in (3, 0, 200):
            out.append(np.arange(2 * rows).reshape(rows, 2))
    assert np.array_equal(
        np.load(tmp_path / "a.npy"), np.vstack([np.arange(6).reshape(3, 2), np.arange(400).reshape(200, 2)])
    )
    with pytest.raises(RunError, match=r"a.npy is broken: its shape"):
        open_array(tmp_path / "a.npy", np.float32)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(RunError, match=r"a.npy is broken"):
        open_array(tmp_path / "a.npy", np.float32, dimensions=2)
