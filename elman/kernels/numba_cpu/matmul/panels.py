"""How the columns of a packed matrix are cut into panels: of as many vectors as leave room in the register file beside
those of six rows, the last of what is left. Where that would be one vector after panels of four, in which a tile waits
for one multiplication after the other, the last two have three and two."""

import functools
from typing import Any, NamedTuple

import numpy as np

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES, panel_columns, vectors_a_panel


class Panels(NamedTuple):
    """For one dtype."""

    count: Any
    """count(n): how many panels n columns are."""
    place: Any
    """place(n, number): (first column, after the last) of one of them; none, (n, n), after the last."""
    whole: Any
    """whole(n): how many of the first panels are of as many columns as a panel can have."""
    first: Any
    """first(n): columns of the first panel."""
    last: Any
    """last(n): columns of the last."""


@functools.cache
def make_panels(dtype: type) -> Panels:
    """For float32 or float64, translated once for all who call them."""
    panel, width, evens = panel_columns(dtype), VECTOR_BYTES // np.dtype(dtype).itemsize, vectors_a_panel() == 4

    @part
    def count(n):
        return (n + panel - 1) // panel

    @part
    def edge(n, number):
        """The column where a panel begins."""
        j = min(number * panel, n)
        return j - width if evens and number > 0 and 0 < n - j <= width else j

    @part
    def place(n, number):
        return edge(n, number), edge(n, number + 1)

    @part
    def whole(n):
        return n // panel - (1 if evens and n > panel and 0 < n % panel <= width else 0)

    @part
    def first(n):
        return edge(n, 1)

    @part
    def last(n):
        return n - edge(n, count(n) - 1)

    return Panels(count, place, whole, first, last)
