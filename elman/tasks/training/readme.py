"""README.md of a run folder: what was trained on what, and how well, in words."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import elman
from elman.tasks.training.checkpoint import write_atomically

README = "README.md"
FILES = {
    "config.json": "the settings, and what is needed to read new data as this model does",
    "weights.safetensors": "the weights to use: those of the best measuring on the way",
    "checkpoint.safetensors": "what `--resume` goes on from",
    "previous.safetensors": "the checkpoint before it, should that one be damaged",
    "metrics.csv": "the measures along the way",
    "metrics.json": "the measures at the end, of this model and of what it is compared with",
    "loss.png": "the same as a picture",
    "confusion.png": "which label was taken for which",
    "forecast.png": "forecasts beside what came",
    "confusion.csv": "the same in numbers",
    "calibration.json": "by how much intervals are widened, so that they hold what they should",
    "origins.csv": "the errors of every forecast that was measured",
}


def write_readme(folder: Path, title: str, paragraphs: Sequence[str], scores: str, commands: Iterable[str]) -> None:
    """Write README.md.

    Args:
        folder: the run folder.
        title: what this model does.
        paragraphs: what it was trained on, and how.
        scores: a table in Markdown, with what it must be compared with.
        commands: what to do with it.
    """
    day = datetime.datetime.now(datetime.UTC).date()
    there = [f"- `{name}`: {what}" for name, what in FILES.items() if (folder / name).exists()]
    parts = [
        f"# {title}",
        *paragraphs,
        "## How well",
        scores,
        "## Use it",
        "```sh\n" + "\n".join(commands) + "\n```",
        "## What is here",
        "\n".join(there),
        f"Trained with elman {elman.__version__} and torch {torch.__version__}; finished on {day}.",
    ]
    write_atomically(folder / README, ("\n\n".join(parts) + "\n").encode())


def write_metrics(folder: Path, scores: Mapping[str, Mapping[str, Any]], best_step: int) -> None:
    """Write metrics.json: the measures at the end by who reached them, for programs."""
    about = {"step": best_step, "scores": scores}
    write_atomically(folder / "metrics.json", json.dumps(about, indent=2, ensure_ascii=False).encode())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right.

    Example:
        >>> print(table(["who", "score"], [["this model", "0.7"]]))
        | who | score |
        | --- | ---: |
        | this model | 0.7 |
    """
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """All settings in one sentence."""
    return "Settings: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()) + "."
