"""Words for the axes of a trace, and what stands before and after the layer. All of them are data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from elman.explain._trace import Trace

LANGUAGES = ("en", "ko")


class Prediction(NamedTuple):
    """What is expected to come next, and how surely."""

    token: str
    probability: float


class Head(NamedTuple):
    """The linear layer that reads output: y_t = W h_t + b."""

    weight: Tensor
    """(K, D * H)"""
    bias: Tensor
    """(K,)"""
    outcomes: tuple[str, ...] | None
    """What each of the K numbers is the score of; None: they are values."""


class Vocabulary(NamedTuple):
    """The vector that the layer reads for each token."""

    tokens: tuple[str, ...]
    vectors: Tensor
    """(V, I)"""


Target = str | float | None

GUESSES = 5  # outcomes that are kept for a step


@dataclass(frozen=True)
class Labels:
    """What `Trace.label` was given."""

    tokens: tuple[tuple[str, ...], ...] | None = None
    """For each of the N sequences, or once for all of them, T tokens."""
    features: tuple[str, ...] | None = None
    predictions: tuple[tuple[tuple[Prediction, ...], ...], ...] | None = None
    """For each of the N sequences, or once for all of them, T lists."""
    title: Mapping[str, str] | None = None
    note: Mapping[str, str] | None = None
    head: Head | None = None
    targets: tuple[tuple[Target, ...], ...] | None = None
    """For each of the N sequences, or once for all of them, what should come out at each of T steps; None: no loss."""
    vocabulary: Vocabulary | None = None
    translations: Mapping[str, Mapping[str, str]] | None = None
    """By language, what a token, a feature or an outcome is called in it."""
    beside: Mapping[str, tuple[float, ...]] | None = None
    """For layers by name, how much each of T steps of the input moves the last state of sequence 0."""

    def token(self, t: int, batch: int) -> str | None:
        """The token of a step, if it has one."""
        return None if self.tokens is None else self.tokens[batch if len(self.tokens) > 1 else 0][t]

    def expected(self, t: int, batch: int) -> tuple[Prediction, ...]:
        """What is predicted after a step, likeliest first."""
        return () if self.predictions is None else self.predictions[batch if len(self.predictions) > 1 else 0][t]


def make_labels(
    trace: "Trace",
    tokens: Sequence[Any] | None,
    features: Sequence[Any] | None,
    predictions: Sequence[Any] | None,
    title: str | Mapping[str, str] | None,
    note: str | Mapping[str, str] | None,
    head: nn.Linear | None,
    outcomes: Sequence[Any] | None,
    targets: Sequence[Any] | Tensor | None,
    vocabulary: Mapping[str, Any] | None,
    translations: Mapping[str, Mapping[str, str]] | None,
    beside: "Mapping[str, Trace] | None",
) -> dict[str, Any]:
    """The fields of `Labels` that were given, checked against the trace's sizes."""
    N, I = trace.sizes["N"], trace.sizes["I"]
    changes: dict[str, Any] = {}
    if head is not None:
        changes["head"] = _head(trace, head, outcomes)
        if outcomes is not None and predictions is None:
            changes["predictions"] = _predictions(trace, changes["head"])
    elif outcomes is not None:
        raise ValueError("outcomes name the numbers of head: pass both.")
    if targets is not None:
        given = targets.tolist() if isinstance(targets, Tensor) else targets
        rows = _rows("targets", given, _is_nested(given), trace, None)
        changes["targets"] = tuple(tuple(_target(target) for target in row) for row in rows)
    if vocabulary is not None:
        vectors = [torch.as_tensor(vector, dtype=torch.float32).detach().cpu() for vector in vocabulary.values()]
        if wrong := [token for token, vector in zip(vocabulary, vectors, strict=True) if vector.shape != (I,)]:
            raise ValueError(f"vocabulary maps tokens to vectors of {I} numbers; that of {wrong[0]!r} is another.")
        changes["vocabulary"] = Vocabulary(tuple(map(str, vocabulary)), torch.stack(vectors))
    if translations is not None:
        if unknown := set(translations) - set(LANGUAGES):
            raise ValueError(f"translations are by language, 'en' or 'ko', got {sorted(unknown)}.")
        changes["translations"] = {
            language: {str(word): str(other) for word, other in words.items()}
            for language, words in translations.items()
        }
    if beside is not None:
        if other := [name for name, one in beside.items() if one.sizes["T"] != trace.sizes["T"]]:
            raise ValueError(
                f"beside holds traces of as many steps as this one; that of {other[0]!r} has another number."
            )
        changes["beside"] = {name: tuple(one.sensitivity().by_step.tolist()) for name, one in beside.items()}
    if tokens is not None:
        rows = _rows("tokens", tokens, _is_nested(tokens), trace, "")
        changes["tokens"] = tuple(tuple(str(token) for token in row) for row in rows)
    if features is not None:
        if len(features) != I:
            raise ValueError(f"features should name the {I} input features, got {len(features)} names.")
        changes["features"] = tuple(str(feature) for feature in features)
    if predictions is not None:
        rows = _rows("predictions", predictions, N != 1, trace, ())
        changes["predictions"] = tuple(
            tuple(tuple(Prediction(str(token), float(p)) for token, p in step) for step in row) for row in rows
        )
    for name, text in (("title", title), ("note", note)):
        if isinstance(text, Mapping):
            if not text or set(text) - set(LANGUAGES):
                raise ValueError(f"{name} is a text, or a mapping from 'en' and 'ko' to texts, got {dict(text)!r}.")
            changes[name] = {language: str(words) for language, words in text.items()}
        elif text is not None:
            changes[name] = {language: str(text) for language in LANGUAGES}
    return changes


