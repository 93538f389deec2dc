"""The plan: the sizes and addresses of one run, as the record that Python writes and compiled code reads."""

import struct
from operator import itemgetter
from typing import NamedTuple, TypedDict

LINE = 64  # bytes: every array in scratch memory starts at a multiple
COUNTER_BYTES = 2 * LINE  # from a counter to the next, since lines may be taken in pairs
TABLES = 12  # of addresses, that each thread has


class Shapes(TypedDict):
    """What follows from the shapes alone. What stands under "scratch" are offsets in bytes. S is the cell's slots, Gh
    those of them that W_hh writes."""

    pack: int  # addresses of the functions of products.py
    product: int
    product_t: int
    steps: int  # T
    sequences: int  # N
    rows: int  # of input and output, padding among them: T * N, or packed R
    input_size: int  # I
    widest: int  # the largest K of all layers
    hidden_size: int  # H
    output_size: int  # P, or H where h is not projected
    layers: int  # L
    directions: int  # D
    bias: int  # whether there are biases
    projected: int  # whether there is a W_hr
    weights_a_direction: int  # how many tensors
    function: int  # which f is, where the cell has the choice
    ragged: int  # 0: all sequences have T steps, 1: padded to T, 2: packed
    x_turned: int  # whether x is (N, T, I) in memory
    threads: int  # that may come; one more turns back
    number_of_thread: int  # the address of a function that says which of its team the calling one is, or 0
    table: int  # rows of the longest table: at least block, and the sequences of a chunk
    own: int  # forward: whether a thread computes a step in memory of its own, and then copies what is kept of it
    far: int  # whether what the run keeps lies outside of the second caches: then rows are asked for before their use
    asks: int  # whether a weight lies so far away that products ask for what of it comes next
    apart: int  # bytes between the parts that threads, or chunks of sequences, have of an array in scratch memory
    most: int  # sequences that one task runs
    chunks: int  # into how many the sequences are split in the recurrence
    shares: int  # into how many the hidden units are split instead, all sequences in each; 0: the sequences are
    groups: int  # of neighbouring sequences, whose weight gradients are sums apart; 0: they are sums over all
    pieces: int  # whether each chunk sums the gradients at the weights by itself: its groups', or its piece of them
    block: int  # rows of one task in a product over many steps
    units: int  # hidden units whose rows of the weight gradients one task sums
    span: int  # steps after which forward reads input again, where fused, and backward turns dz into other gradients
    fused: int  # forward: whether who recurs reads the input too, a span at a time; 0: it is a phase before
    keeps: int  # forward: whether z of every step is kept; if not, what is fused has only that of a span
    overlap: int  # whether a span's recurrence runs beside what follows from the span before, and dz of both is kept
    z_rows: int  # forward, fused: of z in one span of a thread or share, and those that keep it apart from the next one
    span_rows: int  # of dz in one span of a direction; or of a chunk that sums by itself, and those that keep it apart
    weight_numbers: int  # at most, of the gradients at the weights of a direction
    piece_numbers: int  # of a chunk's pieces of them, and those that keep them apart from the next one's
    z_step: int  # numbers from a row z in scratch memory, or of dz, to the next one
    h_step: int  # the same of h of a step
    padded: int  # H in whole vectors: where units are shared, each gate is packed by itself
    ih_first: int  # bytes of a packed W_ih in the first layer
    ih_next: int  # and above
    hh: int  # bytes of a packed W_hh
    hr: int  # bytes of a packed W_hr
    biases: int  # bytes of the biases of all slots
    # scratch; (D, N, .) are apart by chunks where sequences are split, and where units are shared each share has some
    sealing: int  # (threads,) vectors
    zeros: int  # (max(I, D * P, S * H),) zeros
    tables: int  # (threads, TABLES, table) words
    sums_of_chunks: int  # (chunks, D, weight_numbers) the chunks' pieces of one layer's gradients at the weights
    of_direction: int  # (threads, block, K of any layer) what one of two directions adds to the gradient at rows of x
    narrow: int  # (threads, few inputs, S * H + INNER) where W_ih is narrow: sums transposed, and a block of x
    firsts: int  # (chunks + 1,) the first sequence of each chunk
    ordered: int  # (N,) lengths, in each chunk the longest first
    order: int  # (N,) and their places in the states
    starts: int  # (chunks, T + 1) number of real steps of the chunk before t
    offsets: int  # (T + 1,) packed: where the steps t begin
    packed: int  # for each direction of each layer: W_ih, W_hh, W_hr, biases
    z_scratch: int  # (T, N, D, z_step) where none is kept, or fused (threads, or D and shares, z_rows, z_step): S * H
    h_own: int  # (threads, 2, most, h_step): P of h of a step and of the one before
    c_own: int  # (D, N, H) c of a step
    projecting: int  # (D, N, H) what is to be projected, where none is kept; backward its gradient
    below: int  # (T, N, D * P) gradient for the layer below
    below_too: int  # the same for every other layer, if two directions read and write it in different orders
    at_start: int  # (D, N, Gh * H) sum of dz over the steps that read h_0
    after_span: int  # (D, N, Gh * H) dz of the first step of the span before
    dh: int  # (D, N, P) gradient at h of a step; projected as dz with P, since W_hr's gradient needs it
    carried: int  # (D, N, H) what is carried to the step before beside dz
    carried_to_start: int  # (D, N, H) its sum over the steps that read the initial state
    dz: int  # (D, twice if spans overlap, or in pieces threads, span_rows, z_step): S * H gradients at pre-activations
    x_rows: int  # (as dz without the last axis) addresses of the input rows each step read
    h_rows: int  # (the same) addresses of the states each step started from
    m_rows: int  # (the same) addresses of what each step projected
    mask_rows: int  # (the same) with recurrent dropout, addresses of the masks of these states
    masked: int  # with recurrent dropout: (threads, most, P), or backward (threads, INNER, P), states times their masks
    h_carried: int  # (D, N, P) with zoneout of h beside another state: what is carried to h of the step before
    h_to_start: int  # (D, N, P) its sum over the steps that read the initial state


