"""The plan: the sizes and addresses of one run, as the record that Python writes and compiled code reads."""

import struct
from typing import NamedTuple

_LINE = 16  # 64-bit words between two counters, so that no two share a cache line
COUNTER_BYTES = 8 * _LINE


class Sizes(NamedTuple):
    """What follows from the shapes alone. What stands under "scratch" are offsets in bytes."""

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
    ragged: int  # 0: all sequences have T steps, 1: padded to T, 2: packed
    x_turned: int  # whether x is (N, T, I) in memory
    d_output_turned: int  # whether d_output is (N, T, D * H)
    threads: int  # that may come; one more turns back
    table: int  # rows of the longest table: at least block, and the sequences of a chunk
    chunks: int  # into how many the sequences are split in the recurrence
    groups: int  # into how many the columns are split, all sequences in each; 0: the sequences are split, not they
    apart: int  # groups of neighbouring sequences whose weight gradients are sums apart; 0: they are sums over all
    block: int  # rows of one task in a product over many steps
    columns: int  # rows of a weight gradient that one task sums
    span: int  # steps after which the backward pass turns dz into the other gradients
    overlap: int  # whether a span's recurrence runs beside what follows from the span before, and dz of both is kept
    span_rows: int  # of dz in one span: of one direction, or of one chunk of sequences that are apart
    ih_first: int  # bytes of a packed W_ih in the first layer
    ih_next: int  # and above
    hh: int  # bytes of a packed W_hh
    bias: int  # bytes of b_ih + b_hh
    # scratch
    zeros: int  # (max(I, D * H),) zeros
    tables: int  # (threads, 4, table) words
    tails: int  # (threads,) vectors
    sums: int  # (threads, H)
    firsts: int  # (chunks + 1,) the first sequence of each chunk
    ordered: int  # (N,) lengths, in each chunk the longest first
    order: int  # (N,) and their places in h_0 and h_n
    starts: int  # (chunks, T + 1) number of real steps of the chunk before t
    offsets: int  # (T + 1,) packed: where the steps t begin
    packed: int  # for each cell: W_ih, W_hh, bias
    below: int  # (T, N, D * H) gradient for the layer below
    below_too: int  # the same for every other layer, if two directions read and write it in different orders
    at_start: int  # (D, N, H) sum of dz over the steps that read h_0
    carry: int  # (D, N, H) dz of the first step of the span before
    dz: int  # (D, twice if spans overlap, or apart threads, span_rows, H) gradient at one layer's pre-activations
    x_rows: int  # (as dz without H) addresses of the input rows each step read
    h_rows: int  # (the same) addresses of the states each step started from


class Arrays(NamedTuple):
    """What differs from call to call: addresses, 0 where there is nothing, and two other numbers.

    Then the plan lists the weights and their gradients, cell by cell.
    """

    memory: int  # scratch
    layer_bytes: int  # of the output (T, N, D * H) of one layer, or packed (R, D * H)
    prepared: int  # whether scratch still holds the packed weights of the run before, as in a stream
    x: int  # (T, N, I), or packed (R, I)
    h0: int  # (L * D, N, H)
    h_n: int  # (L * D, N, H)
    output: int  # of the last layer
    inner: int  # the outputs of the other layers
    masks: int  # dropout masks, for each layer but the last
    dropped: int  # inner * masks
    reset: int  # (T, N) bool
    lengths: int  # (N,), or packed the batch size of each step (T,)
    d_output: int
    d_h_n: int
    d_x: int
    d_h0: int


FIELDS = (*Sizes._fields, *Arrays._fields)
HEADER_BYTES = 8 * len(FIELDS)


def after_sizes(cells: int, weights_a_cell: int, phases: int, threads: int) -> struct.Struct:
    """How the plan goes on after the sizes: Arrays, the weights and their gradients, counters that begin at 0.

    The counters: threads come, then for each phase tasks taken and tasks done. A single thread does not count.
    """
    words = len(Arrays._fields) + 2 * cells * weights_a_cell
    counters = 0 if threads == 1 else 1 + 2 * phases
    return struct.Struct(f"{words}q{counters * COUNTER_BYTES}x")
