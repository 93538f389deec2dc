"""A record of tensors as tensors in a row, and back: what torch.func and vmap want to see."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor


class Flat:
    """The form of a record (of records, tuples) that holds tensors, numbers, names and None. It keeps no tensor.

    torch's own pytree does the same for every kind of container, at three times the cost of a small run.
    """

    def __init__(self, record: Any) -> None:
        self._record, self._places = _without_tensors(record)

    def of(self, tensors: Sequence[Any]) -> Any:
        """A record of this form, with these in the places of its tensors, as many."""
        rest = iter(tensors)
        record = _filled(self._record, self._places, rest)
        if next(rest, rest) is not rest:
            raise ValueError("there are more tensors than places for them")
        return record

    def at(self, record: Any) -> list[Any]:
        """What stands in the places of the tensors in a record of this form."""
        found: list[Any] = []
        _collect(record, self._places, found)
        return found


_Places = tuple[tuple[int, Any], ...]
"""For each part in which there is a tensor its number, and None if it is one, or else the places in it."""


def _without_tensors(record: Any) -> tuple[Any, _Places]:
    parts: list[Any] = []
    places: list[tuple[int, Any]] = []
    for i, part in enumerate(record):
        if isinstance(part, Tensor):
            places.append((i, None))
            part = None
        elif isinstance(part, tuple):
            part, inside = _without_tensors(part)
            if inside:
                places.append((i, inside))
        parts.append(part)
    return _made(type(record), parts), tuple(places)


def _made(kind: Any, parts: list[Any]) -> Any:
    return kind(*parts) if hasattr(kind, "_fields") else tuple(parts)


def _filled(record: Any, places: _Places, rest: Iterator[Any]) -> Any:
    parts = list(record)
    for i, inside in places:
        parts[i] = next(rest) if inside is None else _filled(parts[i], inside, rest)
    return _made(type(record), parts)


def _collect(record: Any, places: _Places, found: list[Any]) -> None:
    for i, inside in places:
        if inside is None:
            found.append(record[i])
        else:
            _collect(record[i], inside, found)
