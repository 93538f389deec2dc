"""What follows from the shapes of a run: threads, how the work is split, scratch memory, and most of the plan."""

import functools
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from elman import _fork
from elman.kernels.numba_cpu.allocation import LARGE
from elman.kernels.numba_cpu.cells.table import KINDS
from elman.kernels.numba_cpu.compile.cache import code_for
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, few_inputs, padded_columns
from elman.kernels.numba_cpu.plan.record import TABLES, Shapes, after_forward, head_of
from elman.kernels.numba_cpu.plan.scratch import APART, Scratch, in_lines, row_step, rows_apart
from elman.kernels.numba_cpu.plan.split import (
    is_far,
    reads_in_recurrence,
    shares_of_units,
    steps_of_a_span,
    steps_read_at_once,
    sums_in_pieces,
)
from elman.kernels.numba_cpu.rooms import Rooms, rooms
from elman.kernels.numba_cpu.threads import team
from elman.kernels.problem import Problem, weight_shapes

_BLOCK = 96  # steps in one task of a product over many steps
_CHUNK = 12  # sequences of one task where their weight gradients are apart: whole tiles' rows
_FAR_BYTES = 1 << 22  # of what a run keeps, from which on it lies outside of the second caches
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
_SEAL_BITS = {4: (1 << 32) - 4, 8: -4}  # by the bytes of a number


class Prepared(NamedTuple):
    """Everything about a run that follows from the shapes. Its plan is `head`, what FORWARD packs, and what `rest`
    packs, in which the kernel counts."""

    start: Callable[[Any], None]  # runs the kernel on a plan
    scratch: int  # bytes
    output: tuple[int, ...]
    states: tuple[tuple[int, ...], ...]  # of the last ones as of the first
    weights: list[tuple[int, ...]]
    masks: tuple[int, ...]
    saved: tuple[tuple[int, ...], ...]  # inner, dropped, and of a cell that keeps them z, c and m; (): there is none
    head: bytes  # the plan's shapes
    rest: struct.Struct  # what comes after those of FORWARD, as plan.after_forward says
    seal_bits: int  # those of a seal that are the same however the run was split, less the last two
    rooms: Rooms  # for what it makes
    large: bool  # whether the output is so large that it is worth to ask for large pages


def prepare(
    problem: Problem,
    backward: bool,
    save: bool,
    groups: int,
    x_turned: bool,
    keeps_terms: bool = False,
) -> Prepared:
    """What a run needs besides addresses."""
    cell, layers, directions, bias, projected, x, _, weights, lengths, _, masks, batch_sizes, terms, recurrent = problem
    shape = x.shape
    if batch_sizes is None:
        ragged, (steps, sequences, _) = 0 if lengths is None else 1, shape
    else:
        ragged, steps, sequences = 2, batch_sizes.shape[0], int(batch_sizes[0])
    return _prepare(
        cell.name,
        layers,
        directions,
        bias,
        projected,
        ragged,
        steps,
        sequences,
        shape,
        weights[1].shape,
        x.dtype,
        masks is not None,
        len(terms) > 0,
        keeps_terms,
        recurrent is not None,
        backward,
        save,
        groups,
        x_turned,
        torch.get_num_threads(),
        _fork.forked,
    )


