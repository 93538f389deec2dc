"""The trace of a trained labels model reading a sequence: what it would say after each step, and which mattered."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from torch import nn

from elman.explain._labels import GUESSES
from elman.explain._run import trace
from elman.explain._trace import Trace
from elman.tasks.errors import DataError
from elman.tasks.labels.given import Given
from elman.tasks.labels.run import Classifier
from elman.tasks.labels.tokens import split_texts
from elman.tasks.labels.values import Numbers

TITLE = {"en": "A labels model reads {what}", "ko": "분류 모델이 {what} 읽는 과정"}
TEXT = {"en": "“{text}”", "ko": "“{text}”를"}
NUMBERS = {"en": "{steps} steps of numbers, {size} a step", "ko": "숫자 {size}개씩 {steps}개 시점을"}
FOUND = {
    "en": "The model finds {label} ({p:.0%}). After each step stand the labels that it would give if the sequence "
    "ended there.",
    "ko": "모델의 답은 {label}({p:.0%})입니다. 각 시점에는 입력이 거기서 끝났을 때의 답이 있습니다.",
}
WITHOUT = {
    "en": " Without step {place}, “{token}”, it would give {label} {without:.0%}.",
    "ko": " {place}번째 시점의 “{token}” 없이 읽으면 {label}의 확률은 {without:.0%}입니다.",
}
MOST_SHOWN = 4  # numbers of a step


@dataclass(frozen=True)
class Step:
    """A step, counted from 0, what was read there, and the probability of the found label without it."""

    step: int
    token: str
    without: float


@dataclass(frozen=True)
class Explained:
    """What a labels model found in a sequence, and why."""

    trace: Trace
    label: str
    probability: float
    steps: tuple[Step, ...]


@torch.no_grad()
def trace_labels(classifier: Classifier, sequence: str | Numbers, name: str = "--text") -> Explained:
    """The recurrent layer's trace for a text, a token a step, or for numbers, (T, F).

    A step's weight is told by leaving it out: the sequence is read once more without it. Source: Li, Monroe and
    Jurafsky, "Understanding neural networks through representation erasure", 2016.

    Args:
        classifier: the model.
        sequence: what it reads.
        name: what that is called in errors.

    Raises:
        DataError: the sequence is not of the kind that the model reads, or there is nothing to read in it.
    """
    if not len(sequence):
        raise DataError(f"there is nothing to read in the text {sequence!r}")
    ((_, read, _),) = classifier.encoded(Given([sequence], name=name))
    tokens, T = _tokens(classifier, sequence), len(read)
    p = classifier.shares(np.concatenate([read[: t + 1] for t in range(T)]), np.arange(1, T + 1))  # after each step
    k = int(p[-1].argmax())
    label, share = classifier.labels[k], float(p[-1, k])
    steps: tuple[Step, ...] = ()
    if T > 1:  # a single step cannot be left out
        left = np.concatenate([np.delete(read, t, axis=0) for t in range(T)])
        without = classifier.shares(left, np.full(T, T - 1))[:, k].tolist()
        steps = tuple(map(Step, range(T), tokens, without))
    likely = np.argsort(-p, axis=1, kind="stable")[:, :GUESSES]
    predictions = [[(classifier.labels[i], float(row[i])) for i in best] for row, best in zip(p, likely, strict=True)]
    model = classifier.model
    x = model.embedded(torch.from_numpy(read)[:, None].to(model.linear.weight.device))[:, 0]  # (T, I)
    about: dict[str, Any] = {"label": label, "p": share}
    said = FOUND
    if steps:
        most = min(steps, key=lambda step: step.without)
        about |= {"place": most.step, "token": most.token, "without": most.without}
        said = {language: FOUND[language] + WITHOUT[language] for language in FOUND}
    what = TEXT if isinstance(sequence, str) else NUMBERS
    size = {"text": sequence, "steps": T, "size": 1 if isinstance(sequence, str) else sequence.shape[1]}
    named = trace(cast(nn.RNN, model.rnn), x).label(
        tokens=tokens,
        title={language: TITLE[language].format(what=what[language].format(**size)) for language in TITLE},
        note={language: words.format(**about) for language, words in said.items()},
        predictions=predictions,
    )
    return Explained(named, label, share, steps)


def _tokens(classifier: Classifier, sequence: str | Numbers) -> list[str]:
    """What each step is called."""
    if isinstance(sequence, str):
        words = classifier.settings.tokens == "words"
        return split_texts(pl.Series([sequence]), "words")[0].to_list() if words else list(sequence)
    shown = [" ".join(f"{value:.4g}" for value in row[:MOST_SHOWN]) for row in sequence]
    return [f"{row} …" for row in shown] if sequence.shape[1] > MOST_SHOWN else shown
