"""elman classify: labels for new sequences, from a trained model."""

import contextlib
import io
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.cli.matrix import columns, matrix_lines
from elman.tasks.errors import DataError, UserError

if TYPE_CHECKING:
    from elman.tasks.labels.examples import Examples
    from elman.tasks.labels.run import Classifier

STDIN = Path("-")


def classify(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A run folder of `elman train labels`.", metavar="RUN")],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A file like the one trained on; labels are not needed. Or - to read stdin: CSV whose first line "
            "names the column, JSON lines, or one text a line.",
            metavar="DATA",
        ),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text in place of a file; may be given often.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV file to write, in place of the screen.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probability of every label, not of the likeliest alone.")
    ] = False,
    text_column: Annotated[str | None, typer.Option(help="The column of texts, if not obvious.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of true labels, to compare with.")] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
) -> dict[str, Any]:
    """Say which label each sequence has, and how sure the model is of it, as CSV.

    Where DATA has true labels, it is said how many were found, how well each, and which were taken for which.
    """
    if (data is None) == (text is None):
        raise UserError("give a file to classify, or texts by --text, and not both")
    for option, column in (("--text-column", text_column), ("--label-column", label_column)):
        if text is not None and column is not None:
            raise UserError(f"{option} names a column of a file, and --text gives texts in place of one")

    from elman.tasks.files.places import refuse_existing
    from elman.tasks.files.tables import listed
    from elman.tasks.labels.given import Given
    from elman.tasks.labels.run import Classifier
    from elman.tasks.training.checkpoint import replacing

    classifier = Classifier(run, device=device)
    kept: list[dict[str, Any]] | None = [] if context.params["json"] else None
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    with contextlib.ExitStack() as opened:
        examples: Examples = Given(text or [""], name="--text")
        if data is not None:
            examples = opened.enter_context(_open(classifier, data, text_column, label_column))
        if output is None:
            pairs = _write(classifier, examples, probabilities, lambda rows: print(rows, end=""), kept)
        else:
            with replacing(output) as file:
                pairs = _write(classifier, examples, probabilities, lambda rows: file.write(rows.encode()), kept)
            print(f"{pairs.total():,} labels are in {output}", file=sys.stderr)
    guessed = getattr(examples, "text", None)
    if guessed is not None and guessed not in (text_column, *classifier.config["data"].get("columns", ())):
        print(f"the first line of {examples.name} was read as the column's name, {guessed!r}", file=sys.stderr)
    if examples.blank:
        rows = listed([f"{number:,}" for number in examples.blank])
        name = "stdin" if data == STDIN else examples.name
        print(f"{len(examples.blank):,} blank line(s) of {name} have no label: {rows}", file=sys.stderr)
    told: dict[str, Any] = {"examples": kept, "blank_lines": list(examples.blank)}
    more = "or a DATA with true labels to see how many are found"
    if examples.labelled:
        told["scores"] = _show_scores(pairs, classifier.labels)
        more = "or with the probability of every label by --probabilities"
    print(f"next: the same into a file with -o FILE, {more}", file=sys.stderr)
    return told


