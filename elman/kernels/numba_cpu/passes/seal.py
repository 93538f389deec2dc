"""The seal of an output: a sum of its bits, by which the backward pass sees that it is what the forward pass wrote."""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.compile.parts import part, pointer_to
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES
from elman.kernels.numba_cpu.compile.vectors import bits_of_rows
from elman.kernels.numba_cpu.plan.addresses import clear, own_at
from elman.kernels.numba_cpu.threads.tasks import add_to


class Seal(NamedTuple):
    """A task's part of the sum: whatever tasks there are, the seal is the same."""

    begin: Any
    """begin(p, thread)."""
    add_row: Any
    """add_row(p, row, n, first, number, thread): a row of the output, or n of its numbers from the first of them on."""
    end: Any
    """end(p, thread)."""


@functools.cache
def make_seal(dtype: type) -> Seal:
    """The operations for float32 or float64, translated once for all passes and cells."""
    add_bits = bits_of_rows(dtype)
    words = pointer_to(types.uint32 if dtype is np.float32 else types.uint64)
    width = VECTOR_BYTES // np.dtype(dtype).itemsize

    @part
    def sums_at(p, thread):
        return own_at(p, p.sealing, VECTOR_BYTES, thread)

    @part
    def begin(p, thread):
        clear(sums_at(p, thread), VECTOR_BYTES)

    @part
    def add_row(p, row, n, first, number, thread):
        # where they stand counts, so that neither rows nor numbers may change places
        add_bits(row, n, first, 2 * number + 1, sums_at(p, thread))

    @part
    def end(p, thread):
        sums, total = words(sums_at(p, thread)), np.int64(0)
        for lane in range(width):
            total += np.int64(sums[lane])
        add_to(p.seal, total)

    return Seal(begin, add_row, end)
