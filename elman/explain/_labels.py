"""Words for the axes of a trace: tokens, features, predictions, a title. All of them are data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from elman.explain._trace import Trace

LANGUAGES = ("en", "ko")


class Prediction(NamedTuple):
    """What is expected to come next, and how surely."""

    token: str
    probability: float


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
) -> dict[str, Any]:
    """The fields of `Labels` that were given, checked against the trace's sizes."""
    N, I = trace.sizes["N"], trace.sizes["I"]
    changes: dict[str, Any] = {}
    if tokens is not None:
        nested = bool(tokens) and all(isinstance(row, (list, tuple)) for row in tokens)
        rows = _rows("tokens", tokens, nested, trace, "")
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
