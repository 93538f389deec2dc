"""elman classify: labels for new sequences, from a trained model."""

import csv
import io
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elman.tasks.errors import DataError, UserError

if TYPE_CHECKING:
    from elman.tasks.labels.examples import Examples
    from elman.tasks.labels.run import Classifier

WORST = 10  # confusions shown


def classify(
    run: Annotated[Path, typer.Argument(help="A run folder of `elman train labels`.", metavar="RUN")],
    data: Annotated[
        Path | None, typer.Argument(help="A file like the one trained on; labels are not needed.", metavar="DATA")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text in place of a file; may be given often.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV file to write, in place of the screen.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="The column of texts, if not obvious.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of true labels, to compare with.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
) -> None:
    """Say which label each sequence has, and how sure the model is of it, as CSV.

    Where DATA has true labels, it is said how many were found.
    """
    if (data is None) == (text is None):
        raise UserError("give a file to classify, or texts by --text, and not both")

    from elman import data as sets
    from elman.tasks.files.places import refuse_existing
    from elman.tasks.labels.examples import Given, open_examples
    from elman.tasks.labels.run import Classifier
    from elman.tasks.training.checkpoint import replacing

    classifier = Classifier(run, device=device)
    examples: Examples = Given(text or [""], name="--text")
    if data is not None:
        columns = classifier.config["data"].get("columns", ())
        wanted = True if label_column else None
        examples = open_examples(
            sets.find(data), text_column=text_column, label_column=label_column, labelled=wanted, usual=columns
        )
    if output is None:
        pairs = _write(classifier, examples, lambda rows: print(rows, end=""))
    else:
        refuse_existing(output, "choose another name")
        with replacing(output) as file:
            pairs = _write(classifier, examples, lambda rows: file.write(rows.encode()))
        print(f"{pairs.total():,} labels are in {output}", file=sys.stderr)
    guessed = getattr(examples, "text", None)
    if guessed is not None and guessed not in (text_column, *classifier.config["data"].get("columns", ())):
        print(f"the first line of {examples.name} was read as the column's name, {guessed!r}", file=sys.stderr)
    if examples.labelled:
        _show_scores(pairs)
        print("next: the same into a file with -o FILE", file=sys.stderr)
    else:
        print(
            "next: the same into a file with -o FILE, or a DATA with true labels to see how many are found",
            file=sys.stderr,
        )


def _show_scores(
    pairs: Counter[tuple[str, str]],  # true label and the one that was found, with how often
) -> None:
    """Say how many of a file's own labels were found, and which were taken for which."""
    import numpy as np

    from elman.tasks.labels.measures import confusion, f1_scores

    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    every = [*pairs.elements()]
    truth, found = (np.array([place[pair[side]] for pair in every]) for side in (0, 1))
    f1 = f1_scores(confusion(truth, found, len(names)))
    there = {true for true, _ in pairs}
    right, count = sum(n for (true, other), n in pairs.items() if true == other), pairs.total()
    mean = sum(f1[place[name]] for name in there) / len(there)
    print(
        f"{right:,} of {count:,} labels were found: accuracy {right / count:.3f}, macro-F1 {mean:.3f}", file=sys.stderr
    )
    wrong = Counter({pair: n for pair, n in pairs.items() if pair[0] != pair[1]})
    for (true, other), n in wrong.most_common(WORST):
        print(f"{n:7,}  {true} taken for {other}", file=sys.stderr)


def _write(classifier: "Classifier", examples: "Examples", write: Callable[[str], object]) -> Counter[tuple[str, str]]:
    """Write a row of CSV for each example; returns how often each true label, or "", was found as which."""
    batches = classifier.probabilities(examples)
    first = next(batches, None)
    if first is None:
        raise DataError(f"{examples.name} holds no example")
    header = ["label", "probability"] if classifier.numeric else ["text", "label", "probability"]
    write(_as_csv([[*header, "true label"] if examples.labelled else header]))
    pairs: Counter[tuple[str, str]] = Counter()
    for batch, probabilities in itertools.chain([first], batches):
        found = [classifier.labels[k] for k in probabilities.argmax(1)]
        columns: list[list[str]] = [found, [f"{p:.4f}" for p in probabilities.max(1)]]
        if not isinstance(batch.sequences, list):
            columns.insert(0, batch.sequences.to_list())
        if batch.labels is not None:
            columns.append(batch.labels)
        pairs.update(zip(batch.labels or [""] * len(found), found, strict=True))
        write(_as_csv(zip(*columns, strict=True)))
    return pairs


def _as_csv(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
