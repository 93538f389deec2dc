"""What a text run leaves for people: README.md."""

import dataclasses
from collections.abc import Mapping

from elman.tasks.files.places import quoted
from elman.tasks.text import run as text_runs
from elman.tasks.training import readme
from elman.tasks.training.verdict import standing

SAME = 0.005  # bits, within which two count as equally good


def verdict(bits: Mapping[str, float]) -> str:
    """By bits per character, in a sentence: what the model beats, and what it does not; or why nothing is beside it."""
    others = {name: value for name, value in bits.items() if name != text_runs.MODEL}
    if not others:
        most = text_runs.MOST_CHARACTERS
        return f"There are no baselines beside it: the text has more than {most:,} characters, and they take minutes."
    says, best = standing(bits[text_runs.MODEL], others, same=dict.fromkeys(others, SAME), lower=True)
    advice = f": {best} needs {bits[text_runs.MODEL] - others[best]:.3f} bits less" if best else ""
    return f"By bits per character this model is {says}{advice}."


def write_text_readme(run: text_runs.Run, file: str, bits: Mapping[str, float]) -> None:
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
    found = {name: {"bits_per_character": value} for name, value in bits.items()}
    readme.write_metrics(run.folder, found, trainer.best_step)
    settings = dataclasses.asdict(run.settings) | dataclasses.asdict(trainer.settings)
    here = quoted(run.folder)
    readme.write_readme(
        run.folder,
        f"A model of {file}",
        [what, readme.settings_in_words(settings)],
        readme.table([f"on {held_out:,} held-out characters", task.measure], [[n, f"{v:.3f}"] for n, v in bits.items()])
        + f"\n\nLower is better. {verdict(bits)}",
        [f'elman generate {here} --prompt "..." --length 300', f"elman export {here} -o model.onnx"],
    )
