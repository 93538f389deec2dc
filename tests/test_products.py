"""The matrix operations and formulas of machine code against numpy in double precision, at every size of the last tile
and vector; and no number beside a result is written to."""

import os
import platform
import sys

import forked
import pytest

PROGRAM = """
import ctypes
import numpy as np
from numba import njit
from elman.kernels.numba_cpu.compile import cache
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, panel_columns
from elman.kernels.numba_cpu.compile.vectors import for_units

BESIDE = 7.0
random = np.random.default_rng(0)

def table(rows):
    return np.array([row.ctypes.data for row in rows], np.int64)

def same(found, expected, dtype, what):
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 if dtype is np.float32 else 1e-11, err_msg=what)

def functions(dtype):
    shared = cache._ALL_CELLS, dtype
    if shared not in cache._loaded:
        cache._load({(cache._ALL_CELLS, name) for name in cache._SHARED}, *shared)
    loaded, word = cache._loaded[shared], ctypes.c_int64
    return [ctypes.CFUNCTYPE(None, *[word] * n)(loaded[name]) for name, n in (("product", 8), ("product_t", 7))]

def packed(b, dtype):
    width, panel, pieces, n = VECTOR_BYTES // np.dtype(dtype).itemsize, panel_columns(dtype), [], b.shape[1]
    edges = [*range(0, n, panel), n]
    if panel == 4 * width and n > panel and 0 < n % panel <= width:  # not one vector alone: three and two
        edges[-2] -= width
    for j, after in zip(edges, edges[1:]):
        part = b[:, j:after]
        whole = np.zeros((len(b), -(-part.shape[1] // width) * width), dtype)
        whole[:, : part.shape[1]] = part
        pieces.append(whole.ravel())
    return np.concatenate(pieces)

def check_product(product, m, k, n, dtype, backwards, asks=0, in_place=True):
    a, b, start = (random.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
    c, c_in = np.full((m, n + 1), BESIDE, dtype), start.copy()
    if in_place:
        c[:, :n] = start
    of_a, of_c, panels = table(a), table(c), packed(b, dtype)
    of_c_in = of_c if in_place else table(c_in)
    at_b, columns = panels.ctypes.data, -n if backwards else n
    product(m, of_a.ctypes.data, k, at_b, columns, of_c_in.ctypes.data, of_c.ctypes.data, asks)
    what = f"product {m} {k} {columns} {dtype.__name__} {in_place}"
    same(c[:, :n], start + a.astype(float) @ b, dtype, what)
    assert (c[:, n] == BESIDE).all() and (c_in == start).all(), what

def check_product_t(product_t, count, m, n, dtype):
    a, b, start = (random.standard_normal(shape).astype(dtype) for shape in ((count, m), (count, n), (m, n)))
    beside = np.full(m * n + 1, BESIDE, dtype)
    beside[:-1] = start.ravel()
    of_b = table(b)
    product_t(count, a.ctypes.data, m, m, of_b.ctypes.data, n, beside.ctypes.data)
    what = f"product_t {count} {m} {n} {dtype.__name__}"
    same(beside[:-1].reshape(m, n), start + a.astype(float).T @ b, dtype, what)
    assert beside[-1] == BESIDE, what

def step(units):
    units["b"] = units["a"] * 2 + units["b"]
    units["c"] = (1 - units["a"]) * units["c"] + units["a"] * units["b"]

def check_units(dtype):
    formula = for_units(dtype, ("a", "b", "c"), step)

    @njit
    def run(n, a, b, c):
        formula(n, 0, (a, b, c))

    for n in range(1, 3 * VECTOR_BYTES // np.dtype(dtype).itemsize):
        a = np.full(n, random.standard_normal(), dtype)
        b, c = np.full(n + 1, BESIDE, dtype), np.full(n + 1, BESIDE, dtype)
        run(n, a.ctypes.data, b.ctypes.data, c.ctypes.data)
        same(b[:n], 2 * a.astype(float) + BESIDE, dtype, f"units {n}")
        same(c[:n], (1 - a.astype(float)) * BESIDE + a * b[:n].astype(float), dtype, f"units {n}")
        assert b[n] == c[n] == BESIDE, n
        if VECTOR_BYTES > 16:  # numba compiles the formula for this processor, which fuses what one with SSE cannot
            assert len({*b[:n]}) == len({*c[:n]}) == 1, f"of {n} units that are alike the last have other bits"

for dtype in (np.float32, np.float64):
    (product, product_t), panel, size = functions(dtype), panel_columns(dtype), np.dtype(dtype).itemsize
    panel_bytes = size * panel
    few, many = range(1, 2 * panel + 2), (3 * panel, 4 * panel, 5 * panel + 1, 6 * panel + panel // 2)
    for m in (*range(14), 32):
        for n in (*(few if m in (0, 1, 2, 4, 6) else few[::5]), *many):
            for k, backwards in ((3, False), (130, True)):
                check_product(product, m, k, n, dtype, backwards)
                if m:
                    check_product_t(product_t, k, m, n, dtype)
        if m == 1:  # short panels may be taken together
            for k in (67, 96, 97):
                for n in (*few, *many):
                    check_product(product, m, k, n, dtype, backwards=n % 2 == 0, in_place=False)
        if m < 5:  # and blocks of the inner index: two times two of them, and what is left
            k = 4 * max(INNER * 4, 4 * 8192 // panel_bytes) // size + 2
            for n in few[:panel:3]:
                for in_place in (True, False):
                    check_product(product, m, k, n, dtype, backwards=n % 2 == 0, in_place=in_place)
    for n in many:
        for backwards in (False, True):  # of 40 rows a product may ask for what comes next
            check_product(product, 40, 130, n, dtype, backwards, asks=1)
    for m in (192, 193, 400):  # columns of A that product_t reads at a time, and more
        check_product_t(product_t, 130, m, panel + 3, dtype)
    check_units(dtype)
print(VECTOR_BYTES)
"""


@pytest.mark.parametrize("processor", [None, "haswell", "sandybridge", "x86-64"])
def test_products_and_formulas(processor: str | None) -> None:
    if processor and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the older ones are of x86-64")
    words = {} if processor is None else {"ELMAN_CPU": processor}
    done = forked.run(PROGRAM, PYTHONPATH=os.pathsep.join(sys.path), **words)
    assert done.returncode == 0, done.stderr
    assert processor is None or done.stdout.strip() == {"haswell": "32", "sandybridge": "32", "x86-64": "16"}[processor]
