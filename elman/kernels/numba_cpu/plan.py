"""The plan: the sizes and addresses of one run, as the record that Python writes and compiled code reads."""

import ctypes
from typing import Any, NamedTuple

_LINE = 16  # 64-bit words between two counters, so that no two share a cache line
COUNTER_BYTES = 8 * _LINE


class Sizes(NamedTuple):
    """What follows from the shapes alone. What stands under "scratch" are offsets in bytes."""

    backward: int
    pack: int  # addresses of the functions of products.py
    product: int
    product_t: int
    steps: int  # T
    sequences: int  # N
    input_size: int  # I
    hidden_size: int  # H
    layers: int  # L
    directions: int  # D
    weights_a_cell: int  # 4, or 2 without bias
    relu: int
    rows: int  # R, the real steps of all sequences
    layer_bytes: int  # of the output (T, N, D * H) of one layer
    threads: int  # that may come; one more turns back
    table: int  # rows of the longest table: at least block, and the sequences of a chunk
    chunks: int  # into how many the sequences are split in the recurrence
    block: int  # rows of one task in a product over all steps
    columns: int  # rows of a weight gradient that one task sums
    ih_first: int  # bytes of a packed W_ih in the first layer
    ih_next: int  # and above
    hh: int  # bytes of a packed W_hh
    bias: int  # bytes of b_ih + b_hh
    # scratch
    zeros: int  # (max(I, D * H),) zeros
    tables: int  # (threads, 3, table) words
    packed: int  # for each cell: W_ih, W_hh, bias
    below: int  # (T, N, D * H) gradient for the layer below
    at_start: int  # (D, N, H) sum of dz over the steps that read h_0
    dz: int  # (D, R, H) gradient at the pre-activations of one layer
    x_rows: int  # (R,) addresses of a layer's input rows
    h_rows: int  # (D, R) addresses of the states each step started from
    scratch: int  # bytes of it all


class Arrays(NamedTuple):
    """Addresses, 0 where there is nothing. Then the plan lists the weights and their gradients, cell by cell."""

    memory: int  # scratch
    x: int  # (T, N, I)
    h0: int  # (L * D, N, H)
    h_n: int  # (L * D, N, H)
    output: int  # (T, N, D * H) of the last layer
    inner: int  # (L - 1, T, N, D * H), the outputs of the others
    masks: int  # (L - 1, T, N, D * H) dropout masks
    dropped: int  # (L - 1, T, N, D * H) inner * masks
    reset: int  # (T, N) bool
    lengths: int  # (N,) longest first; nothing: all are T
    order: int  # (N,) the place in h_0 and h_n of the i-th longest
    starts: int  # (T + 1,) number of real steps before t
    row_of: int  # (R,) where the r-th real step lies in (T, N)
    d_output: int  # (T, N, D * H)
    d_h_n: int  # (L * D, N, H)
    d_x: int  # (T, N, I)
    d_h0: int  # (L * D, N, H)


FIELDS = (*Sizes._fields, *Arrays._fields)
HEADER_BYTES = 8 * len(FIELDS)


def write_plan(sizes: Sizes, arrays: Arrays, weights: list[int], d_weights: list[int]) -> Any:
    """The plan in memory, followed by counters at 0: threads come, and for each phase tasks taken and tasks done."""
    words = (*sizes, *arrays, *weights, *d_weights)
    phases = 1 + 2 * sizes.layers
    return (ctypes.c_int64 * (len(words) + (1 + 2 * phases) * _LINE))(*words)
