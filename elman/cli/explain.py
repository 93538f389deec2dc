"""elman explain: a page that shows every number of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.explain._examples import EXAMPLES
from elman.tasks.errors import DataError, SettingError, UserError
from elman.tasks.files.places import free_path, refuse_existing

MOST = 10  # steps that are told
MOST_BYTES = 4_000_000  # of a page: most of it are the weights, 1.3 MB in a GRU of 256 units

if TYPE_CHECKING:
    from elman.explain._trace import Trace
    from elman.tasks.labels.run import Classifier


def explain(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(help="A run folder of `elman train`.", metavar="RUN", show_default=False),
    ] = None,
    text: Annotated[str | None, typer.Option(help="What the model reads.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="In place of --text: the file that a series model forecasts from, or a labels model reads."),
    ] = None,
    example: Annotated[
        int | None,
        typer.Option(help="Which example of --data a labels model reads, counted from 1.  [default: 1]"),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help=f"A built-in example in place of RUN: {', '.join(EXAMPLES)}.", metavar="NAME")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write.  [default: page.html]")
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Write the pages of all examples into this folder.", metavar="FOLDER")
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
) -> dict[str, Any]:
    """Write a page that shows what a model computes, number by number. It needs no network: open it in a browser."""
    if sum(choice is not None for choice in (run, seed, gallery)) != 1:
        raise UserError(
            "give one of a RUN folder with --text or --data, --seed with the name of an example, or --gallery FOLDER"
        )
    if example is not None and data is None:
        raise UserError("--example says which example of --data a labels model reads: give --data, or leave it out")
    if gallery is not None:
        _refuse_unread(context, [], "is not read beside --gallery, which has its own pages and inputs")
        return {"pages": _write_gallery(gallery)}
    if output is None:
        output = free_path(Path("page.html"))
    refuse_existing(output, overwrite=overwrite)
    told: dict[str, Any] = {}
    if seed is not None:
        read = ["output", "overwrite"]
        _refuse_unread(context, read, "goes with a RUN folder; the example of --seed has its own input")
        if seed not in EXAMPLES:
            raise UserError(f"there is no example {seed}: --seed is one of {', '.join(EXAMPLES)}")
        trace = EXAMPLES[seed]()
    else:
        assert run is not None
        trace, told = _trace_run(run, text, data, example, device)
    from elman.explain._page import page
    from elman.tasks.training.checkpoint import write_atomically

    try:
        text_of_page = page(trace, most_bytes=MOST_BYTES)
    except ValueError as error:  # larger than a page may be
        raise UserError(str(error)) from error
    write_atomically(output, text_of_page.encode())
    _say(output)
    print(f"next: open {output} in a browser")
    return {"pages": [str(output)], **told}


def _refuse_unread(context: typer.Context, read: Sequence[str], why: str) -> None:
    """Raise where an option was typed that is not among those that are read."""
    for name in ("text", "data", "example", "output", "overwrite", "device"):
        if options.given(context, name) and name not in read:
            raise UserError(f"--{name} {why}")


def _trace_run(
    run: Path, text: str | None, data: Path | None, example: int | None, device: str
) -> "tuple[Trace, dict[str, Any]]":
    """The trace of a run's model, and what else there is to say about what it read."""
    from elman.tasks.training.checkpoint import read_task

    task = read_task(run)
    if task in ("text", "series") and example is not None:
        raise UserError(f"--example is for models that tell labels, and {run} was trained for another task: {task}")
    if task == "series":
        if text is not None:
            raise UserError(f"{run} forecasts a series: it reads --data, what it forecasts from, and no --text")
        return _trace_series(run, data, device)
    if task == "labels":
        return _trace_labels(run, text, data, example, device)
    if task != "text":
        raise UserError(f"{run} was trained for another task: {task}, not text, labels or series")
    if text is None:
        raise UserError(f"{run} was trained on a text: give --text, what it is to read")
    if data is not None:
        raise UserError(f"{run} was trained on a text: it reads --text, and no --data")

    from elman.explain._characters import trace_text
    from elman.tasks.text import run as text_runs

    model, vocabulary = text_runs.load_model(run, device=device)
    return trace_text(model, vocabulary, text), {}


def _trace_labels(
    run: Path, text: str | None, data: Path | None, example: int | None, device: str
) -> "tuple[Trace, dict[str, Any]]":
    from elman.explain._sequences import trace_labels
    from elman.tasks.labels.run import Classifier

    if (text is None) == (data is None):
        raise UserError(f"{run} tells labels: give --text, or --data with a file that holds an example, and not both")
    classifier = Classifier(run, device=device)
    if data is None:
        found = trace_labels(classifier, text or "")
    else:
        found = trace_labels(
            classifier, _read_example(classifier, data, 1 if example is None else example), name=str(data)
        )
    print(f"{found.label}: {found.probability:.1%}")
    if found.steps:
        print(f"steps that mattered, counted from 0, by how likely {found.label} is without them:")
    for step in sorted(found.steps, key=lambda step: step.without)[:MOST]:
        print(f"{step.without:7.1%}  step {step.step}: {step.token if classifier.numeric else repr(step.token)}")
    return found.trace, {
        "label": found.label,
        "probability": found.probability,
        "steps": [vars(step) for step in found.steps],
    }


def _read_example(classifier: "Classifier", data: Path, number: int) -> Any:
    """The text or the numbers of a file's example, counted from 1."""
    from elman import data as sets
    from elman.tasks.labels.examples import open_examples

    if number < 1:
        raise SettingError("example", "at least 1", number)
    examples = open_examples(sets.find(data), labelled=None, usual=classifier.config["data"].get("columns", ()))
    count = 0
    for batch in examples.batches():
        if number <= batch.first + len(batch.sequences):
            return batch.sequences[number - 1 - batch.first]
        count = batch.first + len(batch.sequences)
    raise DataError(f"{examples.name} holds {count:,} examples: there is no number {number:,}")


def _trace_series(run: Path, data: Path | None, device: str) -> "tuple[Trace, dict[str, Any]]":
    from elman import data as sets
    from elman.explain._series import trace_series
    from elman.tasks.series.forecaster import Forecaster

    if data is None:
        raise UserError(f"{run} forecasts a series: give --data, the file that it is to forecast from")
    forecaster = Forecaster(run, device=device)
    found = trace_series(forecaster, forecaster.read(sets.find(data)))
    for column in forecaster.columns:
        print(f"values that mattered to {column}: by how much its forecasts move, on average, for each unit of them")
        steps = [step for step in found.steps if step.target == column]
        for step in sorted(steps, key=lambda step: -abs(step.moves))[:MOST]:
            print(f"{step.moves:+9.3f}  {step.time}  {step.column} {step.value:.6g}")
    return found.trace, {"steps": [vars(step) for step in found.steps]}


def _write_gallery(folder: Path) -> list[str]:
    from elman.cli.demo import topics
    from elman.explain._gallery import gallery

    pages = []
    for page in gallery(folder, topics()):
        _say(page)
        pages.append(str(page))
    print(f"next: open {folder / 'index.html'} in a browser")
    return pages


def _say(page: Path) -> None:
    print(f"{page}: {page.stat().st_size / 1000:,.0f} KB", flush=True)
