"""How a run is split between threads and in time, by rules that were measured (docs/decisions)."""

from elman.kernels.numba_cpu.cells.table import Kind
from elman.kernels.numba_cpu.compile.processor import INNER

_SPAN_ROWS, _SPAN_BYTES = 1024, 1 << 20  # of dz in one span of the backward pass: at least both, but all steps do
_GATED_SPAN_ROWS, _GATED_SPAN_BYTES = 128, 1 << 19  # the same of a cell of several slots, whose rows are as much longer
_LARGE_SPAN_ROWS = 512  # of these where one step has more than _SPAN_BYTES, which no second cache holds
_PIECE_BYTES = 1 << 21  # of the gradients at a direction's weights, up to which each chunk sums its own
_PIECE_ROWS = 64  # of dz that a thread has, from which on it does
_FORWARD_ROWS = 96  # of z in one span of the forward pass of a cell that keeps z, at least
_FAR_WEIGHT_BYTES = 4 << 20  # of a weight, above which it lies far from the processor
_FAR_FORWARD_ROWS = 768  # as _FORWARD_ROWS, where a thread reads more than _FAR_WEIGHT_BYTES of W_ih for each span,
_FAR_SPAN_BYTES = 1 << 26  # and such spans of all threads have no more than this
_MATRIX_BYTES = 8 << 20  # of a W_hh that each thread had better read only a part of, however many sequences it has
_FEW_BYTES = {1: 1 << 18, 2: 1 << 20}  # the same where some threads would have so many sequences, and some one more
_SHARE_BYTES = 256  # of a row of h, for each share of the units
_WAITING_BYTES = 1 << 16  # of W_hh for each sequence, from which on a wait takes less time than it saves


def reads_in_recurrence(
    in_place: bool, steps: int, ragged: int, masked: bool, tasks: int, shares: int, threads: int
) -> bool:
    """Whether who recurs reads the input too, so that z of a span of steps is still in the cache."""
    if masked or (shares == 0 and tasks < threads):  # then a thread alone would read
        return steps == 1 and ragged == 0 and not masked
    return not in_place or (steps == 1 and ragged == 0)


def steps_read_at_once(sequences: int, part_bytes: int, row_bytes: int) -> int:
    """The steps of one span of the forward pass, for which a thread reads so many bytes of W_ih; one row z of each
    thread's has so many bytes in all."""
    far = is_far(part_bytes) and _FAR_FORWARD_ROWS * row_bytes <= _FAR_SPAN_BYTES
    rows = _FAR_FORWARD_ROWS if far else _FORWARD_ROWS
    return -(-rows // max(1, sequences))


def is_far(weight_bytes: int) -> bool:
    """Whether a weight of so many bytes lies far from the processor."""
    return weight_bytes > _FAR_WEIGHT_BYTES


def steps_of_a_span(kind: Kind, sequences: int, step_bytes: int, groups: int) -> int:
    """The steps of one span of the backward pass, for so many bytes of dz a step."""
    # of each sequence that is apart, as many as a product sums at once; two, since where units are shared the step that
    # is written down for the span before must not be the one that reads what the span after wrote down
    least = INNER if groups else 2
    if kind.slots == 1:
        rows, in_bytes = _SPAN_ROWS, _SPAN_BYTES
    else:
        rows = _LARGE_SPAN_ROWS if step_bytes > _SPAN_BYTES else _GATED_SPAN_ROWS
        in_bytes = _GATED_SPAN_BYTES
    return max(least, -(-rows // max(1, sequences)), in_bytes // step_bytes)


def sums_in_pieces(rows: int, sequences: int, directions: int, weight_bytes: int, threads: int) -> bool:
    """Whether each thread turns dz of its own sequences into its piece of the gradients at a direction's weights."""
    if sequences < threads * directions:  # both directions' W_hh for one sequence
        return False
    return threads > 1 and rows >= _PIECE_ROWS * threads and weight_bytes <= _PIECE_BYTES


def shares_of_units(
    steps: int, sequences: int, h: int, unit_bytes: int, size: int, directions: int, threads: int
) -> int:
    """Into how many shares the hidden units are split in the recurrence, with a wait after each step; 0: the sequences
    are split instead, and nobody waits. Measured in docs/decisions."""
    least = _SHARE_BYTES // size
    matrix, each = h * h * unit_bytes, sequences // threads  # bytes that a thread would read for so many sequences
    worth = matrix >= _WAITING_BYTES * sequences
    shares = min(threads, -(-h // least))
    too_few = sequences * directions < threads and sequences < shares
    if steps > 1 and sequences > threads:
        few = matrix >= _FEW_BYTES.get(each, _MATRIX_BYTES)
    else:  # one each, or no wait but that at the end of the run
        few = each <= max(_FEW_BYTES)
    few = too_few or (few and directions == 1 and h >= least * threads)
    evenly = steps == 1 and h % (least * threads) == 0
    shared = (few and (worth or steps == 1)) or evenly or matrix > _MATRIX_BYTES
    return shares if shares > 1 and shared else 0