def _head(trace: "Trace", head: nn.Linear, outcomes: Sequence[Any] | None) -> Head:
    width = trace.sizes["D"] * trace.sizes["H"]
    if head.in_features != width:
        raise ValueError(f"head reads {head.in_features} numbers, and output has {width} at each step.")
    if outcomes is not None and len(outcomes) != head.out_features:
        raise ValueError(f"outcomes should name the {head.out_features} numbers of head, got {len(outcomes)} names.")
    weight = head.weight.detach().float().cpu()
    bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach().float().cpu()
    return Head(weight, bias, None if outcomes is None else tuple(map(str, outcomes)))


def _predictions(trace: "Trace", head: Head) -> tuple[tuple[tuple[Prediction, ...], ...], ...]:
    """The likeliest outcomes after each step of each sequence; none after one whose state is NaN."""
    assert head.outcomes is not None
    output = torch.cat(list(trace.hidden[-1]), -1).float()  # (T, N, D * H)
    shares = (output @ head.weight.T + head.bias).softmax(-1)
    likely = shares.topk(min(GUESSES, len(head.outcomes)))
    names = head.outcomes
    rows = zip(likely.indices.transpose(0, 1).tolist(), likely.values.transpose(0, 1).tolist(), strict=True)
    there = (trace.there & shares.isfinite().all(-1)).T.tolist()
    return tuple(
        tuple(
            tuple(Prediction(names[k], p) for k, p in zip(*step, strict=True)) if inside else ()
            for step, inside in zip(zip(*row, strict=True), steps, strict=True)
        )
        for row, steps in zip(rows, there, strict=True)
    )


def _target(target: Any) -> Target:
    if target is None or isinstance(target, str):
        return target
    number = float(target)
    if math.isinf(number):
        raise ValueError(f"targets are names of outcomes or finite numbers, got {number}.")
    return None if math.isnan(number) else number


def _is_nested(rows: Sequence[Any]) -> bool:
    return bool(rows) and all(isinstance(row, (list, tuple)) for row in rows)


def _rows(name: str, given: Sequence[Any], nested: bool, trace: "Trace", filling: Any) -> list[list[Any]]:
    """One row of T items, or N rows; a row may end with its sequence, and is then filled up to T."""
    T, N = trace.sizes["T"], trace.sizes["N"]
    rows = [list(row) for row in given] if nested else [list(given)]
    if nested and len(rows) != N:
        raise ValueError(f"{name} should be {N} lists, one for each sequence, got {len(rows)}.")
    lengths = [T] * N if trace.problem.lengths is None or not nested else trace.problem.lengths.tolist()
    for n, row in enumerate(rows):
        if len(row) not in (T, lengths[n] if nested else T):
            which = f"{name}[{n}]" if nested else name
            raise ValueError(f"{which} should have {T}, one for each step, got {len(row)}.")
    return [row + [filling] * (T - len(row)) for row in rows]
