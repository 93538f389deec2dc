"""What vmap makes of a run: the mapped axis is folded into the batch. Each group of it gets weight gradients apart.

Where the weights are mapped, as in an ensemble, the models run one after the other.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.autograd.flat import Flat
from elman.autograd.rule import Back, Gradients, empty_gradients
from elman.kernels.problem import Problem, Run

Axes = Sequence[int | None]
"""The axis on which each tensor is mapped; None: it is the same for all."""


def _batch_axes(problem: Problem, mapped: Sequence[Any]) -> Any:
    """The batch axis of each tensor of a problem; None: of the weights, and of terms that all sequences share and no
    axis is mapped of."""
    tables: dict[str, Any] = {"lengths": 0, "reset": 1, "masks": 2, "batch_sizes": None, "recurrent_masks": 1}
    of_terms = [
        None if axis is None and term.shape[2] == 1 else 2 for term, axis in zip(problem.terms, mapped, strict=True)
    ]
    inputs: list[Any] = [1, *[1] * len(problem.states), *[None] * len(problem.weights), *of_terms]
    return problem.without_inputs()._replace(**tables).with_inputs(inputs)


def _with_terms_of_each(problem: Problem, axes: Problem) -> tuple[Problem, Problem]:
    """The same with terms that are mapped given to each sequence, and the axes on which they are mapped then: a term
    that each run's sequences share is not shared by all."""
    terms: list[Any] = list(problem.terms)
    places: list[Any] = list(axes.terms)
    sequences = _one(problem.x, axes.x).shape[1]
    for k, axis in enumerate(places):
        if axis is not None and _one(terms[k], axis).shape[2] == 1:
            terms[k], places[k] = terms[k].movedim(axis, 0).expand(-1, -1, -1, sequences, -1), 0
    return problem._replace(terms=tuple(terms)), axes._replace(terms=tuple(places))


def _one(tensor: Tensor, axis: Any) -> Tensor:
    """Of one run."""
    return tensor if axis is None else tensor.select(axis, 0)


def _of_saved(saved: Sequence[Tensor | None], axes: Axes) -> tuple[int | None, ...]:
    """That of what a backend saves of a run that is not packed, (., T, N, .) or (., D, T, N, .), mapped on these axes;
    None: of what stands for nothing."""
    own = [0 if a is None else a.dim() - (axis is not None) for a, axis in zip(saved, axes, strict=True)]
    return tuple(axes - 2 if axes > 3 else None for axes in own)


