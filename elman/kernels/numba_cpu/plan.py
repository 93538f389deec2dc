"""The plan: every size and address of one run, as the record that Python writes and compiled code reads."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype

_LINE = 16  # 64-bit words between two counters, so that no two share a cache line


class Header(NamedTuple):
    """Sizes and addresses of the whole run. An address is 0 where there is nothing."""

    backward: int
    pack: int  # the functions of products.py
    product: int
    product_t: int
    steps: int  # T
    sequences: int  # N
    input_size: int  # I
    hidden_size: int  # H
    layers: int  # L
    directions: int  # D
    relu: int
    rows: int  # R, the real steps of all sequences
    threads: int  # that may come; one more turns back
    tables: int  # (threads, 3, table) words, scratch
    table: int  # rows of the longest table: at least block, and the sequences of a chunk
    chunks: int  # into how many the sequences are split in the recurrence
    block: int  # rows of one task in a product over all steps
    columns: int  # rows of a weight gradient that one task sums
    lengths: int  # (N,) longest first, or 0: all are T
    order: int  # (N,) the place in h_0 and h_n of the i-th longest, or 0: i
    starts: int  # (T + 1,) number of real steps before t, or 0: t * N
    row_of: int  # (R,) where the r-th real step lies in input and output, or 0: r
    reset: int  # (data rows,) bool, or 0
    zeros: int  # (max(I, D * H),) zeros
    h0: int  # (L * D, N, H) or 0
    h_n: int  # (L * D, N, H)
    d_output: int  # (data rows, D * H) or 0
    d_h_n: int  # (L * D, N, H) or 0
    d_below: int  # (data rows, D * H) gradient for the layer below, scratch
    d_h0: int  # (L * D, N, H) or 0
    at_start: int  # (D, N, H) sum of dz over the steps that read h_0, scratch
    dz: int  # (D, R, H) gradient at the pre-activations of one layer, scratch
    x_rows: int  # (R,) addresses of a layer's input rows, scratch
    h_rows: int  # (D, R) addresses of the states each step started from, scratch


class Cell(NamedTuple):
    """Addresses of one direction of one layer."""

    inputs: int  # K, size of the layer's input
    x: int  # (data rows, K) input of the layer, after dropout
    mask: int  # (data rows, K) dropout mask that made x from the output below, or 0
    below: int  # (data rows, K) output below, before dropout, or 0
    output: int  # (data rows, D * H)
    w_ih: int  # (H, K)
    w_hh: int  # (H, H)
    b_ih: int  # (H,) or 0
    b_hh: int  # (H,) or 0
    packed_ih: int
    packed_hh: int
    bias: int  # (H,) b_ih + b_hh, scratch
    d_x: int  # (data rows, K) or 0
    d_w_ih: int
    d_w_hh: int
    d_b: int


header_type = from_dtype(np.dtype([(name, np.int64) for name in Header._fields]))
cell_type = from_dtype(np.dtype([(name, np.int64) for name in Cell._fields]))
HEADER_BYTES = 8 * len(Header._fields)
CELL_BYTES = 8 * len(Cell._fields)
COUNTER_BYTES = 8 * _LINE


def write_plan(header: Header, cells: Sequence[Cell], phases: int) -> Any:
    """The plan in memory: header, cells, then counters at 0: threads come, and for each phase tasks taken and done."""
    words = list(header)
    for cell in cells:
        words += cell
    return (ctypes.c_int64 * (len(words) + (1 + 2 * phases) * _LINE))(*words)
