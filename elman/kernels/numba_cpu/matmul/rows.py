"""What both passes do with rows of numbers, and with a weight's panels."""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.compile.parts import call, part, pointer_to
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES
from elman.kernels.numba_cpu.compile.vectors import Units, for_units
from elman.kernels.numba_cpu.matmul.panels import Panels, make_panels
from elman.kernels.numba_cpu.plan.addresses import clear, prefetch, prefetch_to_write
from elman.kernels.numba_cpu.plan.record import LINE


class Rows(NamedTuple):
    """Operations on rows of numbers of one dtype, which are given by addresses."""

    add: Any
    """add(target, source, n): target += source."""
    add_rows: Any
    """add_rows(target, source, row_step, count, n): target += the sum of so many rows, one at least, in their order."""
    copy: Any
    """copy(target, source, n)."""
    multiply: Any
    """multiply(target, a, b, n): target = a * b."""
    scale: Any
    """scale(target, factor, source, n): target = target * factor + source."""
    part_of: Any
    """part_of(target, share, rest, n): target *= share, and rest = the rest of it."""
    blend: Any
    """blend(target, share, before, n): target = share * target + the rest of it * before."""
    prefetch: Any
    """prefetch(row, n): asks for a row's cache lines."""
    prefetch_to_write: Any
    """prefetch_to_write(row, n): the same where it will be written."""
    panels: Panels
    """Into which n columns are packed."""
    pack: Any
    """pack(p, source, row_step, column_step, k, n, target): a (k, n) matrix of at most a panel's columns."""
    padded: Any
    """padded(n): the columns of such a panel."""


def _add_rows(units: Units) -> None:
    units["target"] = units["target"] + units.total("source", "count")


def _multiply(units: Units) -> None:
    units["target"] = units["a"] * units["b"]


def _scale(units: Units) -> None:
    units["target"] = units["target"] * units["factor"] + units["source"]


def _divide(units: Units) -> None:
    whole, share = units["target"], units["share"]
    units["target"], units["rest"] = whole * share, whole * (1 - share)


def _blend(units: Units) -> None:
    share = units["share"]
    units["target"] = (1 - share) * units["before"] + share * units["target"]


@functools.cache
def make_rows(dtype: type) -> Rows:
    """The operations for float32 or float64, translated once for all passes and cells."""
    summed = for_units(dtype, ("target", "source", "count"), _add_rows)
    multiplied = for_units(dtype, ("target", "a", "b"), _multiply)
    scaled = for_units(dtype, ("target", "factor", "source"), _scale)
    divided = for_units(dtype, ("target", "share", "rest"), _divide)
    blended = for_units(dtype, ("target", "share", "before"), _blend)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    size, panels = np.dtype(dtype).itemsize, make_panels(dtype)
    width = VECTOR_BYTES // size

    @part
    def add(target, source, n):
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] += of[j]

    @part
    def add_rows(target, source, row_step, count, n):
        summed(n, row_step, (target, source, count))

    @part
    def copy(target, source, n):
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] = of[j]

    @part
    def multiply(target, a, b, n):
        multiplied(n, 0, (target, a, b))

    @part
    def prefetch_row(row, n):
        for line in range(0, size * n, LINE):
            prefetch(row + line)

    @part
    def prefetch_row_to_write(row, n):
        for line in range(0, size * n, LINE):
            prefetch_to_write(row + line)

    @part
    def scale(target, factor, source, n):
        scaled(n, 0, (target, factor, source))

    @part
    def part_of(target, share, rest, n):
        divided(n, 0, (target, share, rest))

    @part
    def blend(target, share, before, n):
        blended(n, 0, (target, share, before))

    @part
    def padded(n):
        return (n + width - 1) // width * width

    @part
    def pack(p, source, row_step, column_step, k, n, target):
        columns = padded(n)
        if columns > n:
            clear(target, size * k * columns)
        call(p.pack, source, row_step, column_step, k, n, target, columns)

    return Rows(
        add,
        add_rows,
        copy,
        multiply,
        scale,
        part_of,
        blend,
        prefetch_row,
        prefetch_row_to_write,
        panels,
        pack,
        padded,
    )
