"""A busy machine: layers alone and among processes that want the same cores. `python -m benchmarks.busy --help`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.sizes import CELLS, WHOLE, of_cell
from benchmarks.worker import Worker

SIZES = ("T5 N3 I10 H20 L2", "T10 N40 I5 H8 L3 both ways", "T100 N1 I32 H64", "T100 N32 I32 H64")
SIZES += ("T100 N32 I64 H128", "T1000 N16 I3 H100", "T100 N64 I128 H256 L2", "T50 N64 I256 H512")
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
STEP = {
    "elman": ["elman"],
    "elman.wait_briefly()": ["elman", "briefly"],
    "torch": ["torch"],
    "torch, wait_briefly()": ["torch", "briefly"],
}
STEPS = 600  # of the command


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, so many processes compute without end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def waiting(setting: str) -> Iterator[None]:
    """While it lasts, a process that is started waits as the setting says, if that is "NAME=VALUE" for OpenMP."""
    before = {name: os.environ.pop(name, None) for name in WAITS}
    if "=" in setting:
        name, value = setting.split("=")
        os.environ[name] = value
    try:
        yield
    finally:
        for name in WAITS:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def layers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Milliseconds of a training step of the layer, a row for each size and number of busy processes.

    A figure is the median over rounds of a round's mean: a mean within, since what a busy machine costs is a few
    calls that take very long.
    """
    named = [size for size in WHOLE if str(size) in (options.sizes or SIZES)]
    sizes = [size for cell in options.cell for plain in named if (size := of_cell(plain, cell)) is not None]
    for name in (missing := [name for name in options.frameworks if FRAMEWORKS[name].missing]):
        print(
            f"{name} is left out: {', '.join(FRAMEWORKS[name].missing)} is not installed (pip install 'elman[bench]')"
        )
    entrants = [(name, setting) for name in options.frameworks if name not in missing for setting in options.waits]
    entrants = [(name, setting) for name, setting in entrants if name != "JAX" or setting == options.waits[0]]
    with ExitStack() as stack:
        workers = {}
        for name, setting in entrants:
            with waiting(setting):
                workers[name, setting] = Worker(name, FRAMEWORKS[name].module, options.threads)
            stack.callback(workers[name, setting].close)
            if setting == "wait_briefly":
                workers[name, setting].ask("wait_briefly")
        for size in sizes:
            variants = {
                entrant: next(iter(worker.ask("prepare", "train", size))) for entrant, worker in workers.items()
            }
            for count in options.busy:
                means = turns(workers, variants, count, options)
                ms = {" ".join(entrant): statistics.median(rounds) for entrant, rounds in means.items()}
                yield {"size": str(size), "busy": count, "ms": ms}


def turns(
    workers: dict[tuple[str, str], Worker], variants: dict[tuple[str, str], str], count: int, options: Any
) -> dict[tuple[str, str], list[float]]:
    """The mean milliseconds of each round, all workers in turn."""
    means: dict[tuple[str, str], list[float]] = {entrant: [] for entrant in workers}
    with busy(count):
        for _ in range(options.rounds):
            for entrant, worker in workers.items():
                times = worker.ask("turn", variants[entrant], options.seconds)
                means[entrant].append(1000 * statistics.mean(times))
    return means


def step(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Milliseconds of a training step of a character model: the median over rounds of a round's mean, all in turn."""
    with ExitStack() as stack:
        models = {}
        for name, arguments in STEP.items():
            line = [sys.executable, "-m", "benchmarks.step", *arguments]
            models[name] = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(models[name])
            answer(models[name], 0.0)
        for count in options.busy:
            means: dict[str, list[float]] = {name: [] for name in models}
            with busy(count):
                for _ in range(options.rounds):
                    for name, model in models.items():
                        means[name].append(answer(model, options.seconds))
            yield {"step": "a model's step", "busy": count, "ms": {n: statistics.median(m) for n, m in means.items()}}


def answer(model: subprocess.Popen[str], seconds: float) -> float:
    """The mean milliseconds of a step, over so many seconds."""
    assert model.stdin is not None
    assert model.stdout is not None
    print(seconds, file=model.stdin, flush=True)
    return float(model.stdout.readline())


def command(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Seconds that 600 steps of `elman train text` take, the default model on Python's own documentation."""
    from elman.cli.demo import topics

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "topics.txt"
        file.write_text(topics(), encoding="utf-8")
        for count in options.busy:
            with busy(count):
                seconds = {}
                for setting in options.waits:
                    if setting == "wait_briefly":
                        continue  # the command does by itself
                    with waiting(setting):
                        seconds[setting] = train(file, STEPS + 1) - train(file, 1)
            yield {"command": STEPS, "busy": count, "seconds": seconds}


def train(file: Path, steps: int) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "elman", "train", "text", str(file), "-o", f"{folder}/run", "--steps", str(steps)]
        begin = time.perf_counter()
        subprocess.run([*line, "--eval-every", "100000"], check=True, capture_output=True)
        return time.perf_counter() - begin


MEASURES = {"layers": layers, "step": step, "command": command}


def parser() -> argparse.ArgumentParser:
    """The options."""
    cores = os.cpu_count() or 1
    made = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    made.add_argument("--what", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    made.add_argument("--busy", nargs="+", type=int, default=[0, 1, 2 * cores, 6 * cores], metavar="PROCESSES")
    said = 'or "wait_briefly", or such as "GOMP_SPINCOUNT=2000"'
    made.add_argument("--waits", nargs="+", default=["default"], metavar="SETTING", help=said)
    made.add_argument("--frameworks", nargs="+", default=["elman", "torch", "JAX"], choices=FRAMEWORKS)
    made.add_argument("--sizes", nargs="+", metavar="SIZE", help=f"default: {'; '.join(SIZES)}")
    made.add_argument("--cell", nargs="+", choices=CELLS, default=["rnn"], help="the layers; default: rnn")
    made.add_argument("--threads", type=int, default=cores)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=0.3, help="of one turn; default: 0.3")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a row as each is there, and writes all at the end."""
    options = parser().parse_args(arguments)
    rows = []
    for what, measure in MEASURES.items():
        for row in measure(options) if what in options.what else ():
            rows.append(row)
            figures = row.get("ms") or row["seconds"]
            where = row.get("size") or row.get("step") or f"{row['command']} steps of elman train text"
            said = "  ".join(f"{who} {value:.3g}" for who, value in figures.items())
            print(f"{row['busy']:3} busy  {where:34}{said}", flush=True)
    if options.json:
        about = machine.describe(options.threads, options.frameworks) | {"commit": machine.commit()}
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
