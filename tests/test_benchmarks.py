"""`python -m benchmarks` checks agreement before it times, refuses what disagrees, and writes what it measured."""

import ast
import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch

import elman
from benchmarks import busy, inside_torch, main, suite, worker
from benchmarks.agreement import disagreement
from benchmarks.figures import groups, over_equal, over_torch, rate_share, rates
from benchmarks.frameworks import FRAMEWORKS, Framework
from benchmarks.problem import Problem, lengths
from benchmarks.sizes import MODES, SIZES, Size

TINY = Size("quick to run", 4, 3, 3, 5)
BRIEF = suite.Plan(rounds=2, seconds=0.001)
WRONG = Framework("wrong_framework", ("torch",))


@pytest.fixture(autouse=True, scope="module")
def forks() -> Iterator[None]:
    """The workers are forks, which have torch loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "CONTEXT", forked.context)
        yield


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tiny size in every mode, shortly."""
    monkeypatch.setattr("benchmarks.sizes.SIZES", dict.fromkeys(MODES, (TINY,)))
    monkeypatch.setattr(main, "MEMORY", Size("some megabytes", 500, 16, 8, 64))
    monkeypatch.setattr(suite, "Plan", lambda: BRIEF)


@pytest.fixture(scope="module")
def torchs() -> Iterator[dict[str, suite.Worker]]:
    """torch's process, with which every framework is compared."""
    with suite.workers({"torch": FRAMEWORKS["torch"]}, threads=1) as started:
        yield started


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_agrees_and_is_timed(name: str, torchs: dict[str, suite.Worker]) -> None:
    """In each of its modes, torch at every size beside the others."""
    framework = FRAMEWORKS[name]
    if framework.missing:
        pytest.skip(f"{', '.join(framework.missing)} not installed: it comes with elman[bench]")
    sizes = [TINY, Size("every branch", 3, 2, 3, 4, L=2, D=2, nonlinearity="relu")]
    sizes += [Size("gates", 3, 2, 3, 4, L=L, D=L, cell=cell) for cell in ("gru", "lstm") for L in (1, 2)]
    own_modes = import_module(framework.module).MODES
    with suite.workers({} if name == "torch" else {name: framework}, threads=1) as own:
        asked, timed = torchs | own, set()
        for mode in own_modes:
            for size in sizes[:1] if name == "torch" else sizes:
                if mode == "stream":  # goes in one direction
                    size = replace(size, D=1)
                row = suite.measure(mode, size, asked, replace(BRIEF, rounds=1))
                assert row["disagreed"] == {}
                assert all(ms > 0 for variants in row["ms"].values() for ms in variants.values())
                timed |= {mode for framework in row["ms"] if framework == name}
    assert timed == set(own_modes) <= set(MODES)


