"""Pictures and tables of runs whose labels are in any language, with any sign."""

import unicodedata

import numpy as np
import pytest
from commands import exit_code
from PIL import Image

from elman._fonts import fonts
from elman.cli import training
from elman.cli.matrix import matrix_lines
from elman.tasks.errors import MissingExtra
from elman.tasks.series import figures as series_figures
from elman.tasks.text import task as text_task
from elman.tasks.training import figures
from elman.tasks.training.figures import confusion_picture, picture

MATRIX = np.array([[3, 1], [0, 7]])
NOBODYS = "\U000f0000"  # a letter that no font has


def test_labels_with_dollars_are_no_mathematics(tmp_path):
    confusion_picture(MATRIX, ["$a_{$", "US$ per $"], tmp_path / "a.png")
    with picture(tmp_path / "b.png", 3, 2) as figure:
        text = figure.subplots().text(0, 0, "$x^2$")
    assert not text.get_parse_math()
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (360, 240)


def test_korean_labels_have_their_letters(tmp_path):
    if len(fonts()) == 1:
        pytest.skip("no Korean font on this machine")
    confusion_picture(MATRIX, ["기쁨", "슬픔"], tmp_path / "a.png")  # a missing letter would raise
    confusion_picture(MATRIX, ["기쁨", "기쁨"], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_letters_that_no_font_has_are_said_and_the_picture_stays(tmp_path):
    with pytest.raises(MissingExtra, match=r"a.png shows boxes in place of some letters: no font here has them"):
        confusion_picture(MATRIX, ["a", NOBODYS], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_one_picture_that_lacks_letters_does_not_stop_the_next(tmp_path, capsys):
    names = [["a", NOBODYS], ["a", "b"]]
    training.draw(*(lambda i=i: confusion_picture(MATRIX, names[i], tmp_path / f"{i}.png") for i in range(2)))
    assert (tmp_path / "1.png").exists()
    assert capsys.readouterr().out.count("shows boxes") == 1


def test_a_table_stands_straight_beside_wide_letters():
    rows = list(matrix_lines(MATRIX, ["기쁨과 즐거움", "sad"]))[2:]
    assert [row.split()[-2:] for row in rows] == [["3", "1"], [".", "7"]]
    widths = [sum(2 if unicodedata.east_asian_width(letter) == "W" else 1 for letter in row) for row in rows]
    assert widths[0] == widths[1]


def test_the_matrix_fills_its_picture(tmp_path):
    """With 8, 9 or 11 labels half of it was blank."""
    for count in (2, 5, 8, 9, 10, 11, 15, 23):
        confusion_picture(np.eye(count, dtype=int) * 9, [f"label {i}" for i in range(count)], tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            dark = np.asarray(image.convert("L")) < 200
        height = np.flatnonzero(dark.any(1))
        assert height[-1] - height[0] > 0.85 * len(dark), count


def test_a_picture_of_more_columns_than_it_shows_says_so(tmp_path):
    with series_figures._panels(tmp_path / "a.png", [f"c{i}" for i in range(23)], "Forecasts.") as panels:
        panels[0].plot([1, 2], label="a")
        assert len(panels) == 4
        assert panels[0].get_title() == "Forecasts. These are the first 4 of 23 columns."


@pytest.mark.parametrize("glimpse", [100, 10_000])
def test_lines_that_cover_more_than_the_curve_say_so(glimpse, tmp_path, monkeypatch):
    drawn: list[dict[str, float]] = []
    monkeypatch.setattr(figures, "loss_picture", lambda trainer, path, lines: drawn.append(lines))
    monkeypatch.setattr(text_task, "GLIMPSE", glimpse)
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 200)
    words = "--steps 2 --hidden-size 4 --embedding-size 3 --batch-size 4 --quiet"
    assert exit_code("train", "text", tmp_path / "text.txt", "-o", tmp_path / "run", *words.split()) == 0
    ((*names,),) = drawn
    assert all(name.endswith(", on all held-out text") == (glimpse == 100) for name in names)
    assert any(name.startswith("this model") for name in names) == (glimpse == 100)
    assert len(names) <= len(figures.STYLES)
