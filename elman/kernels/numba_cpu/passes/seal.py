"""The seal of an output: a sum of its mixed bits, by which the way back sees that it is what the forward pass wrote."""

import functools
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.parts import part, pointer_to
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES
from elman.kernels.numba_cpu.plan.addresses import clear, own_at
from elman.kernels.numba_cpu.threads.tasks import add_to

_MIXING = {4: (16, 0x85EBCA6B, 13, 0xC2B2AE35), 8: (33, 0xFF51AFD7ED558CCD, 33, 0xC4CEB9FE1A85EC53)}
"""By the bytes of a number: what MurmurHash3 (A. Appleby, public domain) ends with, but for its last shift."""
_ROW, _COLUMN = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # odd, so that no two places close by have the same key


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
    add_bits = _bits_of_rows(dtype)
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
        add_bits(row, n, first, number, sums_at(p, thread))

    @part
    def end(p, thread):
        sums, total = words(sums_at(p, thread)), np.int64(0)
        for lane in range(width):
            total += np.int64(sums[lane])
        add_to(p.seal, total)

    return Seal(begin, add_row, end)


def _bits_of_rows(dtype: type) -> Any:
    """An intrinsic f(row, n, first, number, sums) that adds a word for each of n numbers, from the column `first` of a
    row of that number on, to the vector of sums at an address. What is added in any order, by any number of threads,
    comes to the same.

    The word is the number's bits and its place, mixed: a sum of the bits themselves does not change where all are
    multiplied by a power of two, or as many signs change one way as the other.
    """
    shift, factor, shift_again, factor_again = _MIXING[np.dtype(dtype).itemsize]

    @intrinsic
    def add(_: Any, row: Any, n: Any, first: Any, number: Any, sums: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            row, n, first, number, sums = arguments
            word = ir.IntType(8 * e.size)
            words, every = ir.VectorType(word, e.width), (1 << 8 * e.size) - 1
            width, total = ir.Constant(I64, e.width), cgutils.alloca_once(builder, words)
            builder.store(ir.Constant(words, [0] * e.width), total)
            rest = builder.srem(n, width)
            whole = builder.sub(n, rest)
            lanes = ir.Constant(words, [_COLUMN * lane & every for lane in range(e.width)])
            of_row = builder.mul(number, ir.Constant(I64, _ROW))

            def constant(number: int) -> Any:
                return ir.Constant(words, [number] * e.width)

            def mixed(numbers: Any, place: Any) -> Any:
                of_column = builder.mul(builder.add(first, place), ir.Constant(I64, _COLUMN))
                key = builder.add(of_row, of_column)
                key = e.splat(key if e.size == 8 else builder.trunc(key, word), word)
                bits = builder.xor(builder.bitcast(numbers, words), builder.add(key, lanes))
                for places, times in ((shift, factor), (shift_again, factor_again)):
                    bits = builder.xor(bits, builder.lshr(bits, constant(places)))
                    bits = builder.mul(bits, constant(times))
                return bits

            def add_to_total(bits: Any) -> None:
                builder.store(builder.add(builder.load(total), bits), total)

            with cgutils.for_range_slice(builder, ir.Constant(I64, 0), whole, width, I64) as (place, _):
                add_to_total(mixed(e.load(e.offset(row, place)), place))
            with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(I64, 0))):
                part = e.first(rest)
                bits = mixed(e.load(e.offset(row, whole), part), whole)
                add_to_total(builder.select(part.mask, bits, constant(0)))
            target = e.at(sums, words)
            new = builder.add(builder.load(target, align=e.size), builder.load(total))
            builder.store(new, target, align=e.size)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), codegen

    return add
