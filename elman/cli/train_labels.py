"""elman train labels: which label does a sequence have?"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.cli.training import describe_model, draw, open_run, train_to_end
from elman.tasks.settings import LABELS_LOOP, LabelsSettings, LoopSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from elman.tasks.labels.run import Run, Scores

WIDE = 20  # labels, above which the matrix is too wide for a terminal
WORST = 10  # confusions shown then


def labels(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet with a text and a label column, JSON lines with sequence and label, or: names.",
            metavar="DATA",
        ),
    ],
    output: options.Output,
    resume: options.Resume = False,
    text_column: Annotated[str | None, typer.Option(help="The column of texts, if not obvious.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of labels, if not obvious.")] = None,
    tokens: Annotated[str, typer.Option(help="Read characters or words.")] = LabelsSettings.tokens,
    one_hot: Annotated[bool, typer.Option("--one-hot", help="One-hot tokens in place of an embedding.")] = False,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read from both ends.")] = False,
    cell: options.Cell = LabelsSettings.cell,
    hidden_size: options.HiddenSize = LabelsSettings.hidden_size,
    layers: options.Layers = LabelsSettings.layers,
    embedding_size: Annotated[int, typer.Option(help="Numbers a token becomes.")] = LabelsSettings.embedding_size,
    dropout: options.Dropout = LabelsSettings.dropout,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = LabelsSettings.batch_size,
    class_weights: Annotated[
        str, typer.Option(help="none, or balanced: all labels count alike.")
    ] = LabelsSettings.class_weights,
    held_out: Annotated[
        float, typer.Option(help="Part to measure on at the end, and as much to choose the weights by.")
    ] = LabelsSettings.held_out,
    steps: options.Steps = LABELS_LOOP.steps,
    epochs: options.Epochs = None,
    lr: options.LR = LoopSettings.lr,
    clip: options.Clip = LoopSettings.clip,
    eval_every: options.EvalEvery = LoopSettings.eval_every,
    patience: options.Patience = LABELS_LOOP.patience,
    seed: options.Seed = LoopSettings.seed,
    device: options.Device = "cpu",
    tensorboard: options.TensorBoard = False,
) -> None:
    """Train a model that tells the labels of sequences: a name's nationality, a sentence's mood, a sensor's state.

    After Ctrl-C or a crash, the same command with --resume goes on as if nothing had happened.
    """
    settings, loop = options.read_settings(context, LabelsSettings), options.read_settings(context, LoopSettings)

    from elman import data as sets
    from elman.tasks.labels import run as labels_runs
    from elman.tasks.labels.examples import open_examples
    from elman.tasks.training import runs

    file = sets.find(data)

    def read() -> labels_runs.Source:
        examples = open_examples(file, text_column=text_column, label_column=label_column)
        return labels_runs.Source(examples, runs.file_sha256(file))

    def columns(config: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(("text_column", "label_column"), config["data"].get("columns", ()), strict=False))

    run = open_run(context, labels_runs.JOB, file, read, settings, loop, columns)
    about = run.config["data"]
    train, choose, measure = about["parts"]
    counts = about["counts"]
    print(
        f"{about['file']}: {about['examples']:,} examples of {len(about['counts']):,} labels, {spread(counts)}; "
        f"{train:,} to train on, {choose:,} to choose the weights by, {measure:,} held out to "
        f"measure on"
    )
    print(describe_model(run.trainer), flush=True)
    train_to_end(
        run.trainer,
        output,
        again=f"elman train labels {data} -o {output}",
        tensorboard=tensorboard,
    )
    finish(run)
    example = "sequences.jsonl" if "mean" in run.config else "texts.csv"
    asked = "" if "mean" in run.config else f' or elman classify {output} --text "..."'
    print(f"next: elman classify {output} {example}{asked}, or elman export {output} -o model.onnx")


def finish(run: "Run") -> "dict[str, Scores]":
    """Measure, print, draw, and write README.md."""
    from elman.tasks.labels import run as labels_runs
    from elman.tasks.labels.report import confusion_csv, repetition, verdict, write_labels_readme
    from elman.tasks.training.figures import confusion_picture, loss_picture

    scores = labels_runs.measure(run)
    names = run.config["labels"]
    matrix = scores[labels_runs.MODEL].matrix
    print(f"\non the {matrix.sum():,} held-out examples:\n accuracy  macro-F1")
    for name, score in scores.items():
        print(f"{score.accuracy:9.3f} {score.macro_f1:9.3f}  {name}")
    print(f"this model has the weights of step {run.trainer.best_step:,}, the best of all measured on the way\n")
    _show_matrix(matrix, names)
    notes = repetition(run)
    if notes:
        print(f"\n{notes}")
    print(f"\n{verdict(scores)}")
    confusion_csv(matrix, names, run.folder / "confusion.csv")
    draw(
        lambda: loss_picture(run.trainer, run.folder / "loss.png"),
        lambda: confusion_picture(matrix, names, run.folder / "confusion.png"),
    )
    write_labels_readme(run, scores, notes)
    return scores


def spread(counts: Mapping[str, int]) -> str:
    """How many examples the labels have, in words.

    Example:
        >>> spread({"a": 3, "b": 1200}), spread({"a": 20, "b": 20})
        ('from a (3) to b (1,200)', '20 of each')
    """
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[rarest] == counts[commonest]:
        return f"{counts[rarest]:,} of each"
    return f"from {rarest} ({counts[rarest]:,}) to {commonest} ({counts[commonest]:,})"


def _show_matrix(
    matrix: "npt.NDArray[Any]",  # (K, K)
    names: list[str],
) -> None:
    """Print the confusion matrix, or the worst confusions where it would be too wide."""
    if len(names) > WIDE:
        pairs = sorted(
            ((int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j), reverse=True
        )
        print("the most frequent confusions:")
        for count, i, j in pairs[:WORST]:
            if count:
                print(f"{count:7,}  {names[i]} taken for {names[j]}")
        return
    width = max(10, *(_columns(name) for name in names))
    cell = max(4, len(f"{matrix.max()}") + 1)
    number = len(f"{len(names)}")
    print(f"{'true label':{width + number + 1}} taken for\n{'':{width + number + 1}}", end="")
    print("".join(f"{j + 1:{cell}}" for j in range(len(names))))
    for i, name in enumerate(names):
        row = "".join(f"{count or '.':>{cell}}" for count in matrix[i])
        print(f"{i + 1:{number}} {name}{' ' * (width - _columns(name))}{row}")


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes: Korean, Chinese and Japanese letters take two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
