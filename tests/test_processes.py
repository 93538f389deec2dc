"""Several processes train as one does: under torchrun, with gradients accumulated, in mixed precision."""

import contextlib
import csv
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import forked
import pytest
import torch
from commands import exit_code

from elman.data import NAMES
from elman.tasks.errors import SettingError
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.training import checkpoint, loop, processes, runs
from elman.tasks.training.modules import SteadyDropout
from elman.tasks.training.processes import Share

SMALL = "--steps 40 --eval-every 20 --hidden-size 16 --dropout 0.3"
TASKS = {
    "text": f"train text text.txt {SMALL} --embedding-size 8 --seq-len 8 --batch-size 5",
    "labels": f"train labels names.csv {SMALL} --bidirectional --class-weights balanced --batch-size 7",
    "series": f"train series elnino {SMALL} --batch-size 5",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    words = ["the", "cat", "sat", "on", "a", "mat", "while", "나는", "학교에", "간다"]
    (folder / "text.txt").write_text(" ".join(random.Random(0).choices(words, k=500)), encoding="utf-8")
    header, *names = NAMES["names"].read_text(encoding="utf-8").splitlines()
    (folder / "names.csv").write_text("\n".join([header, *names[::20]]), encoding="utf-8")
    return folder


def alone(place: Path, task: str, run: str, *more: str) -> Path:
    """Train in this process."""
    with contextlib.chdir(place):
        assert exit_code(*TASKS[task].split(), "-o", run, *more) == 0
    return place / run


TORCHRUN = "torch.distributed.run --standalone --nproc-per-node 2"
ACCELERATE = "accelerate.commands.launch --cpu --num_processes 2"
DOUBLE = "import sys, torch; torch.set_default_dtype(torch.float64); from elman.cli import main; main(sys.argv[1:])"


def launch(place: Path, task: str, run: str, *more: str, by: str, program: str = "-m elman", **environment):
    """Train by a launcher, in processes with one thread each."""
    command = [sys.executable, "-m", *by.split(), *program.split(), *TASKS[task].split(), "-o", run, *more]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, timeout=150)


