"""elman generate: text from a trained model, character by character."""

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli import options
from elman.tasks.errors import SettingError


def generate(
    run: Annotated[Path, typer.Argument(help="A run folder of `elman train text`.", metavar="RUN")],
    prompt: Annotated[str, typer.Option(help="The text to go on from.")] = "",
    length: Annotated[int, typer.Option(help="Characters to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="Below 1 plays safe, above 1 dares.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Choose among the k likeliest characters only.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    device: options.Device = "cpu",
) -> dict[str, Any]:
    """Write text with a model that `elman train text` trained."""
    if length < 1:
        raise SettingError("length", "at least 1", length)
    if not (math.isfinite(temperature) and temperature > 0):
        raise SettingError("temperature", "a number above 0", temperature)
    if top_k is not None and top_k < 1:
        raise SettingError("top_k", "at least 1", top_k)
    if seed is not None and not 0 <= seed < 2**63:
        raise SettingError("seed", "a whole number from 0 to 2**63 - 1", seed)

    import torch

    from elman.tasks.text import run as text_runs
    from elman.tasks.text.generate import generate as write

    model, vocabulary = text_runs.load_model(run, device=device)
    seed = torch.seed() % 2**32 if seed is None else seed
    characters = write(model, vocabulary, prompt, length, temperature=temperature, top_k=top_k, seed=seed)
    written = prompt
    sys.stdout.write(prompt)
    for character in characters:
        written += character
        sys.stdout.write(character)
        sys.stdout.flush()
    sys.stdout.write("\n")
    print(f"next: the same text again with --seed {seed}, a bolder one with --temperature 1.2", file=sys.stderr)
    return {"text": written, "prompt": prompt, "seed": seed}
