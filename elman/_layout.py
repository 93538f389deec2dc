"""From what a user passes (batch_first, one sequence, packed, lengths, reset, dropout) to plain (T, N, .) and back."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from elman._autograd import run, run_kernels
from elman._backends import asked_backend, own_kernels
from elman._checks import check_lengths, check_matmul_dtype, check_reset
from elman.kernels import _old_native as torch_native
from elman.kernels._old_problem import Problem

if TYPE_CHECKING:
    from elman._rnn import RNN

_SHORT = (torch.bfloat16, torch.float16)


def run_padded(
    rnn: "RNN",
    input: Tensor,
    hx: Tensor | None,
    weights: list[Tensor],
    lengths: Tensor | Sequence[int] | None,
    reset: Tensor | None,
    usual: bool,  # as is_usual says
) -> tuple[Tensor, Tensor]:
    """The layer on a tensor: (T, N, I), (N, T, I) or (T, I)."""
    if reset is not None:
        check_reset(rnn, reset, input)
    if input.dim() == 2:
        x = input.unsqueeze(1)
        h0 = None if hx is None else hx.unsqueeze(1)
        reset = None if reset is None else reset.unsqueeze(1)
    elif rnn.batch_first:
        x, h0 = input.transpose(0, 1), hx
        reset = None if reset is None else reset.transpose(0, 1)
    else:
        x, h0 = input, hx
    problem = problem_of(rnn)
    if lengths is not None:
        problem = problem._replace(lengths=check_lengths(lengths, *x.shape[:2]))
    if reset is not None:  # a copy: backward must see what forward saw
        problem = problem._replace(reset=reset.to(input.device).clone(memory_format=torch.contiguous_format))
    if rnn.dropout and rnn.training and rnn.num_layers > 1:
        problem = problem._replace(masks=_masks(rnn, x.shape[:2], x))
    kernels = own_kernels() if usual else None
    if kernels is not None:
        output, h_n = run_kernels(kernels, problem, x, h0, weights)
    else:
        output, h_n = _in_kernel_dtype(problem, x, h0, weights)
    if input.dim() == 2:
        return output.squeeze(1), h_n.squeeze(1)
    return (output.transpose(0, 1) if rnn.batch_first else output), h_n


def run_packed(
    rnn: "RNN", input: PackedSequence, hx: Tensor | None, weights: list[Tensor]
) -> tuple[PackedSequence, Tensor]:
    """The layer on a PackedSequence, the longest sequence first inside as torch packs it."""
    data, batch_sizes, sorted_indices, unsorted_indices = input
    h0 = hx if hx is None or sorted_indices is None else hx.index_select(1, sorted_indices)
    problem = problem_of(rnn)._replace(batch_sizes=batch_sizes.clone())  # backward must see what forward saw
    if rnn.dropout and rnn.training and rnn.num_layers > 1:
        problem = problem._replace(masks=_masks(rnn, (data.shape[0],), data))
    output, h_n = _in_kernel_dtype(problem, data, h0, weights)
    if unsorted_indices is not None:
        h_n = h_n.index_select(1, unsorted_indices)
    return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), h_n


def run_step(nonlinearity: str, bias: bool, input: Tensor, hx: Tensor | None, weights: list[Tensor]) -> Tensor:
    """One step of a cell: h' (N, H) or (H,). torch's own operator, unless it would compute in a short dtype.

    One step has no loop over time to win, and elman's kernels would pack W_hh for it (measured: 15 against 39 us at
    N1 H64, 390 against 410 us at N64 H512).
    """
    transformed = torch._C._are_functorch_transforms_active()  # the operator has no batching rule
    free = torch.compiler.is_compiling() or asked_backend() is None  # a compiled graph has torch's operator
    if free and input.dtype not in _SHORT and not transformed:
        return torch_native.rnn_step(nonlinearity, input, hx, weights)
    problem = Problem(nonlinearity, num_layers=1, num_directions=1, bias=bias)
    batched = input.dim() == 2
    x = input.unsqueeze(0) if batched else input.view(1, 1, -1)
    h0 = None if hx is None else (hx.unsqueeze(0) if batched else hx.view(1, 1, -1))
    _, h_n = _in_kernel_dtype(problem, x, h0, weights)
    return h_n[0] if batched else h_n[0, 0]


def problem_of(rnn: "RNN") -> Problem:
    """What every call of the layer has in common."""
    make = Problem if torch.compiler.is_compiling() else _plain_problem  # Dynamo knows no cache
    return make(rnn.nonlinearity, rnn.num_layers, 2 if rnn.bidirectional else 1, rnn.bias)


_plain_problem = functools.lru_cache(maxsize=256)(Problem)


def _masks(rnn: "RNN", rows: Sequence[int], like: Tensor) -> Tensor:
    """The dropout masks (L - 1, rows, D * H) between layers, drawn as torch draws them: one layer after the other."""
    width = rnn.hidden_size * (2 if rnn.bidirectional else 1)
    ones = like.new_ones(*rows, width)
    return torch.stack([F.dropout(ones, rnn.dropout, True) for _ in range(rnn.num_layers - 1)])


def _in_kernel_dtype(problem: Problem, x: Tensor, h0: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Runs in float32 what is shorter, on the CPU, and gives back the dtype that torch would."""
    dtype = x.dtype
    if torch.is_autocast_enabled("cpu") and x.is_cpu and dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        for weight in weights:  # autocast leaves float64 as it is
            if weight.dtype == torch.float64:
                check_matmul_dtype("input", x, weight, autocast=False)
        if h0 is not None and h0.dtype == torch.float64:
            check_matmul_dtype("hx", h0, weights[0], autocast=False)
    elif dtype not in _SHORT or not x.is_cpu:
        check_matmul_dtype("input", x, weights[0], autocast=False)
        if torch._C._is_any_autocast_enabled():  # to which the checks before this left it
            for name, tensor in (("hx", h0), *(("a weight", w) for w in weights)):
                if tensor is not None:
                    check_matmul_dtype(name, tensor, x, autocast=False)
        return run(problem, x, h0, weights)
    with torch.autocast("cpu", enabled=False):
        wide = [t.float() for t in weights]
        masks = None if problem.masks is None else problem.masks.float()
        h0 = None if h0 is None else h0.float()
        output, h_n = run(problem._replace(masks=masks), x.float(), h0, wide)
    return output.to(dtype), h_n.to(dtype)
