"""What both passes do with rows of numbers, and with a weight's panels."""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.compile.parts import call, part, pointer_to
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES, panel_columns
from elman.kernels.numba_cpu.plan.addresses import clear, prefetch

_LINE = 64  # bytes of a cache line


class Rows(NamedTuple):
    """Operations on rows of numbers of one dtype, which are given by addresses."""

    add: Any
    """add(target, source, n): target += source."""
    copy: Any
    """copy(target, source, n)."""
    multiply: Any
    """multiply(target, a, b, n): target = a * b."""
    scale: Any
    """scale(target, factor, source, n): target = target * factor + source."""
    part_of: Any
    """part_of(target, share, rest, n): target *= share, and rest = the rest of it."""
    prefetch: Any
    """prefetch(row, n): asks for a row's cache lines."""
    panels: Any
    """panels(n): into how many panels n columns are packed."""
    pack: Any
    """pack(p, source, row_step, column_step, k, n, target): a (k, n) matrix of at most a panel's columns."""
    padded: Any
    """padded(n): the columns of such a panel."""


def make_rows(dtype: type) -> Rows:
    """The operations for float32 or float64."""
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    size, most = np.dtype(dtype).itemsize, panel_columns(dtype)
    width = VECTOR_BYTES // size

    @part
    def add(target, source, n):
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] += of[j]

    @part
    def copy(target, source, n):
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] = of[j]

    @part
    def multiply(target, a, b, n):
        to, x, y = numbers(target), numbers(a), numbers(b)
        for j in range(n):
            to[j] = x[j] * y[j]

    @part
    def prefetch_row(row, n):
        for line in range(0, size * n, _LINE):
            prefetch(row + line)

    @part
    def scale(target, factor, source, n):
        to, by, of = numbers(target), numbers(factor), numbers(source)
        for j in range(n):
            to[j] = to[j] * by[j] + of[j]

    @part
    def part_of(target, share, rest, n):
        to, by, left = numbers(target), numbers(share), numbers(rest)
        for j in range(n):
            whole = to[j]
            to[j] = whole * by[j]
            left[j] = whole - whole * by[j]

    @part
    def panels(n):
        return (n + most - 1) // most

    @part
    def padded(n):
        return (n + width - 1) // width * width

    @part
    def pack(p, source, row_step, column_step, k, n, target):
        columns = padded(n)
        if columns > n:
            clear(target, size * k * columns)
        call(p.pack, source, row_step, column_step, k, n, target, columns)

    return Rows(add, copy, multiply, scale, part_of, prefetch_row, panels, pack, padded)
