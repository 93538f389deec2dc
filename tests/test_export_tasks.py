"""elman export: ONNX Runtime computes what the trained model computes, and the documentation's scripts run."""

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from commands import exit_code

from elman import data
from elman.tasks import export
from elman.tasks.labels.model import LabelsModel
from elman.tasks.series.calibration import calibrate
from elman.tasks.series.clock import Clock
from elman.tasks.series.features import Features
from elman.tasks.series.model import SeriesModel
from elman.tasks.series.scale import Scale
from elman.tasks.settings import LabelsSettings, SeriesSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.text.generate import generate
from elman.tasks.text.model import CharacterModel
from elman.tasks.training import checkpoint
from elman.tasks.training.modules import as_parts, as_state

DOCUMENT = Path(__file__).parents[1] / "docs" / "tasks.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter random, so that none could be left out unnoticed."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    return model.eval()


def session(graph: export.Graph) -> onnxruntime.InferenceSession:
    """Of a model in which nothing is stored that no node reads: ONNX Runtime warns of that."""
    model = graph.model({})
    read = {name for node in model.graph.node for name in node.input}
    assert {one.name for one in model.graph.initializer} <= read
    return onnxruntime.InferenceSession(model.SerializeToString())


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.from_numpy(found), expected.detach(), rtol=1e-4, atol=1e-5)


def test_onnx_runtime_opens_a_file_without_a_warning(capfd):
    model = LabelsModel(3, LabelsSettings(hidden_size=4, embedding_size=3), tokens=5)
    session(export.labels_graph(model.eval()))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 3])
def test_text_streams_in_pieces_of_any_length(layers, cell):
    model = shaken(CharacterModel(13, TextSettings(cell=cell, hidden_size=9, embedding_size=4, layers=layers)))
    run = session(export.text_graph(model))
    names = [value.name for value in run.get_inputs()[1:]]
    assert names == (["h0", "c0"] if cell == "lstm" else ["h0"])
    ids, starts = torch.randint(13, (17, 3)), tuple(torch.randn(layers, 3, 9) for _ in names)
    logits, last = model(ids, as_state(starts))
    pieces, states = [], [start.numpy() for start in starts]
    for piece in ids.split([1, 5, 10, 1]):
        found, *states = run.run(None, {"ids": piece.numpy(), **dict(zip(names, states, strict=True))})
        pieces.append(found)
    close(np.concatenate(pieces), logits)
    for state, expected in zip(states, as_parts(last), strict=True):
        close(state, expected)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("pooling", ["last", "all"])
@pytest.mark.parametrize(("layers", "both", "one_hot"), [(1, False, True), (1, True, False), (3, True, True)])
def test_labels_end_where_each_sequence_ends(one_hot, layers, both, cell, pooling):
    sizes = {"layers": layers, "hidden_size": 7, "embedding_size": 4, "pooling": pooling}
    model = shaken(LabelsModel(4, LabelsSettings(cell=cell, one_hot=one_hot, bidirectional=both, **sizes), tokens=11))
    run = session(export.labels_graph(model))
    for lengths in ([6, 1, 4], [3]):
        ids, sizes = torch.randint(11, (max(lengths), len(lengths))), torch.tensor(lengths)
        (found,) = run.run(None, {"ids": ids.numpy(), "lengths": sizes.numpy()})
        close(found, model(ids, sizes).softmax(1))


def test_labels_of_numbers_are_scaled_inside():
    model = LabelsModel(3, LabelsSettings(hidden_size=7), tokens=None, mean=[1.7e9, 1.7e9 - 8], std=[2.0, 0.5])
    run = session(export.labels_graph(shaken(model)))
    values, lengths = torch.randn(9, 4, 2, dtype=torch.float64) * 3 + 1.7e9, torch.tensor([9, 2, 5, 1])
    (found,) = run.run(None, {"values": values.numpy(), "lengths": lengths.numpy()})
    close(found, model(values, lengths).softmax(1))


YEAR = {"calendar": {"period": 12.0, "waves": 2}, "columns": [], "mean": [], "std": []}
PRICE = {"calendar": {}, "columns": ["price"], "mean": [3.0], "std": [2.0]}
NONE = {"calendar": {}, "columns": [], "mean": [], "std": []}


@pytest.mark.parametrize(
    "known", [NONE, YEAR, PRICE, YEAR | {name: PRICE[name] for name in ("columns", "mean", "std")}]
)
@pytest.mark.parametrize(
    ("seasons", "horizon", "columns", "layers", "cell"),
    [([1], 1, 1, 1, "gru"), ([4], 6, 1, 2, "lstm"), ([3, 6], 3, 2, 1, "rnn")],
)
def test_forecasts_are_in_the_datas_own_units(known, seasons, horizon, columns, layers, cell):
    """One column on its logarithm, another one not; and with a column that is only read."""
    features, clock, each = Features(**known), Clock("YYYY-MM", "month", 1, -631152000000000, True), np.ones(columns)
    scale = Scale(
        seasons=seasons,
        reach=5,
        log=[True, False][:columns],
        slopes=[[0.1] * features.size] * columns,
        centre=[4.5, 100.0][:columns],
        scale=[0.2, 20.0][:columns],
        spread=[(0.3 * each).tolist() for _ in seasons],
        unit=each.tolist(),
        error=each.tolist(),
        methods=[["naive"]] * columns,
        read_mean=[90.0],
        read_std=[5.0],
    )
    settings = SeriesSettings(cell=cell, horizon=horizon, window=6, hidden_size=7, layers=layers, positive=True)
    model = shaken(SeriesModel(settings, scale))
    model.linear.normal_(std=0.2)
    model.deviation.uniform_(0.1, 0.5)
    margin = np.random.default_rng(0).normal(size=(horizon, columns))
    run = session(export.series_graph(model, margin, features, clock))
    for steps, rows in ((model.ahead + 1, 1), (30, 5)):
        if steps <= model.reach:
            continue
        values = torch.rand(steps, rows, columns + 1, dtype=torch.float64) * 20 + 100
        prices = np.random.default_rng(1).normal(size=(steps + horizon, rows, len(features.columns)))
        given = {"values": values.numpy()}
        given |= {"place": np.array([17])} if features.calendar else {}
        given |= {"future": prices} if features.columns else {}
        (found,) = run.run(None, given)
        places = np.repeat(17 + np.arange(steps + horizon)[:, None], rows, axis=1)
        groups = features.groups(clock, places, prices)
        future = torch.from_numpy(np.concatenate(groups, -1)) if groups else None
        coming = None if future is None else future[-horizon:].transpose(0, 1)
        scaled = calibrate(model(values, steps - model.ahead - 1, future)[-1].detach().double().numpy(), margin)
        expected = model.in_units(torch.from_numpy(scaled), coming).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


