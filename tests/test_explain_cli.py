"""elman explain as a user types it: the pages it writes, and one sentence for what cannot be."""

import json
import re
from pathlib import Path

import pytest
import torch
from commands import exit_code

from elman.cli import explain
from elman.explain import _gallery
from elman.explain._examples import EXAMPLES
from elman.explain._numbers import fixed
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs

SETTINGS = TextSettings(hidden_size=12, embedding_size=5, layers=2, seq_len=8, batch_size=2)


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "text.txt").write_text("hello <b>hello</b> 안녕 " * 40, encoding="utf-8")
    text_runs.begin(folder / "text.txt", folder / "run", SETTINGS, LoopSettings(steps=1))
    return folder / "run"


def test_page_of_a_model_shows_what_it_predicts(model, tmp_path, capsys) -> None:
    """After each character stand the likeliest next ones, with the model's own probabilities."""
    page = tmp_path / "page.html"
    assert exit_code("explain", model, "--text", "he<b>안", "-o", page) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{page}: {page.stat().st_size / 1000:,.0f} KB",
        f"next: open {page} in a browser",
    ]
    data = data_of(page)
    assert data["tokens"] == [list("he<b>안")]
    assert data["sizes"] == {"T": 6, "N": 1, "I": 5, "H": 12, "L": 2, "D": 1}
    network, vocabulary = text_runs.load_model(model)
    ids = torch.tensor(vocabulary.encode("he<b>안"))[:, None]
    with torch.no_grad():
        shares = network(ids, torch.zeros(2, 1, 12))[0][:, 0].softmax(-1)
    for step, guesses in zip(shares, data["predictions"][0], strict=True):
        assert [guess["token"] for guess in guesses] == [vocabulary.characters[i] for i in step.topk(5).indices]
        assert [guess["probability"] for guess in guesses] == pytest.approx(step.topk(5).values.tolist(), rel=1e-4)
    assert "“he<b>안”" in data["title"]["en"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_makes_its_page(name, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert exit_code("explain", "--seed", name, "--output", page) == 0
    data = data_of(page)
    assert set(data["title"]) == set(data["note"]) == {"en", "ko"}
    assert re.search("[가-힣]", data["note"]["ko"])
    assert page.stat().st_size < 400_000
    assert data["difference"] < 1e-5


def test_hello_is_the_published_run(tmp_path) -> None:
    """The numbers that the tutorial prints, and the tokens that its layer really reads as one sequence."""
    page = tmp_path / "page.html"
    exit_code("explain", "--seed", "hello", "-o", page)
    assert data_of(page)["tokens"][0] == ["h", "e", "l"]
    states = EXAMPLES["hello"]().output
    assert [f"{v:.4f}" for v in states[0, 0].tolist()] == ["-0.7497", "-0.6135"]
    assert [f"{v:.4f}" for v in states[2, 4].tolist()] == ["-0.9127", "-0.2222"]
    mended = EXAMPLES["hello-fixed"]()
    assert mended.labels.tokens[0] == tuple("hello")
    torch.testing.assert_close(mended.hidden[0, 0, 0, 0], states[0, 0])


def test_hand_computations_are_put_right() -> None:
    here = EXAMPLES["here"]().output
    assert [[fixed(v) for v in state] for state in here.tolist()] == [
        ["0.1974", "0.3799"],
        ["0.7065", "0.8137"],
        ["0.9495", "0.9747"],
    ]
    assert [fixed(v) for v in EXAMPLES["here-now"]().output[-1].tolist()] == ["0.9825", "0.9970"]


def test_moods_are_told_after_the_last_word() -> None:
    trace = EXAMPLES["mood"]()
    moods = ["joy", "sorrow", "anger"] * 2
    assert [trace.labels.expected(3, n)[0].token for n in range(6)] == moods


def test_gallery_links_every_page(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(_gallery, "TRAINING", LoopSettings(steps=2))
    folder = tmp_path / "deep" / "gallery"
    assert exit_code("explain", "--gallery", folder) == 0
    names = [*EXAMPLES, "characters"]
    for language, home, other in (("en", "index.html", "index.ko.html"), ("ko", "index.ko.html", "index.html")):
        index = (folder / home).read_text(encoding="utf-8")
        assert re.findall(rf"<h2><a href='([\w-]+)\.html#lang={language}'", index) == names
        assert f'<html lang="{language}">' in index
        assert f'href="{other}"' in index
        assert index.count("<main>") == 1
        assert "<script" not in index
    for k, name in enumerate(names):
        lesson = data_of(folder / f"{name}.html")["lesson"]
        assert (lesson["number"], lesson["count"]) == (k + 1, len(names))
        assert (lesson["previous"] or {}).get("href") == (f"{names[k - 1]}.html" if k else None)
        assert (lesson["next"] or {}).get("href") == (f"{names[k + 1]}.html" if k + 1 < len(names) else None)
    assert data_of(folder / "characters.html")["predictions"][0][0]
    assert capsys.readouterr().out.splitlines()[-1] == f"next: open {folder / 'index.html'} in a browser"


def test_what_cannot_be_is_one_sentence(model, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(explain, "MOST_BYTES", 400_000)
    page = tmp_path / "page.html"
    for arguments, said in (
        ([], "give one of a RUN folder with --text or --data, --seed with the name of an example, or --gallery FOLDER"),
        ([model, "--seed", "hello"], "give one of"),
        ([model], "was trained on a text: give --text"),
        ([model, "--text", ""], "the text is empty"),
        ([model, "--text", "héllo"], "the model has never seen 'é'"),
        ([tmp_path / "none", "--text", "h"], "is no run folder"),
        (["--seed", "nope"], "there is no example nope: --seed is one of here, here-now"),
        (["--seed", "here", "--text", "h"], "--text goes with a RUN folder"),
        (["--seed", "here", "-o", tmp_path / "no" / "page.html"], "No such file or directory"),
        ([model, "--text", "hello " * 300], "The page would have"),
    ):
        options = [] if "-o" in arguments else ["-o", page]
        assert exit_code("explain", *arguments, *options) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith("elman: ")
        assert error.count("\n") == 1
        assert not page.exists()
