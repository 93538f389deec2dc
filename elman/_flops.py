"""How many floating-point operations a run takes: two for each multiply-add of its matrix products, as torch counts."""

from collections.abc import Sequence
from typing import Any

Shape = Sequence[int]


def rnn_flops(x: Shape, h0: Shape | None, weights: Sequence[Shape], *problem: Any, **_: Any) -> int:
    """Of the forward pass: x W_ih^T and h W_hh^T of every step."""
    steps, sequences, _inputs = x
    return sum(2 * steps * sequences * rows * columns for rows, columns in _matrices(weights))


def rnn_backward_flops(x: Shape, h0: Shape | None, weights: Sequence[Shape], *rest: Any, **_: Any) -> int:
    """Of the backward pass: dW_ih, dW_hh, dz W_ih for the layer below and dz W_hh for the step before, where needed.

    Nothing is counted for layers below the lowest of which a gradient is asked for.
    """
    steps, sequences, _inputs = x
    needs, num_layers, bidirectional = rest[4], rest[-2], rest[-1]
    needs_x, needs_h0, *needs_weights = needs
    directions = 2 if bidirectional else 1
    size = len(weights) // (num_layers * directions)  # weights of a cell
    below, flops = needs_x, 0
    for layer in range(num_layers):
        reached = below
        for cell in range(layer * directions, (layer + 1) * directions):
            own = needs_weights[cell * size : (cell + 1) * size]
            if not (below or needs_h0 or any(own)):
                continue
            reached = True
            h, k = weights[cell * size]
            products = k * (own[0] + below) + h * own[1]
            flops += 2 * sequences * h * (steps * products + h * (steps if needs_h0 else max(0, steps - 1)))
        below = reached
    return flops


def _matrices(weights: Sequence[Shape]) -> list[tuple[int, int]]:
    return [(shape[0], shape[1]) for shape in weights if len(shape) == 2]
