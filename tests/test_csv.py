"""CSV files against Python's csv module: the same rows and values, or one line that names the line of the file."""

import csv
import re
from pathlib import Path

import polars as pl
import pytest
from csv_files import make

from elman.tasks.errors import DataError
from elman.tasks.files import tables
from elman.tasks.files.tables import open_table


def rows_of(file: Path, columns: list[str] | None = None) -> list[tuple]:
    table = open_table(file)
    frames = [frame for _, frame in table.batches(columns or table.columns)]
    return pl.concat(frames).rows() if frames else []


def expected(content: bytes, encoding: str, separator: str) -> tuple[list[str], list[tuple]]:
    """What the csv module reads, without blank rows and with short rows filled up."""
    text = content.decode(encoding)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
    header, *rows = csv.reader(lines, delimiter=separator)
    return header, [tuple(row + [""] * (len(header) - len(row))) for row in rows if any(row)]


@pytest.mark.parametrize("seed", range(60))
def test_random_files_are_read_as_python_reads_them_or_refused_with_the_line(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(tables, "ROWS", 1 + seed % 7)
    compare(tmp_path / "a.csv", seed)


def compare(file: Path, seed: int) -> str:
    """Raise unless a random file is read as it should be; returns the message where it was refused."""
    content, encoding, separator = make(seed)
    file.write_bytes(content)
    header, rows = expected(content, encoding, separator)
    try:
        found = rows_of(file)
    except DataError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        assert len(message) < 400
        number = int(re.search(r"a\.csv, line (\d+)", message)[1])
        assert 1 <= number <= content.decode(encoding).count("\n") + content.decode(encoding).count("\r") + 1
        if named := re.search(r"seems to be ([\w-]+)", message):
            assert content.decode(named[1]) == content.decode(encoding)
        return message
    assert open_table(file).columns == header
    assert [row for row in found if any(row)] == rows
    for i, name in enumerate(header):  # no column loses rows where it is read alone
        assert [value for (value,) in rows_of(file, [name])] == [row[i] for row in found]
    return ""


@pytest.mark.parametrize("columns", [["text", "label"], ["label"], ["text", "label", "notes"]])
def test_a_lone_quote_in_a_column_that_is_not_used_loses_no_row(tmp_path, columns):
    rows = [(f"text {i}", "ab"[i % 2], '5" pipe' if i in (60, 120) else "ok") for i in range(200)]
    (tmp_path / "a.csv").write_text("text,label,notes\n" + "".join(",".join(row) + "\n" for row in rows))
    places = [("text", "label", "notes").index(name) for name in columns]
    assert rows_of(tmp_path / "a.csv", columns) == [tuple(row[i] for i in places) for row in rows]


HEADERS = {
    "quoted comma": ('"time";"temp, in C"\n2024;0.5\n2025;1\n', ["time", "temp, in C"]),
    "decimal commas": ("time;temp, in C\n2024;0,5\n2025;1,5\n", ["time", "temp, in C"]),
    "bare comma": ("time\ttemp, in C\n2024\t0.5\n", ["time", "temp, in C"]),
    "commas in texts": ("id;text\n1;a, b\n2;c, d, e\n", ["id", "text"]),
    "semicolon in a name": ("a;b,c\n1,2\n3,4\n", ["a;b", "c"]),
    "one column": ("text\na\n", ["text"]),
    "a mark": ("\ufefftext,label\na,b\n", ["text", "label"]),
    "quoted mark": ('\ufeff"text","label"\na,b\n', ["text", "label"]),
}


@pytest.mark.parametrize("case", HEADERS)
def test_the_separator_is_the_one_that_fits_the_rows(tmp_path, case):
    content, columns = HEADERS[case]
    (tmp_path / "a.csv").write_text(content)
    assert open_table(tmp_path / "a.csv").columns == columns


def test_a_tsv_file_is_split_at_tabs(tmp_path):
    for rows in ("2024\t1,5\n", "2024\n"):
        (tmp_path / "a.tsv").write_text(f"time\ttemp, in C\n{rows}")
        assert open_table(tmp_path / "a.tsv").columns == ["time", "temp, in C"]


def test_quotes_decide_which_separator_it_is(tmp_path):
    (tmp_path / "a.csv").write_text('"a;b"|c\nNULL\n')
    assert open_table(tmp_path / "a.csv").columns == ["a;b", "c"]


def test_lines_may_end_with_cr_and_values_may_be_long(tmp_path):
    long = "x" * 200_000
    (tmp_path / "a.csv").write_bytes(f"text,label\r{long},a\rb,c\r".encode())
    assert rows_of(tmp_path / "a.csv") == [(long, "a"), ("b", "c")]


def test_a_row_of_which_only_an_unused_column_is_filled_is_no_blank_one(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,notes\na,b,\n\n,,\n,,kept\n")
    assert rows_of(tmp_path / "a.csv", ["text", "label"]) == [("a", "b"), ("", "")]
    assert open_table(tmp_path / "a.csv").place(1) == f"{tmp_path / 'a.csv'}, line 5"


BROKEN = {
    "two separators, and no row fits": ("a;b|c\nNULL\n", r"line 1 can be split at ';' and at '\|', and the rows"),
    "two separators, and both fit": ("a;b|c\n1;2|3\n", r"line 1 can be split at ';' and at '\|', and the rows"),
    "a comma in no row": ("a;b,c\nNULL\n", "line 1 can be split at ';' and at ',', and the rows"),
    "never closed": ('a,b\n1,2\n"3,4\n', "line 3 is no CSV"),
    "behind a quote": ('a,b\n1,2\n\n"3"x,4\n', "line 4 is no CSV"),
    "too long": (f"a,b\n1,2\n{'x' * 10_000_001},3\n", "line 3: a value is longer than 10,000,000 characters"),
    "too many": ('a,b\n"1\n1",2\n3,4,5\n', "line 4 has 3 values where the header has 2"),
    "in the header": ('a,"b\n1,2\n', "line 1 is no CSV"),
    "CR and Latin-1": ("a,b\r1,2\r\xfc,\xf6\r", "line 3, byte 1 is not UTF-8 but seems to be WINDOWS-1252"),
    "UTF-16 without a mark": ("a\0,\0b\0\n\x001\0,\x002\0", "line 1 holds NUL characters: if the file is in UTF-16"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_csv_is_said_with_its_line(tmp_path, case):
    content, message = BROKEN[case]
    (tmp_path / "a.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"a\.csv, {message}"):
        rows_of(tmp_path / "a.csv")
