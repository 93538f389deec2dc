"""What follows from the shapes of a run: threads, how the work is split, scratch memory, and most of the plan."""

import functools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman import _fork
from elman.kernels.numba_cpu import team
from elman.kernels.numba_cpu.compiled import code_for
from elman.kernels.numba_cpu.plan import Sizes, after_sizes
from elman.kernels.numba_cpu.sizes import INNER, VECTOR_BYTES, padded_columns, vectors_a_tile
from elman.kernels._old_problem import Problem

_BLOCK = 96  # steps in one task of a product over many steps
_CHUNK = 12  # sequences of one task where their weight gradients are apart: two tiles' rows
_SPAN_ROWS, _SPAN_BYTES = 1024, 1 << 20  # of dz in one span of the backward pass: at least both, but all steps do
_MATRIX_BYTES = 8 << 20  # of a W_hh that each thread had better read only a part of
_LINE = 64  # bytes: every array in scratch memory starts at a multiple
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


class Prepared(NamedTuple):
    """Everything about a run that follows from the shapes. Its plan is `head` and what `rest` packs, in which the
    kernel counts."""

    start: Callable[[Any], None]  # runs the kernel on a plan
    scratch: int  # bytes
    output: tuple[int, ...]  # the shapes of output and h_n
    h_n: tuple[int, ...]
    head: bytes  # the plan's sizes
    rest: struct.Struct  # what comes after them: Arrays and what else plan.after_sizes says


def prepare(
    problem: Problem,
    x: Tensor,
    weights: Sequence[Tensor],
    backward: bool,
    apart: int = 0,
    x_turned: bool = False,
    d_output_turned: bool = False,
) -> Prepared:
    """What a run needs besides addresses."""
    shape, h = x.shape, weights[1].shape[0]
    nonlinearity, layers, directions, bias, lengths, _, _, batch_sizes = problem
    if batch_sizes is None:
        ragged, steps, sequences = 0 if lengths is None else 1, shape[0], shape[1]
    else:
        ragged, steps, sequences = 2, batch_sizes.shape[0], int(batch_sizes[0])
    of = (nonlinearity, layers, directions, bias, ragged, steps, sequences, shape, h, x.dtype, backward, apart)
    return _prepare(*of, x_turned, d_output_turned, torch.get_num_threads(), _fork.forked)


