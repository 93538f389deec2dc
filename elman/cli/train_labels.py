"""elman train labels: which label does a sequence have?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.cli.matrix import matrix_lines
from elman.cli.training import describe_model, draw, known_tokens, open_run, outcome, train_to_end
from elman.tasks.settings import LABELS_LOOP, LabelsSettings, LoopSettings

if TYPE_CHECKING:
    from elman.tasks.labels.run import Run, Scores


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
    overwrite: options.Overwrite = False,
    source: options.From = None,
    text_column: Annotated[str | None, typer.Option(help="The column of texts, if not obvious.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of labels, if not obvious.")] = None,
    tokens: Annotated[str, typer.Option(help="Read characters or words.")] = LabelsSettings.tokens,
    one_hot: Annotated[bool, typer.Option("--one-hot", help="One-hot tokens in place of an embedding.")] = False,
    bidirectional: Annotated[
        bool, typer.Option("--bidirectional/--one-way", help="Read from both ends.")
    ] = LabelsSettings.bidirectional,
    pooling: Annotated[
        str, typer.Option(help="What of the states is kept: last, or all: last, mean and largest.")
    ] = LabelsSettings.pooling,
    cell: options.Cell = LabelsSettings.cell,
    hidden_size: options.HiddenSize = LabelsSettings.hidden_size,
    layers: options.Layers = LabelsSettings.layers,
    embedding_size: Annotated[int, typer.Option(help="Numbers a token becomes.")] = LabelsSettings.embedding_size,
    dropout: Annotated[
        float, typer.Option(help="Share of activations dropped, half of it of the input's.")
    ] = LabelsSettings.dropout,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of certainty that training withholds.")
    ] = LabelsSettings.label_smoothing,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = LabelsSettings.batch_size,
    class_weights: Annotated[
        str, typer.Option(help="none; balanced: all labels count alike; root: half-way.")
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
) -> dict[str, Any]:
    """Train a model that tells the labels of sequences: a name's nationality, a sentence's mood, a sensor's state.

    After Ctrl-C or a crash, the same command with --resume goes on as if nothing had happened.
    """
    settings, loop = options.read_settings(context, LabelsSettings), options.read_settings(context, LoopSettings)

    from elman import data as sets
    from elman.tasks.files.places import file_sha256, quoted
    from elman.tasks.labels import run as labels_runs
    from elman.tasks.labels.examples import open_examples
    from elman.tasks.training import runs

    file = sets.find(data)
    given = options.typed(context, settings)

    def called(setting: str) -> str:
        return f"--{setting.replace('_', '-')}"

    def read() -> labels_runs.Source:
        examples = open_examples(file, text_column=text_column, label_column=label_column)
        one_hot = settings.one_hot if source is None else runs.read(labels_runs.JOB, source)[1].one_hot
        labels_runs.refuse_unread(given, called, examples.numeric, examples.name, one_hot)
        return labels_runs.Source(examples, file_sha256(file), known_tokens(labels_runs.JOB, source))

    def columns(config: dict[str, Any]) -> dict[str, Any]:
        about, one_hot = config["data"], config["model"]["one_hot"]
        labels_runs.refuse_unread(given, called, "mean" in config, about["file"], one_hot)
        names = config["data"].get("columns", (None, None))
        return dict(zip(("text_column", "label_column"), names, strict=True))

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
        again=f"elman train labels {quoted(data)} -o {quoted(output)}",
        tensorboard=tensorboard,
    )
    finish(run)
    example = "sequences.jsonl" if "mean" in run.config else "texts.csv"
    here = quoted(output)
    asked = "" if "mean" in run.config else f' or elman classify {here} --text "..."'
    print(f"next: elman classify {here} {example}{asked}, or elman export {here} -o model.onnx")
    return outcome(run)


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
    print("\n".join(matrix_lines(matrix, names)))
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