def start(place: Path, task: str, run: str, *more: str, count: int = 2, code: str = forked.COMMAND, **environment):
    """The same with the variables that torchrun sets. Several are no forks, of which one would hang now and then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "WORLD_SIZE": f"{count}"}
    programs = []
    for rank in map(str, range(count)):
        variables = settings | {"RANK": rank, "LOCAL_RANK": rank} if count > 1 else {"OMP_NUM_THREADS": "1"}
        words = *TASKS[task].split(), "-o", run, *more
        programs.append(forked.Program(code, *words, folder=place, real=count > 1, **variables, **environment))
    return [program.end() for program in programs]


def measures(run: Path) -> list[list[float]]:
    """metrics.csv: step, training and held-out measure, 0 for those not taken."""
    with (run / "metrics.csv").open() as file:
        return [[float(cell or 0) for cell in row] for row in [*csv.reader(file)][1:]]


def same_measures(one: Path, other: Path, rel: float, rows: int = 42) -> None:
    """Of 40 steps and 2 evaluations; a series model is measured before its first step too."""
    ours, theirs = measures(one), measures(other)
    assert len(ours) == len(theirs) == rows
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, rel=rel)


def test_two_processes_of_accelerate_have_the_losses_of_one(place):
    """Each computes its rows in two pieces, one after another."""
    two = launch(place, "text", "text-2", by=ACCELERATE, ACCELERATE_GRADIENT_ACCUMULATION_STEPS="2")
    assert two.returncode == 0, two.stderr
    one = alone(place, "text", "text-1")
    same_measures(place / "text-2", one, 1e-4)
    assert two.stdout.count("next: elman") == 1
    assert {path.name for path in one.iterdir()} == {path.name for path in (place / "text-2").iterdir()}


@pytest.mark.parametrize("task", ["labels", "series"])
def test_two_processes_have_the_losses_of_one(place, task):
    """In double precision, where rounding is no excuse; one of them by torchrun itself."""
    if task == "labels":
        (place / "double.py").write_text(DOUBLE)
        done = [launch(place, task, f"{task}-2", by=TORCHRUN, program="double.py")]
    else:
        done = start(place, task, f"{task}-2", code=DOUBLE)
    for each in done:
        assert each.returncode == 0, each.stderr
    torch.set_default_dtype(torch.float64)
    try:
        one = alone(place, task, f"{task}-1")
    finally:
        torch.set_default_dtype(torch.float32)
    same_measures(place / f"{task}-2", one, 1e-11, 43 if task == "series" else 42)
    assert sum(each.stdout.count("next: elman") for each in done) == 1
    assert {path.name for path in one.iterdir()} == {path.name for path in (place / f"{task}-2").iterdir()}


def test_a_run_may_go_on_with_another_number_of_processes(place):
    whole = alone(place, "text", "whole")

    def interrupt(step: int, value: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    settings = TextSettings(hidden_size=16, embedding_size=8, seq_len=8, batch_size=5, dropout=0.3)
    run = text_runs.begin(place / "text.txt", place / "moved", settings, LoopSettings(steps=40, eval_every=20))
    assert not loop.fit(run.trainer, run.folder, progress=False, report=interrupt)
    assert run.trainer.step == 20
    first, second = start(place, "text", "moved", "--resume")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "going on from step 20" in first.stdout
    same_measures(place / "moved", whole, 1e-4)
    kept = [checkpoint.load_tensors(run / checkpoint.CHECKPOINT)[0] for run in (place / "moved", whole)]
    torch.testing.assert_close(kept[0]["carried.h"], kept[1]["carried.h"], rtol=1e-3, atol=1e-4)


def test_mixed_precision_trains(place):
    (done,) = start(place, "labels", "mixed", count=1, ACCELERATE_MIXED_PRECISION="bf16")
    assert done.returncode == 0, done.stderr
    ours, theirs = measures(place / "mixed")[-1][2], measures(alone(place, "labels", "exact"))[-1][2]
    assert ours == pytest.approx(theirs, rel=0.05)
    assert ours != theirs


def test_bad_input_to_two_processes_is_said_once(place):
    done = start(place, "text", "bad", "--seq-len", "9999")
    assert all(each.returncode != 0 for each in done)
    assert "".join(each.stderr for each in done).count("elman: the text is too short") == 1
    assert not (place / "bad").exists()


# Without other processes


@pytest.mark.parametrize("batch", [1, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_a_whole(batch, count):
    rows = [i for index in range(count) for i in range(batch)[Share(index, count).rows(batch)]]
    assert rows == [*range(batch)]


def test_dropout_of_a_share_is_that_of_the_whole_batch():
    dropout = SteadyDropout(0.5)
    x = torch.rand(3, 7, 4)
    torch.manual_seed(1)
    whole = dropout(x)
    for index in range(3):
        dropout.share, dropout.batch = Share(index, 3), 7
        rows = dropout.share.rows(7)
        torch.manual_seed(1)
        torch.testing.assert_close(dropout(x[:, rows]), whole[:, rows])


def test_one_process_does_without_accelerate_and_torchs_compiler(place):
    """They would take 0.7 and 1.6 s of every command."""
    assert isinstance(processes.find_processes(torch.device("cpu")), processes.Alone)
    code = """
        import sys
        from pathlib import Path
        from elman.tasks.text import run as text_runs
        from elman.tasks.settings import LoopSettings, TextSettings
        settings = TextSettings(seq_len=8, batch_size=5)
        text_runs.begin(Path("text.txt"), Path("light"), settings, LoopSettings()).trainer.advance()
        assert not {"accelerate", "torch._dynamo"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120, cwd=place)


def test_a_batch_must_have_a_row_for_every_share(place, monkeypatch):
    class Three(processes.Alone):
        shares = 3

    monkeypatch.setattr(runs, "find_processes", lambda device: Three())
    with pytest.raises(SettingError, match="batch_size must be at least 3, a row for every share, not 2"):
        text_runs.begin(place / "text.txt", place / "none", TextSettings(batch_size=2), LoopSettings())
    assert not (place / "none").exists()
