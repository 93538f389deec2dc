"""What a labels run leaves for people: the confusion matrix as CSV, and README.md."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from elman.tasks.files.places import quoted
from elman.tasks.labels.measures import difference_error, repeated
from elman.tasks.labels.run import MODEL, Run, Scores
from elman.tasks.training import readme
from elman.tasks.training.checkpoint import write_atomically
from elman.tasks.training.verdict import standing

SAME = 0.005  # of macro-F1, within which two count as equally good
SURE = 2.0  # standard errors of a difference, within which they do as well


def confusion_csv(
    matrix: npt.NDArray[Any],  # (K, K)
    labels: Sequence[str],
    path: Path,
) -> None:
    """Write the matrix with its labels: a row is a true label, a column what it was taken for."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["true label", *labels])
    writer.writerows([label, *map(int, row)] for label, row in zip(labels, matrix, strict=True))
    write_atomically(path, out.getvalue().encode())


def repetition(run: Run) -> str:
    """A sentence on the held-out examples that training has seen too; empty if there are none."""
    count, all_ = repeated(run.task.arrays), run.config["data"]["parts"][2]
    if not count:
        return ""
    return (
        f"{count:,} of the {all_:,} held-out examples occur in the training part too: the measures are better than "
        f"they will be on new data."
    )


def verdict(scores: Mapping[str, Scores]) -> str:
    """By macro-F1, in words: which baselines the model beats, and which it does not.

    A difference of two standard errors or less counts as none, as other examples might have it the other way round.
    """
    own = scores[MODEL]
    others = {name: score for name, score in scores.items() if name != MODEL}
    values = {name: score.macro_f1 for name, score in others.items()}
    same = {
        name: max(SAME, SURE * difference_error(own.truth, own.found, score.found, own.labels))
        for name, score in others.items()
    }
    says, best = standing(own.macro_f1, values, same=same, lower=False)
    advice = ""
    if best is not None:
        advice = f": use that, {values[best] - own.macro_f1:.3f} better, or train on more data or longer"
    chance = any(SAME < abs(value - own.macro_f1) <= same[name] for name, value in values.items())
    note = f" As good means no further apart than chance allows on {len(own.truth):,} examples." if chance else ""
    return f"By macro-F1 this model is {says}{advice}.{note}"


def write_labels_readme(run: Run, scores: Mapping[str, Scores], notes: str) -> None:
    """README.md of a labels run; `notes` are said below its table."""
    about, model = run.config["data"], run.config["model"]
    train, choose, measure = about["parts"]
    kind = "sequences of numbers" if "mean" in run.config else f"texts, read as {model['tokens']}"
    what = (
        f"It tells which of {len(run.config['labels'])} labels a sequence has. It was trained on {train:,} of the "
        f"{about['examples']:,} examples in `{about['file']}` ({kind}); {choose:,} chose the best weights, those of "
        f"step {run.trainer.best_step:,} of {run.trainer.settings.steps:,}, and {measure:,} were kept apart for the "
        f"table below."
    )
    words = f"{verdict(scores)} Macro-F1 is the mean over the labels, a rare one counting as much as a frequent one."
    found = {name: {"accuracy": score.accuracy, "macro_f1": score.macro_f1} for name, score in scores.items()}
    readme.write_metrics(run.folder, found, run.trainer.best_step)
    rows = [[name, f"{score.accuracy:.3f}", f"{score.macro_f1:.3f}"] for name, score in scores.items()]
    header = [f"on {measure:,} held-out examples", "accuracy", "macro-F1"]
    here = quoted(run.folder)
    readme.write_readme(
        run.folder,
        f"Labels of {about['file']}",
        [what, readme.settings_in_words({**model, **run.config["training"]})],
        f"{readme.table(header, rows)}\n\n{words} {notes}".rstrip(),
        [f"elman classify {here} DATA", f"elman export {here} -o model.onnx"],
    )
