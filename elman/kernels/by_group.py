"""Weight gradients of each group of the batch apart, as per-sample gradients are, from a backend that sums over all."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from elman.kernels.bptt import product_over_steps, states_before, sums_over_steps
from elman.kernels.problem import Problem
from elman.kernels.reference import where_there

OneLayer = Callable[..., tuple[Tensor, Tensor | None]]
"""dx and dh_0 of (problem, h0, weights, output, d_output, d_h_n): a backward pass of one layer that reads no x."""


def rnn_backward(
    one_layer: OneLayer,
    groups: int,
    problem: Problem,
    x: Tensor,  # (T, N, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
    output: Tensor,  # (T, N, D * H)
    inner: Tensor,  # (L - 1, T, N, D * H), the outputs of the layers below the last
    d_output: Tensor | None,  # (T, N, D * H)
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights, those at the weights (groups, ...).

    With [1 0] and [0 1] for the W_ih of a layer's two directions, dx is their dz. What is left are products over the
    steps of each group.
    """
    directions, size = problem.num_directions, 4 if problem.bias else 2
    h = output.shape[-1] // directions
    single = problem._replace(num_layers=1, bias=False, masks=None)
    to_dz = torch.eye(directions * h, dtype=output.dtype).chunk(directions)
    d_x = d_output
    d_h0: list[Tensor | None] = []
    d_weights: list[Tensor | None] = []
    for layer in reversed(range(problem.num_layers)):
        cells = slice(layer * directions, (layer + 1) * directions)
        own_h0 = None if h0 is None else h0[cells]
        own_output = output if layer == problem.num_layers - 1 else inner[layer]
        w_ih, w_hh = weights[::size][cells], weights[1::size][cells]
        pairs = [w for pair in zip(to_dz, w_hh, strict=True) for w in pair]
        dz, d_start = one_layer(single, own_h0, pairs, own_output, d_x, None if d_h_n is None else d_h_n[cells])
        d_h0 = [d_start, *d_h0]
        own_x = _input_of(problem, layer, x, inner)
        of_layer = []
        for d in range(directions):
            place = 2 + (layer * directions + d) * size
            columns = slice(d * h, (d + 1) * h)
            own_dz, own_h, of_ih, of_hh = dz[..., columns], own_output[..., columns], None, None
            if needs[place]:
                of_ih = product_over_steps(own_dz, own_x, groups)
            if needs[place + 1] and own_h0 is None and problem.reset is None and (problem.lengths is None or d == 0):
                # the state at the start is 0: without it nothing has to be moved in memory
                here, before = (own_dz[:-1], own_h[1:]) if d == 1 else (own_dz[1:], own_h[:-1])
                of_hh = product_over_steps(here, before, groups)
            elif needs[place + 1]:
                start = output.new_zeros(output.shape[1], h) if own_h0 is None else own_h0[d]
                before = states_before(single, own_h, start, d == 1)
                of_hh = product_over_steps(own_dz, before, groups)
            of_layer += [of_ih, of_hh, *sums_over_steps(own_dz, needs[place + 2 : place + size], groups)]
        d_weights = of_layer + d_weights
        d_x = dz @ torch.cat(list(w_ih)) if layer > 0 or needs[0] else None
        if layer > 0 and d_x is not None and problem.masks is not None:
            d_x = d_x * problem.masks[layer - 1]
    d_starts = [d for d in d_h0 if d is not None]
    return [d_x, torch.cat(d_starts) if needs[1] and d_starts else None, *d_weights]


def _input_of(problem: Problem, layer: int, x: Tensor, inner: Tensor) -> Tensor:
    """What a layer read, with zeros in the padding."""
    if layer > 0:
        return inner[layer - 1] if problem.masks is None else inner[layer - 1] * problem.masks[layer - 1]
    return x if problem.lengths is None else torch.where(where_there(problem.lengths, x.shape[0], x.device), x, 0)