def test_wrong_framework_is_refused_and_not_timed(
    brief: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    frameworks = {"torch": FRAMEWORKS["torch"], "wrong": WRONG}
    main.main([str(file), "--modes", "train", "--threads", "1"], frameworks)
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert list(row["ms"]) == ["torch"]
    assert re.match(r"dweight_hh_l0 is off by \S+ from float64", row["disagreed"]["wrong RNN"])
    assert row["disagreed"]["wrong RNN"] in capsys.readouterr().out
    assert row["disagreed"]["wrong RNN"] in file.with_suffix(".md").read_text(encoding="utf-8")


def test_results_go_on_where_they_stopped(brief: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.json"
    options = [str(file), "--modes", "train", "packed", "rate", "memory", "--threads", "1"]
    frameworks = {name: FRAMEWORKS[name] for name in ("elman", "torch")}
    main.main([*options, "--minutes", "0"], frameworks)
    assert "3 rows are left" in capsys.readouterr().out
    assert json.loads(file.read_text(encoding="utf-8"))["rows"] == []
    main.main(options, frameworks)
    results = json.loads(file.read_text(encoding="utf-8"))
    assert [row["mode"] for row in results["rows"]] == ["train", "packed", "rate"]
    assert results["machine"]["torch"] == torch.__version__
    train, packed, rate = results["rows"]
    ratio = train["ms"]["torch"]["RNN"] / train["ms"]["elman"]["RNN"]
    assert over_torch(train) == pytest.approx(ratio)
    assert over_equal(packed) == pytest.approx(
        packed["ms"]["elman"]["lengths"] / packed["ms"]["elman"]["equal lengths"]
    )
    assert rate_share(rate, "infer") > 0
    assert f"{ratio:.2f}" in file.with_suffix(".md").read_text(encoding="utf-8")
    main.main(options, frameworks)
    assert json.loads(file.read_text(encoding="utf-8")) == results
    with pytest.raises(SystemExit, match="was measured with another threads"):
        main.main([*options, "--threads", "2"], frameworks)


HELD = """
import torch
from elman.kernels.numba_cpu.compile import processor
print(torch.backends.cpu.get_cpu_capability(), processor.VECTOR_BYTES)
"""


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="there is no AVX2 here")
def test_both_are_held_to_an_older_processors_instructions(
    brief: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CONTEXT", multiprocessing.get_context("spawn"))
    with worker.environment(1, "AVX2"):
        assert subprocess.run([sys.executable, "-c", HELD], capture_output=True, check=True).stdout == b"AVX2 32\n"
    assert "ELMAN_CPU" not in os.environ
    file = tmp_path / "results.json"
    options = [str(file), "--modes", "train", "--threads", "1"]
    main.main([*options, "--instructions", "AVX2"])
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert list(row["ms"]) == ["elman", "torch"]
    assert "float32 held to AVX2, Python" in file.with_suffix(".md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match=r"was measured with another frameworks, .*instructions"):
        main.main(options)


def test_cells_stand_apart_in_one_file(
    brief: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "results.json"
    monkeypatch.setattr(suite, "peaks", lambda *_: {"elman": 1.0, "torch": 2.0})
    frameworks = {name: FRAMEWORKS[name] for name in ("elman", "torch")}
    options = [str(file), "--modes", "train", "rate", "memory", "--threads", "1"]
    main.main([*options, "--cell", "gru", "lstm"], frameworks)
    main.main(options, frameworks)
    results = json.loads(file.read_text(encoding="utf-8"))
    modes = [(row["mode"], row["name"]) for row in results["rows"]]
    assert modes == [(mode, f"{cell}{TINY}") for cell in ("", "GRU ", "LSTM ") for mode in ("train", "rate")]
    sections = ["train", "rate", "GRU train", "GRU rate", "LSTM train", "LSTM rate"]
    assert list(groups(results["rows"])) == sections
    said = file.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"## {section}\n" in said for section in sections)
    assert [peak["name"][:4] for peak in results["memory"]] == ["GRU ", "LSTM", "T500"]
    plain, gru, lstm = (rates(row)["torch product"] * row["ms"]["torch"]["product"] for row in results["rows"][1::2])
    assert gru == pytest.approx(3 * plain)
    assert lstm == pytest.approx(4 * plain)


def test_compiled_without_arithmetic_is_zeros_for_its_time() -> None:
    layer, x = elman.LSTM(3, 4), torch.ones(2, 1, 3)
    operator = torch.compile(layer, fullgraph=True, backend="eager")
    with inside_torch.without_arithmetic():
        output, (h_n, c_n) = operator(x)
        (output.sum() + h_n.sum() + c_n.sum()).backward()
    assert not any(found.any() for found in (output, h_n, c_n))
    assert all(weight.grad is not None and not weight.grad.any() for weight in layer.parameters())
    torch.testing.assert_close(operator(x)[0], layer(x)[0])


def test_modules_import_each_other_in_one_direction() -> None:
    """Those inside functions too."""
    folder = Path(main.__file__).parent
    imported: dict[str, set[str]] = {}
    for file in folder.rglob("*.py"):
        parts = ("benchmarks", *file.relative_to(folder).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        names = imported.setdefault(name, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    inside = {name: {other for other in names if other in imported} for name, names in imported.items()}
    TopologicalSorter(inside).prepare()


def test_agreement_allows_torchs_own_rounding_and_no_more() -> None:
    generator = np.random.default_rng(0)
    exact = generator.standard_normal(100)
    expected = (exact + 1e-3 * generator.standard_normal(100)).astype(np.float32)

    def said(error: float) -> str | None:
        actual = (exact + error * generator.standard_normal(100)).astype(np.float32)
        return disagreement({"y": actual}, {"y": expected}, lambda: {"y": exact})

    assert said(2e-3) is None
    assert said(2e-2).startswith("y is off by")
    assert said(float("nan")).startswith("y is off by nan")
    assert disagreement({"z": expected}, {"y": expected}, dict) == "has z where torch has y"
    assert disagreement({"y": expected[1:]}, {"y": expected}, dict) == "y is (99,) where torch's is (100,)"


@pytest.mark.parametrize(("T", "N"), [(1, 1), (1, 5), (20, 7), (100, 32), (2, 3)])
def test_lengths_are_whole_on_average_and_reach_the_end(T: int, N: int) -> None:
    drawn = lengths(T, N, np.random.default_rng(0))
    assert drawn.shape == (N,)
    assert drawn.min() >= 1
    assert drawn.max() == T
    assert drawn.sum() % N == 0


def test_sizes_have_reasons_and_one_row_each() -> None:
    for sizes in SIZES.values():
        assert all(size.why for size in sizes)
        assert len({str(size) for size in sizes}) == len(sizes)


def test_problem_is_the_same_every_time() -> None:
    first, second = Problem(TINY), Problem(TINY)
    np.testing.assert_array_equal(first.x, second.x)
    assert list(first.weights) == list(torch.nn.RNN(3, 5).state_dict())
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, second.weights[name])


def test_busy_processes_come_and_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Rows for every number of them, of layers and of the command, and none of them is left."""
    monkeypatch.setattr(busy, "WHOLE", (TINY,))
    monkeypatch.setattr(busy, "train", lambda file, steps: float(steps))
    started: list[subprocess.Popen] = []

    class Noted(subprocess.Popen):
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            started.extend([self] if "while True: pass" in command else [])

    monkeypatch.setattr(subprocess, "Popen", Noted)
    file = tmp_path / "busy.json"
    line = "--busy 0 2 --waits default GOMP_SPINCOUNT=7 wait_briefly --frameworks elman torch --threads 1 --rounds 2"
    what = ["--seconds", "0.001", "--what", "layers", "command", "--cell", "rnn", "lstm"]
    busy.main([*line.split(), "--sizes", str(TINY), *what, "--json", str(file)])
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["busy"] for row in rows] == [0, 2, 0, 2, 0, 2]
    assert [row.get("size") for row in rows[1:5]] == [str(TINY), f"LSTM {TINY}", f"LSTM {TINY}", None]
    waits = ("default", "GOMP_SPINCOUNT=7", "wait_briefly")
    assert set(rows[0]["ms"]) == {f"{name} {how}" for name in ("elman", "torch") for how in waits}
    assert rows[5]["seconds"] == {"default": busy.STEPS, "GOMP_SPINCOUNT=7": busy.STEPS}
    assert len(started) == 6
    assert all(process.returncode is not None for process in started)
    assert "GOMP_SPINCOUNT" not in os.environ
    assert str(TINY) in capsys.readouterr().out


def test_a_models_step_is_timed_among_busy_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(busy, "STEP", {"torch": ["torch"]})
    file = tmp_path / "busy.json"
    busy.main(["--what", "step", "--busy", "0", "--rounds", "2", "--seconds", "0.001", "--json", str(file)])
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert row["ms"]["torch"] > 0
