"""CSV files against Python's csv module: the same rows and values, or one line that names the line of the file."""

import csv
import re
from pathlib import Path

import polars as pl
import pytest
from csv_files import make

from elman.tasks import tables
from elman.tasks.errors import DataError
from elman.tasks.tables import open_table


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
