"""`elman bench` measures real layers, writes what it prints, and times nothing that disagrees."""

import json
from pathlib import Path

import pytest
import torch
from commands import exit_code

import elman
from elman.cli import bench
from elman.tasks.settings import CELLS

TINY = (bench.Size("quick to run", 4, 2, 3, 5), bench.Size("two layers, both directions", 3, 2, 3, 4, L=2, D=2))


def test_eight_sizes_each_with_a_reason() -> None:
    assert len({str(size) for size in bench.SIZES}) == 8
    assert all(size.why for size in bench.SIZES)


@pytest.mark.parametrize("cell", CELLS)
def test_table_and_file_hold_the_same_figures(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SIZES", TINY)
    file = tmp_path / "figures.json"
    assert exit_code("bench", "--cell", cell, "--quick", "--quiet", "-o", file) == 0
    printed, figures = capsys.readouterr().out, json.loads(file.read_text(encoding="utf-8"))
    assert printed.splitlines()[1].startswith(f"{cell.upper()}, ")
    assert figures["cell"] == cell
    assert figures["machine"]["torch"] == torch.__version__
    assert [(row["size"]["T"], row["mode"]) for row in figures["rows"]] == [
        (size.T, mode) for size in TINY for mode in ("training", "inference")
    ]
    for row in figures["rows"]:
        assert row["ratio"] == pytest.approx(row["torch_ms"] / row["elman_ms"])
        assert row["calls"] > 0
        assert f"{row['elman_ms']:9.3f}{row['torch_ms']:9.3f}{row['ratio']:7.1f}x" in printed


@pytest.mark.parametrize("cell", CELLS)
def test_disagreement_is_named_and_not_timed(
    cell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer: type[torch.nn.RNNBase] = getattr(torch.nn, cell.upper())

    class Wrong(layer):  # type: ignore[misc, valid-type]
        """One gradient is a little off."""

        def __init__(self, *arguments: object, **keywords: object) -> None:
            super().__init__(*arguments, **keywords)
            self.weight_hh_l0.register_hook(lambda gradient: gradient * 1.001)

    monkeypatch.setattr(elman, cell.upper(), Wrong)
    monkeypatch.setattr(bench, "SIZES", TINY)
    monkeypatch.setattr(bench, "medians", lambda *_: pytest.fail("timed all the same"))
    assert exit_code("bench", "--cell", cell, "--quick", "--json") == 2
    captured = capsys.readouterr()
    assert "disagree at T4 N2 I3 H5, so nothing is timed there: dweight_hh_l0: " in captured.err
    assert captured.out == ""


def test_figures_are_the_outcome_and_replace_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SIZES", TINY[:1])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert exit_code("bench", "--quick", "--json", "--threads", 1) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"machine", "cell", "rows"}
    (tmp_path / "there.json").write_text("precious")
    assert exit_code("bench", "--quick", "-o", tmp_path / "there.json") == 2
    assert (tmp_path / "there.json").read_text() == "precious"


def test_another_cell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("bench", "--cell", "tree") == 2
    assert "rnn, gru, lstm" in capsys.readouterr().err


def test_medians_takes_calls_in_turn() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    ms, count = bench.medians(calls, rounds=3, seconds=0.001)
    turns = [name for n, name in enumerate(order) if n == 0 or order[n - 1] != name]
    assert turns == ["a", "b"] * 3
    assert set(ms) == {"a", "b"}
    assert count > 0


@pytest.mark.parametrize(("others", "mean"), [(0.0, True), (0.5, False), (None, True)])
def test_disturbed_figures_give_no_mean(
    others: float | None, mean: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A busy machine stalls torch and not elman, which flatters elman: such ratios are marked and not averaged."""
    rows = [bench.Row(TINY[0], mode, 1.0, 96.0, 15, others) for mode in ("training", "inference")]
    monkeypatch.setattr(bench, "SIZES", TINY[:1])
    monkeypatch.setattr(bench, "measure", lambda *_, **__: iter(rows))
    bench.bench(quick=True)
    printed = capsys.readouterr().out
    assert ("geometric mean" in printed) == mean
    assert ("96.0x?" in printed) == (not mean)
