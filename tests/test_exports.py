"""What is public is what is documented, and every public thing says what it is."""

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import elman

PUBLIC = [
    "Connectivity",
    "DalesLaw",
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "LeakyRNN",
    "LeakyRNNCell",
    "LowRank",
    "RNN",
    "RNNCell",
    "Report",
    "Stream",
    "backends",
    "convert",
    "doctor",
    "echo_state_",
    "identity_",
    "patch",
    "spectral_radius",
    "to_torch",
    "trace",
    "use_backend",
    "wait_briefly",
]
ROOT = Path(__file__).parent.parent


def test_exports_are_the_documented_names() -> None:
    assert sorted(elman.__all__) == sorted(PUBLIC)
    assert {name for name in dir(elman) if not name.startswith("_")} >= set(PUBLIC)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in PUBLIC:
        assert f"elman.{name}" in readme, f"README.md does not mention elman.{name}"


def blocks(readme: str) -> list[tuple[str, str]]:
    """The language and the code of each block, comments apart."""
    found = re.findall(r"```(\w+)\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(language, re.sub(r" *#.*", "", code)) for language, code in found]


def test_readme_code_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks, one after another, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in blocks("README.md"):
        if language == "python":
            exec(code, names)
    assert "numba" in capsys.readouterr().out


def test_korean_readme_shows_the_same_code_and_figures() -> None:
    assert blocks("README.md") == blocks("README.ko.md")
    figures = [
        re.findall(r"\d+\.\d+", (ROOT / name).read_text(encoding="utf-8").split("<!-- figures: ")[1])
        for name in ("README.md", "README.ko.md")
    ]
    assert figures[0] == figures[1] != []


def test_korean_tasks_show_the_same_code_and_measures() -> None:
    pages = [f"docs/tasks{suffix}.md" for suffix in ("", ".ko")]
    assert blocks(pages[0]) == blocks(pages[1])
    measures = [re.findall(r"\d+\.\d{3}", (ROOT / page).read_text(encoding="utf-8")) for page in pages]
    assert sorted(measures[0]) == sorted(measures[1]) != []


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(elman, "Rnn")
    assert not hasattr(elman, "RNNBase")


def test_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from elman import *", names)
    assert set(PUBLIC) <= set(names)


def test_every_public_thing_is_documented() -> None:
    for name in PUBLIC:
        assert inspect.getdoc(getattr(elman, name)), name
        assert inspect.getdoc(getattr(elman, name)) != inspect.getdoc(getattr(torch.nn, name, object)), name


def test_signature_is_torchs_argument_for_argument() -> None:
    """Every argument is visible to an editor, in torch's order, with torch's defaults."""
    parameters = inspect.signature(elman.RNN).parameters
    assert {name: p.default for name, p in parameters.items() if p.default is not p.empty} == {
        "num_layers": 1,
        "nonlinearity": "tanh",
        "bias": True,
        "batch_first": False,
        "dropout": 0.0,
        "bidirectional": False,
        "device": None,
        "dtype": None,
        "recurrent_dropout": 0.0,
        "zoneout": 0.0,
    }
    assert all(p.annotation is not p.empty for p in parameters.values())
    assert list(parameters)[:2] == ["input_size", "hidden_size"]
    assert list(inspect.signature(elman.RNNCell).parameters) == list(inspect.signature(torch.nn.RNNCell).parameters)
    for layer in (elman.RNN, elman.GRU, elman.LSTM):
        call = inspect.signature(layer.forward).parameters
        assert list(call) == ["self", "input", "hx", "lengths", "reset"]
        assert call["lengths"].kind == call["reset"].kind == inspect.Parameter.KEYWORD_ONLY


def test_signatures_of_gated_layers_and_cells_are_torchs() -> None:
    common = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
    for layer, own in ((elman.GRU, {}), (elman.LSTM, {"proj_size": 0})):
        parameters = inspect.signature(layer).parameters
        given = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
        later = {"device": None, "dtype": None, "recurrent_dropout": 0.0, "zoneout": 0.0}
        assert [*given.items()] == [*(common | own | later).items()]
    for name in ("GRUCell", "LSTMCell"):
        ours, theirs = (inspect.signature(getattr(home, name)).parameters for home in (elman, torch.nn))
        assert list(ours) == list(theirs)


def test_version_is_the_packages() -> None:
    assert elman.__version__ == version("elman")


def test_package_is_typed() -> None:
    assert (Path(elman.__file__).parent / "py.typed").exists()
