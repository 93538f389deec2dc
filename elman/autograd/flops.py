"""How many floating-point operations a run takes: two for each multiply-add of its matrix products, as torch counts.

Problems are given with shapes in the places of tensors.
"""

from collections.abc import Sequence
from typing import Any

from elman.kernels.problem import Problem


def forward(problem: Problem) -> int:
    """Of the forward pass: x W_ih^T, h W_hh^T and a projection of every step."""
    steps, sequences, _inputs = _shape(problem.x)
    matrices = [_shape(w) for w in problem.weights if len(_shape(w)) == 2]
    return sum(2 * steps * sequences * rows * columns for rows, columns in matrices)


def backward(problem: Problem, needs: Sequence[bool]) -> int:
    """Of the backward pass: dW_ih, dW_hh, dz W_ih for the layer below and dz W_hh for the step before, where needed.

    Nothing is counted for layers below the lowest of which a gradient is asked for.
    """
    steps, sequences, _inputs = _shape(problem.x)
    after = 1 + len(problem.states)
    needs_states, needs_weights = any(needs[1:after]), needs[after:]
    count, directions = problem.weights_a_direction, problem.num_directions
    below, flops = needs[0], 0
    for layer in range(problem.num_layers):
        reached = below
        for cell in range(layer * directions, (layer + 1) * directions):
            own = needs_weights[cell * count : (cell + 1) * count]
            if not (below or needs_states or any(own)):
                continue
            reached = True
            weights = problem.weights_of(layer, cell - layer * directions)
            back_in_time = steps if needs_states else max(0, steps - 1)
            rows, k = _shape(weights.w_ih)
            flops += 2 * sequences * rows * steps * k * (own[0] + below)
            rows, p = _shape(weights.w_hh)
            flops += 2 * sequences * rows * p * (steps * own[1] + back_in_time)
            if weights.w_hr is not None:
                rows, h = _shape(weights.w_hr)
                # before the first step's projection nothing is asked for, where w_hr alone is
                through = steps if below or needs_states or any(own[:-1]) else max(0, steps - 1)
                flops += 2 * sequences * rows * h * (steps * own[-1] + through)
        below = reached
    return flops


def _shape(given: Any) -> Sequence[int]:
    """torch hands over shapes where the operator has tensors."""
    shape: Sequence[int] = given
    return shape
