"""The three matrix operations of the kernels, for any size, made of tiles."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.compile.parts import part, pointer_to
from elman.kernels.numba_cpu.compile.processor import FEATURES, INNER, VECTOR_BYTES, panel_columns, vectors_a_panel
from elman.kernels.numba_cpu.matmul.few_rows import FEW_SUMS, NEAR_BYTES, blocks_by_twos, panels_by_pairs
from elman.kernels.numba_cpu.matmul.panels import make_panels
from elman.kernels.numba_cpu.matmul.tile import column_tile, gathering_tile, row_tile, stack_room, transposing_tile
from elman.kernels.numba_cpu.plan.addresses import prefetch_soon
from elman.kernels.numba_cpu.plan.record import LINE

_COLUMNS = 192  # of A that product_t reads at a time
_ASKING_ROWS = 40  # of A, from which on a product may ask for what of B comes next
_PANEL_BYTES = 8 << 10  # of a panel that a product sums over before the next, where that is more than INNER indices


class Products(NamedTuple):
    """The operations for one dtype. Matrices are given by addresses; rows of A, C_in, C, and of B in product_t, by
    tables of addresses. A packed matrix is panels of columns (panels.py), one after the other, each (k, columns) with
    its columns padded with 0 to whole vectors."""

    pack: Callable[..., None]
    product: Callable[..., None]
    product_t: Callable[..., None]


@part
def _ask(first, lines, i, count, m):
    """For the lines from an address on that fall to rows i to i + count of m."""
    for line in range(lines * i // m, lines * (i + count) // m):
        prefetch_soon(first + LINE * line)


def make_products(dtype: type) -> Products:
    """The operations for float32 or float64."""
    size = np.dtype(dtype).itemsize
    width = VECTOR_BYTES // size
    most = vectors_a_panel()
    panel = panel_columns(dtype)
    inner = INNER * 4 // size
    deep = max(inner, _PANEL_BYTES // (VECTOR_BYTES * most) * 4 // size)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)

    @part
    def rows_of_tile(left):
        """The rows of the next tile. The last are about as many each: a tile of few sums waits for one multiplication
        after the other."""
        return 6 if left > 9 or left == 6 else (left + 1) // 2 if left > 6 else left

    @part
    def columns_of_tile(tallest, left):
        """The same of product_t, whose tiles are fewer to compile, as its columns are many."""
        return 6 if tallest == 6 and (left > 9 or left == 6) else 4 if left > 3 else 2 if left > 1 else 1

    @part
    def vectors_of_tile(left):
        """Of product_t."""
        if most == 4:
            return 3 if left == 5 else min(left, 4)  # so that none is left alone
        return 3 if left == 3 or left > 4 else min(left, 2)

    def rows_of(nv: int) -> Any:
        t6, t5, t4, t3, t2, t1 = (row_tile(dtype, mr, nv, deep) for mr in (6, 5, 4, 3, 2, 1))

        @part
        def rows(m, a, b, k, c_in, c, a_offset, c_offset, valid, after, lines):
            i = 0
            while i < m:
                count, at = rows_of_tile(m - i), 8 * i
                if lines:
                    _ask(after, lines, i, count, m)
                if count == 6:
                    t6(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                elif count == 5:
                    t5(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                elif count == 4:
                    t4(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                elif count == 3:
                    t3(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                elif count == 2:
                    t2(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                else:
                    t1(a + at, b, k, c_in + at, c + at, a_offset, c_offset, valid, 0)
                i += count

        return rows

    panels_at_once, several_panels = _several_panels(dtype, most, deep)
    _, _, _, first_panel, last_panel = make_panels(dtype)

    def columns_of(nv: int) -> Any:
        tallest = 4 if most == 2 and nv == 3 else 6
        gather, (t6, t4, t2, t1) = gathering_tile(dtype, nv), (column_tile(dtype, mr, nv) for mr in (tallest, 4, 2, 1))

        @part
        def columns(m, a, a_step, table, b_offset, b, count, c, c_step, valid):
            gather(table, b_offset, count, b, valid)
            i = 0
            while i < m:
                of, from_, to = columns_of_tile(tallest, m - i), a + size * i, c + size * i * c_step
                if of == 6:
                    t6(from_, a_step, b, count, to, c_step, valid)
                elif of == 4:
                    t4(from_, a_step, b, count, to, c_step, valid)
                elif of == 2:
                    t2(from_, a_step, b, count, to, c_step, valid)
                else:
                    t1(from_, a_step, b, count, to, c_step, valid)
                i += of

        return columns

    by_pairs, by_twos = panels_by_pairs(dtype, deep), blocks_by_twos(dtype, deep)
    transpose = transposing_tile(dtype)
    rows1, rows2 = rows_of(1), rows_of(2)
    rows3, rows4 = (rows_of(3), rows_of(4)) if most == 4 else (rows2, rows2)
    columns1, columns2, columns3 = columns_of(1), columns_of(2), columns_of(3)
    columns4 = columns_of(4) if most == 4 else columns3
    room = stack_room(size * inner * width * max(most, 3))

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
    def columns_of_tiles(m, left, n):
        """That a product takes at once, of so many that are left: the first of them, or with -n the last."""
        if n < 0 and left % panel > 0:
            return last_panel(left)
        at_once = panels_at_once(m, left // panel)
        return at_once * panel if at_once > 1 else first_panel(left)

    @part
    def product(m, a, k, b, n, c_in, c, asks):
        """C[i] = C_in[i] + A[i] @ B for m rows in tables of addresses; A[i] (k,), B packed (k, n), C[i] (n,).

        With -n its panels are read from the last to the first: who reads a matrix in turns finds the end of the turn
        before in the cache. With `asks`, what of B comes next is asked for, beside each tile a part.
        """
        left = abs(n)
        step = size * k * panel
        near = size * k * left <= NEAR_BYTES
        if m == 1:  # for whom these panels come first, and then the others from the first on
            columns = by_pairs(a, k, b, left, c_in, c)
            n, left = left if columns > 0 else n, left - columns
        while left > 0:
            columns = columns_of_tiles(m, left, n)
            j0 = n - left if n > 0 else left - columns
            nv = (min(columns, panel) + width - 1) // width
            valid = min(columns, panel) - (nv - 1) * width
            few = near and columns <= panel and 0 < m * nv <= FEW_SUMS
            done = by_twos(m, nv, a, k, b + size * j0 * k, c_in, c, j0, valid) if few else 0
            for k0 in range(done, k, deep):
                depth = min(deep, k - k0)
                block = b + size * (j0 * k + k0 * nv * width)
                source = c_in if k0 == 0 else c
                after, lines = 0, 0
                if asks and m >= _ASKING_ROWS:
                    lines = depth * nv * VECTOR_BYTES // LINE
                    after = block + LINE * lines
                    if k0 + depth == k:
                        after = b + size * k * (j0 + columns if n > 0 else j0 - columns_of_tiles(m, j0, n))
                if columns > panel:
                    several_panels(m, columns // panel, a, block, depth, source, c, k0, j0, step, after, lines)
                elif nv == 4:
                    rows4(m, a, block, depth, source, c, k0, j0, valid, after, lines)
                elif nv == 3:
                    rows3(m, a, block, depth, source, c, k0, j0, valid, after, lines)
                elif nv == 2:
                    rows2(m, a, block, depth, source, c, k0, j0, valid, after, lines)
                else:
                    rows1(m, a, block, depth, source, c, k0, j0, valid, after, lines)
            left -= columns

    @part
    def product_t(count, a, a_step, m, b, n, c):
        """C[i, j] += sum over r of A[r, i] * B[r, j]; A (count, m) with row step a_step, C (m, n).

        Some columns of A at a time, which stay in the second cache beside their rows of C. All tiles of some columns of
        B read the same part of it from rows side by side: as they are, rows a power of two apart would drive each other
        out of the first cache.
        """
        gathered = room()
        for i0 in range(0, m, _COLUMNS):
            many = min(_COLUMNS, m - i0)
            for r0 in range(0, count, inner):
                depth = min(inner, count - r0)
                first = a + size * (r0 * a_step + i0)
                table = b + 8 * r0
                j0 = 0
                while j0 < n:
                    nv = vectors_of_tile((n - j0 + width - 1) // width)
                    columns = min(nv * width, n - j0)
                    valid = columns - (nv - 1) * width
                    to = c + size * (i0 * n + j0)
                    if nv == 4:
                        columns4(many, first, a_step, table, j0, gathered, depth, to, n, valid)
                    elif nv == 3:
                        columns3(many, first, a_step, table, j0, gathered, depth, to, n, valid)
                    elif nv == 2:
                        columns2(many, first, a_step, table, j0, gathered, depth, to, n, valid)
                    else:
                        columns1(many, first, a_step, table, j0, gathered, depth, to, n, valid)
                    j0 += columns

    return Products(pack, product, product_t)


def _several_panels(dtype: type, most: int, deep: int) -> tuple[Any, Any]:
    """panels_at_once(m, whole), and the product of m rows by as many panels, of tiles that span them; one at a time,
    where a panel fills the registers."""
    if most > 2:

        @part
        def always_one(m, whole):
            return 1

        @part
        def never(m, panels, a, b, k, c_in, c, a_offset, c_offset, panel_step, after, lines):
            pass

        return always_one, never

    width = VECTOR_BYTES // np.dtype(dtype).itemsize
    fused = bool(FEATURES.get("fma"))
    t1x4, t1x2, t2x3, t2x2, t3x2 = (
        row_tile(dtype, mr, most, deep, panels) for mr, panels in ((1, 4), (1, 2), (2, 3), (2, 2), (3, 2))
    )
    t4x3, t3x3 = (row_tile(dtype, mr, most, deep, 3, together=3) for mr in (4, 3))

    @part
    def panels_at_once(m, whole):
        """Of so many whole panels, for m rows: where a tile has 12 sums, none waits for another, and 4 rows by 3
        vectors read less for as many sums as 6 by 2. Without fused multiply-adds they have too few registers. Two
        rows of four panels take two and two, as three would leave one."""
        if m < 1 or whole < 2:
            return 1
        if m == 1:
            return 4 if whole > 3 else 2
        if fused and m != 3 and whole > 2 and (m > 2 or whole != 4):
            return 3
        return 2 if m == 2 or (fused and m == 3) else 1

    @part
    def several_panels(m, panels, a, b, k, c_in, c, a_offset, c_offset, panel_step, after, lines):
        if panels == 3:
            i = 0
            while i < m:
                left, at = m - i, 8 * i
                count = 4 if left > 5 or left == 4 else 3 if left > 2 else 2  # so that no row is left alone
                if lines:
                    for panel in range(panels):
                        _ask(after + panel * panel_step, lines, i, count, m)
                if count == 4:
                    t4x3(a + at, b, k, c_in + at, c + at, a_offset, c_offset, width, panel_step)
                elif count == 3:
                    t3x3(a + at, b, k, c_in + at, c + at, a_offset, c_offset, width, panel_step)
                else:
                    t2x3(a + at, b, k, c_in + at, c + at, a_offset, c_offset, width, panel_step)
                i += count
        elif panels == 4:
            t1x4(a, b, k, c_in, c, a_offset, c_offset, width, panel_step)
        elif m == 1:
            t1x2(a, b, k, c_in, c, a_offset, c_offset, width, panel_step)
        elif m == 2:
            t2x2(a, b, k, c_in, c, a_offset, c_offset, width, panel_step)
        else:
            t3x2(a, b, k, c_in, c, a_offset, c_offset, width, panel_step)

    return panels_at_once, several_panels
