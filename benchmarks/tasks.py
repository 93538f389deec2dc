"""The tasks' promises, measured: python -m benchmarks.tasks speed | overhead | kills | memory | processes.

speed       `elman train text` as a whole, on elman's layer and on torch's in turn
overhead    what the training loop adds to the model's and the optimizer's own work
kills       20 random `kill -9` in a row, then the weights of a run never interrupted
memory      files of 2 GB for each task: the most memory that reading and training take
processes   the losses of two processes by torchrun, beside those of one
"""

import argparse
import csv
import dataclasses
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "--cell rnn --hidden-size 128 --seq-len 64 --batch-size 32"
STEPS, ROUNDS = 10_000, 1
KILLS = 20
GIGABYTES = 2.0
WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "ran", "over", "hills", "and", "rivers", "of", "stone"]
SMALL = "--hidden-size 32 --embedding-size 16 --layers 2 --dropout 0.2 --seq-len 16 --batch-size 8"


def main() -> None:
    """Measures one subject, and prints what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=["speed", "overhead", "kills", "memory", "processes"])
    parser.add_argument("--gigabytes", type=float, default=GIGABYTES)
    parser.add_argument("--task", choices=["text", "labels", "series"], help="whose memory, of all unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the commands that are timed")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    if sys.argv[1:2] == ["_with"]:
        _with(*sys.argv[2:])
        return
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there)
        if options.subject == "speed":
            speed(folder, options.steps, options.rounds)
        elif options.subject == "memory":
            memory(folder, options.gigabytes, options.task)
        elif options.subject == "kills":
            kills(folder, options.seed)
        else:
            {"overhead": overhead, "processes": processes}[options.subject](folder)


def speed(folder: Path, steps: int, rounds: int) -> None:
    """The whole command, from its start to its end, each in a process of its own, the layers in turn."""
    file = _topics(folder)
    figures: dict[str, list[dict[str, float]]] = {"elman": [], "torch": []}
    for round_ in range(rounds):
        for layer, rows in figures.items():
            start = time.perf_counter()
            arguments = [layer, "train", "text", str(file), "-o", str(folder / f"{layer}-{round_}"), *MODEL.split()]
            command = [sys.executable, "-m", "benchmarks.tasks", "_with", *arguments, "--steps", str(steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({**json.loads(done.stdout.splitlines()[-1]), "whole": time.perf_counter() - start})
    middle = {
        layer: {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        for layer, rows in figures.items()
    }
    for layer, row in middle.items():
        print(
            f"{layer:>6}: {row['whole']:6.1f} s for the whole command with {steps:,} steps, of which "
            f"{row['whole'] - row['fit']:.1f} s are not the loop; {1000 * row['fit'] / steps:.2f} ms a step in the "
            f"loop, measuring and checkpoints included"
        )
    ratio = {name: middle["torch"][name] / middle["elman"][name] for name in ("fit", "whole")}
    print(f"elman: {ratio['whole']:.2f} times as fast as a whole, {ratio['fit']:.2f} times in the loop")


def _with(layer: str, *arguments: str) -> None:
    """The command line with this layer in the models, and the seconds that its loop took."""
    from torch import nn

    from elman import cli
    from elman.tasks.training import loop, modules

    if layer == "torch":
        modules.LAYERS.update(rnn=nn.RNN, gru=nn.GRU, lstm=nn.LSTM)
    fit, seconds = loop.fit, []

    def timed(*given: Any, **options: Any) -> bool:
        start = time.perf_counter()
        finished = fit(*given, **options)
        seconds.append(time.perf_counter() - start)
        return finished

    loop.fit = timed
    try:
        cli.main(arguments)
    finally:
        print(json.dumps({"fit": seconds[0]}))


def _topics(folder: Path) -> Path:
    from elman.cli.demo import topics

    file = folder / "topics.txt"
    file.write_text(topics(), encoding="utf-8")
    return file


def overhead(folder: Path) -> None:
    """One step of the loop beside the same work without a loop, in turn."""
    import torch
    import torch.nn.functional as F

    from elman.tasks.settings import LoopSettings, TextSettings
    from elman.tasks.text import run as text_runs
    from elman.tasks.training import loop

    many = LoopSettings(steps=10**6, eval_every=10**6)
    settings = TextSettings(hidden_size=128, seq_len=64, batch_size=32)
    run = text_runs.begin(_topics(folder), folder / "run", settings, many)
    trainer, task = run.trainer, run.task
    text = task._load(0, 0)
    chunks = [text[first : first + 65] for first in range(0, 64 * 60, 64)]
    state = torch.zeros(1, 32, 128)

    def bare() -> None:
        nonlocal state
        for chunk in chunks:
            logits, last = task.model(chunk[:-1], state)
            loss = F.cross_entropy(logits.flatten(0, 1), chunk[1:].flatten())
            state = last.detach()
            trainer.optimizer.zero_grad()
            loss.backward()
            trainer.processes.clip(trainer.parameters, 1.0)
            trainer.optimizer.step()

    def whole() -> None:
        trainer.settings = dataclasses.replace(many, steps=trainer.step + len(chunks))
        loop.fit(trainer, run.folder, report=lambda step, value: None)

    trainer.evaluate = lambda: 0.0  # type: ignore[method-assign]
    trainer.save = lambda run: None  # type: ignore[method-assign]
    task.model.train()
    times: dict[Callable[[], None], list[float]] = {bare: [], whole: []}
    for round_ in range(16):
        for work, seconds in times.items():
            start = time.perf_counter()
            work()
            if round_:
                seconds.append((time.perf_counter() - start) / len(chunks))
    low, high = (1000 * statistics.median(seconds) for seconds in times.values())
    print(f"model and optimizer {low:.3f} ms a step, the loop {high:.3f} ms: {high / low - 1:+.1%}")


def kills(folder: Path, seed: int) -> None:
    """Kill at random moments, go on each time, and compare with a run that was left alone."""
    file = folder / "text.txt"
    file.write_text(" ".join(random.Random(0).choices(WORDS, k=20_000)), encoding="utf-8")
    steps = [*SMALL.split(), "--steps", "60000", "--eval-every", "100"]
    _elman("train", "text", file, "-o", folder / "whole", *steps).wait()
    rng = random.Random(seed)
    killed: list[int] = []
    process = _elman("train", "text", file, "-o", folder / "run", *steps)
    while len(killed) < KILLS:
        time.sleep(rng.uniform(1, 6))  # some before training begins, some while it writes
        if process.poll() is not None:
            print("the run ended before 20 kills: it was too short for this machine")
            sys.exit(1)
        process.kill()
        process.wait()
        killed.append(_step(folder / "run"))
        resume = ["--resume"] if (folder / "run").exists() else []
        process = _elman("train", "text", file, "-o", folder / "run", *resume, *steps)
    assert process.wait() == 0
    print(f"killed {KILLS} times, the last checkpoint at step {', '.join(map(str, killed))}")
    names = ["weights.safetensors", "checkpoint.safetensors", "metrics.csv"]
    same = [(folder / "run" / name).read_bytes() == (folder / "whole" / name).read_bytes() for name in names]
    left = [path.name for path in (folder / "run").iterdir() if path.name.startswith(".")]
    print(f"the same bytes: {dict(zip(names, same, strict=True))}; leftovers: {left or 'none'}")
    sys.exit(not all(same))


def _elman(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "elman", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _step(run: Path) -> int:
    """The step of a run's checkpoint, -1 before there is one."""
    from elman.tasks.training import checkpoint

    path = run / checkpoint.CHECKPOINT
    return checkpoint.load_tensors(path)[1]["step"] if path.exists() else -1


