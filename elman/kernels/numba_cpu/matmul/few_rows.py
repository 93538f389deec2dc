"""Products of so few rows that a tile's sums would wait for each other: it takes more of them at once. Each number is
summed as in any other tile, to the bit."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.processor import VECTOR_BYTES, panel_columns, vectors_a_panel
from elman.kernels.numba_cpu.matmul.panels import make_panels
from elman.kernels.numba_cpu.matmul.tile import row_tile

FEW_SUMS = 4  # vectors of sums in a tile, up to which it takes two blocks at once,
NEAR_BYTES = 64 << 10  # and up to which B is near: farther, two streams are read no sooner than one
_SHORT = 96  # indices of a panel, up to which two of them are in the first cache together


def panels_by_pairs(dtype: type, deep: int) -> Any:
    """by_pairs(a, k, b, n, c_in, c): the product of one row by the first whole panels, short ones of four vectors, two
    at once; how many columns these are. `deep` indices are a block."""
    size, panel, most = np.dtype(dtype).itemsize, panel_columns(dtype), vectors_a_panel()
    whole, t1x2 = make_panels(dtype).whole, row_tile(dtype, 1, most, deep, panels=2)

    @part
    def by_pairs(a, k, b, n, c_in, c):
        if most < 4 or k > _SHORT:
            return 0
        pairs = whole(n) // 2
        for pair in range(pairs):
            for k0 in range(0, k, deep):
                at, source = b + size * panel * (2 * pair * k + k0), c_in if k0 == 0 else c
                t1x2(a, at, min(deep, k - k0), source, c, k0, 2 * pair * panel, panel // most, size * panel * k)
        return 2 * panel * pairs

    return by_pairs


def blocks_by_twos(dtype: type, deep: int) -> Any:
    """by_twos(m, nv, a, k, b, c_in, c, c_offset, valid): the product of m rows by a panel of nv vectors, m * nv at most
    FEW_SUMS, two blocks of `deep` indices at once as long as there are two; how many of the k indices these are."""
    most, size, width = vectors_a_panel(), np.dtype(dtype).itemsize, VECTOR_BYTES // np.dtype(dtype).itemsize

    def tiles(*forms: tuple[int, int]) -> list[Any]:
        return [row_tile(dtype, mr, nv, deep, blocks=2) for mr, nv in forms]

    t1x1, t2x1, t3x1, t4x1, t1x2, t2x2 = tiles((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2))
    t1x3, t1x4 = tiles((1, 3), (1, 4)) if most == 4 else (t1x2, t1x2)

    @part
    def by_twos(m, nv, a, k, b, c_in, c, c_offset, valid):
        k0 = 0
        while k0 + 2 * deep <= k:
            at, source = b + size * k0 * nv * width, c_in if k0 == 0 else c
            if nv == 1 and m == 1:
                t1x1(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 1 and m == 2:
                t2x1(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 1 and m == 3:
                t3x1(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 1:
                t4x1(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 2 and m == 1:
                t1x2(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 2:
                t2x2(a, at, deep, source, c, k0, c_offset, valid, 0)
            elif nv == 3:
                t1x3(a, at, deep, source, c, k0, c_offset, valid, 0)
            else:
                t1x4(a, at, deep, source, c, k0, c_offset, valid, 0)
            k0 += 2 * deep
        return k0

    return by_twos
