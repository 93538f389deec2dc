"""Writes docs/compatibility.md: every row is run on torch's RNN, GRU and LSTM and on elman's, here and now.

python docs/compatibility.py            # writes the tables
python docs/compatibility.py --check    # only fails where torch passes and elman does not

The rows stand in compatibility_rows. Below them stands the table of captures, which tests/captures.py makes; it takes
some minutes.
"""

import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import typer
from compatibility_rows import NOTES, ROWS
from torch import nn

import elman


def passes(function: Callable[[type], None], cls: type) -> str | None:
    """None, or what was raised."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    try:
        function(cls)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - what torch raises, of whatever kind, is the finding
        return type(error).__name__
    return None


CELLS = ("RNN", "GRU", "LSTM")
CELLS = ("RNN", "GRU", "LSTM", "LeakyRNN")
HOMES = {"nn": nn, "elman": elman}
LAYERS = [(home, cell) for cell in CELLS for home in HOMES if hasattr(HOMES[home], cell)]


def main(check: bool = typer.Option(False, "--check", help="Write nothing.")) -> None:
    """Runs every row on torch's layers and on elman's."""
    warnings.simplefilter("ignore")
    lines = [
        "# What works inside what",
        "",
        f"Every row was run on torch's and elman's layers by `python docs/compatibility.py`: torch "
        f"{torch.__version__.split('+')[0]}, Python {platform.python_version()}, on the CPU. A failing row names the "
        "error that was raised. torch has no LeakyRNN; where that differs by its nature, it is said beside.",
    ]
    worse = []
    for section, rows in ROWS.items():
        heads = " | ".join(f"{home}.{cell}" for home, cell in LAYERS)
        lines += ["", f"## {section}", "", f"| | {heads} |", f"| --- |{' --- |' * len(LAYERS)}"]
        for text, function in rows:
            errors = {layer: passes(function, getattr(HOMES[layer[0]], layer[1])) for layer in LAYERS}
            said = [
                ("yes" if error is None else f"no: {error}") + note(text, cell) for (_, cell), error in errors.items()
            ]
            lines.append(f"| {text} | {' | '.join(said)} |")
            for (home, cell), error in errors.items():
                torchs = errors.get(("nn", cell), errors["nn", "RNN"])
                if home == "elman" and error is not None and torchs is None and not note(text, cell):
                    worse.append(f"{text}, {cell}: {error}")
    if not check:
        lines += captures()
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    if worse:
        print("elman fails what torch passes: " + "; ".join(worse), file=sys.stderr)
        raise typer.Exit(1)


def note(text: str, cell: str) -> str:
    """What is said beside the result."""
    found = NOTES.get((text, cell))
    return f" ({found})" if found else ""


def captures() -> list[str]:
    """The section of captured programs, as tests/captures.py finds them."""
    script = Path(__file__).parent.parent / "tests" / "captures.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    return [
        "",
        "## Captured programs at other sizes and lengths than the example's",
        "",
        "The layer inside a model, captured from one example and called with other T, N, lengths and marks: right is "
        "torch's layer in eager mode, piece by piece; refused is an error that says why, at the capture or at the "
        "call. Never other numbers in silence. By `python tests/captures.py`.",
        "",
        *done.stdout.strip().splitlines(),
    ]


if __name__ == "__main__":
    typer.run(main)
