"""The numba backend's two functions: memory and a plan for one run of the kernel."""

import ctypes
import functools
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.kernels.numba_cpu import team
from elman.kernels.numba_cpu.compiled import code_for
from elman.kernels.numba_cpu.plan import Sizes, after_sizes
from elman.kernels.numba_cpu.sizes import padded_columns
from elman.kernels.problem import Problem

_BLOCK = 96  # steps in one task of a product over many steps
_SPAN_ROWS, _SPAN_BYTES = 1024, 1 << 20  # of dz in one span of the backward pass: at least both, but all steps do
_LINE = 64  # bytes: every array in scratch memory starts at a multiple
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I), or packed (R, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """output (T, N, D * H) or (R, D * H), h_n (L * D, N, H), and what rnn_backward needs."""
    layers, directions, h = problem.num_layers, problem.num_directions, weights[1].shape[0]
    _, sequences = problem.size_of(x)
    output = torch.empty((*x.shape[:-1], directions * h), dtype=x.dtype)
    h_n = torch.empty((layers * directions, sequences, h), dtype=x.dtype)
    inner = torch.empty((layers - 1, *output.shape), dtype=x.dtype) if layers > 1 else None
    dropped = None if inner is None or problem.masks is None else torch.empty_like(inner)
    _run(problem, x, h0, weights, output, inner, dropped, h_n=h_n)
    return output, h_n, (output, inner, dropped)


def rnn_backward(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor | None],
    d_output: Tensor | None,  # as output
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights. Those at the weights come all together, or none if none is needed."""
    output, inner, dropped = saved
    assert output is not None
    d_x = torch.empty(x.shape, dtype=x.dtype) if needs[0] else None
    d_h0 = torch.empty(h0.shape, dtype=h0.dtype) if h0 is not None and needs[1] else None
    d_weights: list[Tensor | None] = [None] * len(weights)
    if any(needs[2:]):
        d_weights = [torch.empty(w.shape, dtype=w.dtype) for w in weights]
    gradients = dict(d_output=d_output, d_h_n=d_h_n, d_x=d_x, d_h0=d_h0)
    _run(problem, x, h0, weights, output, inner, dropped, d_weights=d_weights, **gradients)
    return [d_x, d_h0, *d_weights]


def _run(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    output: Tensor,
    inner: Tensor | None,
    dropped: Tensor | None,
    *,
    h_n: Tensor | None = None,
    d_output: Tensor | None = None,
    d_h_n: Tensor | None = None,
    d_x: Tensor | None = None,
    d_h0: Tensor | None = None,
    d_weights: Sequence[Tensor | None] | None = None,
) -> None:
    """Runs the kernel: forward into output, inner, dropped and h_n, or backward into the gradients that are given."""
    lengths = problem.lengths if problem.batch_sizes is None else problem.batch_sizes
    prepared = prepare(problem, x, weights, backward=d_weights is not None)
    memory = torch.empty(prepared.scratch, dtype=torch.uint8)
    # what is made contiguous here is kept until the kernel is back
    kept = [_plain(t) for t in (x, h0, problem.masks, problem.reset, lengths, d_output, d_h_n)]
    kept_weights = [_plain(w) for w in weights]
    at_x, at_h0, masks, reset, at_lengths, at_d_output, at_d_h_n = map(_address, kept)
    at_weights = list(map(_address, kept_weights))
    prepared.run(
        memory.data_ptr(),
        output.nbytes,
        at_x,
        at_h0,
        _address(h_n),
        _address(output),
        _address(inner),
        masks,
        _address(dropped),
        reset,
        at_lengths,
        at_d_output,
        at_d_h_n,
        _address(d_x),
        _address(d_h0),
        *at_weights,
        *(at_weights if d_weights is None else map(_address, d_weights)),
    )


def _plain(tensor: Tensor | None) -> Tensor | None:
    """The tensor as rows one after the other in memory."""
    if tensor is None or (tensor.is_contiguous() and not tensor.is_neg()):
        return tensor
    return tensor.resolve_neg().contiguous()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


class Prepared(NamedTuple):
    """Everything about a run that follows from the shapes. The plan lies at the head of scratch memory."""

    kernel: int
    threads: int
    scratch: int  # bytes
    head: bytes  # the plan's sizes
    rest: struct.Struct  # and what comes after them

    def run(self, memory: int, *words: int) -> None:
        """Writes the plan to scratch memory, with what comes after the sizes, then runs the kernel on it."""
        plan = self.head + self.rest.pack(memory, *words)
        ctypes.memmove(memory, plan, len(plan))
        team.run(self.kernel, memory, self.threads)


def prepare(problem: Problem, x: Tensor, weights: Sequence[Tensor], backward: bool) -> Prepared:
    """What a run needs besides addresses."""
    steps, sequences = problem.size_of(x)
    ragged, rows = 0, steps * sequences
    if problem.batch_sizes is not None:
        ragged, rows = 2, x.shape[0]
    elif problem.lengths is not None:
        ragged, rows = 1, int(problem.lengths.sum())
    h, layers, directions = weights[1].shape[0], problem.num_layers, problem.num_directions
    work = rows * directions * h * (x.shape[-1] + (layers - 1) * directions * h + layers * h)
    threads = team.threads_for(work)
    block = _BLOCK if threads == 1 else min(_BLOCK, max(6, rows // (4 * threads)))
    shape = (steps, sequences, x.shape[-1], h, layers, directions, 4 if problem.bias else 2)
    return _prepare(x.dtype, backward, problem.nonlinearity == "relu", ragged, *shape, block, threads)


@functools.lru_cache(maxsize=1024)
def _prepare(
    torch_dtype: torch.dtype,
    backward: bool,
    relu: bool,
    ragged: int,
    steps: int,
    sequences: int,
    input_size: int,
    h: int,
    layers: int,
    directions: int,
    weights_a_cell: int,
    block: int,
    threads: int,
) -> Prepared:
    dtype = _DTYPES[torch_dtype]
    size, width = np.dtype(dtype).itemsize, directions * h
    chunks = max(1, min(sequences, -(-threads // directions)))
    columns = h if threads == 1 else max(12, -(-h * directions // (4 * threads)))
    table = max(block, -(-sequences // chunks))
    of_step = max(1, sequences * width)  # numbers
    span = min(steps, max(-(-_SPAN_ROWS // max(1, sequences)), _SPAN_BYTES // (of_step * size)))
    span = max(1, span if backward else steps)
    phases = 1 + layers * (1 + (1 + directions) * max(1, -(-steps // span)) if backward else 2)
    rest = after_sizes(layers * directions, weights_a_cell, phases)
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
    hh, bias = _in_lines(size * h * padded_columns(dtype, h)), _in_lines(size * h)
    code = code_for(dtype)
    once = 1 if backward else 0  # arrays that only the backward pass needs
    take(8 * len(Sizes._fields) + rest.size, 1)  # the plan
    below_too = take(once * steps * of_step if layers > 1 else 0, size)
    sizes = Sizes(
        backward=backward,
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
        relu=relu,
        prepared=False,
        ragged=ragged,
        threads=threads,
        table=table,
        chunks=chunks,
        block=block,
        columns=columns,
        span=span,
        ih_first=ih_first,
        ih_next=ih_next,
        hh=hh,
        bias=bias,
        zeros=take(max(input_size, width), size),
        tables=take(3 * threads * table, 8),
        sums=take(once * threads * h, size),
        ordered=take(sequences if ragged else 0, 8),
        order=take(sequences if ragged else 0, 8),
        starts=take(steps + 1 if ragged else 0, 8),
        packed=take(directions * (ih_first + (layers - 1) * ih_next + layers * (hh + bias)), 1),
        below=take(once * steps * of_step, size) if layers > 2 and directions == 2 else below_too,
        below_too=below_too,
        at_start=take(once * of_step, size),
        carry=take(once * of_step, size),
        dz=take(once * span * of_step, size),
        x_rows=take(once * span * sequences * directions, 8),
        h_rows=take(once * span * sequences * directions, 8),
    )
    head = struct.pack(f"{len(sizes)}q", *sizes)
    return Prepared(code.kernel, threads, scratch, head, rest)


def _in_lines(count: int) -> int:
    """So many bytes, rounded up to whole cache lines."""
    return -(-count // _LINE) * _LINE
