"""The trace of a trained labels model reading a text: what it would say after each step, and which steps mattered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import polars as pl
import torch
from torch import Tensor, nn

from elman.explain._labels import GUESSES
from elman.explain._run import trace
from elman.explain._trace import Trace
from elman.tasks.errors import DataError
from elman.tasks.labels.run import Classifier
from elman.tasks.labels.tokens import split_texts

TITLE = {"en": "A labels model reads “{text}”", "ko": "분류 모델이 “{text}”를 읽는 과정"}
NOTE = {
    "en": "The model finds {label} ({p:.0%}). After each step stand the labels that it would give if the text ended "
    "there. Without “{token}” it would give {label} {without:.0%}.",
    "ko": "모델의 답은 {label}({p:.0%})입니다. 각 시점에는 글이 거기서 끝났을 때의 답이 있습니다. “{token}” 없이 "
    "읽으면 {label}의 확률은 {without:.0%}입니다.",
}


@dataclass(frozen=True)
class Step:
    """A token, and the probability of the found label if the text had not had it."""

    token: str
    without: float


@dataclass(frozen=True)
class Explained:
    """What a labels model found in a text, and why."""

    trace: Trace
    label: str
    probability: float
    steps: tuple[Step, ...]


@torch.no_grad()
def trace_labels(classifier: Classifier, text: str) -> Explained:
    """The recurrent layer's trace for `text`, a token a step.

    A step's weight is told by leaving it out: the text is read once more without it. Source: Li, Monroe and Jurafsky,
    "Understanding neural networks through representation erasure", 2016.

    Raises:
        DataError: the model reads numbers, or the text holds nothing to read.
    """
    if classifier.tokens is None:
        raise DataError(f"{classifier.folder} was trained on numbers, and --text is a text")
    texts = pl.Series([text])
    ids, _ = classifier.tokens.encode(texts)
    if not len(ids):
        raise DataError(f"there is nothing to read in the text {text!r}")
    tokens = list(text) if classifier.tokens.kind == "characters" else split_texts(texts, "words")[0].to_list()
    model, read = classifier.model, torch.from_numpy(ids)
    p = _shares(classifier, [read[: t + 1] for t in range(len(read))])  # of each beginning, (T, K)
    k = int(p[-1].argmax())
    left = [torch.cat([read[:t], read[t + 1 :]]) for t in range(len(read))]
    without = _shares(classifier, left)[:, k].tolist() if len(read) > 1 else []
    steps = tuple(Step(token, share) for token, share in zip(tokens, without, strict=False))
    label, share = classifier.labels[k], float(p[-1, k])
    likely = p.topk(min(GUESSES, len(classifier.labels)))
    predictions = [
        [(classifier.labels[i], q) for i, q in zip(choices, shares, strict=True)]
        for choices, shares in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    ]
    x = model.embedded(read[:, None].to(model.linear.weight.device))[:, 0]  # (T, I)
    made = trace(cast(nn.RNN, model.rnn), x)
    about: Mapping[str, Any] = {"text": text, "label": label, "p": share, "token": tokens[0], "without": share}
    if steps:
        most = min(steps, key=lambda step: step.without)
        about = {**about, "token": most.token, "without": most.without}
    notes = {language: said.format(**about) for language, said in NOTE.items()}
    if not steps:  # a single token cannot be left out
        notes = {language: said.split(". ")[0] + "." for language, said in notes.items()}
    named = made.label(
        tokens=tokens,
        title={language: said.format(text=text) for language, said in TITLE.items()},
        note=notes,
        predictions=predictions,
    )
    return Explained(named, label, share, steps)


def _shares(classifier: Classifier, sequences: list[Tensor]) -> Tensor:
    """p(label) of each sequence of ids, (N, K)."""
    model = classifier.model
    lengths = torch.tensor([len(ids) for ids in sequences])
    padded = nn.utils.rnn.pad_sequence(sequences)
    device = model.linear.weight.device
    return cast(Tensor, model(padded.to(device), lengths.to(device))).softmax(1).cpu()
