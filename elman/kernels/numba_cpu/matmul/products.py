"""The three matrix operations of the kernels, for any size, made of tiles."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.compile.parts import part, pointer_to
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, vectors_a_tile
from elman.kernels.numba_cpu.matmul.tile import column_tile, row_tile, transposing_tile

_ROW_BLOCKS = (6, 4, 3, 2, 1)  # rows of a tile, tried in this order: a few sequences are read in one, or 4 and 1
_COLUMN_BLOCKS = (6, 4, 2, 1)  # the same of product_t, which has many


class Products(NamedTuple):
    """The operations for one dtype. Matrices are given by addresses; rows of A, C_in, C, and of B in product_t, by
    tables of addresses. A packed matrix is panels of so many columns, one after the other, each (k, columns) with its
    columns padded with 0 to whole vectors."""

    pack: Callable[..., None]
    product: Callable[..., None]
    product_t: Callable[..., None]


def make_products(dtype: type) -> Products:
    """The operations for float32 or float64."""
    size = np.dtype(dtype).itemsize
    width = VECTOR_BYTES // size
    most = vectors_a_tile()
    panel = most * width
    inner = INNER * 4 // size
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)

    def rows_of(nv: int) -> Any:
        t6, t4, t3, t2, t1 = (row_tile(dtype, mr, nv) for mr in _ROW_BLOCKS)

        @part
        def rows(m, a, b, k, c_in, c, a_offset, c_offset, valid):
            i = 0
            while i + 6 <= m:
                t6(a + 8 * i, b, k, c_in + 8 * i, c + 8 * i, a_offset, c_offset, valid)
                i += 6
            if i + 4 <= m:
                t4(a + 8 * i, b, k, c_in + 8 * i, c + 8 * i, a_offset, c_offset, valid)
                i += 4
            if i + 2 <= m:
                if i + 3 == m:
                    t3(a + 8 * i, b, k, c_in + 8 * i, c + 8 * i, a_offset, c_offset, valid)
                else:
                    t2(a + 8 * i, b, k, c_in + 8 * i, c + 8 * i, a_offset, c_offset, valid)
            elif i < m:
                t1(a + 8 * i, b, k, c_in + 8 * i, c + 8 * i, a_offset, c_offset, valid)

        return rows

    def columns_of(nv: int) -> Any:
        t6, t4, t2, t1 = (column_tile(dtype, mr, nv) for mr in _COLUMN_BLOCKS)

        @part
        def columns(m, a, a_step, b, b_offset, count, c, c_step, valid):
            i = 0
            while i + 6 <= m:
                t6(a + size * i, a_step, b, b_offset, count, c + size * i * c_step, c_step, valid)
                i += 6
            if i + 4 <= m:
                t4(a + size * i, a_step, b, b_offset, count, c + size * i * c_step, c_step, valid)
                i += 4
            if i + 2 <= m:
                t2(a + size * i, a_step, b, b_offset, count, c + size * i * c_step, c_step, valid)
                i += 2
            if i < m:
                t1(a + size * i, a_step, b, b_offset, count, c + size * i * c_step, c_step, valid)

        return columns

    transpose = transposing_tile(dtype)
    rows1, rows2 = rows_of(1), rows_of(2)
    columns1, columns2 = columns_of(1), columns_of(2)
    rows3, rows4 = (rows_of(3), rows_of(4)) if most == 4 else (rows2, rows2)
    columns3, columns4 = (columns_of(3), columns_of(4)) if most == 4 else (columns2, columns2)

    @part
    def pack(source, row_step, column_step, k, n, target, padded):
        """Writes the (k, n) matrix at `source` into a panel, whose rows are `padded` numbers, from `target` on.

        One of the steps is 1: the matrix lies there as it is, or transposed.
        """
        if column_step == 1:
            for i in range(k):
                row, to = numbers(source + size * i * row_step), numbers(target + size * i * padded)
                for j in range(n):
                    to[j] = row[j]
            return
        to = numbers(target)
        whole_k, whole = k // width * width, n // width * width
        for j in range(0, whole, width):
            for i in range(0, whole_k, width):
                at = source + size * (i + j * column_step)
                transpose(at, column_step, target + size * (i * padded + j), padded)
        for j in range(n):
            column = numbers(source + size * j * column_step)
            for i in range(whole_k if j < whole else 0, k):
                to[i * padded + j] = column[i]

    @part
    def product(m, a, k, b, n, c_in, c):
        """C[i] = C_in[i] + A[i] @ B for m rows in tables of addresses; A[i] (k,), B packed (k, n), C[i] (n,).

        With -n its panels are read from the last to the first: who reads a matrix in turns finds the end of the turn
        before in the cache.
        """
        columns = abs(n)
        last = (columns - 1) // panel * panel
        for j in range(0, columns, panel):
            j0 = j if n > 0 else last - j
            left = min(panel, columns - j0)
            nv = (left + width - 1) // width
            valid = left - (nv - 1) * width
            for k0 in range(0, k, inner):
                depth = min(inner, k - k0)
                block = b + size * (j0 * k + k0 * nv * width)
                source = c_in if k0 == 0 else c
                if nv == 4:
                    rows4(m, a, block, depth, source, c, k0, j0, valid)
                elif nv == 3:
                    rows3(m, a, block, depth, source, c, k0, j0, valid)
                elif nv == 2:
                    rows2(m, a, block, depth, source, c, k0, j0, valid)
                else:
                    rows1(m, a, block, depth, source, c, k0, j0, valid)

    @part
    def product_t(count, a, a_step, m, b, n, c):
        """C[i, j] += sum over r of A[r, i] * B[r, j]; A (count, m) with row step a_step, C (m, n)."""
        for r0 in range(0, count, inner):
            depth = min(inner, count - r0)
            first = a + size * r0 * a_step
            table = b + 8 * r0
            for j0 in range(0, n, panel):
                left = min(panel, n - j0)
                nv = (left + width - 1) // width
                valid = left - (nv - 1) * width
                to = c + size * j0
                if nv == 4:
                    columns4(m, first, a_step, table, j0, depth, to, n, valid)
                elif nv == 3:
                    columns3(m, first, a_step, table, j0, depth, to, n, valid)
                elif nv == 2:
                    columns2(m, first, a_step, table, j0, depth, to, n, valid)
                else:
                    columns1(m, first, a_step, table, j0, depth, to, n, valid)

    return Products(pack, product, product_t)
