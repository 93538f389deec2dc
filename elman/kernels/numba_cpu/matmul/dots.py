"""C = A @ B^T for a B of few rows, as W_ih^T of few inputs: a vector runs along the rows, where in the tiles of a
product the few columns of C would fill a part of one."""

import functools
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, few_inputs


class Dots(NamedTuple):
    """For one dtype. Rows of A and C are given by tables of addresses."""

    suit: Any
    """suit(k, n): whether n rows of k numbers are few enough, and long enough."""
    product: Any
    """product(m, a, k, b, n, c): C[i] = A[i] @ B^T for m rows; A[i] (k,), B (n, k), C[i] (n,)."""


@functools.cache
def make_dots(dtype: type) -> Dots:
    """For float32 or float64, translated once for all who call them."""
    size = np.dtype(dtype).itemsize
    width = VECTOR_BYTES // size
    few, deep = few_inputs(dtype), INNER * width
    t4x3, t4x1, t1x3, t1x1 = (_tile(dtype, mr, nr) for mr, nr in ((4, 3), (4, 1), (1, 3), (1, 1)))

    @part
    def suit(k, n):
        return n <= few and k >= 2 * width

    @part
    def product(m, a, k, b, n, c):
        begin = 0
        while begin < k:
            depth = deep if k - begin > deep + width else k - begin  # so that more than a vector is left
            i = 0
            while i < m:
                rows, at, j = 4 if m - i > 3 else 1, 8 * i, 0
                while j < n:
                    of_b, columns = b + size * k * j, 3 if n - j > 2 else 1
                    if rows == 4 and columns == 3:
                        t4x3(a + at, of_b, k, begin, depth, c + at, j)
                    elif rows == 4:
                        t4x1(a + at, of_b, k, begin, depth, c + at, j)
                    elif columns == 3:
                        t1x3(a + at, of_b, k, begin, depth, c + at, j)
                    else:
                        t1x1(a + at, of_b, k, begin, depth, c + at, j)
                    j += columns
                i += rows
            begin += depth

    return Dots(suit, product)


def _tile(dtype: type, mr: int, nr: int) -> Any:
    """C[i][c_offset + j] = A[i] . B[j] for `mr` rows of A and `nr` of B, of k numbers: one block, added to those
    before. A block is more than a vector; each place of the vectors is a sum of its own, and these are added up."""

    @intrinsic
    def tile(_: Any, a: Any, b: Any, k: Any, begin: Any, depth: Any, c: Any, c_offset: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            a, b, k, begin, depth, c, c_offset = arguments
            one, width = ir.Constant(I64, 1), ir.Constant(I64, e.width)
            of_a = [e.offset(e.entry(a, i), begin) for i in range(mr)]
            of_b = [e.offset(b, builder.add(begin, builder.mul(k, ir.Constant(I64, j)))) for j in range(nr)]
            whole = builder.udiv(builder.sub(depth, one), width)  # so the last vector has one number at least
            end = builder.mul(whole, width)
            last = e.first(builder.sub(depth, end))
            is_first = builder.icmp_signed("==", begin, ir.Constant(I64, 0))

            def add(at: Any, sums: list[list[Any]], part: Any = None) -> list[list[Any]]:
                held = [e.load(e.offset(row, at), part) for row in of_b]
                found = []
                for row, old in zip(of_a, sums, strict=True):
                    numbers = e.load(e.offset(row, at), part)
                    found.append([e.multiply_add(numbers, of, x) for of, x in zip(held, old, strict=True)])
                return found

            nothing = [[e.constant(0)] * nr for _ in range(mr)]
            sums = e.accumulate(nothing, whole, lambda v, acc: add(builder.mul(v, width), acc))
            for i, row in enumerate(add(end, sums, last)):
                to = e.offset(e.entry(c, i), c_offset)
                for j, vector in enumerate(row):
                    place = e.at(e.offset(to, j), e.scalar)
                    before = builder.select(is_first, ir.Constant(e.scalar, 0), builder.load(place, align=e.size))
                    builder.store(builder.fadd(before, e.total(vector)), place, align=e.size)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), codegen

    return tile
