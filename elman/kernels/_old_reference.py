"""The definition: the recurrence as a loop over time, in plain torch operators. Differentiable, never optimised."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.kernels._old_problem import Problem


class Step(NamedTuple):
    """What one direction of one layer computed at one step, each (N, H); past a sequence's end it means nothing."""

    before: Tensor
    input_term: Tensor
    recurrent_term: Tensor
    pre_activation: Tensor
    hidden: Tensor


Keep = Callable[[int, int, int, Step], None]
"""Called with the layer, the direction and the step."""


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I), or packed (R, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
    keep: Keep | None = None,
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """output (T, N, D * H), or packed (R, D * H), and h_n (L * D, N, H): h_t = f(x_t W_ih^T + b_ih + h_{t-1} W_hh^T +
    b_hh). `keep`, where given, is called with the terms of every step of padded input."""
    if problem.batch_sizes is not None:
        return _packed(problem, problem.batch_sizes, x, h0, weights)
    last_states = []
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        outputs = []
        for d in range(problem.num_directions):
            cell = layer * problem.num_directions + d
            size = 4 if problem.bias else 2
            own = weights[cell * size : (cell + 1) * size]
            start = None if h0 is None else h0[cell]
            kept = None if keep is None else partial(keep, layer, d)
            output, h_n = one_direction(problem, x, start, own, backwards=d == 1, keep=kept)
            outputs.append(output)
            last_states.append(h_n)
        x = torch.cat(outputs, -1)
    return x, torch.stack(last_states), ()


def _packed(
    problem: Problem, batch_sizes: Tensor, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """The same for rows that are packed: they are padded, and packed again."""

    problem, lengths = padded_problem(problem, batch_sizes)
    output, h_n, _ = rnn_forward(problem, pad(x, batch_sizes), h0, weights)
    return pack_padded_sequence(output, lengths).data, h_n, ()


def pad(rows: Tensor, batch_sizes: Tensor) -> Tensor:
    """Packed rows (R, K) as (T, N, K)."""
    return pad_packed_sequence(PackedSequence(rows, batch_sizes))[0]


def padded_problem(problem: Problem, batch_sizes: Tensor) -> tuple[Problem, Tensor]:
    """The problem for padded rows, and its lengths (N,)."""
    lengths = (batch_sizes > torch.arange(int(batch_sizes[0]), device=batch_sizes.device).unsqueeze(1)).sum(1)
    masks = None if problem.masks is None else torch.stack([pad(mask, batch_sizes) for mask in problem.masks])
    return problem._replace(batch_sizes=None, lengths=lengths, masks=masks), lengths


def one_direction(
    problem: Problem,
    x: Tensor,  # (T, N, K)
    h0: Tensor | None,  # (N, H)
    weights: Sequence[Tensor],
    backwards: bool,
    keep: Callable[[int, Step], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """output (T, N, H) and h_n (N, H) of one direction of one layer."""
    w_ih, w_hh, *biases = weights
    activation = torch.tanh if problem.nonlinearity == "tanh" else torch.relu
    steps = x.shape[0]
    if h0 is None:
        h0 = x.new_zeros(x.shape[1], w_hh.shape[0])
    there = None if problem.lengths is None else where_there(problem.lengths, steps, x.device)
    if there is not None:
        x = torch.where(there, x, 0)  # what stands in the padding reaches nothing, NaN included
    from_input = z = x @ w_ih.T
    for b in biases:
        z = z + b
    h = h0
    outputs = [h] * steps
    for t in reversed(range(steps)) if backwards else range(steps):
        before = h
        edge = t + 1 if backwards else t  # backwards, the piece that starts at t + 1 ends before t
        if problem.reset is not None and edge < steps:
            before = torch.where(problem.reset[edge].unsqueeze(-1), h0, h)
        from_state = before @ w_hh.T
        a = z[t] + from_state
        h_t = activation(a)
        if keep is not None:
            keep(t, Step(before, from_input[t], from_state, a, h_t))
        if there is None:
            outputs[t] = h = h_t
        else:
            h = torch.where(there[t], h_t, h)
            outputs[t] = torch.where(there[t], h_t, 0)
    return torch.stack(outputs) if steps else z, h


def where_there(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Whether each step of each sequence is there, (T, N, 1)."""
    return (torch.arange(steps, device=lengths.device).unsqueeze(1) < lengths).unsqueeze(-1).to(device)


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
    """The gradients at x, h0 and the weights, by automatic differentiation of the definition."""
    return differentiate(rnn_forward, problem, x, h0, weights, d_output, d_h_n, needs)


def differentiate(
    forward: Callable[..., tuple[Tensor, Tensor, tuple[Tensor | None, ...]]],
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    """The gradients of a differentiable forward. Where grad mode is on they can be differentiated again."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # an alias of each argument: one tensor in two places gets two gradients
        arguments = [None if a is None else a.view_as(a) for a in (x, h0, *weights)]
        output, h_n, _ = forward(problem, arguments[0], arguments[1], arguments[2:])
        wanted = [a if needed and a is not None else None for a, needed in zip(arguments, needs, strict=True)]
        pairs = [(o, g) for o, g in ((output, d_output), (h_n, d_h_n)) if g is not None and o.requires_grad]
        found = iter(
            torch.autograd.grad(
                [o for o, _ in pairs],
                [a for a in wanted if a is not None],
                [g for _, g in pairs],
                create_graph=again,
                materialize_grads=True,
            )
        )
    return [None if a is None else next(found) for a in wanted]
