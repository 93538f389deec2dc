"""The numba backend's two functions: memory and a plan for one run of the kernel."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.kernels.numba_cpu import team
from elman.kernels.numba_cpu.compiled import code_for
from elman.kernels.numba_cpu.plan import Cell, Header, write_plan
from elman.kernels.numba_cpu.sizes import padded_columns
from elman.kernels.problem import Problem

_BLOCK = 96  # steps in one task of a product over all steps
_LINE = 64  # bytes: every array in scratch memory starts at a multiple
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


class _Layers(NamedTuple):
    """What the forward pass writes and the backward pass reads."""

    inputs: list[Tensor]
    """The input (T, N, K) of each layer, after dropout."""
    outputs: list[Tensor]
    """The output (T, N, D * H) of each layer."""
    ragged: "_Ragged | None"


class _Ragged(NamedTuple):
    """Tables for sequences of different lengths, the longest first."""

    lengths: Tensor
    order: Tensor
    starts: Tensor
    row_of: Tensor


def _sort(lengths: Tensor | None, steps: int) -> _Ragged | None:
    if lengths is None or bool((lengths == steps).all()):
        return None
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    real = torch.arange(steps).unsqueeze(1) < ordered  # (T, N): whether step t of the i-th longest is there
    starts = torch.zeros(steps + 1, dtype=torch.int64)
    torch.cumsum(real.sum(1), 0, out=starts[1:])
    t, i = real.nonzero(as_tuple=True)
    return _Ragged(ordered, order, starts, t * lengths.numel() + order[i])


class _Scratch:
    """Hands out addresses in one block of memory."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, numbers: int, size: int) -> int:
        """The offset of an array of so many numbers of `size` bytes."""
        offset = self.size
        self.size += -(-numbers * size // _LINE) * _LINE
        return offset


@functools.lru_cache(maxsize=64)
def _zeros(numbers: int, dtype: torch.dtype) -> Tensor:
    return torch.zeros(numbers, dtype=dtype)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """output (T, N, D * H), h_n (L * D, N, H), and what rnn_backward needs."""
    steps, sequences, _ = x.shape
    width = weights[1].shape[0] * problem.num_directions
    x, h0, weights = _in_order(x), None if h0 is None else _in_order(h0), [_in_order(w) for w in weights]
    ragged = _sort(problem.lengths, steps)
    inputs, outputs = [x], []
    for layer in range(problem.num_layers):
        last = layer == problem.num_layers - 1
        outputs.append(
            (torch.empty if ragged is None or not last else torch.zeros)(steps, sequences, width, dtype=x.dtype)
        )
        if not last:
            inputs.append(torch.empty_like(outputs[-1]) if problem.masks else outputs[-1])
    h_n = torch.empty(problem.num_layers * problem.num_directions, sequences, weights[1].shape[0], dtype=x.dtype)
    _run(problem, h0, weights, _Layers(inputs, outputs, ragged), h_n=h_n)
    return outputs[-1], h_n, (*outputs, *(inputs[1:] if problem.masks else ()), *(ragged or ()))


def rnn_backward(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor],
    d_output: Tensor | None,  # (T, N, D * H)
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights. Those at the weights come all together, or none if none is needed."""
    x, weights = _in_order(x), [_in_order(w) for w in weights]
    outputs, rest = list(saved[: problem.num_layers]), saved[problem.num_layers :]
    dropped = rest[: len(problem.masks)]
    layers = _Layers(
        inputs=[x, *(dropped or outputs[:-1])],
        outputs=outputs,
        ragged=_Ragged(*rest[len(dropped) :]) if len(rest) > len(dropped) else None,
    )
    d_x = None
    if needs[0]:
        d_x = (torch.empty_like if layers.ragged is None else torch.zeros_like)(x)
    d_h0 = torch.empty_like(h0, memory_format=torch.contiguous_format) if needs[1] and h0 is not None else None
    d_weights = [torch.empty_like(w) for w in weights] if any(needs[2:]) else None
    _run(
        problem,
        None if h0 is None else _in_order(h0),
        weights,
        layers,
        d_output=None if d_output is None else _in_order(d_output),
        d_h_n=None if d_h_n is None else _in_order(d_h_n),
        d_x=d_x,
        d_h0=d_h0,
        d_weights=d_weights,
        backward=True,
    )
    if d_weights is None:
        return [d_x, d_h0, *[None] * len(weights)]
    if problem.bias:
        d_weights[3::4] = d_weights[2::4]  # both biases of a cell have the same gradient
    return [d_x, d_h0, *d_weights]


def _in_order(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def _run(
    problem: Problem,
    h0: Tensor | None,
    weights: list[Tensor],
    kept: _Layers,
    *,
    h_n: Tensor | None = None,
    d_output: Tensor | None = None,
    d_h_n: Tensor | None = None,
    d_x: Tensor | None = None,
    d_h0: Tensor | None = None,
    d_weights: list[Tensor] | None = None,
    backward: bool = False,
) -> None:
    """Writes the plan and runs it: forward into kept.outputs and h_n, or backward into the gradients that are given."""
    x = kept.inputs[0]
    dtype, size = _DTYPES[x.dtype], x.element_size()
    steps, sequences, input_size = x.shape
    h = weights[1].shape[0]
    layers, directions = problem.num_layers, problem.num_directions
    of_cell = 4 if problem.bias else 2
    ragged = kept.ragged
    rows = steps * sequences if ragged is None else ragged.row_of.numel()

    work = rows * directions * h * sum(k.shape[2] + h for k in kept.inputs)
    threads = team.threads_for(work)
    chunks = max(1, min(sequences, -(-threads // directions)))
    block = _BLOCK if threads == 1 else min(_BLOCK, max(6, rows // (4 * threads)))
    columns = h if threads == 1 else max(12, -(-h * directions // (4 * threads)))
    table = max(block, -(-sequences // chunks))

    scratch = _Scratch()
    tables = scratch.take(3 * threads * table, 8)
    packed = []
    for layer_input in kept.inputs:
        k = layer_input.shape[2]
        for _ in range(directions):
            # forward, W_ih^T and W_hh^T have H columns; backward, W_ih and W_hh have K and H
            ih = scratch.take(h * padded_columns(dtype, k) if backward else k * padded_columns(dtype, h), size)
            packed.append((ih, scratch.take(h * padded_columns(dtype, h), size), scratch.take(h, size)))
    below = at_start = dz = x_rows = h_rows = 0
    if backward:
        below = scratch.take(steps * sequences * directions * h if layers > 1 else 0, size)
        at_start = scratch.take(directions * sequences * h, size)
        dz = scratch.take(directions * rows * h, size)
        x_rows = scratch.take(rows, 8)
        h_rows = scratch.take(directions * rows, 8)
    memory = torch.empty(scratch.size, dtype=torch.uint8)
    base = memory.data_ptr()

    cells = []
    for layer in range(layers):
        layer_input, output = kept.inputs[layer], kept.outputs[layer]
        mask = problem.masks[layer - 1] if layer > 0 and problem.masks else None
        for d in range(directions):
            c = layer * directions + d
            first = c * of_cell
            own = [w.data_ptr() for w in weights[first : first + of_cell]]
            grads = [w.data_ptr() for w in d_weights[first : first + of_cell]] if d_weights is not None else [0] * 4
            cells.append(
                Cell(
                    inputs=layer_input.shape[2],
                    x=layer_input.data_ptr(),
                    mask=_address(mask),
                    below=kept.outputs[layer - 1].data_ptr() if layer > 0 else 0,
                    output=output.data_ptr(),
                    w_ih=own[0],
                    w_hh=own[1],
                    b_ih=own[2] if problem.bias else 0,
                    b_hh=own[3] if problem.bias else 0,
                    packed_ih=base + packed[c][0],
                    packed_hh=base + packed[c][1],
                    bias=base + packed[c][2],
                    d_x=base + below if layer > 0 else _address(d_x),
                    d_w_ih=grads[0],
                    d_w_hh=grads[1],
                    d_b=grads[2] if problem.bias else 0,
                )
            )
    code = code_for(dtype)
    header = Header(
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
        relu=problem.nonlinearity == "relu",
        rows=rows,
        threads=threads,
        tables=base + tables,
        table=table,
        chunks=chunks,
        block=block,
        columns=columns,
        lengths=0 if ragged is None else ragged.lengths.data_ptr(),
        order=0 if ragged is None else ragged.order.data_ptr(),
        starts=0 if ragged is None else ragged.starts.data_ptr(),
        row_of=0 if ragged is None else ragged.row_of.data_ptr(),
        reset=_address(problem.reset),
        zeros=_zeros(max(input_size, directions * h), x.dtype).data_ptr(),
        h0=_address(h0),
        h_n=_address(h_n),
        d_output=_address(d_output),
        d_h_n=_address(d_h_n),
        d_below=base + below,
        d_h0=_address(d_h0),
        at_start=base + at_start,
        dz=base + dz,
        x_rows=base + x_rows,
        h_rows=base + h_rows,
    )
    team.run(code.kernel, write_plan(header, cells, phases=1 + 2 * layers), threads)
