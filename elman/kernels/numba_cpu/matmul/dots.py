"""C = A @ B^T for a B of few rows, as W_ih^T of few inputs: a vector runs along the rows, where in the tiles of a
product the few columns of C would fill a part of one."""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES, few_inputs


class Dots(NamedTuple):
    """For one dtype. Rows of A and C are given by tables of addresses."""

    suit: Any
    """suit(k, n): whether n rows of k numbers are few enough, and long enough."""
    product: Any
    """product(m, a, k, b, n, c): C[i] = A[i] @ B^T for m rows; A[i] (k,), B (n, k), C[i] (n,)."""


def make_dots(dtype: type) -> Dots:
    """For float32 or float64."""
    size = np.dtype(dtype).itemsize
    width = VECTOR_BYTES // size
    few = few_inputs(dtype)
    t4x3, t4x1, t1x3, t1x1 = (_tile(dtype, mr, nr) for mr, nr in ((4, 3), (4, 1), (1, 3), (1, 1)))

    @part
    def suit(k, n):
        return n <= few and k >= 2 * width

    @part
    def product(m, a, k, b, n, c):
        i = 0
        while i < m:
            rows, at, j = 4 if m - i > 3 else 1, 8 * i, 0
            while j < n:
                of_b, columns = b + size * k * j, 3 if n - j > 2 else 1
                if rows == 4 and columns == 3:
                    t4x3(a + at, of_b, k, c + at, j)
                elif rows == 4:
                    t4x1(a + at, of_b, k, c + at, j)
                elif columns == 3:
                    t1x3(a + at, of_b, k, c + at, j)
                else:
                    t1x1(a + at, of_b, k, c + at, j)
                j += columns
            i += rows

    return Dots(suit, product)


def _tile(dtype: type, mr: int, nr: int) -> Any:
    """C[i][c_offset + j] = A[i] . B[j] for `mr` rows of A and `nr` of B, which have more numbers than a vector: each
    place of the vectors is a sum of its own, and these are added up at the end."""

    @intrinsic
    def tile(_: Any, a: Any, b: Any, k: Any, c: Any, c_offset: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            a, b, k, c, c_offset = arguments
            one, width = ir.Constant(I64, 1), ir.Constant(I64, e.width)
            of_a = [e.entry(a, i) for i in range(mr)]
            of_b = [e.offset(b, builder.mul(k, ir.Constant(I64, j))) for j in range(nr)]
            whole = builder.udiv(builder.sub(k, one), width)  # so the last vector has one number at least
            end = builder.mul(whole, width)
            last = e.first(builder.sub(k, end))

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
                    builder.store(e.total(vector), e.at(e.offset(to, j), e.scalar), align=e.size)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), codegen

    return tile
