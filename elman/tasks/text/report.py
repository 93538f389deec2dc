"""What a text run leaves for people: README.md."""

import dataclasses
from collections.abc import Mapping

from elman.tasks.text.run import MODEL, Run
from elman.tasks.training import readme


def write_text_readme(run: Run, file: str, bits: Mapping[str, float]) -> None:
    """README.md of a text run."""
    task, trainer = run.task, run.trainer
    held_out = task.characters - task.trained
    what = (
        f"It writes like `{file}`, one character after another. It was trained on the first {task.trained:,} of the "
        f"text's {task.characters:,} characters, {len(run.config['vocabulary']):,} different ones; the last "
        f"{held_out:,} were held out. The weights are those of step {trainer.best_step:,} of "
        f"{trainer.settings.steps:,}, the best on the held-out text, so the first line of the table is a little too "
        f"good."
    )
    others = [value for name, value in bits.items() if name != MODEL]
    words = "Lower is better."
    if others:
        better = bits[MODEL] < min(others)
        words += " It is better than all of them." if better else " It is not better than the best of the others."
    settings = dataclasses.asdict(run.settings) | dataclasses.asdict(trainer.settings)
    readme.write_readme(
        run.folder,
        f"A model of {file}",
        [what, readme.settings_in_words(settings)],
        readme.table([f"on {held_out:,} held-out characters", task.measure], [[n, f"{v:.3f}"] for n, v in bits.items()])
        + f"\n\n{words}",
        [f'elman generate {run.folder} --prompt "..." --length 300', f"elman export {run.folder} -o model.onnx"],
    )
