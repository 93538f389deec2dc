"""Numbers that may not mean what they say: codes that stand for a missing value, and points between thousands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from elman.tasks.files.arrays import blocks

Array = npt.NDArray[Any]

CODES = {sign * code for sign in (-1, 1) for code in (99, 99.9, 99.99, 999, 999.9, 999.99, 9999, 9999.9, 99999, 999999)}
POINTED, WHOLE = r"^-?[1-9]\d{0,2}(\.\d{3})+$", r"^-?\d{1,3}$"
LEAST = 3  # numbers of each kind, from which on points may be between thousands


def missing_codes(
    names: Sequence[str],
    values: Array,  # (n, C)
    known: Array,  # (n, C)
) -> list[str]:
    """A sentence for each column whose least or largest value is a usual code for a missing value, as -9999 is, and
    farther from all the others than these are from one another."""
    says = []
    for c, name in enumerate(names):
        for code in sorted(CODES.intersection(_range(values[:, c], known[:, c])[:2])):
            low, high, count = _range(values[:, c], known[:, c], without=code)
            if low <= high and min(abs(low - code), abs(high - code)) > high - low:
                says.append(
                    f"column {name} holds {code:g} in {count:,} step(s), far from all its other values: if that stands "
                    f"for a missing value, leave it empty"
                )
    return says


def _range(values: Array, known: Array, without: float = float("nan")) -> tuple[float, float, int]:
    """The least and the largest of values, (n,), that are known and not the given one; and how many are this one."""
    low, high, count = float("inf"), float("-inf"), 0
    for rows in blocks(len(values)):
        some = np.asarray(values[rows])[np.asarray(known[rows])]
        others = some[some != without]
        count += len(some) - len(others)
        if len(others):
            low, high = min(low, float(others.min())), max(high, float(others.max()))
    return low, high, count


def thousands(column: pl.Series) -> str:
    """A sentence where texts are whole numbers below 1000 and numbers with three decimals alone, or 0; else empty.

    Example:
        >>> thousands(pl.Series("y", ["987", "1.002", "1.010", "1.024", "998", "999"]))
        "column y has whole numbers and three decimals alone, '1.002' for instance: if these are thousands, write 1002"
        >>> thousands(pl.Series("y", ["987.5", "1.002", "1.010", "1.024", "998", "999"]))
        ''
    """
    if column.dtype != pl.String:
        return ""
    texts = column.str.strip_chars().filter(column.str.contains(r"\d"))
    texts = texts.filter(texts != "0")
    pointed = texts.filter(texts.str.contains(POINTED))
    whole = int(texts.str.contains(WHOLE).sum())
    if min(len(pointed), whole) < LEAST or len(pointed) + whole < len(texts):
        return ""
    first = pointed[0]
    return (
        f"column {column.name} has whole numbers and three decimals alone, {first!r} for instance: if these are "
        f"thousands, write {first.replace('.', '')}"
    )
