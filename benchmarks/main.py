"""The command: python -m benchmarks."""

import argparse
import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import machine, memory, suite
from benchmarks.figures import best_peer, over_best, over_torch, rate_share
from benchmarks.frameworks import FRAMEWORKS, Framework
from benchmarks.report import markdown
from benchmarks.sizes import CELLS, MEMORY, MODES, wanted
from benchmarks.worker import HELD

HOLDABLE = ("elman", "torch")  # with --instructions


def main(arguments: list[str] | None = None, frameworks: dict[str, Framework] = FRAMEWORKS) -> None:
    """Measures what the results' file does not hold yet, then writes its tables and its picture beside it."""
    options = parser().parse_args(arguments)
    chosen = {name: frameworks[name] for name in options.frameworks or frameworks}
    for name, framework in list(chosen.items()):
        if framework.missing:
            print(f"{name} is left out: {', '.join(framework.missing)} is not installed (pip install 'elman[bench]')")
            del chosen[name]
        elif options.instructions and name not in HOLDABLE:
            print(f"{name} is left out: it is not held to {options.instructions}")
            del chosen[name]
    about = machine.describe(options.threads, list(chosen)) | {"instructions": options.instructions}
    results = load(options.file, about)
    run(results, chosen, options)
    write(results, options.file)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    made.add_argument("file", type=Path, help="the results, as JSON: measured rows are kept, missing ones are added")
    made.add_argument("--quick", action="store_true", help="fewer sizes and rounds, some minutes in all")
    made.add_argument("--modes", nargs="+", choices=[*MODES, "memory"], default=[*MODES, "memory"])
    made.add_argument("--cell", nargs="+", choices=CELLS, default=["rnn"], help="the layers; default: rnn")
    made.add_argument("--frameworks", nargs="+", metavar="NAME", help="torch must be one of them; default: all")
    made.add_argument("--sizes", default="", metavar="WORDS", help='only sizes with these, such as "N1 H256"')
    made.add_argument("--threads", type=int, default=2)
    made.add_argument(
        "--instructions", choices=HELD, help="hold elman and torch to those of an older processor; no other framework"
    )
    made.add_argument("--minutes", type=float, default=float("inf"), help="stop after the row that passes them")
    return made


def load(path: Path, about: dict[str, object]) -> dict[str, Any]:
    """The file's results, or empty ones; rows of another machine, version or thread count are not added to."""
    if not path.exists():
        return {"machine": about, "rows": []}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    differing = [key for key in about if results["machine"].get(key) != about[key]]
    if differing:
        sys.exit(f"{path} was measured with another {', '.join(differing)}: name another file, or delete this one.")
    return results


def run(results: dict[str, Any], chosen: dict[str, Framework], options: argparse.Namespace) -> None:
    """Measures the missing rows, and writes the file after each."""
    plan = suite.QUICK if options.quick else suite.Plan()
    deadline = time.monotonic() + 60 * options.minutes
    held = {(row["mode"], row["name"]) for row in results["rows"]}
    everything = ((mode, size) for cell in CELLS for mode in MODES for size in wanted(mode, cells=[cell]))
    order = {(mode, str(size)): n for n, (mode, size) in enumerate(everything)}
    left = [
        (mode, size)
        for mode in MODES
        if mode in options.modes
        for size in wanted(mode, options.quick, options.sizes, options.cell)
        if (mode, str(size)) not in held
    ]
    left.sort(key=lambda pair: pair[1].group != "")  # the sizes of another suite, which take longest, come last
    if "memory" in options.modes:
        measure_memory(results, chosen, options)
    if not left:
        return
    with suite.workers(chosen, options.threads, options.instructions) as asked:
        for n, (mode, size) in enumerate(left):
            if time.monotonic() > deadline:
                print(f"{len(left) - n} rows are left: run the same again")
                return
            row = suite.measure(mode, size, asked, plan)
            results["rows"].append(row | {"commit": machine.commit()})
            results["rows"].sort(key=lambda row: order[row["mode"], row["name"]])
            save(results, options.file)
            print(line(row), flush=True)


def measure_memory(results: dict[str, Any], chosen: dict[str, Framework], options: argparse.Namespace) -> None:
    """The peaks that are missing, one of each cell."""
    if not memory.possible():
        print("memory is left out: there is no /proc to read it from")
        return
    kept = results.setdefault("memory", [])
    for size in (replace(MEMORY, cell=cell) for cell in options.cell):
        if str(size) not in [peak["name"] for peak in kept]:
            kept.append({"name": str(size), "mb": suite.peaks(size, chosen, options.threads, options.instructions)})


def line(row: dict[str, Any]) -> str:
    """A row as it is measured."""
    said = f"{row['mode']:7}{row['name']:38}"
    if row["mode"] == "rate":
        said += ", ".join(
            f"{variant} {100 * share:.0f} % of a plain product"
            for variant in ("train", "infer")
            if (share := rate_share(row, variant)) is not None
        )
    elif over_torch(row) is not None:
        said += f"{over_torch(row):7.2f} times torch{over_best(row):7.2f} times the best, {best_peer(row)[0]}"
    return "\n".join([said, *(f"  not timed: {who}: {why}" for who, why in row["disagreed"].items())])


def save(results: dict[str, Any], path: Path) -> None:
    """Writes the file whole, so that an interruption leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def write(results: dict[str, Any], path: Path) -> None:
    """The results, their tables and, where matplotlib is installed, their picture."""
    save(results, path)
    path.with_suffix(".md").write_text(markdown(results), encoding="utf-8")
    print(f"{path} {path.with_suffix('.md')}")
    if results["rows"] and find_spec("matplotlib") is not None:
        from benchmarks.picture import draw

        draw(results, path.with_suffix(".png"))
