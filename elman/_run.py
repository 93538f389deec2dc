"""One run on tensors that hold numbers, for operators and transforms: what it saves for its backward is two tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman._backends import choose
from elman._checks import check_length_values
from elman.kernels import _old_bptt as bptt
from elman.kernels._old_problem import Problem
from elman.kernels._old_reference import where_there


def forward(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """output (T, N, D * H), h_n (L * D, N, H) and inner (L - 1, T, N, D * H), the outputs of the layers below the last.

    Where the backward pass of the backend does not read inner, it holds nothing.
    """
    if problem.lengths is not None:
        check_length_values(problem.lengths, *x.shape[:2])
    backend, _ = choose(problem, x, h0, weights)
    output, h_n, saved = backend.kernels().rnn_forward(problem, x, h0, weights)
    inner = saved[1] if backend.name == "numba" else None
    if inner is None:
        fill = output.new_empty if problem.num_layers == 1 else output.new_zeros  # of one layer there is none
        inner = fill(problem.num_layers - 1, *output.shape)
    elif problem.lengths is not None:  # a kernel leaves the padding unwritten
        inner = torch.where(where_there(problem.lengths, x.shape[0], x.device), inner, 0)
    return output, h_n, inner


def backward(
    problem: Problem,
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
    groups: int | None,  # of the batch, each of which gets weight gradients apart, if it is divided
    x: Tensor,
    h0: Tensor | None,
    output: Tensor,
    inner: Tensor,
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """The gradients at x, h0 and the weights that are asked for."""
    backend, _ = choose(problem, x, h0, weights)
    kernels = backend.kernels()
    output, inner = output.contiguous(), inner.contiguous()  # a backend takes what it wrote as it was
    if backend.name != "numba":
        found = bptt.rnn_backward(problem, x, h0, weights, (), d_output, d_h_n, needs, groups)
    else:
        saved = _saved_again(problem, output, inner)
        found = kernels.rnn_backward(problem, x, h0, weights, saved, d_output, d_h_n, needs, groups)
    return [g for g, needed in zip(found, needs, strict=True) if needed and g is not None]


def _saved_again(problem: Problem, output: Tensor, inner: Tensor) -> tuple[Tensor | None, ...]:
    """What the numba backend's forward saved, from the part of it that forward gave out."""
    if problem.num_layers == 1:
        return output, None, None
    return output, inner, None if problem.masks is None else inner * problem.masks
