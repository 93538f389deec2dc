"""torch's own operators: other devices, and numbers that elman's kernels do not have, complex ones among them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.kernels._old_problem import Problem
from elman.kernels._old_reference import differentiate


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I), T > 0, or packed (R, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """output (T, N, D * H), or packed (R, D * H), and h_n (L * D, N, H)."""
    directions = problem.num_directions
    if h0 is None:
        h0 = x.new_zeros(problem.num_layers * directions, problem.size_of(x)[1], weights[1].shape[0])
    if problem.masks is None:
        output, h_n = _layers(problem, problem.num_layers, x, h0, weights)
        return output, h_n, ()
    size = len(weights) // problem.num_layers
    last_states = []
    for layer in range(problem.num_layers):
        if layer > 0:
            x = x * problem.masks[layer - 1]
        own = weights[layer * size : (layer + 1) * size]
        x, h_n = _layers(problem, 1, x, h0[layer * directions : (layer + 1) * directions], own)
        last_states.append(h_n)
    return x, torch.cat(last_states), ()


def _layers(problem: Problem, layers: int, x: Tensor, h0: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """So many layers in one call. cuDNN can go back only through a forward pass in training mode: it always is."""
    function = torch.rnn_tanh if problem.nonlinearity == "tanh" else torch.rnn_relu
    options = (list(weights), problem.bias, layers, 0.0, True, problem.num_directions == 2)
    if problem.batch_sizes is not None:
        return function(x, problem.batch_sizes, h0, *options)
    if problem.lengths is None:
        return function(x, h0, *options, False)
    # torch's packed sequences have no empty ones: such a sequence runs one step of zeros, which is then taken back
    empty = (problem.lengths == 0).to(x.device).unsqueeze(-1)  # (N, 1)
    x = torch.where(empty, 0, x)
    packed = pack_padded_sequence(x, problem.lengths.clamp(min=1), enforce_sorted=False)
    data, h_n = function(
        packed.data, packed.batch_sizes, h0.index_select(1, cast(Tensor, packed.sorted_indices)), *options
    )
    h_n = h_n.index_select(1, cast(Tensor, packed.unsorted_indices))
    output, _ = pad_packed_sequence(PackedSequence(data, *packed[1:]), total_length=x.shape[0])
    return torch.where(empty, 0, output), torch.where(empty, h0, h_n)


def rnn_step(nonlinearity: str, x: Tensor, h: Tensor | None, weights: Sequence[Tensor]) -> Tensor:
    """h' (N, H) of one step, or (H,) for x (I,)."""
    function = torch.rnn_tanh_cell if nonlinearity == "tanh" else torch.rnn_relu_cell
    batched = x.dim() == 2
    x = x if batched else x.unsqueeze(0)
    if h is None:
        h = x.new_zeros(x.shape[0], weights[1].shape[0])
    elif not batched:
        h = h.unsqueeze(0)
    h = function(x, h, *weights)
    return h if batched else h.squeeze(0)


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
    """The gradients at x, h0 and the weights, by automatic differentiation of rnn_forward."""
    return differentiate(rnn_forward, problem, x, h0, weights, d_output, d_h_n, needs)