@functools.lru_cache(maxsize=1024)
def _prepare(
    cell: str,
    layers: int,
    directions: int,
    bias: bool,
    projected: bool,
    ragged: int,
    steps: int,
    sequences: int,
    shape: tuple[int, ...],
    recurrent: tuple[int, int],  # the shape of W_hh
    torch_dtype: torch.dtype,
    masked: bool,
    leaks: bool,
    keeps_terms: bool,  # whether all is kept that the leak's gradient is made of
    dropped: bool,  # whether h before a step is
    backward: bool,
    save: bool,
    groups: int,  # of sequences whose weight gradients are apart; 0: one sum over all
    x_turned: bool,
    available: int,
    forked: bool,  # then other threads run the kernel
) -> Prepared:
    kind = KINDS[cell]
    if torch_dtype not in _DTYPES or len(recurrent) != 2 or recurrent[0] % kind.h_gates:
        raise RuntimeError(f"No run follows from {torch_dtype} and W_hh of {tuple(recurrent)}.")
    if not projected and recurrent[1] * kind.h_gates != recurrent[0]:
        raise RuntimeError(f"W_hh of {tuple(recurrent)} projects, and the cell does not.")
    if groups and sequences % groups:
        raise ValueError(f"{sequences} sequences cannot be divided into {groups} groups.")
    rows, input_size, weights = math.prod(shape[:-1]), shape[-1], 2 + 2 * bias + projected
    h, p = recurrent[0] // kind.h_gates, recurrent[1]
    width, slots = directions * p, kind.slots * h
    dtype = _DTYPES[torch_dtype]
    size = np.dtype(dtype).itemsize
    a_column, of_input = rows * directions * kind.x_gates * h, input_size + (layers - 1) * width
    threads = team.threads_for(available, a_column * (of_input + layers * p), steps, sequences)
    may_share = ragged == 0 and rows > 0 and not groups and not projected
    shares = shares_of_units(steps, sequences, h, size * kind.h_gates, size, directions, threads) if may_share else 0
    if not backward and not kind.in_output and not shares and sequences * directions < threads:
        # there is no more that they could share
        threads = team.threads_for(available, a_column * of_input, steps, sequences)
    chunks = max(1, min(sequences, -(-threads // directions)))
    of_weights = kind.x_gates * h * (max(input_size, width) + 1) + kind.h_gates * h * (p + 1) + h * p  # of a direction
    pieces = groups > 0
    if groups:
        chunks = min(groups, max(threads, -(-sequences // _CHUNK)))
    elif backward and not shares and sums_in_pieces(rows, sequences, directions, size * of_weights, threads):
        pieces, chunks = True, threads
    # with recurrent dropout each of these tasks multiplies the states by their masks for itself
    tasks = threads if dropped else 4 * threads
    units = h if threads == 1 else max(12, -(-h * directions // tasks))
    a_chunk = -(-groups // chunks) * (sequences // groups) if groups else -(-sequences // chunks)
    most = sequences if shares or ragged else a_chunk  # sequences that one task may run
    inputs = [input_size, width][: min(layers, 2)]
    narrowest, widest = min(inputs), max(inputs)
    few = few_inputs(dtype) if backward and narrowest <= few_inputs(dtype) else 0
    own = not backward and threads > 1
    in_place = kind.in_output and not own  # then there is nothing to gain
    fused = not backward and reads_in_recurrence(in_place, steps, ragged, masked, chunks * directions, shares, threads)
    block = _BLOCK if threads == 1 or fused else min(_BLOCK, max(6, rows // (4 * threads)))
    table = max(block, most, INNER if few or (dropped and backward) else 0)
    of_step = max(1, sequences * width)  # numbers
    far = (backward or (save and own)) and size * layers * rows * (directions * slots + width) >= _FAR_BYTES
    once = 1 if backward else 0  # arrays that only the backward pass needs
    keeps = save and not kind.in_output
    # sequences whose dz is kept, how many times
    kept = a_chunk if groups else most if pieces else sequences
    times = threads if pieces else directions
    z_step, h_step = row_step(slots, size), row_step(p, size)
    step_bytes = size * max(1, kept * (1 if pieces else directions) * z_step)
    part_bytes = size * kind.x_gates * h * widest // max(1, shares)
    readers = directions * shares or threads  # of the input, who have rows z of their own
    if backward:
        span = steps_of_a_span(kind, kept, step_bytes, groups)
    else:
        span = steps_read_at_once(most, part_bytes, size * z_step * readers)
    span = max(1, min(steps, span))
    # not with shared units, where all threads are at one recurrence
    overlap = backward and threads > 1 and span < steps and not shares and not pieces
    apart, between = (APART, rows_apart(size * z_step)) if threads > 1 else (0, 0)
    span_rows = span * kept + (between if pieces else 0)
    in_spans = once * times * (2 if overlap else 1) * span_rows  # rows of dz
    z_rows = 0 if backward or keeps or kind.in_output else rows * directions
    of_thread = span * most + between  # rows z
    if fused and (own or z_rows):
        z_rows = of_thread * readers
    rest = after_forward(layers * directions * weights, threads, shares * directions)
    scratch = Scratch(threads, directions * chunks, shares, apart)
    take, take_own, take_chunks, take_shares = scratch.take, scratch.take_own, scratch.take_chunks, scratch.take_shares

    def packed(gates: int, k: int) -> int:
        """Bytes of a packed weight (gates * H, k): forward it is transposed, backward it lies as it is."""
        if backward:
            return in_lines(size * gates * h * padded_columns(dtype, k))
        columns = gates * padded_columns(dtype, h) if shares else padded_columns(dtype, gates * h)
        return in_lines(size * k * columns)

    ih_first, ih_next, hh = packed(kind.x_gates, input_size), packed(kind.x_gates, width), packed(kind.h_gates, p)
    hr = in_lines(size * max(h * padded_columns(dtype, p), p * padded_columns(dtype, h))) if projected else 0
    biases = in_lines(size * slots)
    code = code_for(kind.name, dtype)
    below_too = take(once * steps * of_step if layers > 1 else 0, size)
    of_states, of_h = directions * sequences, kind.h_gates * h
    columns, piece_numbers = max(widest, p), directions * of_weights
    piece_numbers += min(piece_numbers, rows_apart(size * columns) * columns)
    zoned = leaks and kind.has_c and not kind.in_output
    shapes = Shapes(
        pack=code.pack,
        product=code.product,
        product_t=code.product_t,
        steps=steps,
        sequences=sequences,
        rows=rows,
        input_size=input_size,
        widest=widest,
        hidden_size=h,
        output_size=p,
        layers=layers,
        directions=directions,
        bias=bias,
        projected=projected,
        weights_a_direction=weights,
        function=kind.function,
        ragged=ragged,
        x_turned=x_turned,
        threads=threads,
        number_of_thread=team.number_of_thread() if threads > 1 else 0,
        table=table,
        own=own,
        far=int(far),
        asks=int(is_far(size * h * max(kind.x_gates * widest, kind.h_gates * p))),
        apart=apart,
        most=most,
        chunks=chunks,
        shares=shares,
        groups=groups,
        pieces=pieces,
        block=block,
        units=units,
        span=span,
        fused=fused,
        keeps=keeps,
        overlap=overlap,
        z_rows=of_thread,
        span_rows=span_rows,
        weight_numbers=of_weights,
        piece_numbers=piece_numbers,
        z_step=z_step,
        h_step=h_step,
        padded=padded_columns(dtype, h),
        ih_first=ih_first,
        ih_next=ih_next,
        hh=hh,
        hr=hr,
        biases=biases,
        sealing=take_own(VECTOR_BYTES, 1),
        zeros=take(max(input_size, width, slots), size),
        tables=take_own(TABLES * table, 8),
        sums_of_chunks=take_own(piece_numbers if pieces and not groups else 0, size),
        of_direction=take_own(once * block * widest if directions == 2 else 0, size),
        narrow=take_own(few * (slots + INNER), size),
        firsts=take(chunks + 1 if ragged else 0, 8),
        ordered=take(sequences if ragged else 0, 8),
        order=take(sequences if ragged else 0, 8),
        starts=take(chunks * (steps + 1) if ragged else 0, 8),
        offsets=take(steps + 1 if ragged == 2 else 0, 8),
        packed=take(directions * (ih_first + (layers - 1) * ih_next + layers * (hh + hr + biases)), 1),
        z_scratch=take(z_rows * z_step, size),
        h_own=take_own(2 * most * h_step if own and not shares else 0, size),
        c_own=take_shares(of_states * h if own and kind.has_c else 0, size),
        projecting=take_chunks(of_states * h if projected else 0, size),
        below=take(once * steps * of_step, size) if layers > 2 and directions == 2 else below_too,
        below_too=below_too,
        at_start=take_chunks(once * of_states * of_h, size),
        after_span=take_chunks(once * of_states * of_h, size),
        dh=take_shares(once * p * (in_spans if projected else 0 if kind.in_output else of_states), size),
        carried=take_shares(once * kind.carries * of_states * h, size),
        carried_to_start=take_shares(once * kind.carries * of_states * h, size),
        dz=take(in_spans * z_step, size),
        x_rows=take(in_spans, 8),
        h_rows=take(in_spans, 8),
        m_rows=take(in_spans if projected else 0, 8),
        mask_rows=take(in_spans if dropped else 0, 8),
        masked=take_own(p * (INNER if backward else most) if dropped else 0, size),
        h_carried=take_shares(once * of_states * p if zoned else 0, size),
        h_to_start=take_shares(once * of_states * p if zoned else 0, size),
    )
    below = (layers - 1, *shape[:-1], width) if layers > 1 else ()
    saved: tuple[tuple[int, ...], ...] = (below, below if masked else ())
    if keeps or (save and kind.carries):
        kept_numbers = (slots, h if kind.has_c else 0, h if projected else 0) if keeps or keeps_terms else (0, 0, 0)
        saved += tuple((layers, directions, *shape[:-1], n) if n else () for n in kept_numbers)
    output, states = (*shape[:-1], width), [(layers * directions, sequences, p), (layers * directions, sequences, h)]
    states = states[: 1 + kind.has_c]
    shapes_of_weights = weight_shapes(kind.h_gates, layers, directions, input_size, h, p, bias, projected)
    return Prepared(
        team.starter(code.backward if backward else code.forward, threads),
        scratch.bytes,
        output,
        (*states,),
        shapes_of_weights,
        below,
        saved,
        head_of(shapes),
        rest,
        _SEAL_BITS[size],
        rooms(torch_dtype, shape, output, states, shapes_of_weights, saved, groups),
        size * math.prod(output) >= LARGE,
    )