# The command, and the scripts of the documentation


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder with a short run of each task and its ONNX file, as the documentation's scripts expect them."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "text.txt").write_text("the cat sat on the mat. " * 300)
    (folder / "elnino.csv").write_bytes(data.find(Path("elnino")).read_bytes())
    small = ["--hidden-size", 12, "--steps", 30]
    for task, source in (("text", folder / "text.txt"), ("labels", "names"), ("series", folder / "elnino.csv")):
        assert exit_code("train", task, source, "-o", folder / f"{task}-run", *small) == 0
        assert exit_code("export", folder / f"{task}-run", "-o", folder / f"{task}.onnx") == 0
    return folder


def test_files_are_standard_and_say_what_is_needed(exported):
    for task, nodes in (("text", {"ids", "h0"}), ("labels", {"ids", "lengths"}), ("series", {"values", "place"})):
        model = onnx.load(exported / f"{task}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {value.name for value in model.graph.input} == nodes
        config = json.loads((exported / f"{task}-run" / checkpoint.CONFIG).read_text())
        assert [node.op_type for node in model.graph.node].count(config["model"]["cell"].upper()) == 1
        assert {node.domain for node in model.graph.node} == {""}
        facts = {fact.key: json.loads(fact.value) for fact in model.metadata_props}
        assert facts["task"] == task
        for name in {"vocabulary", "labels", "season", "scale", "columns", "clock"} & config.keys():
            assert facts[name] == config[name]


def test_export_says_what_goes_in_and_out(exported, capsys):
    assert exit_code("export", exported / "labels-run", "-o", exported / "again.onnx") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        "   in  ids: int64 (time, batch)",
        "   in  lengths: int64 (batch)",
        "  out  probabilities: float32 (batch, 13)",
    ]
    assert lines[-1].startswith("next: ")


def test_export_refuses_what_it_cannot_do(exported, capsys, monkeypatch):
    import sys

    for arguments, message in (
        ((exported / "none", "-o", exported / "x.onnx"), "none is no run folder: there is no such folder"),
        ((exported / "text-run", "-o", exported / "text.onnx"), "text.onnx exists already: choose another name"),
        ((exported / "text-run", "-o", exported / "no" / "x.onnx"), "cannot write"),
    ):
        assert exit_code("export", *arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert len(captured.err.splitlines()) == 1
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert exit_code("export", exported / "text-run", "-o", exported / "x.onnx") == 2
    assert capsys.readouterr().err == "elman: export needs a package: pip install elman[onnx]\n"
    assert not (exported / "x.onnx").exists()


def run_script(code: str, folder: Path) -> str:
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        exec(compile(code, str(DOCUMENT), "exec"), {"__name__": "__main__"})
    return out.getvalue()


def test_the_document_has_a_script_for_every_task():
    assert len(SCRIPTS) == 6
    assert sum("import onnxruntime" in script for script in SCRIPTS) == 3
    assert not any("torch" in script or "elman" in script.replace("elnino", "") for script in SCRIPTS[3:])


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_the_documents_scripts_run(exported, number):
    assert run_script(SCRIPTS[number], exported).strip()


def test_onnx_runtime_writes_what_torch_writes(exported):
    """The most likely characters, so that no drawing hides a difference."""
    model, vocabulary = text_runs.load_model(exported / "text-run")
    expected = "".join(generate(model, vocabulary, "the ", 100, top_k=1))
    script = SCRIPTS[3].replace("rng.choice(len(vocabulary), p=p / p.sum())", "int(p.argmax())")
    assert run_script(script, exported) == f"the {expected}\n"


def test_onnx_runtime_finds_the_labels_that_classify_finds(exported, capsys):
    names = ["Kowalczyk", "Van den Berg", "Rossi"]
    asked = [part for name in names for part in ("--text", name)]
    assert exit_code("classify", exported / "labels-run", *asked) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert ast.literal_eval(run_script(SCRIPTS[4], exported)) == [label for _, label, _ in rows]


def test_onnx_runtime_forecasts_what_forecast_forecasts(exported, capsys):
    assert exit_code("forecast", exported / "series-run", exported / "elnino.csv") == 0
    rows = [line.split(",")[2:] for line in capsys.readouterr().out.splitlines()[1:]]
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d*", run_script(SCRIPTS[5], exported).split("]", 1)[1])]
    np.testing.assert_allclose(numbers, np.array(rows, dtype=float).ravel(), atol=0.006)