@functools.lru_cache(maxsize=1024)
def _prepare(
    nonlinearity: str,
    layers: int,
    directions: int,
    bias: bool,
    ragged: int,
    steps: int,
    sequences: int,
    shape: tuple[int, ...],
    h: int,
    torch_dtype: torch.dtype,
    backward: bool,
    apart: int,  # groups of sequences whose weight gradients are apart; 0: one sum over all
    x_turned: bool,
    d_output_turned: bool,
    available: int,
    forked: bool,  # then other threads run the kernel
) -> Prepared:
    rows, input_size, weights_a_cell = math.prod(shape[:-1]), shape[-1], 4 if bias else 2
    work = rows * directions * h * (input_size + (layers - 1) * directions * h + layers * h)
    threads = team.threads_for(available, work, steps)
    block = _BLOCK if threads == 1 else min(_BLOCK, max(6, rows // (4 * threads)))
    dtype = _DTYPES[torch_dtype]
    size, width = np.dtype(dtype).itemsize, directions * h
    chunks = max(1, min(sequences, -(-threads // directions)))
    if apart:
        chunks = min(apart, max(threads, -(-sequences // _CHUNK)))
    columns = h if threads == 1 else max(12, -(-h * directions // (4 * threads)))
    groups = groups_of_columns(steps, sequences, h, size, directions, threads)
    groups = groups if ragged == 0 and steps * sequences > 0 and not apart else 0
    a_chunk = -(-apart // chunks) * (sequences // apart) if apart else -(-sequences // chunks)
    table = max(block, sequences if groups or ragged else a_chunk)
    of_step = max(1, sequences * width)  # numbers
    once = 1 if backward else 0  # arrays that only the backward pass needs
    kept, times = (a_chunk, threads) if apart else (sequences, directions)  # sequences whose dz is kept, how many times
    step_bytes = size * max(1, kept * (h if apart else width))
    span = max(1, min(steps, steps_of_a_span(kept, step_bytes, apart)) if backward else steps)
    # not with shared columns, where a thread that waits counts tasks that are done
    overlap = threads > 1 and span < steps and not groups and not apart
    in_spans = once * times * (2 if overlap else 1) * span * kept  # rows of dz
    phases = 1 + layers * (1 + (1 + directions) * (1 + max(1, -(-steps // span))) if backward else 2)
    rest = after_sizes(layers * directions, weights_a_cell, phases, threads)
    scratch = 0

    def take(numbers: int, size: int) -> int:
        """The offset of the next array in scratch memory."""
        nonlocal scratch
        offset = scratch
        scratch += _in_lines(numbers * size)
        return offset

    def of_ih(k: int) -> int:
        """Bytes of a packed W_ih: forward it is transposed and has H columns, backward K."""
        return _in_lines(size * (h * padded_columns(dtype, k) if backward else k * padded_columns(dtype, h)))

    ih_first, ih_next = of_ih(input_size), of_ih(width)
    hh, bias_bytes = _in_lines(size * h * padded_columns(dtype, h)), _in_lines(size * h)
    code = code_for(dtype)
    below_too = take(once * steps * of_step if layers > 1 else 0, size)
    sizes = Sizes(
        pack=code.pack,
        product=code.product,
        product_t=code.product_t,
        steps=steps,
        sequences=sequences,
        input_size=input_size,
        hidden_size=h,
        layers=layers,
        directions=directions,
        weights_a_cell=weights_a_cell,
        relu=nonlinearity == "relu",
        ragged=ragged,
        x_turned=x_turned,
        d_output_turned=d_output_turned,
        threads=threads,
        table=table,
        chunks=chunks,
        groups=groups,
        apart=apart,
        block=block,
        columns=columns,
        span=span,
        overlap=overlap,
        span_rows=span * kept,
        ih_first=ih_first,
        ih_next=ih_next,
        hh=hh,
        bias=bias_bytes,
        zeros=take(max(input_size, width), size),
        tables=take(4 * threads * table, 8),
        tails=take(threads * VECTOR_BYTES, 1),
        sums=take(once * threads * h, size),
        firsts=take(chunks + 1 if ragged else 0, 8),
        ordered=take(sequences if ragged else 0, 8),
        order=take(sequences if ragged else 0, 8),
        starts=take(chunks * (steps + 1) if ragged else 0, 8),
        offsets=take(steps + 1 if ragged == 2 else 0, 8),
        packed=take(directions * (ih_first + (layers - 1) * ih_next + layers * (hh + bias_bytes)), 1),
        below=take(once * steps * of_step, size) if layers > 2 and directions == 2 else below_too,
        below_too=below_too,
        at_start=take(once * of_step, size),
        carry=take(once * of_step, size),
        dz=take(in_spans * h, size),
        x_rows=take(in_spans, 8),
        h_rows=take(in_spans, 8),
    )
    head = struct.pack(f"{len(sizes)}q", *sizes)
    start = team.starter(code.backward if backward else code.forward, threads)
    return Prepared(start, scratch, (*shape[:-1], width), (layers * directions, sequences, h), head, rest)


def steps_of_a_span(sequences: int, step_bytes: int, apart: int) -> int:
    """The steps of one span of the backward pass, for so many bytes of dz a step."""
    least = INNER if apart else 2  # of each sequence that is apart, as many as a product sums at once
    return max(least, -(-_SPAN_ROWS // max(1, sequences)), _SPAN_BYTES // step_bytes)


def groups_of_columns(steps: int, sequences: int, h: int, size: int, directions: int, threads: int) -> int:
    """Into how many groups the columns are split in the recurrence, with a wait after each step; 0: the sequences are
    split instead, and nobody waits. Measured in docs/decisions."""
    panel = vectors_a_tile() * VECTOR_BYTES // size
    groups = min(threads, -(-h // panel))
    too_few = sequences * directions < threads and sequences < groups
    one_each = sequences == threads and directions == 1  # then each thread would read all of W_hh for one sequence
    evenly = (steps == 1 or one_each) and h % (panel * threads) == 0
    if groups > 1 and (too_few or evenly or h * h * size > _MATRIX_BYTES):
        return groups
    return 0


def _in_lines(count: int) -> int:
    """So many bytes, rounded up to whole cache lines."""
    return -(-count // _LINE) * _LINE
