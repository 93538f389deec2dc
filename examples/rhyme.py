"""A network that writes: train on a text, then let it go on."""

import tempfile
from pathlib import Path

from elman.cli.demo import topics
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.text.generate import generate
from elman.tasks.training.loop import fit

with tempfile.TemporaryDirectory() as there:
    file = Path(there) / "topics.txt"
    file.write_text(topics(), encoding="utf-8")
    training = LoopSettings(steps=600, eval_every=200)
    run = text_runs.begin(file, Path(there) / "run", TextSettings(batch_size=8), training)
    fit(run.trainer, run.folder, report=lambda step, bits: print(f"step {step}: {bits:.2f} bits per character"))
    print("".join(generate(*text_runs.load_model(run.folder), "The ", 300, temperature=0.7)))