@contextlib.contextmanager
def _open(classifier: "Classifier", data: Path, text_column: str | None, label_column: str | None) -> "Iterator[Any]":
    """The examples of a file or of stdin, which is kept in a file as long as it is read."""
    from elman import data as sets
    from elman.tasks.labels.examples import open_examples
    from elman.tasks.labels.given import Given

    usual = classifier.config["data"].get("columns", ())
    columns: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "usual": usual}
    columns["labelled"] = True if label_column else None
    if data != STDIN:
        yield open_examples(sets.find(data), **columns)
        return
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / ("stdin.jsonl" if classifier.numeric else "stdin.csv")
        with file.open("wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out)
        if not file.stat().st_size:
            raise DataError("there is nothing on stdin")
        if classifier.numeric or _names_column(file, text_column or next(iter(usual), None)):
            try:
                yield open_examples(file, **columns)
            except DataError as error:
                raise DataError(str(error).replace(str(file), "stdin")) from error
        elif text_column or label_column:
            raise DataError(f"the first line on stdin names no column {text_column or label_column!r}")
        else:
            lines = [line.removesuffix("\n") for line in io.StringIO(_text_of(file), newline=None)]
            blank = [number for number, line in enumerate(lines, 1) if not line.strip()]
            yield Given([line for line in lines if line.strip()], name="stdin", blank=blank)


def _names_column(file: Path, column: str | None) -> bool:
    """Whether the first line of a CSV file names this column."""
    from elman.tasks.files.tables import open_table

    with file.open("rb") as stream:
        first = stream.readline()
    if column is None or column.encode() not in first:
        return False
    return column in open_table(file).columns


def _text_of(file: Path) -> str:
    from elman.tasks.files.encodings import not_utf8

    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8("stdin", error, data) from error


def _show_scores(
    pairs: Counter[tuple[str, str]],  # true label and the one that was found, with how often
    known: Sequence[str],
) -> dict[str, Any]:
    """Say how many of a file's own labels were found, how well each was, and which were taken for which."""
    import numpy as np

    from elman.tasks.files.tables import listed
    from elman.tasks.labels.measures import confusion, f1_scores

    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    every = [*pairs.elements()]
    truth, found = (np.array([place[pair[side]] for pair in every]) for side in (0, 1))
    matrix = confusion(truth, found, len(names))
    f1 = dict(zip(names, f1_scores(matrix).tolist(), strict=True))
    there = {true: n for true, n in zip(names, matrix.sum(1).tolist(), strict=True) if n}
    right, count = int(np.trace(matrix)), int(matrix.sum())
    mean = sum(f1[name] for name in there) / len(there)
    lines = [f"{right:,} of {count:,} labels were found: accuracy {right / count:.3f}, macro-F1 {mean:.3f}", ""]
    width = max(map(columns, there))
    lines += [f"{'label':{width}}      F1  examples"]
    lines += [f"{name}{' ' * (width - columns(name))}{f1[name]:8.3f}{n:10,}" for name, n in there.items()]
    if unknown := [repr(name) for name in there if name not in known]:
        lines += ["", f"labels that the model was not trained on, and so never finds: {listed(unknown)}"]
    print("\n".join([*lines, "", *matrix_lines(matrix, names)]), file=sys.stderr)
    return {
        "accuracy": right / count,
        "macro_f1": mean,
        "f1": {name: f1[name] for name in there},
        "labels": names,
        "confusion": matrix.tolist(),
    }


def _write(
    classifier: "Classifier",
    examples: "Examples",
    every: bool,
    write: Callable[[str], object],
    kept: list[dict[str, Any]] | None,
) -> Counter[tuple[str, str]]:
    """Write a row of CSV for each example, with the probability of each label if `every`, and note them in `kept`.

    Returns:
        How often each true label, or "", was found as which.
    """
    batches = classifier.probabilities(examples)
    first = next(batches, None)
    if first is None:
        raise DataError(f"{examples.name} holds no example")
    header = ["label", "probability"] if classifier.numeric else ["text", "label", "probability"]
    header += ["true label"] * examples.labelled + [f"p({name})" for name in classifier.labels if every]
    write(_as_csv([header]))
    pairs: Counter[tuple[str, str]] = Counter()
    for batch, probabilities in itertools.chain([first], batches):
        rows = []
        texts = None if isinstance(batch.sequences, list) else batch.sequences.to_list()
        for n, p in enumerate(probabilities):
            one: dict[str, Any] = {} if texts is None else {"text": texts[n]}
            one |= {"label": classifier.labels[p.argmax()], "probability": float(p.max())}
            if batch.labels is not None:
                one["true label"] = _true_label(batch.labels[n], classifier)
            rows.append([f"{v:.4f}" if isinstance(v, float) else v for v in one.values()])
            if every:
                rows[-1] += [f"{share:.4f}" for share in p]
            if kept is not None:
                one["probabilities"] = dict(zip(classifier.labels, p.tolist(), strict=True))
            if kept is not None:
                kept.append(one)
            pairs[one.get("true label", ""), one["label"]] += 1
        write(_as_csv(rows))
    return pairs


def _true_label(name: str, classifier: "Classifier") -> str:
    """The label as the model calls it: runs of older versions called the number 1.0 so, which is 1 now."""
    older = f"{name}.0"
    return older if classifier.numeric and name not in classifier.labels and older in classifier.labels else name


def _as_csv(rows: Iterable[Sequence[str]]) -> str:
    import csv

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