class Arrays(NamedTuple):
    """What differs from call to call: addresses, 0 where there is nothing, and one flag.

    Then the plan lists the weights and their gradients, direction by direction.
    """

    memory: int  # scratch
    prepared: int  # whether scratch still holds the packed weights of the run before, as in a stream
    x: int  # (T, N, I), or packed (R, I)
    h0: int  # (L * D, N, P)
    c0: int  # (L * D, N, H)
    h_n: int  # (L * D, N, P)
    c_n: int  # (L * D, N, H)
    output: int  # of the last layer, (T, N, D * P) or packed (R, D * P)
    inner: int  # the outputs of the other layers
    dropped: int  # inner * masks
    z: int  # (L, D, T, N, S * H) what is kept of every step
    c: int  # (L, D, T, N, H)
    m: int  # (L, D, T, N, H) what was projected
    masks: int  # dropout masks, for each layer but the last
    recurrent: int  # (L * D, N, P) dropout masks of h before a step
    reset: int  # (T, N) bool
    lengths: int  # (N,), or packed the batch size of each step (T,)
    seal: int  # the address of one number, to which the output's seal is added; 0: not asked for
    d_output: int  # as output, each row's numbers one after the other
    d_output_step: int  # bytes from a row of d_output to that of the next step, 0: all steps have the same; not packed
    d_output_row: int  # bytes from a row to that of the next sequence, or packed to the next one
    d_h_n: int
    d_c_n: int
    d_x: int
    d_h0: int
    d_c0: int
    leak: int  # (L * D or 1, T, N, W) or (L * D or 1, W): rows of the leak, W wide
    leak_place: int  # bytes from a direction's leak to the next one's, 0: all have the same
    leak_row: int  # bytes from a step's leak to the next one's, 0: all have the same
    drive: int  # (L * D or 1, T, N, H) or (L * D or 1, H), what is added to the pre-activation
    drive_place: int
    drive_row: int
    d_leak: int  # (L * D, T, N, W), or (L * D, N, W) where all steps have the same
    d_drive: int  # (L * D, T, N, H)


_SHAPES = (*Shapes.__annotations__,)
FIELDS = (*_SHAPES, *Arrays._fields)
HEADER_BYTES = 8 * len(FIELDS)
OF_FORWARD = 1 + Arrays._fields.index("seal")
"""How many of Arrays differ from one forward run to the next: those before d_output."""
FORWARD = struct.Struct(f"{OF_FORWARD}q")
"""How the plan goes on after the shapes: with these."""


def head_of(shapes: Shapes) -> bytes:
    """How the plan begins."""
    return struct.pack(f"{len(_SHAPES)}q", *itemgetter(*_SHAPES)(shapes))


def after_forward(weights: int, threads: int, shares: int) -> struct.Struct:
    """How the plan goes on then: the rest of Arrays, the weights and their gradients, counters that begin at 0.

    The counters: tasks done; of each share of the units, in each direction, the steps done; of each thread the phase
    and how many of its tasks are taken, and whether it has come. A single thread does not count.
    """
    counters = 0 if threads == 1 else 1 + shares + threads
    return struct.Struct(f"{len(Arrays._fields) - OF_FORWARD + 2 * weights}q{counters * COUNTER_BYTES}x")