def memory(folder: Path, gigabytes: float, only: str | None) -> None:
    """Files larger than the memory that is taken: a text, texts with labels, numbers over time."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(5000)]
    text = " ".join(rng.choices(words, k=200_000)) + "\n"
    names = [" ".join(rng.choices(words, k=8)) for _ in range(50_000)]
    labels = "".join(f"{name},{'abcd'[len(name) % 4]}\n" for name in names)
    files = {
        "text": ("text.txt", "", lambda part: text, ["--held-out", "0.001"]),
        "labels": ("labels.csv", "text,label\n", lambda part: labels, ["--held-out", "0.001"]),
        "series": ("series.csv", "time,y,z\n", _minutes, ["--held-out", "0.001"]),
    }
    for task, (name, header, part, options) in files.items():
        if only not in (None, task):
            continue
        file = folder / name
        with file.open("w") as out:
            out.write(header)
            parts = 0
            while out.tell() < gigabytes * 1e9:
                out.write(part(parts))
                parts += 1
        arguments = [task, str(file), "-o", str(folder / task), "--steps", "200", "--eval-every", "100", *options]
        _watch_memory(file, arguments)
        file.unlink()
        shutil.rmtree(folder / task)


def _minutes(part: int) -> str:
    """50,000 rows, a minute each, one part after the other."""
    times = np.datetime64("2000-01-01T00:00") + np.arange(part * 50_000, (part + 1) * 50_000).astype("timedelta64[m]")
    rng = np.random.default_rng(part)
    return "".join(f"{t},{y:.6f},{z:.6f}\n" for t, (y, z) in zip(times, rng.normal(size=(50_000, 2)), strict=True))


def _watch_memory(file: Path, arguments: list[str]) -> None:
    """Train, and print the most memory that the process held."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "elman", "train", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        own = whole = 0
        while process.poll() is None:
            own, whole = (max(pair) for pair in zip((own, whole), _held_memory(process.pid), strict=True))
            time.sleep(0.1)
        output = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, output
    print(output.splitlines()[0])
    print(
        f"{arguments[0]:>6}, {file.stat().st_size / 1e9:.2f} GB: {own / 1e6:.0f} MB of memory of its own at most, "
        f"{whole / 1e6:.0f} MB with all file pages that it has mapped; {time.perf_counter() - start:.0f} s",
        flush=True,
    )