def map_forward(
    run: Callable[[Problem], Run], size: int, axes: Axes, flat: Flat, tensors: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
    """The tensors of a mapped run, and the axes on which they are mapped.

    Args:
        run: what is mapped.
        size: how many runs there are.
        axes: on which each of the tensors is mapped.
        flat: makes a problem of such tensors.
        tensors: of all runs.
    """
    problem: Problem = flat.of(tensors)
    if any(axis is not None for axis in flat.of(axes).weights):
        runs = [run(flat.of(_select(tensors, axes, place))) for place in range(size)]
        form = Flat(runs[0])
        stacked = [torch.stack(same) for same in zip(*map(form.at, runs), strict=True)]
        return tuple(stacked), (0,) * len(stacked)
    problem, axes_of_problem = _with_terms_of_each(problem, flat.of(axes))
    tensors, axes = flat.at(problem), flat.at(axes_of_problem)
    found = run(flat.of(_fold_all(tensors, axes, flat.at(_batch_axes(problem, axes_of_problem.terms)), size)))
    form = Flat(found)
    batch: Any = 1, (1,) * len(found.last), _of_saved(found.saved, (None,) * len(found.saved))
    places = form.at(Run(*batch))
    return tuple(_unfold(t, axis, size) for t, axis in zip(form.at(found), places, strict=True)), tuple(places)


def map_backward(
    run: Callable[..., Gradients],
    needs: Sequence[bool],
    groups: int | None,
    size: int,
    axes: Axes,
    flat: Flat,
    tensors: Sequence[Tensor],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The gradients of a mapped run that are asked for, and the axes on which they are mapped.

    Args:
        run: what is mapped: a way back, of a Problem, a Back and the number of groups of its batch.
        needs: for each input of the problem, whether its gradient is asked for.
        groups: into how many groups the batch of each run is divided, if it is.
        size, axes, flat, tensors: as in `map_forward`; flat makes a pair (Problem, Back).
    """
    problem, back = flat.of(tensors)
    axes_of_problem, axes_of_back = flat.of(axes)
    if size == 0:  # torch.func.jacrev of an output without numbers
        return _of_no_run(problem, axes_of_problem, needs, groups)
    if any(axis is not None for axis in axes_of_problem.weights):
        runs = [run(*flat.of(_select(tensors, axes, place)), groups) for place in range(size)]
        stacked = [torch.stack(same) for same in zip(*(_given(found) for found in runs), strict=True)]
        return tuple(stacked), (0,) * len(stacked)
    saved = _of_saved(back.saved, axes_of_back.saved)
    batch: Any = 1, saved, 1, (1,) * len(back.d_last)
    shared = [_one(*term).shape[2] == 1 for term in zip(problem.terms, axes_of_problem.terms, strict=True)]
    problem, axes_of_problem = _with_terms_of_each(problem, axes_of_problem)
    tensors, axes = flat.at((problem, back)), flat.at((axes_of_problem, axes_of_back))
    places_of_batch = flat.at((_batch_axes(problem, axes_of_problem.terms), Back(*batch)))
    folded = flat.of(_fold_all(tensors, axes, places_of_batch, size))
    found = run(*folded, size if groups is None else size * groups)
    apart, first_term = folded[0].sums_over_sequences(), len(found) - len(shared)
    gradients, places = [], []
    for i, gradient in enumerate(found):
        if gradient is None or not needs[i]:
            continue
        place = 0 if apart[i] else 1 if i < first_term else 2
        if groups is not None or not apart[i]:
            gradient = _unfold(gradient, place, size)
        if place == 2 and shared[i - first_term]:  # each run's sequences shared it
            if groups is None:
                gradient = gradient.sum(3, keepdim=True)
            else:
                of_groups = gradient.reshape(*gradient.shape[:3], groups, -1, gradient.shape[-1])
                gradient, place = of_groups.sum(4, keepdim=True).movedim((2, 3), (0, 1)), 0
        gradients.append(gradient)
        places.append(place)
    return tuple(gradients), tuple(places)


def _of_no_run(
    problem: Problem, axes: Problem, needs: Sequence[bool], groups: int | None
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The gradients of no runs, mapped on axis 0: each in the shape that it has of one run."""
    shapes = [
        t.shape if axis is None else (*t.shape[:axis], *t.shape[axis + 1 :])
        for t, axis in zip(problem.inputs, axes.inputs, strict=True)
    ]
    of_one = problem.with_inputs([t.new_empty(shape) for t, shape in zip(problem.inputs, shapes, strict=True)])
    gradients = tuple(g.new_empty((0, *g.shape)) for g in empty_gradients(of_one, needs, groups))
    return gradients, (0,) * len(gradients)


def _given(found: Gradients) -> list[Tensor]:
    return [g for g in found if g is not None]


def _select(tensors: Sequence[Tensor], axes: Axes, place: int) -> list[Tensor]:
    return [t if axis is None else t.select(axis, place) for t, axis in zip(tensors, axes, strict=True)]


def _fold_all(tensors: Sequence[Tensor], axes: Axes, batch: Axes, size: int) -> list[Tensor]:
    return [t if b is None else _fold(t, axis, size, b) for t, axis, b in zip(tensors, axes, batch, strict=True)]


def _fold(tensor: Tensor, axis: int | None, size: int, batch: int) -> Tensor:
    """The mapped axis merged into the batch axis."""
    if axis is None:
        tensor = tensor.unsqueeze(batch).expand(*tensor.shape[:batch], size, *tensor.shape[batch:])
    else:
        tensor = tensor.movedim(axis, batch)
    return tensor.flatten(batch, batch + 1)


def _unfold(tensor: Tensor, batch: int | None, size: int) -> Tensor:
    if batch is None:
        return tensor
    return tensor.reshape(*tensor.shape[:batch], size, tensor.shape[batch] // size, *tensor.shape[batch + 1 :])
