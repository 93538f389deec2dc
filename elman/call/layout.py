"""From what a user passes (batch_first, one sequence, packed, lengths, reset, dropout) to plain (T, N, .) and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.autograd.run import run
from elman.call.checks import check_batch_sizes, check_lengths, check_reset
from elman.call.dtypes import SHORT, in_kernel_dtype
from elman.call.usual import Usual, problem_of
from elman.kernels import torch_native
from elman.kernels.cells import Cell
from elman.kernels.problem import Problem
from elman.kernels.table import asked

if TYPE_CHECKING:
    from elman.call.over_time import Given
    from elman.nn.recurrent import Recurrent

States = tuple[Tensor, ...]


def run_padded(
    layer: "Recurrent",
    input: Tensor,
    states: States,
    weights: list[Tensor],
    lengths: Tensor | Sequence[int] | None,
    reset: Tensor | None,
    usual: Usual | None,
    given: "Given | None" = None,
) -> tuple[Tensor, States]:
    """The layer on a tensor: (T, N, I), (N, T, I) or (T, I). `usual`: what is known of calls like this one."""
    unbatched = input.dim() == 2
    if reset is not None:
        check_reset(layer, reset, input)
    x = input
    if unbatched:
        x, states = input.unsqueeze(1), tuple(state.unsqueeze(1) for state in states)
        reset = None if reset is None else reset.unsqueeze(1)
    elif layer.batch_first:
        x = input.transpose(0, 1)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling() and input.is_inference():
            x = x.clone()  # no way back may keep the input itself: torch's layer copies it, too
        reset = None if reset is None else reset.transpose(0, 1)
    if lengths is not None:
        lengths = check_lengths(lengths, *x.shape[:2])
    if reset is not None:  # a copy: backward must see what forward saw
        reset = reset.to(input.device).clone(memory_format=torch.contiguous_format)
    masks = _masks(layer, x.shape[:2], x)
    over_time = given is not None or layer.zoneout or (layer.recurrent_dropout and layer.training)
    problem, found = None, None
    if usual is None or over_time or lengths is not None or reset is not None or masks is not None:
        problem = problem_of(layer, x, states, weights, lengths, reset, masks)
        if over_time:
            from elman.call.over_time import with_terms

            problem = with_terms(layer, problem, given, unbatched)
    if usual is not None:
        found = usual.run(layer, x, states, weights, problem)
    if found is None:
        assert problem is not None
        found = in_kernel_dtype(run, problem)
    output, last = found
    if unbatched:
        return output.squeeze(1), tuple(state.squeeze(1) for state in last)
    return (output.transpose(0, 1) if layer.batch_first else output), last


def run_packed(
    layer: "Recurrent", input: PackedSequence, states: States, weights: list[Tensor], given: "Given | None" = None
) -> tuple[PackedSequence, States]:
    """The layer on a PackedSequence, the longest sequence first inside as torch packs it."""
    data, batch_sizes, sorted_indices, unsorted_indices = input
    if sorted_indices is not None:
        states = tuple(state.index_select(1, sorted_indices) for state in states)
    check_batch_sizes(batch_sizes, data.shape[0], states)
    masks = _masks(layer, data.shape[:1], data)
    # a copy: backward must see what forward saw
    problem = problem_of(layer, data, states, weights, masks=masks, batch_sizes=batch_sizes.clone())
    if given is not None or layer.recurrent_dropout or layer.zoneout:
        from elman.call.over_time import with_terms

        problem = with_terms(layer, problem, given)
    output, last = in_kernel_dtype(run, problem)
    if unsorted_indices is not None:
        last = tuple(state.index_select(1, unsorted_indices) for state in last)
    return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), last


def _masks(layer: "Recurrent", rows: Sequence[int], like: Tensor) -> Tensor | None:
    """The masks of dropout between layers, where there is any."""
    if not (layer.dropout and layer.training):
        return None
    from elman.call.dropout import draw_masks

    return draw_masks(layer, rows, like)


def run_step(cell: Cell, bias: bool, input: Tensor, states: States, weights: list[Tensor]) -> States:
    """One step of a cell: the states after it, (N, H) or (H,). torch's own operator, unless it would compute in a short
    dtype.

    One step has no loop over time to win, and elman's kernels would pack W_hh for it (docs/decisions).
    """
    transformed = torch._C._are_functorch_transforms_active()  # the operator has no batching rule
    free = torch.compiler.is_compiling() or asked() is None  # a compiled graph has torch's operator
    if free and input.dtype not in SHORT and not transformed:
        return torch_native.step(cell, input, states, weights)
    batched = input.dim() == 2
    x = input.unsqueeze(0) if batched else input.view(1, 1, -1)
    starts = tuple(state.unsqueeze(0) if batched else state.view(1, 1, -1) for state in states)
    problem = Problem(cell, 1, 1, bias, False, x, starts, tuple(weights))
    _, last = in_kernel_dtype(run, problem)
    return tuple(state[0] if batched else state[0, 0] for state in last)
