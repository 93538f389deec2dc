"""The numba backend's two functions: memory and a plan for one run of the kernel."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from elman.kernels.numba_cpu import team
from elman.kernels.numba_cpu.compiled import code_for
from elman.kernels.numba_cpu.plan import Arrays, Sizes, write_plan
from elman.kernels.numba_cpu.sizes import padded_columns
from elman.kernels.problem import Problem

_BLOCK = 96  # steps in one task of a product over all steps
_LINE = 64  # bytes: every array in scratch memory starts at a multiple
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """output (T, N, D * H), h_n (L * D, N, H), and what rnn_backward needs."""
    steps, sequences, _ = x.shape
    h = weights[1].shape[0]
    layers, directions = problem.num_layers, problem.num_directions
    ragged = _sort(problem.lengths, steps)
    output = (torch.zeros if ragged else torch.empty)((steps, sequences, directions * h), dtype=x.dtype)
    h_n = torch.empty((layers * directions, sequences, h), dtype=x.dtype)
    inner = torch.empty((layers - 1, *output.shape), dtype=x.dtype) if layers > 1 else None
    dropped = None if inner is None or problem.masks is None else torch.empty_like(inner)
    _run(problem, x, h0, weights, ragged, output, inner, dropped, h_n=h_n)
    return output, h_n, (output, inner, dropped, *ragged)


def rnn_backward(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor | None],
    d_output: Tensor | None,  # (T, N, D * H)
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights. Those at the weights come all together, or none if none is needed."""
    output, inner, dropped, *ragged = saved
    d_x = (torch.zeros if ragged else torch.empty)(x.shape, dtype=x.dtype) if needs[0] else None
    d_h0 = torch.empty(h0.shape, dtype=h0.dtype) if h0 is not None and needs[1] else None
    d_weights: list[Tensor | None] = [None] * len(weights)
    if any(needs[2:]):
        d_weights = [torch.empty(w.shape, dtype=w.dtype) for w in weights]
    _run(
        problem,
        x,
        h0,
        weights,
        ragged,
        output,
        inner,
        dropped,
        backward=True,
        d_output=d_output,
        d_h_n=d_h_n,
        d_x=d_x,
        d_h0=d_h0,
        d_weights=d_weights,
    )
    return [d_x, d_h0, *d_weights]


def _sort(lengths: Tensor | None, steps: int) -> list[Tensor]:
    """Tables for sequences of different lengths, the longest first: lengths, order, starts, row_of of the plan."""
    if lengths is None or bool((lengths == steps).all()):
        return []
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    real = torch.arange(steps).unsqueeze(1) < ordered  # (T, N): whether step t of the i-th longest is there
    starts = torch.zeros(steps + 1, dtype=torch.int64)
    torch.cumsum(real.sum(1), 0, out=starts[1:])
    t, i = real.nonzero(as_tuple=True)
    return [ordered, order, starts, t * lengths.numel() + order[i]]


def _run(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    ragged: Sequence[Tensor | None],
    output: Tensor | None,
    inner: Tensor | None,
    dropped: Tensor | None,
    *,
    backward: bool = False,
    h_n: Tensor | None = None,
    d_output: Tensor | None = None,
    d_h_n: Tensor | None = None,
    d_x: Tensor | None = None,
    d_h0: Tensor | None = None,
    d_weights: Sequence[Tensor | None] = (),
) -> None:
    """Runs the kernel: forward into output, inner, dropped and h_n, or backward into the gradients that are given."""
    steps, sequences, input_size = x.shape
    h, layers, directions = weights[1].shape[0], problem.num_layers, problem.num_directions
    rows = ragged[3].numel() if ragged and ragged[3] is not None else steps * sequences
    work = rows * directions * h * (input_size + (layers - 1) * directions * h + layers * h)
    sizes = _sizes(
        _DTYPES[x.dtype],
        backward,
        problem.nonlinearity,
        (steps, sequences, rows, input_size, h, layers, directions, 4 if problem.bias else 2),
        team.threads_for(work),
    )
    memory = torch.empty(sizes.scratch, dtype=torch.uint8)
    # what is made contiguous here is kept until the kernel is back
    kept = [x, h0, *weights, problem.masks, problem.reset, d_output, d_h_n]
    kept = [t if t is None or (t.is_contiguous() and not t.is_neg()) else t.resolve_neg().contiguous() for t in kept]
    ready_x, ready_h0, *ready_weights, masks, reset, ready_d_output, ready_d_h_n = map(_address, kept)
    lengths, order, starts, row_of = map(_address, ragged) if ragged else (0, 0, 0, 0)
    arrays = Arrays(
        memory.data_ptr(),
        ready_x,
        ready_h0,
        _address(h_n),
        _address(output),
        _address(inner),
        masks,
        _address(dropped),
        reset,
        lengths,
        order,
        starts,
        row_of,
        ready_d_output,
        ready_d_h_n,
        _address(d_x),
        _address(d_h0),
    )
    team.run(
        code_for(_DTYPES[x.dtype]).kernel,
        write_plan(sizes, arrays, ready_weights, list(map(_address, d_weights or weights))),
        sizes.threads,
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


@functools.lru_cache(maxsize=256)
def _sizes(
    dtype: type, backward: bool, nonlinearity: str, shape: tuple[int, int, int, int, int, int, int, int], threads: int
) -> Sizes:
    """Everything in the plan that is no address of a tensor."""
    steps, sequences, rows, input_size, h, layers, directions, weights_a_cell = shape
    size, width = np.dtype(dtype).itemsize, directions * h
    chunks = max(1, min(sequences, -(-threads // directions)))
    block = _BLOCK if threads == 1 else min(_BLOCK, max(6, rows // (4 * threads)))
    columns = h if threads == 1 else max(12, -(-h * directions // (4 * threads)))
    table = max(block, -(-sequences // chunks))
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
    return Sizes(
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
        relu=nonlinearity == "relu",
        rows=rows,
        layer_bytes=steps * sequences * width * size,
        threads=threads,
        table=table,
        chunks=chunks,
        block=block,
        columns=columns,
        ih_first=ih_first,
        ih_next=ih_next,
        hh=hh,
        bias=bias,
        zeros=take(max(input_size, width), size),
        tables=take(3 * threads * table, 8),
        packed=take(directions * (ih_first + (layers - 1) * ih_next + layers * (hh + bias)), 1),
        below=take(steps * sequences * width if backward and layers > 1 else 0, size),
        at_start=take(once * sequences * width, size),
        dz=take(once * rows * width, size),
        x_rows=take(once * rows, 8),
        h_rows=take(once * rows * directions, 8),
        scratch=scratch,  # after every take
    )


def _in_lines(count: int) -> int:
    """So many bytes, rounded up to whole cache lines."""
    return -(-count // _LINE) * _LINE
