"""A confusion matrix as lines of text."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

WIDE = 20  # labels, above which the matrix is too wide for a terminal
WORST = 10  # confusions shown then


def matrix_lines(
    matrix: "npt.NDArray[Any]",  # (K, K)
    names: Sequence[str],
) -> Iterator[str]:
    """The matrix, a row a true label; or the most frequent confusions, where it would be too wide."""
    if len(names) > WIDE:
        pairs = sorted(
            ((int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j), reverse=True
        )
        yield "the most frequent confusions:"
        yield from (f"{count:7,}  {names[i]} taken for {names[j]}" for count, i, j in pairs[:WORST] if count)
        return
    width = max(10, *(columns(name) for name in names))
    cell = max(4, len(f"{matrix.max()}") + 1)
    number = len(f"{len(names)}")
    yield f"{'true label':{width + number + 1}} taken for"
    yield f"{'':{width + number + 1}}" + "".join(f"{j + 1:{cell}}" for j in range(len(names)))
    for i, name in enumerate(names):
        row = "".join(f"{count or '.':>{cell}}" for count in matrix[i])
        yield f"{i + 1:{number}} {name}{' ' * (width - columns(name))}{row}"


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: Korean, Chinese and Japanese letters take two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
