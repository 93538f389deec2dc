"""The backward pass by hand in plain torch operators: README.md's equations, one step at a time.

Every transform sees through it, and it can be differentiated again. It stands in where the gradients of fast kernels
are differentiated, and where a forward pass has no backward of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from elman.kernels._old_problem import Problem
from elman.kernels._old_reference import one_direction, pad, padded_problem, where_there


def rnn_backward(
    problem: Problem,
    x: Tensor,  # (T, N, I), or packed (R, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
    saved: Sequence[Tensor | None],  # not read: only states computed here depend visibly on x, h0 and the weights
    d_output: Tensor | None,  # (T, N, D * H), or packed
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
    groups: int | None = None,  # of the batch, each of which gets weight gradients apart: (groups, ...)
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights: dx, dh_0, dW_ih, dW_hh and db of README.md."""
    if problem.batch_sizes is not None:
        sizes = problem.batch_sizes
        padded, lengths = padded_problem(problem, sizes)
        d_output = None if d_output is None else pad(d_output, sizes)
        found = rnn_backward(padded, pad(x, sizes), h0, weights, (), d_output, d_h_n, needs)
        return [None if found[0] is None else pack_padded_sequence(found[0], lengths).data, *found[1:]]
    directions, size = problem.num_directions, 4 if problem.bias else 2
    start = x.new_zeros(x.shape[1], weights[1].shape[0])
    starts = [start] * problem.num_layers * directions if h0 is None else list(h0)
    there = None if problem.lengths is None else where_there(problem.lengths, x.shape[0], x.device)  # (T, N, 1)

    inputs: list[Tensor] = []  # of each layer
    states: list[Tensor] = []  # of each direction of each layer
    for cell, h in enumerate(starts):
        if cell % directions == 0:
            if cell > 0:
                x = torch.cat(states[-directions:], -1)
                x = x if problem.masks is None else x * problem.masks[len(inputs) - 1]
            inputs.append(x if there is None else torch.where(there, x, 0))
        own = weights[cell * size : (cell + 1) * size]
        states.append(one_direction(problem, x, h, own, backwards=cell % directions == 1)[0])

    d_x = d_output
    d_h0: list[Tensor] = []
    d_weights: list[Tensor | None] = []
    for layer in reversed(range(problem.num_layers)):
        d_states = [None] * directions if d_x is None else list(d_x.chunk(directions, -1))
        d_x = None
        for d in reversed(range(directions)):
            cell = layer * directions + d
            w_ih, w_hh = weights[cell * size], weights[cell * size + 1]
            d_last = None if d_h_n is None else d_h_n[cell]
            dz, d_start = _recur(problem, there, states[cell], starts[cell], w_hh, d_states[d], d_last, d == 1)
            d_h0 = [d_start, *d_h0]
            before = states_before(problem, states[cell], starts[cell], backwards=d == 1)
            own_needs = needs[2 + cell * size : 2 + (cell + 1) * size]
            d_weights = [*weight_gradients(dz, inputs[layer], before, own_needs, groups), *d_weights]
            if layer > 0 or needs[0]:
                below = dz @ w_ih
                d_x = below if d_x is None else d_x + below
        if d_x is not None and there is not None:
            d_x = torch.where(there, d_x, 0)
        if d_x is not None and layer > 0 and problem.masks is not None:
            d_x = d_x * problem.masks[layer - 1]
    return [d_x, torch.stack(d_h0) if h0 is not None and needs[1] else None, *d_weights]


def _recur(
    problem: Problem,
    there: Tensor | None,  # (T, N, 1)
    h: Tensor,  # (T, N, H)
    h0: Tensor,  # (N, H)
    w_hh: Tensor,  # (H, H)
    d_h: Tensor | None,  # (T, N, H)
    d_last: Tensor | None,  # (N, H) at the state after the last step
    backwards: bool,
) -> tuple[Tensor, Tensor]:
    """dz (T, N, H) = (dh_t + dz_{t+1} W_hh) f'(z_t), and dh_0 (N, H), of one direction of one layer."""
    steps = h.shape[0]
    dz = [h0] * steps
    d_state = torch.zeros_like(h0) if d_last is None else d_last
    d_start = torch.zeros_like(h0)
    for t in range(steps) if backwards else reversed(range(steps)):
        total = d_state if d_h is None else d_state + d_h[t]
        slope = total * (1 - h[t] * h[t]) if problem.nonlinearity == "tanh" else torch.where(h[t] <= 0, 0, total)
        dz[t] = slope if there is None else torch.where(there[t], slope, 0)
        through = dz[t] @ w_hh
        kept = d_state  # in the padding the state is carried on
        d_state = through if there is None else torch.where(there[t], through, kept)
        edge = t + 1 if backwards else t
        if problem.reset is not None and edge < steps:
            again = problem.reset[edge].unsqueeze(-1)
            again = again if there is None else again & there[t]
            d_start = d_start + torch.where(again, through, 0)
            d_state = torch.where(again, 0, d_state)
    return torch.stack(dz) if steps else h, d_start + d_state


def states_before(problem: Problem, h: Tensor, h0: Tensor, backwards: bool) -> Tensor:
    """The state (T, N, H) that each step started from, given those after it, h (T, N, H). Padding holds anything."""
    steps = h.shape[0]
    if steps == 0:
        return h
    first = h0.unsqueeze(0)
    before = torch.cat([h[1:], first]) if backwards else torch.cat([first, h[:-1]])
    if problem.reset is not None:
        never = torch.zeros_like(problem.reset[:1])
        again = torch.cat([problem.reset[1:], never]) if backwards else problem.reset
        before = torch.where(again.unsqueeze(-1), first, before)
    if problem.lengths is not None and backwards:
        last = torch.arange(1, steps + 1, device=h.device).unsqueeze(1) == problem.lengths.to(h.device)  # (T, N)
        before = torch.where(last.unsqueeze(-1), first, before)
    return before


def weight_gradients(
    dz: Tensor,  # (T, N, H)
    x: Tensor,  # (T, N, K)
    before: Tensor,  # (T, N, H)
    needs: Sequence[bool],
    groups: int | None,
) -> list[Tensor | None]:
    """dW_ih (H, K), dW_hh (H, H), db_ih and db_hh (H,): sums over all steps, or over those of each group apart."""
    rows = _rows(dz, groups)
    products = [rows.mT @ _rows(read, groups) if need else None for read, need in zip((x, before), needs, strict=False)]
    return [*products, *(rows.sum(-2) if need else None for need in needs[2:])]


def _rows(tensor: Tensor, groups: int | None) -> Tensor:
    """(T, N, K) as (T * N, K), or as (groups, T * N / groups, K)."""
    if groups is None:
        return tensor.reshape(-1, tensor.shape[-1])
    steps, sequences, columns = tensor.shape
    return tensor.reshape(steps, groups, sequences // groups, columns).transpose(0, 1).flatten(1, 2)
