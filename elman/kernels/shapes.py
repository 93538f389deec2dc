"""Whether the tensors of a problem fit together, for what comes in past the layer: an operator may be called with
anything."""

from torch import Tensor

from elman.kernels.problem import Problem


def checked(problem: Problem) -> Problem:
    """The problem, whose tensors all fit.

    Raises:
        RuntimeError: one has another shape, dtype or device than the rest asks for.
    """
    x = problem.x
    if x.dim() != 3:
        raise RuntimeError(f"x is (time, batch, input_size), got {tuple(x.shape)}.")
    steps, sequences, inputs = x.shape
    w_ih, w_hh = problem.weights[:2]
    if w_ih.dim() != 2 or w_hh.dim() != 2:
        raise RuntimeError(f"w_ih and w_hh have two axes, got {tuple(w_ih.shape)} and {tuple(w_hh.shape)}.")
    gates, directions = len(problem.cell.gates), problem.num_directions
    h, p = problem.hidden_size, problem.output_size
    count = problem.weights_a_direction
    for place, weight in enumerate(problem.weights):
        kind = place % count
        k = inputs if place < count * directions else directions * p
        shape = ((gates * h, k), (gates * h, p if problem.projected else h))[kind] if kind < 2 else (gates * h,)
        if problem.projected and kind == count - 1:
            shape = (p, h)
        _check(f"weights[{place}]", weight, shape, x)
    cells = problem.num_layers * directions
    for name, state, width in zip(problem.cell.states, problem.states, problem.state_widths(), strict=False):
        _check(f"{name}0", state, (cells, sequences, width), x)
    if problem.masks is not None:
        _check("masks", problem.masks, (problem.num_layers - 1, steps, sequences, directions * p), x)
    return problem


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if tensor.shape != shape:
        raise RuntimeError(f"{name} should have the shape {tuple(shape)}, got {tuple(tensor.shape)}.")
    if tensor.dtype != like.dtype or tensor.device != like.device:
        raise RuntimeError(
            f"{name} is {tensor.dtype} on {tensor.device}, and x is {like.dtype} on {like.device}: they must agree."
        )
