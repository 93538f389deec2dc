"""Whether the tensors of a problem fit together, for what comes in past the layer: an operator may be called with
anything."""

import torch
from torch import Tensor

from elman.kernels.problem import Problem, weight_shapes


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
    layers, directions = problem.num_layers, problem.num_directions
    h, projected = problem.hidden_size, problem.projected
    p = problem.output_size if projected else h
    form = len(problem.cell.gates), layers, directions, inputs, h, p, problem.bias, projected
    for place, (weight, shape) in enumerate(zip(problem.weights, weight_shapes(*form), strict=False)):
        _check(f"weights[{place}]", weight, shape, x)
    cells = layers * directions
    for name, state, width in zip(problem.cell.states, problem.states, problem.state_widths(), strict=False):
        _check(f"{name}0", state, (cells, sequences, width), x)
    if problem.masks is not None:
        _check("masks", problem.masks, (layers - 1, steps, sequences, directions * p), x)
    _check_terms(problem)
    if problem.lengths is not None:
        _check_table("lengths", problem.lengths, (sequences,), torch.int64)
    if problem.reset is not None:
        _check_table("reset", problem.reset, (steps, sequences), torch.bool)
    return problem


def _check_terms(problem: Problem) -> None:
    cells, x = problem.num_layers * problem.num_directions, problem.x
    if problem.cell.leaks and not problem.terms:
        raise RuntimeError(f"{problem.cell.name} takes a leak.")
    if problem.drive is not None and not problem.cell.leaks:
        raise RuntimeError(f"{problem.cell.name} takes no drive.")
    widths = problem.leak_width(), problem.hidden_size
    for name, term, width in zip(("leak", "drive"), problem.terms, widths, strict=False):
        whole = (cells, *x.shape[:2], width)
        fits = term.dim() == 4 and all(has in (1, of) for has, of in zip(term.shape, whole, strict=True))
        _check(name, term, term.shape if fits else whole, x)
    if problem.recurrent_masks is not None:
        shape = (cells, x.shape[1], problem.output_size)
        _check("recurrent_masks", problem.recurrent_masks, shape, x)


def check_values(problem: Problem) -> None:
    """Raises ValueError for a length below 0 or above T."""
    if problem.lengths is not None:
        check_length_values(problem.lengths, *problem.x.shape[:2])


def check_length_values(lengths: Tensor, steps: int, sequences: int) -> bool:
    """Raises for a length below 0 or above T; returns whether any is below T."""
    if sequences == 0:
        return False
    least, most = (int(end) for end in lengths.aminmax())
    if least < 0 or most > steps:
        bad = int(((lengths < 0) | (lengths > steps)).nonzero()[0])
        raise ValueError(
            f"lengths[{bad}] = {int(lengths[bad])}: a length lies between 0 and the number of steps, "
            f"and the input was read as (time {steps}, batch {sequences}, ...)."
        )
    return least < steps


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if tensor.shape != shape:
        raise RuntimeError(f"{name} should have the shape {tuple(shape)}, got {tuple(tensor.shape)}.")
    if tensor.layout is not torch.strided:
        raise RuntimeError(
            f"{name} is {tensor.layout}: the operators take dense tensors; a layer takes sparse weights."
        )
    if tensor.dtype != like.dtype or tensor.device != like.device:
        raise RuntimeError(
            f"{name} is {tensor.dtype} on {tensor.device}, and x is {like.dtype} on {like.device}: they must agree."
        )


def _check_table(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise RuntimeError(
            f"{name} should be {dtype} of the shape {tuple(shape)}, got {tensor.dtype} and {tuple(tensor.shape)}."
        )