def _held_memory(pid: int) -> tuple[int, int]:
    """Bytes that a process holds and that belong to no file; and with the mapped pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith(("Rss", "VmRSS"))}
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0), sizes.get("VmRSS", 0)


def processes(folder: Path) -> None:
    """Each task on one process and on two, in single and in double precision."""
    file = folder / "text.txt"
    file.write_text(" ".join(random.Random(0).choices(WORDS, k=20_000)), encoding="utf-8")
    for task, data in (("text", str(file)), ("labels", "names"), ("series", "elnino")):
        for dtype in ("float32", "float64"):
            program = folder / f"{dtype}.py"
            program.write_text(
                f"import torch; torch.set_default_dtype(torch.{dtype}); from elman.cli import main; main()"
            )
            curves = []
            for count in (1, 2):
                torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
                run = folder / f"{task}-{dtype}-{count}"
                arguments = ["train", task, data, "-o", str(run), "--steps", "150", "--eval-every", "25"]
                command = [sys.executable, *torchrun, str(program), *arguments]
                subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
                with (run / "metrics.csv").open() as rows:
                    curves.append([[float(cell or 0) for cell in row] for row in [*csv.reader(rows)][1:]])
            apart = {
                steps: max(
                    abs(one / other - 1)
                    for ours, theirs in zip(*curves, strict=True)
                    for one, other in zip(ours, theirs, strict=True)
                    if other and ours[0] <= steps
                )
                for steps in (30, 60, 100, 150)
            }
            words = ", ".join(f"{value:.1e} by step {steps}" for steps, value in apart.items())
            print(f"{task:>6} in {dtype}: the losses of 2 processes differ from those of 1 by at most {words}")


if __name__ == "__main__":
    main()
